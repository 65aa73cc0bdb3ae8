//! What came to the issuer: how many requests to each endpoint, refused ones and faults included.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::endpoint::Endpoint;
use super::metadata::MetadataForm;
use super::token_request::TokenRequest;
use crate::lock::lock;

/// How many requests came.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) jwks: Counter,
    pub(super) second_jwks: Counter,
    /// How many of both got 304.
    pub(super) jwks_not_modified: Counter,
    pub(super) token: Counter,
    pub(super) oauth_metadata: Counter,
    pub(super) openid_metadata: Counter,
    pub(super) jwks_times: Times,
    pub(super) token_times: Times,
    /// Token requests by the client that they say they come from.
    pub(super) clients: Tally,
    /// Token requests by `grant_type`.
    pub(super) grants: Tally,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

/// When the latest requests came, oldest first.
#[derive(Debug, Default)]
pub(super) struct Times(Mutex<VecDeque<Instant>>);

/// Numbers that only grow, by name.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<BTreeMap<String, u64>>);

impl Counters {
    /// Counts a request for the JWKS, and when it came.
    pub(super) fn count_jwks(&self, at: Endpoint) {
        match at {
            Endpoint::SecondJwks => self.second_jwks.count(),
            Endpoint::Jwks | Endpoint::Token | Endpoint::Metadata => self.jwks.count(),
        }
        self.jwks_times.add(Instant::now());
    }

    /// Counts a request for a token, whose it is, and when it came.
    pub(super) fn count_token(&self, request: &TokenRequest) {
        self.token.count();
        self.token_times.add(request.at);
        self.clients.count(request.client_id.as_deref());
        self.grants.count(request.grant_type.as_deref());
    }

    /// Counts a request for metadata.
    pub(super) fn count_metadata(&self, form: MetadataForm) {
        match form {
            MetadataForm::OAuth => self.oauth_metadata.count(),
            MetadataForm::OpenId => self.openid_metadata.count(),
        }
    }

    /// Returns how many requests for metadata came, of both forms.
    pub(super) fn metadata(&self) -> u64 {
        self.oauth_metadata.read().saturating_add(self.openid_metadata.read())
    }
}

impl Counter {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Times {
    fn add(&self, time: Instant) {
        let mut times = lock(&self.0);
        if times.len() >= MAX_REQUEST_TIMES {
            times.pop_front();
        }
        times.push_back(time);
    }

    pub(super) fn read(&self) -> Vec<Instant> {
        lock(&self.0).iter().copied().collect()
    }
}

impl Tally {
    /// Counts under this name. Names beyond the limit are not counted: clients choose them.
    fn count(&self, name: Option<&str>) {
        let Some(name) = name else { return };
        let mut tally = lock(&self.0);
        if let Some(count) = tally.get_mut(name) {
            *count = count.saturating_add(1);
        } else if tally.len() < MAX_NAMES {
            tally.insert(name.to_owned(), 1);
        }
    }

    pub(super) fn read(&self, name: &str) -> u64 {
        lock(&self.0).get(name).copied().unwrap_or_default()
    }

    pub(super) fn all(&self) -> BTreeMap<String, u64> {
        lock(&self.0).clone()
    }
}

/// 1.6 MB: nearly three hours at ten requests a second.
const MAX_REQUEST_TIMES: usize = 100_000;
/// More clients than a test has.
const MAX_NAMES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_the_last_hundred_thousand_requests_are_kept() {
        let counters = Counters::default();
        counters.count_jwks(Endpoint::Jwks);
        let first = counters.jwks_times.read();
        for _ in 1..MAX_REQUEST_TIMES {
            counters.count_jwks(Endpoint::SecondJwks);
        }
        let times = counters.jwks_times.read();
        assert_eq!((times.len(), times.first()), (100_000, first.first()));
        let second = times.get(1).copied();
        counters.count_jwks(Endpoint::Jwks);
        let times = counters.jwks_times.read();
        assert_eq!((times.len(), times.first().copied()), (100_000, second));
        assert!(times.is_sorted());
        assert_eq!((counters.jwks.read(), counters.second_jwks.read()), (2, 99_999));
    }
}
