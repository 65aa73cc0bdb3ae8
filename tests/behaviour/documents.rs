//! One document in three encodings means one thing; the documentation's sample is such a document.

use std::collections::BTreeMap;

use attache::config::{self, Config, ConfigErrors, Environment};
use attache::policy::{RequestAuthority, RequestPath};
use prost::Message as _;
use prost_types::value::Kind;
use serde_json::{Value, json};

use crate::proxy::{Variables, config};

/// The first YAML block of docs/configuration.md.
pub fn sample() -> &'static str {
    block(1)
}

/// A YAML block of docs/configuration.md, counted from 1.
fn block(number: usize) -> &'static str {
    let text = include_str!("../../docs/configuration.md");
    let rest = text.split("```yaml\n").nth(number).expect("docs/configuration.md has this YAML block");
    rest.split_once("```").unwrap().0
}

fn from_yaml(yaml: &str) -> Result<Config, ConfigErrors> {
    let value: config::Value = serde_saphyr::from_str(yaml).unwrap();
    config::parse_value(&value, &Variables)
}

fn to_struct(value: &Value) -> prost_types::Struct {
    let members = value.as_object().unwrap().iter();
    let fields: BTreeMap<String, prost_types::Value> =
        members.map(|(name, value)| (name.clone(), to_proto(value))).collect();
    prost_types::Struct { fields }
}

fn to_proto(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.iter().map(to_proto).collect() })
        }
        Value::Object(_) => Kind::StructValue(to_struct(value)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// All that a configuration says, in words that can be compared (a hash map's order cannot).
fn meaning(config: &Config) -> String {
    let inbound = config.inbound.as_ref().unwrap();
    let mut text = format!(
        "{:#?}",
        (
            (&inbound.issuers, &inbound.sources, inbound.after_verification, &inbound.forwarded_claims),
            (&inbound.protected, &inbound.resource, &inbound.denials, inbound.preflight),
            (inbound.route_metadata, inbound.waiting, inbound.cache, inbound.version),
            inbound.routes.routes(),
        )
    );
    for authority in ["api.example.com", "a.internal", "x"] {
        for path in ["/orders", "/orders/7", "/whoami", "/files/a", "/healthz", "/internal", "/"] {
            for method in ["GET", "POST"] {
                let parsed = RequestPath::parse(path.as_bytes()).unwrap();
                let asked = RequestAuthority::parse(authority.as_bytes()).unwrap();
                let found = inbound.routes.find(Some(&asked), &parsed, method.as_bytes());
                text.push_str(&format!("\n{authority} {path} {method} {found:?}"));
            }
        }
    }
    text
}

#[test]
fn the_documentation_s_sample_compiles() {
    let config = from_yaml(sample()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.inbound.as_ref().unwrap().routes.routes().len(), 11);
    assert_eq!(config.version, 7);
}

/// RFC 7515 §A.3.1, and a secret.
struct Secrets;

impl Environment for Secrets {
    fn variable(&self, name: &str) -> Option<String> {
        let key = r#"{"kty":"EC","crv":"P-256","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
            "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
        match name {
            "BILLING_KEY" => Some(key.to_owned()),
            "ATTACHE_SEAL" => Some("A".repeat(43)),
            _ => None,
        }
    }
}

#[test]
fn the_documentation_s_sample_of_outbound_compiles() {
    let value: config::Value = serde_saphyr::from_str(block(2)).unwrap();
    let config = config::parse_value(&value, &Secrets).unwrap_or_else(|errors| panic!("{errors}"));
    let outbound = config.outbound.unwrap();
    assert_eq!((outbound.clients.len(), outbound.destinations.all().len()), (2, 2));
    assert!(config.inbound.is_none() && config.sharing.unwrap().shares_tokens());
}

#[test]
fn yaml_json_and_struct_mean_the_same() {
    let json: Value = serde_saphyr::from_str(sample()).unwrap();
    let yaml = from_yaml(sample()).unwrap();
    let text = config::parse(json.to_string().as_bytes(), &Variables).unwrap();
    let pretty = config::parse(serde_json::to_string_pretty(&json).unwrap().as_bytes(), &Variables).unwrap();
    let proto = config::parse(&to_struct(&json).encode_to_vec(), &Variables).unwrap();
    assert_eq!(meaning(&text), meaning(&yaml));
    assert_eq!(meaning(&pretty), meaning(&yaml));
    assert_eq!(meaning(&proto), meaning(&yaml));
}

#[test]
fn the_same_problem_has_the_same_words_and_path_in_all_three() {
    for (pointer, value) in [
        ("/inbound/version", json!(0)),
        ("/inbound/version", json!(1.5)),
        ("/inbound/version", json!("seven")),
        ("/inbound/waiting/requests", json!(10_001)),
        ("/inbound/issuers/0/name", json!(7)),
        ("/inbound/issuers/0/audiences", json!([])),
        ("/inbound/issuers/0/keys/jwks/timeout", json!(5)),
        ("/inbound/routes/0/match/path", json!("orders")),
        ("/inbound/routes/0/require/scopes/0", json!(null)),
        ("/inbound/default", json!(true)),
    ] {
        let mut json: Value = serde_saphyr::from_str(sample()).unwrap();
        *json.pointer_mut(pointer).unwrap() = value;
        let text = config::parse(json.to_string().as_bytes(), &Variables).unwrap_err();
        let proto = config::parse(&to_struct(&json).encode_to_vec(), &Variables).unwrap_err();
        // JSON is YAML.
        let yaml = from_yaml(&json.to_string()).unwrap_err();
        assert_eq!(text, proto, "{pointer}");
        assert_eq!(text, yaml, "{pointer}");
        let path = pointer[1..].replace("/0", "[0]").replace('/', ".");
        assert_eq!(text.0[0].path, path);
    }
}

#[test]
fn yaml_refuses_a_repeated_key() {
    let twice = sample().replacen("  default: deny", "  default: deny\n  default: { public: {} }", 1);
    let value: Result<config::Value, _> = serde_saphyr::from_str(&twice);
    let refused = match value {
        Err(_) => true,
        Ok(value) => config::parse_value(&value, &Variables).is_err(),
    };
    assert!(refused);
}

/// No value of the document, and nothing of the environment, is repeated in an error: any of them could be a secret that went
/// to the wrong place. The exception is a name that must be one of the document's own.
#[test]
fn no_error_repeats_a_value() {
    const MARK: &str = "hunter2 \"s3cret\"";
    let json: Value = serde_saphyr::from_str(sample()).unwrap();
    let mut leaves = Vec::new();
    collect(&json, String::new(), &mut leaves);
    assert!(leaves.len() >= 60, "{}", leaves.len());
    for pointer in leaves {
        let mut json = json.clone();
        *json.pointer_mut(&pointer).unwrap() = json!(MARK);
        let Err(errors) = config::parse(json.to_string().as_bytes(), &Variables) else { continue };
        let is_name = pointer.contains("/require/issuers/")
            || pointer.ends_with("/require")
            || pointer.starts_with("/inbound/requirements/trusted/any/");
        assert!(is_name || !errors.to_string().contains("hunter2"), "{pointer}: {errors}");
    }
    let broken = config(json!({ "denials": { "realm": MARK } })).to_string();
    let errors = config::parse(&broken.as_bytes()[..broken.len() - 1], &Variables).unwrap_err();
    assert!(!errors.to_string().contains("hunter2"), "{errors}");
}

fn collect(value: &Value, pointer: String, leaves: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| collect(value, format!("{pointer}/{name}"), leaves));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| collect(value, format!("{pointer}/{n}"), leaves));
        }
        _ => leaves.push(pointer),
    }
}
