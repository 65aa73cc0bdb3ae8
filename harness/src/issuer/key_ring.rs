//! The keys that the issuer has and had: which one signs, and which are published. A key that is withdrawn can still
//! sign by its id; one that is replaced is gone.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::keys::{Algorithm, Key};

/// All keys that ever were, oldest first.
#[derive(Debug)]
pub(super) struct KeyRing {
    prefix: String,
    all: Vec<Published>,
    current: usize,
}

#[derive(Debug)]
struct Published {
    key: Arc<Key>,
    withdrawn: bool,
}

impl KeyRing {
    /// A ring without keys. Key ids are this, a hyphen and a number from 1.
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), all: Vec::new(), current: 0 }
    }

    /// Adds a key under the next id, which is returned. The first one added signs.
    pub(super) fn add(&mut self, mut key: Key) -> String {
        key.kid = format!("{}-{}", self.prefix, self.all.len().saturating_add(1));
        let kid = key.kid.clone();
        self.all.push(Published { key: Arc::new(key), withdrawn: false });
        kid
    }

    /// Adds a key, and signs with it from now on.
    pub(super) fn rotate(&mut self, key: Key) -> String {
        self.current = self.all.len();
        self.add(key)
    }

    /// Puts a key in the current one's place, under its id, which is returned. It is published.
    pub(super) fn replace_current(&mut self, mut key: Key) -> Result<String> {
        let current = self.all.get_mut(self.current).context(NO_KEY)?;
        key.kid.clone_from(&current.key.kid);
        let kid = key.kid.clone();
        *current = Published { key: Arc::new(key), withdrawn: false };
        Ok(kid)
    }

    /// Withdraws all keys but the current one. Returns the ids of those withdrawn.
    pub(super) fn withdraw_old(&mut self) -> Vec<String> {
        let mut gone = Vec::new();
        for (index, published) in self.all.iter_mut().enumerate() {
            if index != self.current && !published.withdrawn {
                published.withdrawn = true;
                gone.push(published.key.kid.clone());
            }
        }
        gone
    }

    /// Withdraws one key. Returns whether it was published.
    pub(super) fn withdraw(&mut self, kid: &str) -> bool {
        match self.all.iter_mut().find(|published| published.key.kid == kid && !published.withdrawn) {
            Some(published) => {
                published.withdrawn = true;
                true
            }
            None => false,
        }
    }

    /// Returns the key that signs.
    pub(super) fn current(&self) -> Result<Arc<Key>> {
        self.all.get(self.current).map(|published| Arc::clone(&published.key)).context(NO_KEY)
    }

    /// Returns the key with this id, published or withdrawn.
    pub(super) fn with_kid(&self, kid: &str) -> Option<Arc<Key>> {
        self.all.iter().map(|published| &published.key).find(|key| key.kid == kid).cloned()
    }

    /// Returns the newest published key of an algorithm.
    pub(super) fn newest(&self, algorithm: Algorithm) -> Option<Arc<Key>> {
        self.published().rfind(|key| key.algorithm == algorithm).cloned()
    }

    /// Returns the published keys, oldest first.
    pub(super) fn published(&self) -> impl DoubleEndedIterator<Item = &Arc<Key>> {
        self.all.iter().filter(|published| !published.withdrawn).map(|published| &published.key)
    }
}

const NO_KEY: &str = "the issuer has no key";
