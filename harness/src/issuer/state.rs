//! The issuer's memory: its keys, its clients, its faults; and the tokens that it makes of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::caching::Caching;
use super::client::Clients;
use super::counters::Counters;
use super::endpoint::Endpoint;
use super::fault::{Fault, Faults};
use super::issued::Issued;
use super::key_ring::KeyRing;
use super::key_set;
use super::keys::{Algorithm, Key, random};
use super::metadata::{Metadata, MetadataForm};
use super::options::{IssuerOptions, TokenFormat};
use super::seen_assertions::SeenAssertions;
use super::spec::{Signer, Tamper, TokenSpec};
use super::token_request::TokenLog;
use crate::jws::{self, base64url};
use crate::lock::lock;

/// The state as a handler gets it.
pub(super) type SharedState = axum::extract::State<Arc<State>>;

/// What all handlers and the handle share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: IssuerOptions,
    pub(super) identifier: String,
    pub(super) url: String,
    pub(super) requests: Counters,
    pub(super) token_log: TokenLog,
    pub(super) clients: Clients,
    /// The assertions of clients that came.
    pub(super) assertions: SeenAssertions,
    pub(super) issued: Issued,
    lifetime: Mutex<Duration>,
    keys: Mutex<KeyRing>,
    faults: Mutex<Faults>,
    jwks: Mutex<Option<Vec<u8>>>,
    metadata: Mutex<Metadata>,
    caching: Mutex<HashMap<Endpoint, Caching>>,
}

impl State {
    pub(super) fn new(options: IssuerOptions, url: String) -> Result<Self> {
        let mut keys = KeyRing::new(&options.kid_prefix);
        for algorithm in &options.algorithms {
            keys.add(Key::generate(String::new(), *algorithm)?);
        }
        if options.algorithms.is_empty() {
            bail!("the issuer needs at least one algorithm to sign with");
        }
        Ok(Self {
            identifier: options.identifier.clone().unwrap_or_else(|| url.clone()),
            url,
            requests: Counters::default(),
            token_log: TokenLog::default(),
            clients: Clients::new(options.clients.clone())?,
            assertions: SeenAssertions::default(),
            issued: Issued::default(),
            lifetime: Mutex::new(options.lifetime),
            options,
            keys: Mutex::new(keys),
            faults: Mutex::default(),
            jwks: Mutex::default(),
            metadata: Mutex::default(),
            caching: Mutex::default(),
        })
    }

    /// Adds a key and signs with it from now on; the others stay published.
    pub(super) fn rotate(&self, algorithm: Option<Algorithm>) -> Result<String> {
        let algorithm = match algorithm {
            Some(algorithm) => algorithm,
            None => self.current()?.algorithm,
        };
        let key = Key::generate(String::new(), algorithm)?;
        Ok(lock(&self.keys).rotate(key))
    }

    /// Replaces the current key by a new one under its id.
    pub(super) fn rotate_in_place(&self) -> Result<String> {
        let key = Key::generate(String::new(), self.current()?.algorithm)?;
        lock(&self.keys).replace_current(key)
    }

    /// Withdraws all keys but the current one. Returns the ids of those withdrawn.
    pub(super) fn withdraw_old(&self) -> Vec<String> {
        lock(&self.keys).withdraw_old()
    }

    /// Withdraws one key. Returns whether it was published.
    pub(super) fn withdraw(&self, kid: &str) -> bool {
        lock(&self.keys).withdraw(kid)
    }

    /// Returns the current key's id.
    pub(super) fn kid(&self) -> String {
        self.current().map(|key| key.kid.clone()).unwrap_or_default()
    }

    /// Returns the published keys' ids, oldest first.
    pub(super) fn kids(&self) -> Vec<String> {
        self.published().iter().map(|key| key.kid.clone()).collect()
    }

    /// Returns the JWKS document: the keys, or what stands in their place.
    pub(super) fn jwks(&self) -> Vec<u8> {
        let raw = lock(&self.jwks).clone();
        raw.unwrap_or_else(|| self.own_keys())
    }

    /// Returns the JWKS document that this makes of the published keys.
    pub(super) fn jwks_as(&self, set: impl FnOnce(&[Arc<Key>]) -> Vec<Value>) -> Vec<u8> {
        key_set::document(set(&self.published()))
    }

    /// Returns its own keys as a JWKS document, whatever it serves.
    pub(super) fn own_keys(&self) -> Vec<u8> {
        self.jwks_as(key_set::plain)
    }

    /// Serves these bytes as the JWKS from now on, or the keys again.
    pub(super) fn replace_jwks(&self, raw: Option<Vec<u8>>) {
        *lock(&self.jwks) = raw;
    }

    /// Returns the metadata document.
    pub(super) fn metadata(&self) -> Vec<u8> {
        lock(&self.metadata).document(&self.identifier, &self.url)
    }

    /// Whether this form of the metadata is hidden.
    pub(super) fn is_metadata_hidden(&self, form: MetadataForm) -> bool {
        lock(&self.metadata).is_hidden(form)
    }

    /// Hides one form of the metadata, or shows it again.
    pub(super) fn hide_metadata(&self, form: MetadataForm, hidden: bool) {
        lock(&self.metadata).hide(form, hidden);
    }

    /// Serves these bytes as metadata from now on, or its own again.
    pub(super) fn replace_metadata(&self, raw: Option<Vec<u8>>) {
        lock(&self.metadata).replace(raw);
    }

    /// Sets the metadata's `jwks_uri`, or restores it.
    pub(super) fn set_jwks_uri(&self, uri: Option<String>) {
        lock(&self.metadata).set_jwks_uri(uri);
    }

    /// Sets the metadata's `token_endpoint`, or restores it.
    pub(super) fn set_token_endpoint(&self, uri: Option<String>) {
        lock(&self.metadata).set_token_endpoint(uri);
    }

    /// Whether this is the issuer, or its token endpoint: by its own URL, by its metadata, or under the identifier,
    /// where one who reaches it through a proxy sees it.
    pub(super) fn is_own_name(&self, name: &str) -> bool {
        let identifier = self.identifier.as_str();
        name == identifier
            || [identifier, &self.url].iter().any(|base| name.strip_prefix(base) == Some("/token"))
            || name == lock(&self.metadata).token_endpoint(&self.url)
    }

    /// Sets how long the tokens that follow live.
    pub(super) fn set_lifetime(&self, lifetime: Duration) {
        *lock(&self.lifetime) = lifetime;
    }

    /// Sets what an endpoint says about caching.
    pub(super) fn set_caching(&self, at: Endpoint, caching: Caching) {
        lock(&self.caching).insert(at, caching);
    }

    /// Returns what an endpoint says about caching.
    pub(super) fn caching(&self, at: Endpoint) -> Caching {
        lock(&self.caching).get(&at).cloned().unwrap_or_default()
    }

    /// Sets or ends an endpoint's fault.
    pub(super) fn set_fault(&self, at: Endpoint, fault: Option<Fault>, times: Option<u64>) {
        lock(&self.faults).set(at, fault, times);
    }

    /// Returns the fault that this request meets.
    pub(super) fn meet_fault(&self, at: Endpoint) -> Option<Fault> {
        lock(&self.faults).meet(at)
    }

    /// Issues an access token: opaque, or the JWT of this specification, which lives as long as the issuer says.
    /// Returns it and its lifetime.
    pub(super) fn issue(&self, spec: TokenSpec) -> Result<(String, Duration)> {
        let lifetime = *lock(&self.lifetime);
        let token = match self.options.tokens {
            TokenFormat::Opaque => base64url(&random::<32>()?),
            TokenFormat::Jwt => self.mint(&spec.expires_in(i64::try_from(lifetime.as_secs())?))?,
        };
        self.issued.grant(&token, lifetime);
        Ok((token, lifetime))
    }

    /// Makes the token that the specification describes.
    pub(super) fn mint(&self, spec: &TokenSpec) -> Result<String> {
        let (algorithm, kid, sign) = self.signer(&spec.signer)?;
        let mut header = Map::new();
        header.insert("alg".into(), algorithm.into());
        header.insert("typ".into(), "at+jwt".into());
        if let Some(kid) = kid {
            header.insert("kid".into(), kid.into());
        }
        adjust(&mut header, &spec.header, &spec.without_header);
        let mut claims = self.usual_claims(spec.expires_in)?;
        adjust(&mut claims, &spec.claims, &spec.without);

        let signed = match (&spec.raw_header, &spec.raw_claims) {
            (None, None) => jws::write(algorithm, &header, &claims, sign)?,
            (raw_header, raw_claims) => {
                let text = |raw: &Option<String>, members: &Map<String, Value>| match raw {
                    Some(raw) => Ok(raw.clone()),
                    None => serde_json::to_string(members),
                };
                let (header, claims) = (text(raw_header, &header)?, text(raw_claims, &claims)?);
                jws::write_raw(header.as_bytes(), claims.as_bytes(), sign)?
            }
        };
        tampered(&signed, spec.tamper, claims)
    }

    /// Returns the current key's public half as PEM.
    pub(super) fn public_pem(&self) -> Result<String> {
        self.current()?.rsa_public_pem()
    }

    fn current(&self) -> Result<Arc<Key>> {
        lock(&self.keys).current()
    }

    fn published(&self) -> Vec<Arc<Key>> {
        lock(&self.keys).published().cloned().collect()
    }

    fn usual_claims(&self, expires_in: Option<i64>) -> Result<Map<String, Value>> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let lifetime = match expires_in {
            Some(seconds) => seconds,
            None => i64::try_from(lock(&self.lifetime).as_secs())?,
        };
        // An expired token was issued before it expired.
        let issued = now.saturating_add(lifetime.min(0)).saturating_sub(if lifetime < 0 { 60 } else { 0 });
        let client = self.options.clients.first().map_or("nobody", |client| client.id.as_str());
        let scope = self.options.clients.first().map(|client| client.scopes.join(" ")).unwrap_or_default();
        let mut claims = Map::new();
        claims.insert("iss".into(), self.identifier.as_str().into());
        claims.insert("sub".into(), client.into());
        claims.insert("client_id".into(), client.into());
        claims.insert("aud".into(), self.options.audience.as_str().into());
        claims.insert("iat".into(), issued.into());
        claims.insert("nbf".into(), issued.into());
        claims.insert("exp".into(), now.saturating_add(lifetime).into());
        claims.insert("jti".into(), base64url(&random::<16>()?).into());
        claims.insert("scope".into(), scope.into());
        Ok(claims)
    }

    /// Returns the `alg`, the `kid` and a way to sign. What takes its time does so while others have the keys.
    fn signer(&self, signer: &Signer) -> Result<(&'static str, Option<String>, Sign)> {
        let key = match signer {
            Signer::Current => self.current()?,
            Signer::Kid(kid) => lock(&self.keys).with_kid(kid).with_context(|| {
                format!("there never was a key `{kid}`: see /admin/status for those there are")
            })?,
            Signer::Algorithm(algorithm) => lock(&self.keys).newest(*algorithm).with_context(|| {
                format!("no published key is for {algorithm}: start the issuer with it, or rotate to it")
            })?,
            Signer::Unknown(algorithm) => {
                let kid = format!("unknown-{}", base64url(&random::<6>()?));
                Arc::new(Key::generate(kid, *algorithm)?)
            }
            Signer::Forger => {
                let key = self.current()?;
                Arc::new(Key::generate(key.kid.clone(), key.algorithm)?)
            }
            Signer::None => return Ok(("none", None, Box::new(|_| Ok(Vec::new())))),
            Signer::Hs256(secret) => return Ok(("HS256", None, hmac_sha256(secret.as_bytes())?)),
            Signer::Hs256WithPublicKey => {
                let key = self.current()?;
                return Ok(("HS256", Some(key.kid.clone()), hmac_sha256(key.rsa_public_pem()?.as_bytes())?));
            }
        };
        Ok((key.algorithm.name(), Some(key.kid.clone()), Box::new(move |message| key.sign(message))))
    }
}

type Sign = Box<dyn Fn(&[u8]) -> Result<Vec<u8>>>;

fn hmac_sha256(secret: &[u8]) -> Result<Sign> {
    let mac = Hmac::<Sha256>::new_from_slice(secret)?;
    Ok(Box::new(move |message| {
        let mut mac = mac.clone();
        mac.update(message);
        Ok(mac.finalize().into_bytes().to_vec())
    }))
}

fn adjust(members: &mut Map<String, Value>, with: &Map<String, Value>, without: &[String]) {
    members.extend(with.clone());
    for name in without {
        members.remove(name);
    }
}

/// Does to a signed token with these claims what a test asks for.
fn tampered(token: &str, tamper: Tamper, mut claims: Map<String, Value>) -> Result<String> {
    let (message, signature) = token.rsplit_once('.').context("a token of one part")?;
    let mut bytes = Base64UrlUnpadded::decode_vec(signature)?;
    let middle = bytes.len().div_euclid(2);
    Ok(match tamper {
        Tamper::Nothing => token.to_owned(),
        Tamper::Claims => {
            let scope = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
            let more = format!("{scope} admin:all");
            claims.insert("scope".into(), more.into());
            let (header, _) = message.split_once('.').context("a token of two parts")?;
            format!("{header}.{}.{signature}", base64url(&serde_json::to_vec(&claims)?))
        }
        Tamper::Signature => {
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
            }
            format!("{message}.{}", base64url(&bytes))
        }
        Tamper::HalfSignature => {
            bytes.truncate(middle);
            format!("{message}.{}", base64url(&bytes))
        }
        Tamper::NoSignature => format!("{message}."),
    })
}
