//! The tokens that callers have, and the keys that sign them.

use std::collections::BTreeMap;
use std::rc::Rc;

use attache::jose::{Algorithm, Key, KeySet};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};

use super::document::{ADMIN, CORP, PARTNER, READ, RESOURCE};
use crate::engine::Hashing;
use crate::signer::{START, Signer, claims, signing_input};

/// A token, and what is true of it.
pub(super) struct Token {
    pub(super) text: String,
    /// What signs it.
    pub(super) key: &'static str,
    pub(super) issuer: &'static str,
    pub(super) scopes: &'static str,
    /// In seconds, as `not_before`, where 0 is none.
    pub(super) expiry: u64,
    pub(super) not_before: u64,
    /// Whether it may pass where its key is there.
    pub(super) is_good: bool,
    /// With which algorithm.
    pub(super) algorithm: Algorithm,
}

/// All tokens and keys. The subject of the `n`-th token is `s` and its number.
pub(super) struct Tokens {
    pub(super) all: Vec<Token>,
    jwks: BTreeMap<&'static str, Value>,
}

impl Tokens {
    pub(super) fn new() -> Self {
        let mut tokens = Self { all: Vec::new(), jwks: jwks() };
        let both = "orders:read orders:admin";
        let later = START + 3600;
        let plain = |key, issuer, scopes| Draft { key, kid: key, issuer, scopes, ..Draft::default() };
        let drafts = [
            plain("k1", CORP, READ),
            plain("k1", CORP, both),
            plain("k1", CORP, ""),
            Draft { expiry: START + 5, ..plain("k1", CORP, both) },
            Draft { not_before: START + 60, ..plain("k1", CORP, READ) },
            plain("k2", CORP, both),
            plain("k3", CORP, READ),
            Draft { algorithm: Some(Algorithm::Ps256), ..plain("k3", CORP, ADMIN) },
            plain("p1", PARTNER, READ),
            Draft { expiry: START + 100, ..plain("k2", CORP, both) },
            Draft { audience: "https://other", ..plain("k1", CORP, READ).bad() },
            Draft { kid: "k1", ..plain("evil", CORP, both).bad() },
            plain("evil", CORP, both).bad(),
            plain("k1", PARTNER, both).bad(),
            plain("p1", CORP, both).bad(),
            Draft { kid: "k1", ..plain("p1", CORP, both).bad() },
            plain("k1", "https://nobody.example", READ).bad(),
            plain("own", CORP, both).bad(),
            Draft { algorithm: Some(Algorithm::Hs256), ..plain("k3", CORP, both).bad() },
        ];
        for draft in drafts {
            tokens.add(Draft { expiry: if draft.expiry == 0 { later } else { draft.expiry }, ..draft });
        }
        let last = &tokens.all[0];
        let nonsense =
            Token { text: "a.b.c".to_owned(), is_good: false, key: "", issuer: "", scopes: "", ..*last };
        tokens.all.push(nonsense);
        tokens
    }

    /// The public halves of these keys, as issuers publish them.
    pub(super) fn key_set(&self, names: &[&'static str]) -> Vec<u8> {
        let keys: Vec<&Value> = names.iter().map(|name| &self.jwks[name]).collect();
        json!({ "keys": keys }).to_string().into_bytes()
    }

    fn add(&mut self, draft: Draft) {
        let mut claims = claims(draft.issuer, draft.scopes, draft.expiry, &format!("s{}", self.all.len()));
        claims["aud"] = json!(draft.audience);
        if draft.not_before > 0 {
            claims["nbf"] = json!(draft.not_before);
        }
        let key = self.key(draft.key);
        let own = || key.algorithms().iter().next().unwrap();
        let algorithm = draft.algorithm.unwrap_or_else(own);
        let header = json!({ "alg": algorithm.name(), "typ": "at+jwt", "kid": draft.kid });
        let message = signing_input(&header.to_string(), &claims.to_string());
        let mut signature = Hashing::signature(algorithm, &key, message.as_bytes());
        // No key signs with an algorithm that is not its own: what an attacker would try instead.
        signature.resize(signature.len().max(32), 0);
        let text = format!("{message}.{}", Base64UrlUnpadded::encode_string(&signature));
        let Draft { key, issuer, scopes, expiry, not_before, is_good, .. } = draft;
        self.all.push(Token { text, key, issuer, scopes, expiry, not_before, is_good, algorithm });
    }

    fn key(&self, name: &'static str) -> Rc<Key> {
        let set = KeySet::parse(&self.key_set(&[name])).unwrap().set;
        Rc::clone(set.iter().next().unwrap())
    }
}

struct Draft {
    key: &'static str,
    kid: &'static str,
    issuer: &'static str,
    scopes: &'static str,
    audience: &'static str,
    expiry: u64,
    not_before: u64,
    algorithm: Option<Algorithm>,
    is_good: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            key: "",
            kid: "",
            issuer: "",
            scopes: "",
            audience: RESOURCE,
            expiry: 0,
            not_before: 0,
            algorithm: None,
            is_good: true,
        }
    }
}

impl Draft {
    fn bad(self) -> Self {
        Self { is_good: false, ..self }
    }
}

/// Keys of several kinds: of Ed25519 from their names, the others from the conformance tests.
fn jwks() -> BTreeMap<&'static str, Value> {
    let samples: Vec<Value> =
        serde_json::from_str(include_str!("../../../../tests/conformance/tokens.json")).unwrap();
    let sample = |name: &str, is_it: &dyn Fn(&Value) -> bool| {
        let mut jwk = samples.iter().map(|sample| &sample["jwk"]).find(|jwk| is_it(jwk)).unwrap().clone();
        let members = jwk.as_object_mut().unwrap();
        members.remove("alg");
        members.insert("kid".to_owned(), json!(name));
        jwk
    };
    let curve = |name: &str, crv: &str| sample(name, &|jwk| jwk["crv"] == crv);
    let own = |name: &str| Signer::new(name).jwk();
    [
        ("k1", own("k1")),
        ("k2", curve("k2", "P-256")),
        ("k3", sample("k3", &|jwk| jwk["kty"] == "RSA")),
        ("p1", curve("p1", "P-384")),
        ("evil", own("evil")),
        ("own", own("own")),
    ]
    .into()
}
