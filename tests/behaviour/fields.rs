//! docs/configuration.md against the reader: the fields of each block, and their defaults.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::proxy::compile;

const PAGE: &str = include_str!("../../docs/configuration.md");

/// A block of the configuration, as the page describes it.
struct Block {
    /// The heading of its section.
    heading: &'static str,
    /// What its fields are named by in the section, before their own names.
    prefix: &'static str,
    /// Where it stands in the document.
    at: &'static str,
    /// What stands there, where [`document`] has something else.
    value: Option<Value>,
}

/// A document in which every block of the page has a place, with the fields that have no default and no others.
fn document() -> Value {
    json!({
        "inbound": {
            "version": 1,
            "issuers": [{
                "name": "corp", "issuer": "https://idp.example", "audiences": ["api"],
                "keys": { "jwks": { "uri": "https://idp.example/jwks", "cluster": "idp" } },
            }],
            "token": {},
            "forward_claims": [{ "claim": "sub", "header": "x-subject" }],
            "forward_payload": { "header": "x-payload" },
            "filter_state": { "facts": ["client"] },
            "resource": { "identifier": "https://api.example" },
            "denials": {},
            "mcp": {},
            "waiting": {},
            "token_cache": {},
            "routes": [
                { "name": "a", "match": { "path": "/a" }, "require": {
                    "scopes": ["a"], "claims": [{ "claim": "tier", "exists": {} }],
                } },
                { "name": "b", "match": { "path": "/a", "mcp": { "methods": ["tools/call"] } }, "deny": {} },
            ],
            "default": "deny",
        },
        "outbound": {
            "position": "downstream",
            "clients": [{
                "name": "billing", "client_id": "orders",
                "token_endpoint": { "uri": "https://idp.example/token", "cluster": "token" },
                "authentication": { "client_secret_basic": { "secret": { "env": "CLIENT_SECRET" } } },
            }],
            "destinations": [{
                "match": { "authorities": ["billing.example"], "clusters": ["billing"] }, "client": "billing",
            }],
            "unmatched": "pass",
            "waiting": {},
            "breaker": {},
        },
    })
}

fn blocks() -> Vec<Block> {
    let same = |heading, prefix, at| Block { heading, prefix, at, value: None };
    let other = |heading, prefix, at, value| Block { heading, prefix, at, value: Some(value) };
    const KEYS: &str = "inbound.issuers[].keys";
    const CLIENT: &str = "/outbound/clients/0";
    const AUTHENTICATION: &str = "outbound.clients[].authentication";
    vec![
        same("inbound", "", "/inbound"),
        same("inbound.issuers[]", "", "/inbound/issuers/0"),
        same(KEYS, "", "/inbound/issuers/0/keys"),
        same(KEYS, "jwks.", "/inbound/issuers/0/keys/jwks"),
        other(KEYS, "discovery.", "/inbound/issuers/0/keys/discovery", json!({ "cluster": "idp" })),
        other(KEYS, "shared_secret.", "/inbound/issuers/0/keys/shared_secret", json!({ "env": "HS_KEY" })),
        same("inbound.token", "", "/inbound/token"),
        same("inbound.forward_claims[]", "", "/inbound/forward_claims/0"),
        same("inbound.forward_payload", "", "/inbound/forward_payload"),
        same("inbound.filter_state", "", "/inbound/filter_state"),
        same("inbound.resource", "", "/inbound/resource"),
        same("inbound.denials", "", "/inbound/denials"),
        same("inbound.mcp", "", "/inbound/mcp"),
        same("inbound.waiting", "", "/inbound/waiting"),
        same("inbound.token_cache", "", "/inbound/token_cache"),
        other("inbound.streams", "", "/inbound/streams", json!({})),
        same("inbound.routes[]", "", "/inbound/routes/0"),
        other("inbound.routes[]", "streams.", "/inbound/routes/0/streams", json!({})),
        same("inbound.routes[].match", "", "/inbound/routes/0/match"),
        same("inbound.routes[].match", "mcp.", "/inbound/routes/1/match/mcp"),
        same("inbound.routes[].require", "", "/inbound/routes/0/require"),
        same("inbound.routes[].require.claims[]", "", "/inbound/routes/0/require/claims/0"),
        same("outbound", "", "/outbound"),
        same("outbound.clients[]", "", CLIENT),
        same("outbound.clients[].token_endpoint", "", "/outbound/clients/0/token_endpoint"),
        other(
            "outbound.clients[].discovery",
            "",
            "/outbound/clients/0/discovery",
            json!({ "issuer": "https://idp.example", "cluster": "idp" }),
        ),
        same(AUTHENTICATION, "", "/outbound/clients/0/authentication"),
        same(
            AUTHENTICATION,
            "client_secret_basic.",
            "/outbound/clients/0/authentication/client_secret_basic",
        ),
        other(
            AUTHENTICATION,
            "client_secret_post.",
            "/outbound/clients/0/authentication/client_secret_post",
            json!({ "secret": { "env": "CLIENT_SECRET" } }),
        ),
        other(
            "The fields of `private_key_jwt`:",
            "",
            "/outbound/clients/0/authentication/private_key_jwt",
            json!({ "key": { "env": "OWN_KEY" }, "algorithm": "EdDSA", "audience": "https://idp.example" }),
        ),
        other("outbound.clients[].header", "", "/outbound/clients/0/header", json!({ "name": "x-token" })),
        other("outbound.clients[].token_exchange", "", "/outbound/clients/0/token_exchange", json!({})),
        same("outbound.destinations[]", "", "/outbound/destinations/0"),
        same("outbound.destinations[].match", "", "/outbound/destinations/0/match"),
        same("outbound.waiting", "", "/outbound/waiting"),
        same("outbound.breaker", "", "/outbound/breaker"),
        other("audit", "", "/audit", json!({ "fields": ["subject", "token_id"], "subject": "plain" })),
        other("sharing", "", "", json!({ "sharing": "process" })),
        other("sharing", "sharing.", "/sharing", json!({ "process": { "tokens": "unsealed" } })),
        other("sharing", "sharing.process.", "/sharing/process", json!({ "tokens": "unsealed" })),
        other(
            "sharing",
            "sharing.process.sealing_secret.",
            "/sharing/process/sealing_secret",
            json!({ "env": "SEAL" }),
        ),
    ]
}

impl Block {
    /// The document with this block in its place: of alternatives, beside the other one where it comes last.
    fn document(&self) -> Value {
        let mut document = document();
        let Some(value) = &self.value else { return document };
        let (parent, name) = self.at.rsplit_once('/').unwrap_or_default();
        if name.is_empty() {
            for (name, value) in value.as_object().unwrap() {
                document[name] = value.clone();
            }
            return document;
        }
        let place = at(&mut document, parent);
        if place.is_null() {
            *place = json!({});
        }
        let siblings = place.as_object_mut().unwrap();
        match name {
            "discovery" if parent.starts_with("/outbound") => drop(siblings.remove("token_endpoint")),
            "discovery" | "shared_secret" | "client_secret_post" | "private_key_jwt" => siblings.clear(),
            _ => {}
        }
        siblings.insert(name.to_owned(), value.clone());
        if name == "token_exchange" {
            document["outbound"]["destinations"][0]["caller_credential"] = json!("replace");
        }
        document
    }

    /// The section of the page that describes it.
    fn section(&self) -> &'static str {
        if self.heading.starts_with("The fields of") {
            return PAGE.split_once(self.heading).unwrap().1.split("\n### ").next().unwrap();
        }
        let heading = format!("\n### `{}`\n", self.heading);
        let (_, section) = PAGE.split_once(&heading).unwrap_or_else(|| panic!("no section {}", self.heading));
        let section = section.split("\n### ").next().unwrap().split("\n## ").next().unwrap();
        // What comes then is a block of its own.
        section.split("The fields of `private_key_jwt`:").next().unwrap()
    }

    /// The entries of its section: the name of a field, without the prefix, and what is said of it.
    fn entries(&self) -> Vec<(String, &'static str)> {
        let mut entries = Vec::new();
        let mut family = String::new();
        let parts: Vec<&str> = self.section().split("**`").skip(1).collect();
        for part in parts {
            let Some((name, text)) = part.split_once("`**") else { continue };
            let name = match name.strip_prefix('.') {
                Some(name) => format!("{family}.{name}"),
                None => name.to_owned(),
            };
            family = name.rsplit_once('.').map_or(family, |(family, _)| family.to_owned());
            entries.extend(name.strip_prefix(self.prefix).map(|name| (name.to_owned(), text)));
        }
        entries
    }
}

/// A place in a document, made where it is missing.
fn at<'a>(document: &'a mut Value, pointer: &str) -> &'a mut Value {
    pointer.split('/').skip(1).fold(document, |value, name| match name.parse::<usize>() {
        Ok(index) => &mut value[index],
        Err(_) => &mut value[name],
    })
}

/// The fields that the reader knows in a block: what it says of one that it does not know.
fn known(block: &Block) -> BTreeSet<String> {
    let mut document = block.document();
    at(&mut document, block.at)["zzz"] = json!(1);
    let told = compile(&document).unwrap_err().to_string();
    let list = told.lines().find_map(|line| line.split_once("unknown field `zzz`, expected one of "));
    let (_, list) = list.unwrap_or_else(|| panic!("{}: {told}", block.at));
    list.split(", ").map(|name| name.trim_end_matches(')').to_owned()).collect()
}

#[test]
fn every_block_lists_the_fields_that_the_reader_knows_and_no_others() {
    for block in blocks() {
        let first = |(name, _): (String, _)| name.split('.').next().unwrap().to_owned();
        let mut listed: BTreeSet<String> = block.entries().into_iter().map(first).collect();
        if block.at.is_empty() {
            // The other blocks have sections of their own.
            listed.extend(["inbound", "outbound", "audit"].map(str::to_owned));
        }
        assert_eq!(listed, known(&block), "{} {}", block.heading, block.prefix);
    }
}

#[test]
fn every_section_of_fields_is_compared() {
    let (_, fields) = PAGE.split_once("\n## Fields\n").unwrap();
    let fields = fields.split("\n## ").next().unwrap();
    let headings = fields.split("\n### `").skip(1).map(|section| section.split('`').next().unwrap());
    let compared: BTreeSet<&str> = blocks().iter().map(|block| block.heading).collect();
    for heading in headings {
        assert!(compared.contains(heading), "{heading}");
    }
}

/// A document compiles to the same with a default written out and without it.
#[test]
fn every_default_is_what_the_reader_takes() {
    let mut compared = 0;
    for block in blocks() {
        for (name, text) in block.entries() {
            // The text goes on to the next entry.
            let Some((_, default)) = text.split("\n- ").next().unwrap().split_once("Default: `") else {
                continue;
            };
            let written = default.split('`').next().unwrap();
            let value: Value = serde_saphyr::from_str(written).unwrap();
            // A field of a smaller block (behind a dot), and a block, are compared by themselves.
            if name.contains('.') || text.starts_with(": an object") {
                continue;
            }
            let without = block.document();
            let mut with = block.document();
            let place = at(&mut with, block.at);
            if place.get(&name).is_some() {
                continue;
            }
            place[&name] = value;
            let told = |document: &Value| {
                let config =
                    compile(document).unwrap_or_else(|errors| panic!("{}.{name}: {errors}", block.at));
                // Which filters share is told by a digest of the document as it is written.
                let text = format!("{config:?}");
                let (before, after) = text.split_once("group: ").unwrap_or((&text, ""));
                format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
            };
            let is_same = told(&with) == told(&without);
            assert!(is_same, "{}.{name}: is the default {written}? {}", block.at, told(&without));
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared} defaults: is the page still read?");
}

/// Of the fields that HTTP defines and proxies set, those are refused that the page lists, and no others.
#[test]
fn the_headers_that_claims_may_not_be_forwarded_in_are_listed() {
    let block = blocks().into_iter().find(|block| block.heading == "inbound.forward_claims[]").unwrap();
    let entries = block.entries();
    let (_, text) = entries.iter().find(|(name, _)| name == "header").unwrap();
    let (_, list) = text.split_once("Not allowed are ").unwrap();
    let names = list.split('`').skip(1).step_by(2).take_while(|name| *name != "sub");
    // Of a family, only its beginning is listed.
    let (families, listed): (BTreeSet<&str>, BTreeSet<&str>) = names.partition(|name| name.ends_with('-'));
    let others = [
        "accept",
        "accept-encoding",
        "age",
        "allow",
        "cache-control",
        "content-encoding",
        "content-language",
        "content-location",
        "content-range",
        "date",
        "etag",
        "expect",
        "expires",
        "forwarded",
        "from",
        "if-match",
        "if-none-match",
        "location",
        "max-forwards",
        "origin",
        "pragma",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "referer",
        "retry-after",
        "server",
        "set-cookie",
        "user-agent",
        "vary",
        "via",
        "www-authenticate",
        "x-envoy-attempt-count",
        "x-forwarded-client-cert",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
        "x-subject",
    ];
    let is_refused = |name: &&&str| {
        let mut document = document();
        document["inbound"]["forward_claims"][0]["header"] = json!(**name);
        compile(&document).is_err_and(|errors| errors.to_string().contains("forward_claims[0].header"))
    };
    let all: BTreeSet<&str> = others.into_iter().chain(listed.iter().copied()).collect();
    let refused: BTreeSet<&str> = all.iter().filter(is_refused).copied().collect();
    let is_listed =
        |name: &&str| listed.contains(name) || families.iter().any(|family| name.starts_with(family));
    assert_eq!(refused, all.into_iter().filter(is_listed).collect());
}

/// The words that a route may allow in its paths are those of the table, in whatever order.
#[test]
fn the_features_of_paths_are_listed() {
    let (_, section) = PAGE.split_once("\n## Paths\n").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
    let mut document = document();
    document["inbound"]["routes"][0]["allow_in_path"] = json!(["zzz"]);
    let told = compile(&document).unwrap_err().to_string();
    let (_, known) = told.trim().split_once("expected one of ").unwrap();
    assert_eq!(listed, known.split(", ").collect(), "{told}");
}
