//! What came to the issuer: how many requests to each endpoint, refused ones and faults included.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::endpoint::Endpoint;
use super::metadata::MetadataForm;
use super::state::lock;

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
    jwks_times: Mutex<VecDeque<Instant>>,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counters {
    /// Counts a request for the JWKS, and when it came.
    pub(super) fn count_jwks(&self, at: Endpoint) {
        match at {
            Endpoint::SecondJwks => self.second_jwks.count(),
            Endpoint::Jwks | Endpoint::Token | Endpoint::Metadata => self.jwks.count(),
        }
        let mut times = lock(&self.jwks_times);
        if times.len() >= MAX_REQUEST_TIMES {
            times.pop_front();
        }
        times.push_back(Instant::now());
    }

    /// Counts a request for metadata.
    pub(super) fn count_metadata(&self, form: MetadataForm) {
        match form {
            MetadataForm::OAuth => self.oauth_metadata.count(),
            MetadataForm::OpenId => self.openid_metadata.count(),
        }
    }

    /// Returns when the latest requests for the JWKS came, oldest first.
    pub(super) fn jwks_times(&self) -> Vec<Instant> {
        lock(&self.jwks_times).iter().copied().collect()
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

/// 1.6 MB: nearly three hours at ten requests a second.
const MAX_REQUEST_TIMES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_the_last_hundred_thousand_requests_are_kept() {
        let counters = Counters::default();
        counters.count_jwks(Endpoint::Jwks);
        let first = counters.jwks_times();
        for _ in 1..MAX_REQUEST_TIMES {
            counters.count_jwks(Endpoint::SecondJwks);
        }
        assert_eq!((counters.jwks_times().len(), counters.jwks_times().first()), (100_000, first.first()));
        let second = counters.jwks_times().get(1).copied();
        counters.count_jwks(Endpoint::Jwks);
        let times = counters.jwks_times();
        assert_eq!((times.len(), times.first().copied()), (100_000, second));
        assert!(times.is_sorted());
        assert_eq!((counters.jwks.read(), counters.second_jwks.read()), (2, 99_999));
    }
}
