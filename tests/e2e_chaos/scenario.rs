//! What scenarios have in common: how long they take, what they come to, and the tokens that they send.

use std::fmt;
use std::time::Duration;

use attache_harness::issuer::{Algorithm, Issuer, Signer, TokenSpec};

use crate::judge::{Kind, Tally};
use crate::load::Shot;
use crate::proxy::Proxy;

/// A name and what it stands for.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Pace) -> Outcome,
}

/// Seconds, or minutes.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    is_long: bool,
}

/// What a scenario came to.
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) fetches: Vec<Fetches>,
    /// What else is not as it should be.
    pub(crate) problems: Vec<String>,
}

/// How often an issuer was asked for its keys.
pub(crate) struct Fetches {
    pub(crate) issuer: String,
    pub(crate) seen: u64,
    pub(crate) bound: Bound,
}

/// How often that may be.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    Exactly(u64),
    AtMost(u64),
}

impl Pace {
    pub(crate) fn new(is_long: bool) -> Self {
        Self { is_long }
    }

    /// One of two.
    pub(crate) fn of<T>(self, short: T, long: T) -> T {
        if self.is_long { long } else { short }
    }

    /// One of two times.
    pub(crate) fn seconds(self, short: u64, long: u64) -> Duration {
        Duration::from_secs(self.of(short, long))
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.of("short", "long"))
    }
}

impl Fetches {
    pub(crate) fn of(issuer: &str, seen: u64, bound: Bound) -> Self {
        Self { issuer: issuer.to_owned(), seen, bound }
    }

    pub(crate) fn is_within(&self) -> bool {
        match self.bound {
            Bound::Exactly(right) => self.seen == right,
            Bound::AtMost(most) => self.seen <= most,
        }
    }
}

impl Bound {
    pub(crate) fn most(self) -> u64 {
        match self {
            Self::Exactly(count) | Self::AtMost(count) => count,
        }
    }

    pub(crate) fn words(self) -> String {
        match self {
            Self::Exactly(count) => format!("exactly {count}"),
            Self::AtMost(count) => format!("at most {count}"),
        }
    }
}

/// Requests with good tokens of the issuer's current key, each of them another token.
pub(crate) fn good(issuer: &Issuer, number: usize, path: &str, count: usize) -> Vec<Shot> {
    shots(issuer, Kind::Good(number), path, &TokenSpec::scoped("orders:read"), count)
}

/// Requests that never pass but need no key that is not there: without the scope, forged, without a token.
pub(crate) fn refused(issuer: &Issuer, number: usize, path: &str) -> Vec<Shot> {
    let forged = TokenSpec::scoped("orders:read").signer(Signer::Forger);
    let mut all = shots(issuer, Kind::Narrow(number), path, &TokenSpec::scoped("orders"), 1);
    all.extend(shots(issuer, Kind::Forged(number), path, &forged, 1));
    all.push(Shot::new(Kind::Nobody, path, None));
    all
}

/// Requests with tokens of keys that were never published, each of another key.
pub(crate) fn unknown(issuer: &Issuer, path: &str, count: usize) -> Vec<Shot> {
    let spec = TokenSpec::scoped("orders:read").signer(Signer::Unknown(Algorithm::Es256));
    shots(issuer, Kind::Unknown, path, &spec, count)
}

/// Requests with tokens of this specification.
pub(crate) fn shots(issuer: &Issuer, kind: Kind, path: &str, spec: &TokenSpec, count: usize) -> Vec<Shot> {
    (0..count).map(|_| Shot::new(kind, path, Some(&issuer.mint(spec).unwrap()))).collect()
}

/// What is not as it should be if a worker saw no connection: it proved nothing then.
pub(crate) fn idle_workers(proxy: &Proxy, workers: u32) -> Vec<String> {
    let stats = proxy.envoy().stats().unwrap();
    let seen = |worker: u32| {
        let name = format!(".worker_{worker}.downstream_cx_total");
        stats
            .iter()
            .filter(|(stat, _)| stat.starts_with("listener.") && stat.ends_with(&name))
            .map(|(_, n)| n)
            .sum::<u64>()
    };
    let idle = (0..workers).filter(|worker| seen(*worker) == 0);
    idle.map(|worker| format!("worker {worker} saw no connection")).collect()
}

/// As many as there are in most clusters, and more than this machine has processors.
pub(crate) const WORKERS: u32 = 4;
/// Callers of a lane, unless its scenario needs another number.
pub(crate) const CALLERS: usize = 24;
