//! Every tree and every token: a requirement as it is compiled decides as a plain evaluator of the document does, which
//! knows nothing of indices, names that are shared, and answers that are remembered.

use std::rc::Rc;

use attache::inbound::Settings;
use attache::jose::Object;
use attache::policy::{IssuerId, Requirement, RouteId, Rule, TokenFacts};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::proxy::{compile, config, issuer, partner};

/// Whether a token with these claims, of this issuer, meets the requirement as it is written.
fn is_met(node: &Value, named: &Value, claims: &Value, issuer: &str) -> bool {
    if let Value::String(name) = node {
        return is_met(&named[name], named, claims, issuer);
    }
    let has = |list: &Value, text: &str| list.as_array().unwrap().iter().any(|item| item == text);
    let scopes: Vec<&str> =
        claims["scope"].as_str().unwrap_or_default().split(' ').filter(|scope| !scope.is_empty()).collect();
    node.as_object().unwrap().iter().all(|(field, value)| match field.as_str() {
        "issuers" => has(value, issuer),
        "clients" => {
            let named = ["client_id", "azp", "appid", "cid"].map(|name| &claims[name]);
            let first = named.into_iter().find(|claim| !claim.is_null()).and_then(Value::as_str);
            first.is_some_and(|client| !client.is_empty() && has(value, client))
        }
        "subjects" => claims["sub"].as_str().is_some_and(|subject| has(value, subject)),
        "audiences" => match &claims["aud"] {
            Value::Array(audiences) => {
                audiences.iter().any(|aud| aud.as_str().is_some_and(|aud| has(value, aud)))
            }
            aud => aud.as_str().is_some_and(|aud| has(value, aud)),
        },
        "scopes" => value.as_array().unwrap().iter().all(|scope| scopes.contains(&scope.as_str().unwrap())),
        "any_scope" => {
            value.as_array().unwrap().iter().any(|scope| scopes.contains(&scope.as_str().unwrap()))
        }
        "claims" => value.as_array().unwrap().iter().all(|rule| keeps(rule, claims)),
        "authenticated" => true,
        "all" => value.as_array().unwrap().iter().all(|node| is_met(node, named, claims, issuer)),
        "any" => value.as_array().unwrap().iter().any(|node| is_met(node, named, claims, issuer)),
        other => panic!("{other}"),
    })
}

/// Whether claims keep a rule as it is written.
fn keeps(rule: &Value, claims: &Value) -> bool {
    let path: Vec<&str> = match &rule["claim"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().map(|name| name.as_str().unwrap()).collect(),
        other => panic!("{other}"),
    };
    let mut claim = claims;
    for name in &path {
        match claim {
            Value::Object(members) => claim = members.get(*name).unwrap_or(&Value::Null),
            Value::Null => {}
            _ => return false,
        }
    }
    let tests: Map<String, Value> = rule.as_object().unwrap().clone();
    let (test, wanted) = tests.iter().find(|(name, _)| *name != "claim").unwrap();
    let is_value = claim.is_string() || claim.is_i64() || claim.is_boolean();
    match test.as_str() {
        "equals" => is_value && claim == wanted,
        "one_of" => is_value && wanted.as_array().unwrap().contains(claim),
        "contains" => claim.as_array().is_some_and(|items| items.contains(wanted)),
        "contains_any" => {
            let wanted = wanted.as_array().unwrap();
            claim.as_array().is_some_and(|items| items.iter().any(|item| wanted.contains(item)))
        }
        "prefix" => claim.as_str().is_some_and(|text| text.starts_with(wanted.as_str().unwrap())),
        "exists" => !claim.is_null(),
        "absent" => claim.is_null(),
        other => panic!("{other}"),
    }
}

fn some<T: Clone + std::fmt::Debug + 'static>(items: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
    proptest::sample::subsequence(items.to_vec(), 1..=items.len().min(3))
}

const TEXTS: [&str; 6] = ["a", "ab", "b", "1", "true", "é"];

fn value() -> impl Strategy<Value = Value> {
    select(vec![
        json!("a"),
        json!("ab"),
        json!("b"),
        json!("1"),
        json!("true"),
        json!(1),
        json!(-7),
        json!(true),
    ])
}

fn values() -> impl Strategy<Value = Value> {
    let all =
        [json!("a"), json!("ab"), json!("b"), json!("1"), json!(1), json!(-7), json!(true), json!(false)];
    some(&all).prop_map(Value::Array)
}

fn path() -> impl Strategy<Value = Value> {
    select(vec![
        json!("x"),
        json!("y"),
        json!(["o", "x"]),
        json!(["o", "p", "x"]),
        json!(["x", "y"]),
        json!("sub"),
    ])
}

fn rule() -> impl Strategy<Value = Value> {
    let test = prop_oneof![
        value().prop_map(|value| ("equals", value)),
        values().prop_map(|values| ("one_of", values)),
        value().prop_map(|value| ("contains", value)),
        values().prop_map(|values| ("contains_any", values)),
        select(&TEXTS[..]).prop_map(|text| ("prefix", json!(text))),
        Just(("exists", json!({}))),
        Just(("absent", json!({}))),
    ];
    (path(), test).prop_map(|(claim, (test, value))| json!({ "claim": claim, test: value }))
}

fn leaf() -> impl Strategy<Value = Value> {
    let texts = || some(&TEXTS).prop_map(|texts| json!(texts));
    let scopes = || some(&["a", "b", "c", "d"]).prop_map(|scopes| json!(scopes));
    prop_oneof![
        some(&["corp", "partner"]).prop_map(|names| json!({ "issuers": names, "authenticated": {} })),
        texts().prop_map(|texts| json!({ "clients": texts })),
        texts().prop_map(|texts| json!({ "subjects": texts })),
        texts().prop_map(|texts| json!({ "audiences": texts })),
        scopes().prop_map(|scopes| json!({ "scopes": scopes })),
        scopes().prop_map(|scopes| json!({ "any_scope": scopes })),
        prop::collection::vec(rule(), 1..3).prop_map(|mut rules| {
            rules.dedup();
            json!({ "claims": rules })
        }),
        (texts(), scopes(), rule()).prop_map(
            |(clients, scopes, rule)| json!({ "clients": clients, "any_scope": scopes, "claims": [rule] })
        ),
    ]
}

/// A tree that may name the first of so many requirements.
fn tree(names: usize) -> impl Strategy<Value = Value> {
    let name = (0..names.max(1)).prop_map(|number| json!(format!("r{number}")));
    let leaf = if names == 0 { leaf().boxed() } else { prop_oneof![4 => leaf(), 1 => name].boxed() };
    leaf.prop_recursive(3, 16, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 1..4).prop_map(Value::Array);
        prop_oneof![
            parts().prop_map(|parts| json!({ "all": parts })),
            parts().prop_map(|parts| json!({ "any": parts })),
            (parts(), parts()).prop_map(|(all, any)| json!({ "all": all, "any": any })),
        ]
    })
}

fn claim() -> impl Strategy<Value = Value> {
    let list = prop::collection::vec(
        prop_oneof![4 => value(), 1 => Just(json!(["a"])), 1 => Just(json!(null))],
        0..4,
    );
    prop_oneof![
        4 => value(),
        2 => list.prop_map(Value::Array),
        1 => select(vec![json!(null), json!(1.5), json!(1.0), json!({}), json!({ "y": "a" })]),
    ]
}

fn claims() -> impl Strategy<Value = Value> {
    let object = (claim(), claim()).prop_map(|(x, p)| json!({ "x": x, "p": { "x": p } }));
    let members = [
        ("x", claim().boxed()),
        ("y", claim().boxed()),
        ("o", prop_oneof![3 => object, 1 => claim()].boxed()),
        ("sub", claim().boxed()),
        ("client_id", select(&TEXTS[..]).prop_map(|text| json!(text)).boxed()),
        ("aud", claim().boxed()),
        ("scope", select(vec!["", "a", "b", "a c", "a b c", "d"]).prop_map(|text| json!(text)).boxed()),
    ];
    let members = members.map(|(name, value)| {
        prop::option::weighted(0.7, value).prop_map(move |value| value.map(|value| (name.to_owned(), value)))
    });
    let members: Vec<_> = members.into_iter().collect();
    members.prop_map(|members| Value::Object(members.into_iter().flatten().collect()))
}

/// How many things a requirement demands as it is written, with those of the requirements that it names.
fn demands(node: &Value, named: &Value) -> usize {
    if let Value::String(name) = node {
        return demands(&named[name], named);
    }
    let list = |value: &Value| value.as_array().unwrap().clone();
    let parts = node.as_object().unwrap().iter().map(|(field, value)| match field.as_str() {
        "all" | "any" => list(value).iter().map(|part| demands(part, named)).sum(),
        "claims" | "scopes" => list(value).len(),
        "authenticated" => 0,
        _ => 1,
    });
    parts.sum::<usize>().max(1)
}

/// What stands at a place that a problem names: `inbound.requirements.r1.any[0]`.
fn at<'d>(document: &'d Value, path: &str) -> &'d Value {
    let pointer = format!("/{}", path.replace('[', "/").replace(']', "").replace('.', "/"));
    document.pointer(&pointer).unwrap_or_else(|| panic!("nothing is at {path}"))
}

fn requirement(settings: &Settings) -> Rc<Requirement> {
    match &settings.routes.route(RouteId(0)).unwrap().rule {
        Rule::Require(requirement) => Rc::clone(requirement),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_compiled_tree_decides_as_it_is_written(
        named in (tree(0), tree(1), tree(2)),
        tree in tree(3),
        tokens in prop::collection::vec(claims(), 1..6),
    ) {
        let named = json!({ "r0": named.0, "r1": named.1, "r2": named.2 });
        let require = json!({ "all": [tree, { "issuers": ["corp", "partner"], "authenticated": {} }] });
        let document = config(json!({
            "issuers": [issuer(json!({})), partner()],
            "requirements": named,
            "routes": [{ "name": "all", "match": { "prefix": "/" }, "require": require }],
        }));
        let config = match compile(&document) {
            Ok(config) => config,
            Err(errors) => {
                // What no token meets is not compiled, nor what demands nothing or too much: the document is at fault.
                let senseless = ["no token can meet it", "demands nothing", "duplicate rule"];
                for problem in &errors.0 {
                    if problem.text.contains("demands more than 256 things") {
                        let demanded = demands(at(&document, &problem.path), &named);
                        prop_assert!(demanded > 256, "{problem}, and it demands {demanded}");
                        continue;
                    }
                    prop_assert!(senseless.iter().any(|text| problem.text.contains(text)), "{problem}");
                    if problem.text.contains(senseless[0]) {
                        let tree = at(&document, &problem.path);
                        let met = |claims| ["corp", "partner"].iter().any(|name| is_met(tree, &named, claims, name));
                        prop_assert!(!tokens.iter().any(met), "{problem}, and one of these does: {tokens:?}");
                    }
                }
                return Ok(());
            }
        };
        prop_assert!(demands(&require, &named) <= 256, "{} {}", require, named);
        let settings = config.inbound.unwrap();
        let requirement = requirement(&settings);
        for claims in &tokens {
            let text = claims.to_string();
            let object = Object::parse(text.as_bytes()).unwrap();
            for (place, issuer) in settings.issuers.iter().enumerate() {
                let kept = issuer.rules.keep(&object).unwrap();
                let token = TokenFacts { issuer: IssuerId::at(place).unwrap(), claims: &kept };
                let expected = is_met(&require, &named, claims, &issuer.name);
                // The second time, from memory; and what is needed agrees with both.
                for _ in 0..2 {
                    prop_assert_eq!(requirement.is_met(token), expected, "{} {}", require, claims);
                }
                let need = requirement.need(Some(token));
                let scopes = need.scopes.iter().map(|scope| &***scope).collect::<Vec<_>>().join(" ");
                if need.lacks.is_none() {
                    let mut enough = claims.clone();
                    enough["scope"] = json!(format!("{scopes} {}", claims["scope"].as_str().unwrap_or_default()));
                    prop_assert!(is_met(&require, &named, &enough, &issuer.name), "{} {}", scopes, claims);
                } else {
                    prop_assert!(!expected, "{} {}", require, claims);
                    let mut more = claims.clone();
                    more["scope"] = json!("a b c d");
                    prop_assert!(!is_met(&require, &named, &more, &issuer.name), "{} {}", require, claims);
                }
                prop_assert!(!expected || requirement.accepts(token.issuer));
            }
        }
    }
}
