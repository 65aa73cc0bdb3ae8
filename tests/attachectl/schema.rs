//! docs/attache.schema.json: the schema of configurations, made of what the reader takes and of the texts of
//! docs/configuration.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use attache::config::{self, Environment};
use serde_json::{Value, json};

use crate::documents::{blocks, root};
use crate::tool::run;

const FILE: &str = "docs/attache.schema.json";

/// The texts of the page, by the path of the field that they are about.
fn descriptions() -> BTreeMap<String, String> {
    let page = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let (_, fields) = page.split_once("\n## Fields\n").unwrap();
    let fields = fields.split("\n## ").next().unwrap();
    let mut items: Vec<(String, String)> = Vec::new();
    let (mut heading, mut is_open) = (String::new(), false);
    for line in fields.lines() {
        let is_item = line.trim_start().starts_with("- **`");
        if let Some(named) = line.strip_prefix("### `") {
            named.trim_end_matches('`').clone_into(&mut heading);
        } else if let Some(kind) = line.strip_prefix("The fields of `") {
            heading = format!("outbound.clients[].authentication.{}", kind.trim_end_matches("`:"));
        } else if is_item {
            items.push((heading.clone(), line.trim_start().trim_start_matches("- ").to_owned()));
        } else if is_open && line.starts_with("  ") && !line.trim_start().starts_with('-') {
            let (_, text) = items.last_mut().unwrap();
            *text += &format!(" {}", line.trim());
        }
        is_open = is_item || (is_open && line.starts_with("  "));
    }
    let mut texts = BTreeMap::new();
    for (heading, item) in items {
        // `**a.b**, **.c**: text. **a.d**: text`
        let mut names: Vec<String> = Vec::new();
        for part in item.split("**`").skip(1) {
            let (name, text) = part.split_once("`**").unwrap();
            let outer =
                name.starts_with('.').then(|| names.last().unwrap().rsplit_once('.').unwrap().0.to_owned());
            let path = match outer {
                Some(outer) => format!("{outer}{name}"),
                None if heading == "sharing" => name.to_owned(),
                None => format!("{heading}.{name}"),
            };
            names.push(path);
            if let Some(text) = text.strip_prefix(": ") {
                texts.extend(names.drain(..).map(|name| (name, text.trim().to_owned())));
            }
        }
    }
    texts
}

/// The place on the page of what stands at this path.
fn documented(path: &str) -> String {
    let path = path.replace("$requirement", "inbound.routes[].require");
    path.replace("keys[]", "keys").replace("default.require", "routes[].require")
}

/// A text as an editor shows it: without links and marks.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((words, behind)) = link.split_once("](") else { break };
        let Some((_, behind)) = behind.split_once(')') else { break };
        plain += before;
        plain += words;
        rest = behind;
    }
    plain += rest;
    let mut letters = plain.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().collect::<String>());
    first.unwrap_or_default() + letters.as_str()
}

fn schema() -> Value {
    let texts = descriptions();
    config::schema(&|path| texts.get(&documented(path)).map(|text| plain(text)))
}

/// Each property of the schema: its path, and what is said of it.
fn properties(path: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
    let dot = if path.is_empty() { "" } else { "." };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}{dot}{name}");
        found.push((path.clone(), property.clone()));
        properties(&path, property, found);
    }
    for form in schema["anyOf"].as_array().into_iter().flatten() {
        properties(path, form, found);
    }
    if schema["items"].is_object() {
        properties(&format!("{path}[]"), &schema["items"], found);
    }
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        properties(&format!("${name}"), definition, found);
    }
}

#[test]
fn the_schema_of_the_repository_is_what_the_reader_takes() {
    let made = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var("ATTACHE_GOLDEN").is_ok_and(|value| value == "write") {
        fs::write(root().join(FILE), &made).unwrap();
    }
    let kept = fs::read_to_string(root().join(FILE)).unwrap();
    assert!(made == kept, "{FILE} is not what the reader takes: write it anew with ATTACHE_GOLDEN=write");
    assert!(run(&["schema"], "").stdout == kept, "`attachectl schema` prints {FILE}");
}

/// A field that the page does not describe by itself is described in the text of what it stands in.
#[test]
fn each_field_has_its_text_from_the_reference() {
    let texts = descriptions();
    let mut found = Vec::new();
    properties("", &schema(), &mut found);
    assert!(found.len() > 120, "{} properties: is the reader still asked?", found.len());
    let mut silent = BTreeSet::new();
    for (path, property) in &found {
        assert!(*property != json!({}), "{path}: the reader was not seen to take anything here");
        let page = documented(path);
        // Blocks and kinds have fields that are described one by one; what a field holds may be told with it.
        let is_told =
            texts.contains_key(&page) || texts.keys().any(|text| text.starts_with(&format!("{page}.")));
        let parent = page.rsplit_once('.').and_then(|(parent, _)| texts.get(parent.trim_end_matches("[]")));
        let is_told_there = parent.is_some_and(|text| !text.contains("[below]"));
        if !is_told && !is_told_there && !page.starts_with("inbound.token.sources[].") {
            silent.insert(page);
        }
    }
    assert!(silent.is_empty(), "no text for {silent:#?}");
    let paths: BTreeSet<String> = found.iter().map(|(path, _)| documented(path)).collect();
    let lost: Vec<_> = texts.keys().filter(|text| !paths.contains(*text)).collect();
    assert!(lost.is_empty(), "no field for {lost:#?}");
}

#[test]
fn each_configuration_of_the_pages_and_files_is_valid() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let files = FILES.iter().map(|file| ((*file).to_owned(), fs::read_to_string(root().join(file)).unwrap()));
    let blocks = blocks().into_iter().map(|block| (block.place, block.text));
    let mut seen = 0_usize;
    for (place, text) in blocks.chain(files) {
        for document in text.split("\n---\n").flat_map(configurations) {
            let problems: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
            assert!(problems.is_empty(), "{place}: {problems:?}");
            seen += 1;
        }
    }
    assert!(seen >= 8 + FILES.len(), "{seen} configurations: are the pages and files still read?");
}

/// Bootstraps and manifests with the filter's configuration in them.
const FILES: &[&str] = &[
    "envoy.yaml",
    "sidecar.yaml",
    "deploy/envoy-gateway/envoyextensionpolicy.yaml",
    "deploy/istio/gateway.yaml",
    "deploy/istio/trafficextension.yaml",
    "deploy/istio/wasmplugin.yaml",
];

/// The filter's configurations in a document of whatever kind.
fn configurations(text: &str) -> Vec<Value> {
    let document: Option<config::Value> = serde_saphyr::from_str(text).ok();
    let mut found = Vec::new();
    find(&document.map(|document| serde_json::to_value(&document).unwrap()).unwrap_or_default(), &mut found);
    found
}

fn find(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) if members.contains_key("inbound") || members.contains_key("outbound") => {
            found.push(value.clone());
        }
        Value::Object(members) => members.values().for_each(|value| find(value, found)),
        Value::Array(items) => items.iter().for_each(|value| find(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The two complete documents of the reference.
fn complete() -> Vec<Value> {
    let blocks = blocks().into_iter().filter(|block| block.place.starts_with("docs/configuration.md"));
    blocks.flat_map(|block| configurations(&block.text)).collect()
}

struct Variables;

impl Environment for Variables {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
}

fn is_taken(document: &Value) -> bool {
    config::parse(document.to_string().as_bytes(), &Variables).is_ok()
}

/// Every place of the complete documents, with another value in it, or none: whatever the reader takes, the schema
/// takes. But for digits in a string, which Envoy makes of large numbers in YAML.
#[test]
fn the_schema_refuses_nothing_that_the_reader_takes() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let others = [
        json!(null),
        json!(true),
        json!(0),
        json!(7),
        json!(1.5),
        json!(""),
        json!("x"),
        json!("1s"),
        json!([]),
        json!(["x"]),
        json!({}),
        json!({ "x": 1 }),
    ];
    let (mut taken, mut refused) = (0_usize, 0_usize);
    let documents: Vec<Value> = complete().into_iter().filter(is_taken).collect();
    assert!(!documents.is_empty(), "no complete document is taken");
    for document in documents {
        let mut places = Vec::new();
        collect("", &document, &mut places);
        for place in places {
            let changed = others.iter().map(|other| {
                let mut changed = document.clone();
                *changed.pointer_mut(&place).unwrap() = other.clone();
                changed
            });
            let removed = without(&document, &place);
            for changed in changed.chain(removed) {
                let is_valid = validator.is_valid(&changed);
                if is_taken(&changed) {
                    taken += 1;
                    assert!(is_valid, "the reader takes this, and the schema does not: {place}: {changed}");
                } else if !is_valid {
                    refused += 1;
                }
            }
        }
    }
    assert!(taken > 100 && refused > 500, "{taken} taken, {refused} refused by both");
}

fn collect(path: &str, value: &Value, places: &mut Vec<String>) {
    let mut add = |name: String, value: &Value| {
        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        places.push(path.clone());
        collect(&path, value, places);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| add(name.clone(), value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| add(index.to_string(), value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without(document: &Value, place: &str) -> Option<Value> {
    let (parent, name) = place.rsplit_once('/')?;
    let mut changed = document.clone();
    changed.pointer_mut(parent)?.as_object_mut()?.remove(&name.replace("~1", "/").replace("~0", "~"))?;
    Some(changed)
}

/// What an editor marks while the operator types.
#[test]
fn the_schema_refuses_unknown_fields_wrong_types_and_numbers_out_of_bounds() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let good = json!({ "inbound": {
        "issuers": [{ "name": "corp", "issuer": "https://idp.example", "audiences": ["api"],
            "keys": { "jwks": { "uri": "https://idp.example/jwks", "cluster": "idp" } } }],
        "routes": [{ "name": "a", "match": { "path": "/a" }, "require": { "scopes": ["a"] } }],
        "default": "deny",
    } });
    assert!(validator.is_valid(&good));
    for (place, value) in [
        ("/inbound/nonsense", json!(1)),
        ("/inbound/issuers", json!([])),
        ("/inbound/issuers/0/audience", json!("api")),
        ("/inbound/issuers/0/audiences", json!([1])),
        ("/inbound/issuers/0/type", json!("jwt")),
        ("/inbound/issuers/0/clock_skew", json!(30)),
        ("/inbound/issuers/0/clock_skew", json!("30 seconds")),
        ("/inbound/issuers/0/keys/jwks/refesh", json!("10m")),
        ("/inbound/routes/0/match/methods", json!("GET")),
        ("/inbound/routes/0/require/scopes", json!([])),
        ("/inbound/waiting", json!({ "requests": 10_001 })),
        ("/inbound/waiting", json!({ "requests": 1.5 })),
        ("/inbound/default", json!("allow")),
        ("/outbound", json!({})),
        ("/sharing", json!("thread")),
    ] {
        let mut bad = good.clone();
        let (parent, name) = place.rsplit_once('/').unwrap();
        let parent = if parent.is_empty() { &mut bad } else { bad.pointer_mut(parent).unwrap() };
        parent[name] = value;
        assert!(!validator.is_valid(&bad), "{place}: {bad}");
    }
    for place in
        ["/inbound/default", "/inbound/issuers", "/inbound/issuers/0/keys", "/inbound/routes/0/match"]
    {
        assert!(!validator.is_valid(&without(&good, place).unwrap()), "without {place}");
    }
}
