//! The block `outbound`: what it says as a whole. Its clients, their authentication and destinations have files of
//! their own.

use super::*;
use crate::outbound::{self, Client, EndpointLocation};

mod authentication;
mod clients;
mod destinations;

/// What the environment holds: `CLIENT_SECRET`, `LINE` with the end of a line, keys, and what is no secret.
struct Secrets;

impl Environment for Secrets {
    fn variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "CLIENT_SECRET" => "hunter2 ü".to_owned(),
            "LINE" => "hunter2\r\n".to_owned(),
            "LINES" => "hunter2\n\n".to_owned(),
            "NEWLINE" => "\n".to_owned(),
            "EMPTY" => String::new(),
            "LONGEST" => "x".repeat(4096),
            "TOO_LONG" => "x".repeat(4097),
            "EC_KEY" => EC_KEY.to_owned(),
            "ED_KEY" => ED_KEY.to_owned(),
            "RSA_KEY" => RSA_KEY.to_owned(),
            _ => return None,
        };
        Some(value)
    }
}

fn outbound() -> Json {
    json!({
        "position": "downstream",
        "clients": [{
            "name": "billing",
            "token_endpoint": { "uri": "https://idp.example/token", "cluster": "idp" },
            "client_id": "orders",
            "authentication": { "client_secret_basic": { "secret": { "env": "CLIENT_SECRET" } } },
        }],
        "destinations": [{
            "match": { "authorities": ["billing.internal"], "clusters": ["billing"] },
            "client": "billing",
        }],
        "unmatched": "pass",
    })
}

/// The block `outbound`, alone, with something at a place.
pub(super) fn with(pointer: &str, value: Json) -> Json {
    let mut block = outbound();
    set(&mut block, pointer, value);
    json!({ "outbound": block })
}

fn without(pointer: &str, name: &str) -> Json {
    let mut block = outbound();
    block.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name);
    json!({ "outbound": block })
}

pub(super) fn compiled(document: &Json) -> Result<Config, ConfigErrors> {
    parse(document.to_string().as_bytes(), &Secrets)
}

fn settings(document: &Json) -> Rc<outbound::Settings> {
    compiled(document).unwrap().outbound.unwrap()
}

pub(super) fn problems(document: &Json) -> Vec<String> {
    compiled(document)
        .map_or_else(|errors| errors.0.iter().map(ToString::to_string).collect(), |_| Vec::new())
}

#[track_caller]
fn refuses(pointer: &str, value: Json, problem: &str) {
    assert_eq!(problems(&with(pointer, value.clone())), [problem], "{pointer}: {value:.200}");
}

#[track_caller]
fn accepts(pointer: &str, value: Json) {
    assert_eq!(problems(&with(pointer, value.clone())), Vec::<String>::new(), "{pointer}: {value:.200}");
}

fn client(document: &Json) -> Rc<Client> {
    Rc::clone(&settings(document).clients[0])
}

/// The block with a client that finds its token endpoint by the metadata of an issuer.
fn discovering(more: Json) -> Json {
    let mut fields = json!({ "issuer": "https://idp.example", "cluster": "meta" });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut document = without("/clients/0", "token_endpoint");
    document["outbound"]["clients"][0]["discovery"] = fields;
    document
}

/// The path that problems at a pointer have.
fn path(pointer: &str) -> String {
    format!("outbound{}", pointer.replace("/0", "[0]").replace('/', "."))
}

#[test]
fn the_smallest_block_compiles_with_all_defaults() {
    let outbound = settings(&json!({ "outbound": outbound() }));
    assert_eq!(outbound.position, Position::Downstream);
    assert_eq!(outbound.unmatched, outbound::Unmatched::Pass);
    assert!(!outbound.reads_route_metadata && outbound.plaintext_clusters.is_empty());
    assert_eq!((outbound.waiting.requests, outbound.waiting.deadline.as_secs()), (256, 5));
    assert_eq!(outbound.purge_interval.as_secs(), 10);
    assert_eq!((outbound.breaker.failures, outbound.breaker.open_duration.as_secs()), (5, 5));
    let [endpoint] = &outbound.endpoints[..] else { panic!() };
    assert_eq!((&*endpoint.cluster, endpoint.timeout.as_secs()), ("idp", 5));
    let EndpointLocation::At(address) = &endpoint.location else { panic!() };
    assert_eq!(address.url(), "https://idp.example/token");
}

#[test]
fn unknown_fields_are_refused_everywhere() {
    for (place, known) in [
        (
            "",
            "position, clients, destinations, unmatched, route_metadata, allow_overrides, plaintext_clusters, \
             waiting, purge_interval, breaker",
        ),
        (
            "/clients/0",
            "name, token_endpoint, discovery, client_id, authentication, scopes, audience, resources, parameters, \
             headers, header, renewal_margin, default_lifetime, obtain, token_exchange, token_types",
        ),
        ("/clients/0/token_endpoint", "uri, cluster, timeout, tls"),
        ("/clients/0/authentication/client_secret_basic", "secret, encoding"),
        ("/clients/0/authentication/client_secret_basic/secret", "env"),
        ("/destinations/0", "match, client, caller_credential, chosen_by, allow_in_path"),
        (
            "/destinations/0/match",
            "authorities, clusters, path, prefix, case_sensitive, methods, route_names",
        ),
    ] {
        let problem = format!("{}: unknown field `x`, expected one of {known}", path(place));
        refuses(&format!("{place}/x"), json!(1), &problem);
    }
    for (place, whole, known) in [
        ("/waiting", json!({ "x": 1 }), "requests, deadline"),
        ("/breaker", json!({ "x": 1 }), "failures, open_duration"),
        ("/clients/0/header", json!({ "name": "x-token", "x": 1 }), "name, scheme"),
    ] {
        let problem = format!("{}: unknown field `x`, expected one of {known}", path(place));
        refuses(place, whole, &problem);
    }
}

#[test]
fn required_fields_must_be_there() {
    for (place, field) in [
        ("", "position"),
        ("", "clients"),
        ("", "destinations"),
        ("", "unmatched"),
        ("/clients/0", "name"),
        ("/clients/0", "client_id"),
        ("/clients/0", "authentication"),
        ("/clients/0/token_endpoint", "uri"),
        ("/clients/0/token_endpoint", "cluster"),
        ("/clients/0/authentication/client_secret_basic", "secret"),
        ("/clients/0/authentication/client_secret_basic/secret", "env"),
        ("/destinations/0", "match"),
        ("/destinations/0", "client"),
        ("/destinations/0/match", "authorities"),
        ("/destinations/0/match", "clusters"),
    ] {
        let problem = format!("{}: missing field `{field}`", path(place));
        assert_eq!(problems(&without(place, field)), [problem]);
    }
    let text = json!({ "outbound": outbound() }).to_string();
    let twice = text.replacen(r#""unmatched":"pass""#, r#""unmatched":"pass","unmatched":"deny""#, 1);
    let error = parse(twice.as_bytes(), &Secrets).unwrap_err().to_string();
    assert_eq!(error, "outbound: duplicate field `unmatched`");
}

#[test]
fn words_are_those_that_are_listed() {
    for (pointer, known) in [
        ("/position", "downstream, upstream"),
        ("/unmatched", "pass, deny"),
        ("/route_metadata", "ignore, read"),
        ("/clients/0/token_endpoint/tls", "required, optional"),
        ("/clients/0/obtain", "at_start, on_demand"),
        ("/destinations/0/caller_credential", "deny, replace, keep"),
        ("/destinations/0/chosen_by", "match, route_metadata"),
    ] {
        refuses(pointer, json!("yes"), &format!("{}: expected one of {known}", path(pointer)));
        for word in known.split(", ").filter(|word| *word != "route_metadata") {
            accepts(pointer, json!(word));
        }
    }
}

#[test]
fn numbers_and_durations_have_a_range() {
    for (pointer, min, max) in [("/waiting/requests", 1_u64, 10_000_u64), ("/breaker/failures", 1, 100)] {
        let problem = format!("{}: expected a whole number from {min} to {max}", path(pointer));
        accepts(pointer, json!(min));
        accepts(pointer, json!(max));
        refuses(pointer, json!(min - 1), &problem);
        refuses(pointer, json!(max + 1), &problem);
    }
    for (pointer, min, max, below, above, range) in [
        ("/waiting/deadline", "10ms", "60s", "9ms", "61s", "10ms to 60s"),
        ("/purge_interval", "1s", "1h", "999ms", "3601s", "1s to 3600s"),
        ("/breaker/open_duration", "100ms", "30s", "99ms", "31s", "100ms to 30s"),
        ("/clients/0/token_endpoint/timeout", "10ms", "60s", "0s", "61s", "10ms to 60s"),
        ("/clients/0/renewal_margin", "1s", "24h", "0s", "25h", "1s to 86400s"),
        ("/clients/0/default_lifetime", "1s", "24h", "0s", "25h", "1s to 86400s"),
    ] {
        let problem = format!("{}: expected a duration from {range}", path(pointer));
        accepts(pointer, json!(min));
        accepts(pointer, json!(max));
        refuses(pointer, json!(below), &problem);
        refuses(pointer, json!(above), &problem);
    }
}

#[test]
fn a_clusters_filter_has_no_inbound_half() {
    accepts("/position", json!("upstream"));
    let mut both = base();
    both["outbound"] = outbound();
    assert_eq!(problems(&both), Vec::<String>::new());
    both["outbound"]["position"] = json!("upstream");
    let problem = "outbound.position: the block `inbound` runs in a listener: leave it out of an upstream filter's \
        configuration";
    assert_eq!(problems(&both), [problem]);
}

#[test]
fn a_plaintext_cluster_is_one_to_which_tokens_go() {
    let set = settings(&with("/plaintext_clusters", json!(["billing"])));
    assert!(set.plaintext_clusters.contains("billing"));
    refuses("/plaintext_clusters", json!([]), "outbound.plaintext_clusters: the list is empty");
    refuses(
        "/plaintext_clusters",
        json!(["billing", "stranger"]),
        "outbound.plaintext_clusters[1]: no destination has this cluster: leave it out",
    );
    refuses(
        "/plaintext_clusters",
        json!(["billing", "billing"]),
        "outbound.plaintext_clusters[1]: duplicate cluster",
    );
    // A cluster of a destination that could not be read may be the one.
    let mut document = with("/plaintext_clusters", json!(["other"]));
    document["outbound"]["destinations"][0]["match"]["clusters"] = json!(["other", 7]);
    let problem = "outbound.destinations[0].match.clusters[1]: expected a string, got a number";
    assert_eq!(problems(&document), [problem]);
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_document() {
    let document = json!({ "outbound": {
        "position": "sideways",
        "clients": [
            { "name": "A", "token_endpoint": { "uri": "x" }, "authentication": {}, "scopes": ["a b"], "header": {} },
            { "name": "b", "client_id": "",
              "authentication": { "client_secret_post": { "secret": { "env": "UNSET" } } } },
        ],
        "destinations": [
            { "match": { "authorities": [], "clusters": ["c"], "path": "/", "prefix": "/" }, "client": "nobody" },
            { "client": "b", "caller_credential": "drop" },
        ],
        "unmatched": "allow",
        "plaintext_clusters": ["x"],
        "waiting": { "requests": 0 },
        "breaker": { "failures": 1.5 },
    }});
    let methods = "client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth, set_by_cluster";
    assert_eq!(
        problems(&document),
        [
            "outbound.position: expected one of downstream, upstream",
            "outbound.clients[0].name: expected a name of a-z, 0-9, _ and -, at most 64 characters",
            "outbound.clients[0].token_endpoint.uri: expected a URL like https://host/path",
            "outbound.clients[0].token_endpoint: missing field `cluster`",
            &format!("outbound.clients[0].authentication: expected exactly one of {methods}"),
            "outbound.clients[0].scopes[0]: expected a scope: visible characters without space, quote and backslash, \
             at most 256",
            "outbound.clients[0].header: missing field `name`",
            "outbound.clients[1]: expected exactly one of token_endpoint, discovery",
            "outbound.clients[1].client_id: the string is empty",
            "outbound.clients[1].authentication.client_secret_post.secret.env: the environment variable UNSET is not \
             set: pass it to the VM, or export it for attachectl",
            "outbound.destinations[0].match.authorities: the list is empty",
            "outbound.destinations[0].match: expected path or prefix, not both",
            "outbound.destinations[1]: missing field `match`",
            "outbound.destinations[1].caller_credential: expected one of deny, replace, keep",
            "outbound.unmatched: expected one of pass, deny",
            "outbound.waiting.requests: expected a whole number from 1 to 10000",
            "outbound.breaker.failures: expected a whole number from 1 to 100",
        ]
    );
}

#[test]
fn a_struct_is_read_as_json_is() {
    let config = parse(&to_struct(&with("/breaker/failures", json!(7))).encode_to_vec(), &Secrets).unwrap();
    assert_eq!(config.outbound.unwrap().breaker.failures, 7);
    for document in [
        with("/breaker/failures", json!(0.5)),
        with("/clients/0/parameters", json!({ "scope": "a", "a b": "c" })),
        with("/clients/0/headers", json!({ ":path": "/", "x-a": 7 })),
        with("/destinations/0/client", json!("nobody")),
        with("/waiting", json!([])),
    ] {
        let from_struct = parse(&to_struct(&document).encode_to_vec(), &Secrets).unwrap_err();
        // A `Struct` has no order of its own: names come sorted.
        let mut texts: Vec<String> = from_struct.0.iter().map(ToString::to_string).collect();
        let mut expected = problems(&document);
        texts.sort();
        expected.sort();
        assert_eq!(texts, expected);
    }
}

#[test]
fn no_secret_is_shown() {
    let keyed = json!({ "private_key_jwt": {
        "key": { "env": "EC_KEY" }, "algorithm": "ES256", "audience": "https://idp.example" } });
    for document in [json!({ "outbound": outbound() }), with("/clients/0/authentication", keyed)] {
        let shown = format!("{:?}", compiled(&document).unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("jpsQnnGQ"), "{shown}");
        assert!(!shown.contains("104, 117, 110"), "{shown}");
    }
}

/// The path of the client.
const CLIENT: &str = "outbound.clients[0]";
/// RFC 7515 §A.3.1.
const EC_KEY: &str = r#"{"kty":"EC","crv":"P-256","kid":"ec-1",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
/// RFC 8037 §A.1.
const ED_KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// Made for these tests by `openssl genpkey -algorithm RSA`.
const RSA_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCZqpSXrfsq7LTO
QKRBwqlt/M1VUnbOYKgYfE0AMwAshFbIkprlHjinOg4+hz7porVvdrHG7xyWxy0H
gj7G7RqjkFqJG967Hg7fiBtEppVI18++2kBB+i1jgvSrVzAqhQBZjWY5QrlrHXzm
C85AUjZiOTyfQPDgC8GxySuibXJ9ONcVcZhXHAH2Ly1k+Xevt2+OYsMsln7iwai9
91UaGOcnbkJYU8WYXfTanKgmWTyz7M1dj21PV8OelRzu4E+ZWAJRgbx2MIcIthNd
2o+W6mmUsdSQKLG6Ivrqft2a5GVX1Z3PAy6UaLNFymVbkjHYC639dni5Q2xzTOxY
w2nbOsp7AgMBAAECggEAF3LMruKZF6E8K9b4WaKLOSHg8Vqej3p3XBknpNajeaeO
GJgqc7jrWzVENC1uH7e46PPbR+h329gz2lf5HWDT9k6SSibLE5GQInMB+jVTRWTN
KinisU6sO2mhzT2GN47JEWE+zpEMezhqNS5rACyraMykIAcIWp/gpDD27Be4ZzwX
H+IBIK+LRwO+z01Zkfk45dGmBbHpOHF5pJJYGF1GuMxHTOZOqc8Fa5NR04vVD7s9
93+yznRH9Es7i/g+5oYTC88D9uzItR+LO4EDzQkClvG9r2iPlBDsYC6jJAQ1HYUZ
ZpqmoZC+/EkkQxfBm8Q2inQCOMzLxBuOph68CUpUgQKBgQDNoeNpiirIlEXpYLIT
2YwrOZJ2FGeYimi4yUSIBlrJWEwE041UipfuwiLDR6nn6CsKxdlWTj6DWI0bdA5k
GHqbEtGwlwEEIXb+Sm+Igp2PwV84JgwRJvxQwdT94aIxW0uRN2gX72NN8M1Yy9tP
hxe0f3yoQ/UQ7JQrdNmERHVC+wKBgQC/Ti2PZ78DYWYNF+v68AQnxl5QaduNccmb
nqLI6Xg6z4FCnvxJcxnxf7w5CrkyYHcBvQ47MmzVTrEQVas0h5XNSMwvZ4ScY6MP
068JIDvqBJDwyLfoz6dQAp+gTITlrJbGFo+0LHEC9I4J+5L6CGkror9D+jON0UHD
mWYVw93+gQKBgQCipLU2uO32EDDr0muHf756QeMyOhlmcbM61Ra7cCtGrewStTFH
+QcK9cqBIqGkp+HDd5Hbza9sPBH/8N+hFCuFlHD+d7F6Du4LW9yz4Hu3RH+H7bAF
sQxI48cPt/ONjmRKy8Qtik7FSv1gin1Afd2mCmASxw2DAVyAsr+I+oy1GQKBgHgI
tJuTbA3R8jdq+B1GtkTCufDYyvKwH+DuI5POsiqsgp1rpj7r4q5eCJr9+H/8eQ91
MVXBaPpaWs02A6t9G2hoMf3YhSOffPP0TZJ7UDygytTaDFMe4Ata6g+pk4WMyjnW
dCqH7Az/p5Pp7ynFV0AS6NHdTrXAQ/RX7u7fLA6BAoGAElJmpeCHCjZ9CULbjiGV
tVjmtB272Gtu8GT0lnX1E2iQ3rHCeSo12+qm+EgVs70CaGZPUAlAmo5XKGJZwI5d
vocFWdvF/sjD6+glRtTLbHXQYSgGypRwrDxHnGK6P1IpiqITO4Q26BGD7A3JXw+E
DgGRhc+BJQqhFPfkgMrEtFY=
-----END PRIVATE KEY-----
";
