//! The issuer's memory: its keys, its clients, its faults; and the tokens that it makes of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::keys::{Algorithm, Key, base64url, random};
use super::spec::{Endpoint, Fault, Signer, Tamper, TokenSpec};
use super::{Client, IssuerOptions};

/// What all handlers and the handle share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: IssuerOptions,
    pub(super) identifier: String,
    pub(super) url: String,
    pub(super) requests: Counters,
    keys: Mutex<Keys>,
    faults: Mutex<HashMap<Endpoint, Active>>,
    jwks: Mutex<Option<Vec<u8>>>,
}

/// How many requests came to each endpoint, refused ones included.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) jwks: AtomicU64,
    pub(super) token: AtomicU64,
    pub(super) metadata: AtomicU64,
}

#[derive(Debug, Default)]
struct Keys {
    /// All keys that ever were, oldest first.
    all: Vec<Published>,
    current: usize,
}

#[derive(Debug)]
struct Published {
    key: Arc<Key>,
    withdrawn: bool,
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    /// How many more requests meet it; none: all.
    left: Option<u64>,
}

impl State {
    pub(super) fn new(options: IssuerOptions, url: String) -> Result<Self> {
        let mut keys = Keys::default();
        for algorithm in &options.algorithms {
            keys.add(&options.kid_prefix, *algorithm)?;
        }
        if keys.all.is_empty() {
            bail!("the issuer needs at least one algorithm to sign with");
        }
        Ok(Self {
            identifier: options.identifier.clone().unwrap_or_else(|| url.clone()),
            url,
            options,
            requests: Counters::default(),
            keys: Mutex::new(keys),
            faults: Mutex::new(HashMap::new()),
            jwks: Mutex::new(None),
        })
    }

    /// Adds a key and signs with it from now on; the others stay published.
    pub(super) fn rotate(&self, algorithm: Option<Algorithm>) -> Result<String> {
        let algorithm = match algorithm {
            Some(algorithm) => algorithm,
            None => lock(&self.keys).current()?.algorithm,
        };
        let mut key = Key::generate(String::new(), algorithm)?;
        let mut keys = lock(&self.keys);
        key.kid = keys.next_kid(&self.options.kid_prefix);
        let kid = key.kid.clone();
        keys.current = keys.all.len();
        keys.all.push(Published { key: Arc::new(key), withdrawn: false });
        Ok(kid)
    }

    /// Withdraws all keys but the current one. Returns the ids of those withdrawn.
    pub(super) fn withdraw_old(&self) -> Vec<String> {
        let mut keys = lock(&self.keys);
        let current = keys.current;
        let mut gone = Vec::new();
        for (index, published) in keys.all.iter_mut().enumerate() {
            if index != current && !published.withdrawn {
                published.withdrawn = true;
                gone.push(published.key.kid.clone());
            }
        }
        gone
    }

    /// Returns the current key's id.
    pub(super) fn kid(&self) -> String {
        lock(&self.keys).current().map(|key| key.kid.clone()).unwrap_or_default()
    }

    /// Returns the published keys' ids, oldest first.
    pub(super) fn kids(&self) -> Vec<String> {
        lock(&self.keys).published().map(|key| key.kid.clone()).collect()
    }

    /// Returns the JWKS document: the keys, or what stands in their place.
    pub(super) fn jwks(&self) -> Vec<u8> {
        if let Some(raw) = lock(&self.jwks).clone() {
            return raw;
        }
        let keys: Vec<Value> = lock(&self.keys).published().map(Key::jwk).collect();
        json!({ "keys": keys }).to_string().into_bytes()
    }

    /// Serves these bytes as the JWKS from now on, or the keys again.
    pub(super) fn replace_jwks(&self, raw: Option<Vec<u8>>) {
        *lock(&self.jwks) = raw;
    }

    /// Sets or ends an endpoint's fault.
    pub(super) fn set_fault(&self, at: Endpoint, fault: Option<Fault>, times: Option<u64>) {
        let mut faults = lock(&self.faults);
        match fault {
            Some(fault) => faults.insert(at, Active { fault, left: times }),
            None => faults.remove(&at),
        };
    }

    /// Returns the fault that this request meets.
    pub(super) fn meet_fault(&self, at: Endpoint) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        let active = faults.get_mut(&at)?;
        if let Some(left) = &mut active.left {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => {
                    faults.remove(&at);
                    return None;
                }
            }
        }
        Some(active.fault.clone())
    }

    /// Issues an access token to a client, as RFC 9068 wants it.
    pub(super) fn issue(&self, client: &Client, scope: &str, audiences: &[String]) -> Result<String> {
        let mut spec =
            TokenSpec::scoped(scope).claim("sub", client.id.as_str()).claim("client_id", client.id.as_str());
        match audiences {
            [] => {}
            [one] => spec = spec.claim("aud", one.as_str()),
            many => spec = spec.claim("aud", many),
        }
        if scope.is_empty() {
            spec = spec.without("scope");
        }
        self.mint(&spec)
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

        let header = spec.raw_header.clone().unwrap_or_else(|| Value::Object(header).to_string());
        let text = spec.raw_claims.clone().unwrap_or_else(|| Value::Object(claims.clone()).to_string());
        let message = format!("{}.{}", base64url(header.as_bytes()), base64url(text.as_bytes()));
        let mut signature = sign(message.as_bytes())?;
        Ok(match spec.tamper {
            Tamper::Nothing => format!("{message}.{}", base64url(&signature)),
            Tamper::Claims => {
                let scope = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
                let more = format!("{scope} admin:all");
                claims.insert("scope".into(), more.into());
                let text = Value::Object(claims).to_string();
                let header = base64url(header.as_bytes());
                format!("{header}.{}.{}", base64url(text.as_bytes()), base64url(&signature))
            }
            Tamper::Signature => {
                let middle = signature.len().div_euclid(2);
                if let Some(byte) = signature.get_mut(middle) {
                    *byte ^= 1;
                }
                format!("{message}.{}", base64url(&signature))
            }
            Tamper::HalfSignature => {
                signature.truncate(signature.len().div_euclid(2));
                format!("{message}.{}", base64url(&signature))
            }
            Tamper::NoSignature => format!("{message}."),
        })
    }

    /// Returns the current key's public half as PEM.
    pub(super) fn public_pem(&self) -> Result<String> {
        lock(&self.keys).current()?.rsa_public_pem()
    }

    fn usual_claims(&self, expires_in: Option<i64>) -> Result<Map<String, Value>> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let lifetime = match expires_in {
            Some(seconds) => seconds,
            None => i64::try_from(self.options.lifetime.as_secs())?,
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

    /// Returns the `alg`, the `kid` and a way to sign.
    fn signer(&self, signer: &Signer) -> Result<(&'static str, Option<String>, Sign)> {
        let keys = lock(&self.keys);
        let chosen = match signer {
            Signer::Current => keys.index(keys.current)?,
            Signer::Kid(kid) => {
                keys.all.iter().position(|published| published.key.kid == *kid).with_context(|| {
                    format!("there never was a key `{kid}`: see /admin/status for those there are")
                })?
            }
            Signer::Algorithm(algorithm) => keys
                .all
                .iter()
                .rposition(|published| published.key.algorithm == *algorithm && !published.withdrawn)
                .with_context(|| {
                    format!("no published key is for {algorithm}: start the issuer with it, or rotate to it")
                })?,
            Signer::Unknown(algorithm) => {
                let kid = format!("unknown-{}", base64url(&random::<6>()?));
                let key = Key::generate(kid.clone(), *algorithm)?;
                return Ok((algorithm.name(), Some(kid), Box::new(move |message| key.sign(message))));
            }
            Signer::Forger => {
                let (kid, algorithm) = keys.current().map(|key| (key.kid.clone(), key.algorithm))?;
                let key = Key::generate(kid.clone(), algorithm)?;
                return Ok((algorithm.name(), Some(kid), Box::new(move |message| key.sign(message))));
            }
            Signer::None => return Ok(("none", None, Box::new(|_| Ok(Vec::new())))),
            Signer::Hs256(secret) => return Ok(("HS256", None, hmac_sha256(secret.as_bytes())?)),
            Signer::Hs256WithPublicKey => {
                let key = keys.current()?;
                return Ok(("HS256", Some(key.kid.clone()), hmac_sha256(key.rsa_public_pem()?.as_bytes())?));
            }
        };
        let published = keys.all.get(chosen).context("no key")?;
        let key = Arc::clone(&published.key);
        Ok((key.algorithm.name(), Some(key.kid.clone()), Box::new(move |message| key.sign(message))))
    }
}

impl Keys {
    fn add(&mut self, prefix: &str, algorithm: Algorithm) -> Result<()> {
        let key = Key::generate(self.next_kid(prefix), algorithm)?;
        self.all.push(Published { key: Arc::new(key), withdrawn: false });
        Ok(())
    }

    fn next_kid(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.all.len().saturating_add(1))
    }

    fn index(&self, index: usize) -> Result<usize> {
        if index < self.all.len() { Ok(index) } else { bail!("the issuer has no key") }
    }

    fn current(&self) -> Result<&Key> {
        self.all.get(self.current).map(|published| published.key.as_ref()).context("the issuer has no key")
    }

    fn published(&self) -> impl Iterator<Item = &Key> {
        self.all.iter().filter(|published| !published.withdrawn).map(|published| published.key.as_ref())
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

/// Takes the lock, also after a test's panic: what it guards is replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counters {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
