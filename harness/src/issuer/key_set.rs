//! The JWKS that the issuer serves (RFC 7517 §5), and the sets in its place that a verifier has to see through.

use std::sync::Arc;

use serde_json::{Value, json};

use super::keys::Key;

/// Returns the keys as they are.
pub(super) fn plain(keys: &[Arc<Key>]) -> Vec<Value> {
    keys.iter().map(|key| key.jwk()).collect()
}

/// Returns all keys, and copies of the first under other ids until there are this many.
pub(super) fn many(keys: &[Arc<Key>], count: usize) -> Vec<Value> {
    let mut set = plain(keys);
    let Some(first) = set.first().cloned() else { return set };
    for number in set.len()..count {
        let kid = format!("copy-{}", number.saturating_add(1));
        set.push(with(first.clone(), "kid", kid));
    }
    set
}

/// Returns the keys, all under the first one's id.
pub(super) fn under_one_kid(keys: &[Arc<Key>]) -> Vec<Value> {
    let kid = keys.first().map(|key| key.kid.as_str()).unwrap_or_default();
    keys.iter().map(|key| with(key.jwk(), "kid", kid)).collect()
}

/// Returns an RSA key of 1024 bits under this id.
pub(super) fn weak_rsa(kid: &str) -> Vec<Value> {
    vec![json!({ "kty": "RSA", "n": WEAK_MODULUS, "e": "AQAB", "kid": kid, "alg": "RS256", "use": "sig" })]
}

/// Returns the keys with their private halves.
pub(super) fn private(keys: &[Arc<Key>]) -> Vec<Value> {
    keys.iter().map(|key| with(key.jwk(), "d", key.private_member())).collect()
}

/// Returns the keys as ones of a type that does not exist.
pub(super) fn of_unknown_type(keys: &[Arc<Key>]) -> Vec<Value> {
    keys.iter().map(|key| with(key.jwk(), "kty", "XYZ")).collect()
}

/// Returns the keys, each for an algorithm of another key type.
pub(super) fn contradictory(keys: &[Arc<Key>]) -> Vec<Value> {
    keys.iter()
        .map(|key| {
            let jwk = key.jwk();
            let is_rsa = jwk.get("kty").is_some_and(|kty| kty == "RSA");
            with(jwk, "alg", if is_rsa { "ES256" } else { "RS256" })
        })
        .collect()
}

/// Returns the document around the keys.
pub(super) fn document(keys: Vec<Value>) -> Vec<u8> {
    json!({ "keys": Value::Array(keys) }).to_string().into_bytes()
}

fn with(mut jwk: Value, name: &str, value: impl Into<Value>) -> Value {
    if let Some(members) = jwk.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
    jwk
}

/// Of a key that was thrown away.
const WEAK_MODULUS: &str = "0fv9vrYhjLk6uE10RYrK7-6FM__P9eZ92kOnMLxRuz0mgNDiPap000nXt7kw5B0NXH7dace4t57gcqu9Mev_F7lPzcO\
                            ZLmG0odvhe2oHLvSWai_FRICIEZ_MRP4EnX0cvQsvVaC_CrrVSd-KT2W0wLZKKrd4d14RmECi6h9xDoU";
