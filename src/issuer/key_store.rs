//! The keys of one issuer, and when they are fetched. Sends nothing itself.
//!
//! A set is replaced only by a good one: while the issuer is down, the last good keys stay. Fetches for unknown keys are
//! coalesced: at most one in [`RemoteKeys::unknown_key_interval`], whatever the traffic.

use core::time::Duration;
use std::rc::Rc;

use super::fetch::{self, FetchError};
use crate::base::{HttpCall, HttpReply, Timestamp};
use crate::jose::{Key, KeySet};

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// Written out in the configuration.
    Inline(Rc<KeySet>),
    /// Fetched from a JWKS document.
    Remote(RemoteKeys),
}

/// A JWKS document (RFC 7517 §5) and how it is kept fresh. No duration is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteKeys {
    /// The cluster that carries the fetch.
    pub cluster: Rc<str>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The document's host, and port if there is one.
    pub authority: Rc<str>,
    /// The document's path and query.
    pub path: Rc<str>,
    /// How long one fetch may take.
    pub timeout: Duration,
    /// How long after a good fetch the next one is made.
    pub refresh: Duration,
    /// The least time between two fetches that unknown keys cause.
    pub unknown_key_interval: Duration,
}

/// The keys of one issuer.
#[derive(Clone, Debug)]
pub struct KeyStore {
    source: KeySource,
    keys: Option<Rc<KeySet>>,
    generation: u64,
    /// When the fetch under way was sent.
    in_flight: Option<Timestamp>,
    next_fetch: Timestamp,
    /// A token came that no key of the set verifies.
    unknown_key: bool,
    last_sent: Option<Timestamp>,
    /// When the last good fetch was *sent*: what it brought is at least as new as that.
    last_good_sent: Option<Timestamp>,
    last_good: Option<Timestamp>,
    failures: u32,
}

/// What a finished fetch did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// The set is another one now.
    Changed(KeyChange),
    /// The set is what it was.
    Unchanged,
    /// No set came; the keys stay what they were.
    Failed(FetchError),
}

/// How a set differs from the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// How many keys are usable now.
    pub keys: usize,
    /// How many of them are new.
    pub added: usize,
    /// How many are gone.
    pub removed: usize,
    /// How many entries of the document were passed over because no signature could be verified with them.
    pub skipped: usize,
    /// Whether the document held private key material, which an issuer must never publish.
    pub private_members: bool,
}

impl KeyStore {
    /// A store that fetches for the first time at once.
    pub fn new(source: KeySource, now: Timestamp) -> Self {
        let keys = match &source {
            KeySource::Inline(keys) => Some(Rc::clone(keys)),
            KeySource::Remote(_) => None,
        };
        Self {
            source,
            keys,
            generation: 0,
            in_flight: None,
            next_fetch: now,
            unknown_key: false,
            last_sent: None,
            last_good_sent: None,
            last_good: None,
            failures: 0,
        }
    }

    /// The current keys; `None` until the first fetch succeeds.
    pub fn keys(&self) -> Option<&Rc<KeySet>> {
        self.keys.as_ref()
    }

    /// Counts the sets there have been: what was verified under another number has to be held against the keys again.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the keys come from a document that may change.
    pub fn is_remote(&self) -> bool {
        matches!(self.source, KeySource::Remote(_))
    }

    /// When the keys were fetched last, if they are fetched.
    pub fn last_good(&self) -> Option<Timestamp> {
        self.last_good
    }

    /// How many fetches have failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the current set was asked for after `then`: a key id that it lacks was unknown to the issuer after that.
    pub fn is_newer_than(&self, then: Timestamp) -> bool {
        self.last_good_sent.is_some_and(|sent| sent >= then)
    }

    /// The clock has been set back: the schedule begins anew, and no set counts as newer than a request.
    pub fn handle_clock_step(&mut self, now: Timestamp) {
        self.next_fetch = now;
        self.last_sent = None;
        self.last_good_sent = None;
        self.last_good = self.last_good.map(|last| last.min(now));
        self.in_flight = self.in_flight.map(|sent| sent.min(now));
    }

    /// Asks for a fetch as soon as [`RemoteKeys::unknown_key_interval`] allows.
    pub fn want_unknown_key(&mut self) {
        self.unknown_key = true;
    }

    /// When the next fetch will be sent at the earliest.
    pub fn next_attempt(&self) -> Timestamp {
        let KeySource::Remote(remote) = &self.source else { return Timestamp::MAX };
        if !self.unknown_key || self.failures > 0 {
            return self.next_fetch;
        }
        let allowed = self.last_sent.map_or(Timestamp::EPOCH, |sent| sent.after(remote.unknown_key_interval));
        self.next_fetch.min(allowed)
    }

    /// The call to make now, if one is due and none is under way. A fetch whose reply never came is given up here.
    pub fn handle_tick(&mut self, now: Timestamp) -> (Option<FetchOutcome>, Option<HttpCall>) {
        let KeySource::Remote(remote) = &self.source else { return (None, None) };
        let patience = remote.timeout.saturating_add(LOST_AFTER);
        let lost = self.in_flight.is_some_and(|sent| now >= sent.after(patience));
        let outcome = lost.then(|| self.fail(FetchError::Lost, now));
        if self.in_flight.is_some() || now < self.next_attempt() {
            return (outcome, None);
        }
        let call = match &self.source {
            KeySource::Inline(_) => None,
            KeySource::Remote(remote) => Some(get(remote)),
        };
        self.in_flight = Some(now);
        self.last_sent = Some(now);
        self.unknown_key = false;
        (outcome, call)
    }

    /// Takes the reply to the call that is under way; `None` when there is none (it was given up).
    pub fn handle_reply(&mut self, reply: HttpReply, now: Timestamp) -> Option<FetchOutcome> {
        let sent = self.in_flight?;
        let KeySource::Remote(remote) = &self.source else { return None };
        let refresh = remote.refresh;
        let parsed = match fetch::read(reply) {
            Ok(parsed) => parsed,
            Err(error) => return Some(self.fail(error, now)),
        };
        self.in_flight = None;
        // Whoever came while this was under way is looked at again now, and asks again if it has to.
        self.unknown_key = false;
        self.failures = 0;
        self.last_good = Some(now);
        self.last_good_sent = Some(sent);
        self.next_fetch = now.after(refresh);
        let old = self.keys.clone();
        let lacks = |set: Option<&KeySet>, key: &Key| set.is_none_or(|set| !set.contains(&key.id()));
        let old_keys = old.iter().flat_map(|old| old.iter());
        let change = KeyChange {
            keys: parsed.set.len(),
            added: parsed.set.iter().filter(|key| lacks(old.as_deref(), key)).count(),
            removed: old_keys.filter(|key| lacks(Some(&parsed.set), key)).count(),
            skipped: parsed.skipped.len(),
            private_members: parsed.private_members,
        };
        if old.is_some() && change.added == 0 && change.removed == 0 {
            return Some(FetchOutcome::Unchanged);
        }
        self.keys = Some(Rc::new(parsed.set));
        self.generation = self.generation.saturating_add(1);
        Some(FetchOutcome::Changed(change))
    }

    fn fail(&mut self, error: FetchError, now: Timestamp) -> FetchOutcome {
        self.in_flight = None;
        let backoff = FIRST_BACKOFF.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.next_fetch = now.after(backoff.min(MAX_BACKOFF));
        FetchOutcome::Failed(error)
    }
}

fn get(remote: &RemoteKeys) -> HttpCall {
    HttpCall {
        cluster: Rc::clone(&remote.cluster),
        headers: vec![
            (":method", "GET".to_owned()),
            (":scheme", remote.scheme.to_owned()),
            (":authority", remote.authority.to_string()),
            (":path", remote.path.to_string()),
            ("accept", "application/jwk-set+json, application/json".to_owned()),
            ("user-agent", concat!("attache/", env!("CARGO_PKG_VERSION")).to_owned()),
        ],
        body: Vec::new(),
        timeout: remote.timeout,
    }
}

/// At a proxy's start the cluster is often not there for a moment; the first retries are quick.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// An issuer that is back is found within this time.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Envoy answers every call within its timeout; this only keeps a fault there from stopping refreshes for ever.
const LOST_AFTER: Duration = Duration::from_secs(10);
