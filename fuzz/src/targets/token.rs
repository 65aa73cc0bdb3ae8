//! A token from its bytes to what a request is forwarded with: nothing passes that a second reader of JSON would read otherwise, or
//! that breaks a rule.
//!
//! The input is a token, or header and claims with a line feed between them, which become one.

use core::time::Duration;
use std::collections::BTreeSet;

use attache::base::{Secret, Timestamp};
use attache::claims::{
    AskedClaims, Audiences, ClaimPath, Expiry, ForwardedClaim, ForwardedType, Rules, ScopeSyntax,
    TextEncoding, TokenIssuer, TokenType, VerifiedToken,
};
use attache::jose::{Algorithm, Json, Key, KnownHeaders, TokenParts, UnverifiedToken};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Map, Value};

use crate::engine::Gullible;
use crate::json_mutator;
use crate::signer::START;

pub(super) fn run(data: &[u8]) {
    let token = match split_line(data) {
        Some((header, claims)) => {
            let [header, claims] = [header, claims].map(Base64UrlUnpadded::encode_string);
            format!("{header}.{claims}.AAAA").into_bytes()
        }
        None => data.to_vec(),
    };
    let Ok(parts) = TokenParts::decode(&token) else { return };
    let Ok(read) = parts.read() else { return };
    assert!(parts.fault().is_none());
    let second = SecondReader::read(&token);
    second.agrees(&read);
    KEY.with(|key| {
        if let Ok(signed) = read.verify(key, &Gullible) {
            let mut known = KnownHeaders::default();
            signed.remember_header(&mut known);
            let again = TokenParts::decode_with(&token, &known).expect("a known header decodes");
            let again = again.read().expect("a known header is read");
            assert_eq!(format!("{:?}", again.header()), format!("{:?}", read.header()));
        }
        let nows = [0, START, START + 100_000, u64::MAX / 2_000_000_000].map(Timestamp::from_secs);
        for demands in Demands::all() {
            let rules = demands.rules();
            for now in nows {
                let Ok(checked) = rules.check(&read, now) else { continue };
                second.fulfils(demands, now);
                let Ok(signed) = read.verify(key, &Gullible) else { continue };
                let accepted = checked.signed(signed).expect("a token is itself");
                let Ok(token) = VerifiedToken::new(&accepted) else { continue };
                for text in token.forwarded().iter().flatten() {
                    let is_printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
                    assert!(is_printable && text.len() <= 1024, "forwarded: {text:?}");
                }
                for scope in token.scopes().iter() {
                    assert!(token.scopes().contains(scope));
                }
                let _ = (
                    token.size(),
                    token.client(),
                    token.presenter(),
                    token.expires_at(),
                    token.check_time(now),
                );
            }
        }
    });
}

pub(super) fn mutate(data: &[u8], seed: u32) -> Option<Vec<u8>> {
    let (header, claims) = split_line(data)?;
    let changed = |part| json_mutator::mutate(part, seed, WORDS);
    if seed.is_multiple_of(3) {
        Some([&changed(header)?, &b"\n"[..], claims].concat())
    } else {
        Some([header, b"\n", &changed(claims)?].concat())
    }
}

fn split_line(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = data.iter().position(|byte| *byte == b'\n')?;
    Some((&data[..at], &data[at + 1..]))
}

/// What `serde_json` and `base64ct` read in a token that we have read.
struct SecondReader {
    header: Value,
    claims: Map<String, Value>,
}

impl SecondReader {
    fn read(token: &[u8]) -> Self {
        let token = str::from_utf8(token).expect("a token is ASCII");
        let parts: Vec<Vec<u8>> = token
            .split('.')
            .map(|part| {
                let decoded = Base64UrlUnpadded::decode_vec(part).expect("a second reader decodes it");
                assert_eq!(Base64UrlUnpadded::encode_string(&decoded), part, "one text, one encoding");
                decoded
            })
            .collect();
        let [header, claims, _] = &parts[..] else { panic!("{} parts", parts.len()) };
        for part in [header, claims] {
            serde_json::from_slice::<NoMemberTwice>(part).expect("no member comes twice");
        }
        let read = "a second reader reads it";
        Self {
            header: serde_json::from_slice(header).expect(read),
            claims: serde_json::from_slice(claims).expect(read),
        }
    }

    fn agrees(&self, read: &UnverifiedToken<'_>) {
        let algorithm = self.header["alg"].as_str().and_then(Algorithm::parse);
        assert_eq!(algorithm, Some(read.header().algorithm));
        assert!(self.header.get("crit").is_none(), "an extension that is not understood");
        assert_eq!(self.claims.len(), read.claims().len());
        for (name, value) in &self.claims {
            let ours = read.claims().get(name).expect("the same members");
            assert_eq!(value.as_str(), ours.as_str());
            assert_eq!(value.as_bool(), if let Json::Bool(ours) = ours { Some(*ours) } else { None });
        }
    }

    fn fulfils(&self, demands: Demands, now: Timestamp) {
        let claim = |name| self.claims.get(name);
        assert_eq!(claim("iss").and_then(Value::as_str), Some(ISSUER), "another issuer's");
        assert!(claim("exp").is_some() || demands.may_lack_expiry(), "without an end");
        if demands.has(AUDIENCE) {
            let is_ours = |value: &Value| value.as_str() == Some(RESOURCE);
            let aud = claim("aud").expect("for an audience");
            assert!(is_ours(aud) || aud.as_array().is_some_and(|all| all.iter().any(is_ours)), "for another");
        }
        if demands.has(TYPE) {
            let typ = self.header["typ"].as_str().expect("of a type").to_ascii_lowercase();
            assert!(["at+jwt", "application/at+jwt"].contains(&&*typ), "of another type: {typ}");
        }
        // Before 1970 counts as 1970.
        let seconds = |name| claim(name).map(|value| value.as_f64().expect("a number").max(0.0));
        if demands.has(LIFETIME) {
            let lifetime = seconds("exp").expect("an end") - seconds("iat").expect("a beginning");
            assert!(lifetime <= 3601.0, "too long: {lifetime}");
        }
        let skew = demands.skew().as_secs_f64() + 1.0;
        let now = now.secs() as f64;
        if let Some(end) = seconds("exp").filter(|end| *end < FAR) {
            assert!(end + skew > now, "expired at {end}, now is {now}");
        }
        if let Some(start) = seconds("nbf") {
            assert!(start.min(FAR) <= now.max(0.0) + skew, "valid from {start}, now is {now}");
        }
    }
}

/// Which rules a token has to fulfil, as bits.
#[derive(Clone, Copy)]
struct Demands(u8);

const AUDIENCE: u8 = 1;
const TYPE: u8 = 2;
const EXPIRY: u8 = 4;
const LIFETIME: u8 = 8;
const SKEW: u8 = 16;

impl Demands {
    fn all() -> impl Iterator<Item = Self> {
        (0..32).map(Self)
    }

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// RFC 9068 §2.2 requires an expiry, and a lifetime has an end.
    fn may_lack_expiry(self) -> bool {
        !(self.has(EXPIRY) || self.has(LIFETIME) || self.has(TYPE))
    }

    fn skew(self) -> Duration {
        Duration::from_secs(if self.has(SKEW) { 30 } else { 0 })
    }

    fn rules(self) -> Rules {
        let mut algorithms = attache::jose::AlgorithmSet::default();
        for algorithm in [Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Es256, Algorithm::Ps512] {
            algorithms.insert(algorithm);
        }
        let path = |names: &[&str]| ClaimPath::new(names).unwrap();
        Rules {
            issuer: TokenIssuer::Named(ISSUER.into()),
            metadata_issuer: None,
            audiences: if self.has(AUDIENCE) {
                Audiences::OneOf(vec![RESOURCE.into()])
            } else {
                Audiences::Any
            },
            algorithms,
            token_type: if self.has(TYPE) { TokenType::AccessToken } else { TokenType::Any },
            required_claims: if self.has(TYPE) {
                TokenType::AccessToken.claims().iter().map(|name| path(&[name])).collect()
            } else {
                Vec::new()
            },
            expiry: if self.has(EXPIRY) { Expiry::Required } else { Expiry::Optional },
            max_lifetime: self.has(LIFETIME).then_some(Duration::from_secs(3600)),
            clock_skew: self.skew(),
            asked: AskedClaims {
                scopes_from: vec![path(&["scope"]), path(&["scp"]), path(&["realm_access", "roles"])],
                scope_syntax: ScopeSyntax::default(),
                client_from: vec![path(&["client_id"]), path(&["azp"])],
                forwarded: FORWARDED
                    .map(|(name, kind)| ForwardedClaim {
                        claim: path(&[name]),
                        kind,
                        encoding: TextEncoding::Plain,
                        header: format!("x-{name}").into(),
                    })
                    .into(),
                subject: true,
                ..AskedClaims::default()
            },
        }
    }
}

/// Any JSON in which no object has a member twice: what two readers would take apart differently.
struct NoMemberTwice;

impl<'de> serde::Deserialize<'de> for NoMemberTwice {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;
        impl<'de> serde::de::Visitor<'de> for Anything {
            type Value = NoMemberTwice;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<NoMemberTwice, E> {
                Ok(NoMemberTwice)
            }

            fn visit_bool<E>(self, _: bool) -> Result<NoMemberTwice, E> {
                Ok(NoMemberTwice)
            }

            fn visit_i64<E>(self, _: i64) -> Result<NoMemberTwice, E> {
                Ok(NoMemberTwice)
            }

            fn visit_u64<E>(self, _: u64) -> Result<NoMemberTwice, E> {
                Ok(NoMemberTwice)
            }

            fn visit_f64<E>(self, _: f64) -> Result<NoMemberTwice, E> {
                Ok(NoMemberTwice)
            }

            fn visit_str<E>(self, _: &str) -> Result<NoMemberTwice, E> {
                Ok(NoMemberTwice)
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut items: A,
            ) -> Result<NoMemberTwice, A::Error> {
                while items.next_element::<NoMemberTwice>()?.is_some() {}
                Ok(NoMemberTwice)
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut members: A,
            ) -> Result<NoMemberTwice, A::Error> {
                let mut seen = BTreeSet::new();
                while let Some((name, _)) = members.next_entry::<String, NoMemberTwice>()? {
                    if !seen.insert(name) {
                        return Err(serde::de::Error::custom("a member comes twice"));
                    }
                }
                Ok(NoMemberTwice)
            }
        }
        deserializer.deserialize_any(Anything)
    }
}

thread_local! {
    static KEY: Key = Key::symmetric(Secret::new(vec![7; 64]), None).unwrap();
}

const FORWARDED: [(&str, ForwardedType); 6] = [
    ("realm_access", ForwardedType::Json),
    ("sub", ForwardedType::String),
    ("jti", ForwardedType::String),
    ("aud", ForwardedType::Strings { separator: b',' }),
    ("n", ForwardedType::Integer),
    ("b", ForwardedType::Boolean),
];
const ISSUER: &str = "https://idp.example";
const RESOURCE: &str = "https://api.example";
/// Times beyond this one, some 30,000 years away, are "never" to some readers and too large to others.
const FAR: f64 = 1e12;

const WORDS: &[&str] = &[
    "iss",
    "aud",
    "sub",
    "exp",
    "nbf",
    "iat",
    "jti",
    "scope",
    "scp",
    "client_id",
    "azp",
    "realm_access",
    "roles",
    "alg",
    "typ",
    "kid",
    "crit",
    "b64",
    "jku",
    "x5u",
    "x5c",
    "jwk",
    "zip",
    "cty",
    "at+jwt",
    "application/at+jwt",
    "EdDSA",
    "Ed25519",
    "RS256",
    "HS256",
    "none",
    "None",
    ISSUER,
    RESOURCE,
    "a b",
    "a  b",
    "\\u0041",
    "\u{e9}",
    "k1",
    "JWT",
];
