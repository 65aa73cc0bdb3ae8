//! A JSON Web Key Set (RFC 7517 §5): the keys of one issuer, and which of them a token may be tried with.
//!
//! Keys that we cannot use are skipped with their reason and never spoil the others; limits on the whole document
//! are errors.

use core::fmt;
use core::ops::Deref;
use std::rc::Rc;

use super::algorithm::Algorithm;
use super::json::{Json, JsonError, Object};
use super::jwk::{self, Symmetric};
use super::key::{Key, KeyError, KeyId};
use crate::base::Excerpt;

/// The usable keys of one issuer.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Rc<Key>>,
}

/// What a document held.
#[derive(Clone, Debug)]
pub struct ParsedKeySet {
    /// The keys that can be used, possibly none.
    pub set: KeySet,
    /// The keys that cannot.
    pub skipped: SkippedKeys,
    /// Some key of the document carries private members: the issuer must replace that key.
    pub private_members: bool,
}

/// A key that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its place in `keys`, from 0.
    pub index: usize,
    /// Its `kid`, in part.
    pub kid: Option<Excerpt>,
    /// Why.
    pub why: KeyError,
}

/// The keys that were skipped, in the order of the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkippedKeys(pub Vec<SkippedKey>);

impl Deref for SkippedKeys {
    type Target = [SkippedKey];

    fn deref(&self) -> &[SkippedKey] {
        &self.0
    }
}

impl fmt::Display for SkippedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, SkippedKey { index, kid, why }) in self.0.iter().take(MAX_SHOWN).enumerate() {
            f.write_str(if place > 0 { "; " } else { "" })?;
            match kid {
                Some(kid) => write!(f, "`{kid}`: {why}")?,
                None => write!(f, "keys[{index}]: {why}")?,
            }
        }
        f.write_str(if self.0.len() > MAX_SHOWN { "; …" } else { "" })
    }
}

impl KeySet {
    /// Reads a document that was fetched. Symmetric keys in it are skipped: every client that can fetch it could sign.
    pub fn parse(document: &[u8]) -> Result<ParsedKeySet, KeySetError> {
        parse(document, Symmetric::Refused)
    }

    /// Reads a document that is part of the configuration, where symmetric keys are welcome.
    pub fn parse_inline(document: &[u8]) -> Result<ParsedKeySet, KeySetError> {
        parse(document, Symmetric::Allowed)
    }

    /// The set of these keys; a key that comes twice is kept once.
    pub fn new(keys: Vec<Key>) -> Self {
        let mut set = Self::default();
        for key in keys {
            set.add(key);
        }
        set
    }

    /// The keys to try a token with, all of them for `algorithm`, likely ones first. Each costs a check: the caller has
    /// to bound that.
    ///
    /// `kid` is a hint (RFC 7515 §4.1.4), and it only narrows:
    /// - no `kid`: every key, those without a name first, since an issuer that names its keys names them in tokens too;
    /// - a `kid` that some key bears: the keys of that name, however many, and no other;
    /// - a `kid` that no key bears: the keys without a name, which is how an issuer with one unnamed key or a
    ///   configured secret looks.
    ///
    /// Never a key of another name.
    ///
    /// Whether a refresh could help is [`KeySet::has_kid`]'s question, not whether this is empty.
    pub fn candidates<'a>(
        &'a self,
        algorithm: Algorithm,
        kid: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Rc<Key>> + Clone {
        let (first, second) = match kid {
            None => (KeyFilter::Unnamed, Some(KeyFilter::AnyName)),
            Some(kid) if self.has_kid(kid) => (KeyFilter::Name(kid), None),
            Some(_) => (KeyFilter::Unnamed, None),
        };
        let keys = core::iter::once(first).chain(second).flat_map(move |wanted| {
            self.keys.iter().filter(move |key| match wanted {
                KeyFilter::Unnamed => key.kid().is_none(),
                KeyFilter::AnyName => key.kid().is_some(),
                KeyFilter::Name(kid) => key.kid() == Some(kid),
            })
        });
        keys.filter(move |key| key.algorithms().contains(algorithm))
    }

    /// Whether exactly this key, with its name and algorithms, is in the set.
    pub fn contains(&self, id: &KeyId) -> bool {
        self.keys.iter().any(|key| key.id() == *id)
    }

    /// Whether a key bears this name.
    pub fn has_kid(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid() == Some(kid))
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Key>> {
        self.keys.iter()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys of several sets, in turn: a token that names none is tried with the first of each before the second of
    /// any.
    pub fn united(sets: &[&Self]) -> Self {
        let mut united = Self::default();
        let longest = sets.iter().map(|set| set.len()).max().unwrap_or_default();
        for key in (0..longest).flat_map(|place| sets.iter().filter_map(move |set| set.keys.get(place))) {
            if !united.contains(&key.id()) {
                united.keys.push(Rc::clone(key));
            }
        }
        united
    }

    /// How many bytes of memory the keys take.
    pub fn size(&self) -> usize {
        self.keys.iter().fold(0, |sum, key| sum.saturating_add(key.size()))
    }

    fn add(&mut self, key: Key) {
        if !self.contains(&key.id()) {
            self.keys.push(Rc::new(key));
        }
    }
}

#[derive(Clone, Copy)]
enum KeyFilter<'a> {
    Unnamed,
    AnyName,
    Name(&'a str),
}

fn parse(document: &[u8], symmetric: Symmetric) -> Result<ParsedKeySet, KeySetError> {
    if document.len() > MAX_KEY_SET_BYTES {
        return Err(KeySetError::TooLong { bytes: document.len() });
    }
    let document = Object::parse(document)?;
    let keys = document.get("keys").ok_or(KeySetError::KeysMissing)?;
    let keys = keys.as_array().ok_or(KeySetError::KeysType)?;
    if keys.len() > MAX_KEYS {
        return Err(KeySetError::TooManyKeys { keys: keys.len() });
    }
    let mut parsed =
        ParsedKeySet { set: KeySet::default(), skipped: SkippedKeys::default(), private_members: false };
    for (index, jwk) in keys.iter().enumerate() {
        let Some(jwk) = jwk.as_object() else {
            parsed.skipped.0.push(SkippedKey { index, kid: None, why: KeyError::NotAnObject });
            continue;
        };
        parsed.private_members |= jwk::has_private_members(jwk);
        match jwk::parse(jwk, symmetric) {
            Ok(key) => parsed.set.add(key),
            Err(why) => {
                let kid = jwk.get("kid").and_then(Json::as_str).map(|kid| Excerpt::of(kid, MAX_SHOWN_KID));
                parsed.skipped.0.push(SkippedKey { index, kid, why });
            }
        }
    }
    Ok(parsed)
}

/// Why a document is not a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Longer than [`MAX_KEY_SET_BYTES`].
    #[error("the key set has {bytes} bytes, more than {MAX_KEY_SET_BYTES}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The document is not the JSON object that it should be.
    #[error("the key set: {0}")]
    Json(#[from] JsonError),
    /// The document has no `keys`.
    #[error("`keys` is missing")]
    KeysMissing,
    /// `keys` is not an array.
    #[error("`keys` is not an array")]
    KeysType,
    /// More keys than [`MAX_KEYS`].
    #[error("the key set has {keys} keys, more than {MAX_KEYS}")]
    TooManyKeys {
        /// How many there are.
        keys: usize,
    },
}

/// How long a key set may be. 128 RSA keys with a certificate each stay under 256 KiB; the large public issuers
/// publish 2 to 12 KiB.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;
/// How many keys a set may have. Issuers rotate with two to ten.
pub const MAX_KEYS: usize = 128;

/// How many skipped keys a text names.
const MAX_SHOWN: usize = 8;
/// How much of a key's name a text shows: thumbprints have 43 characters.
const MAX_SHOWN_KID: usize = 64;

#[cfg(test)]
#[path = "key_set_tests.rs"]
mod tests;
