//! What the filter promises about fetches, as numbers, and the configuration that asks for it. What the module does not have yet
//! is switched off here, in one place: the bounds count every VM's own fetches then.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::{Value, json};

use crate::proxy::{Document, Listener, inbound, join, jwks, route, trust};

/// Whether a process fetches an issuer's keys once, and not once in each VM: `sharing: process`, the default.
pub(crate) const KEYS_PER_PROCESS: bool = true;
/// Whether `jwks` has `max_staleness`.
pub(crate) const HAS_MAX_STALENESS: bool = true;

/// How many parts of a process fetch an issuer's keys.
pub(crate) fn fetchers(workers: u32) -> u64 {
    // Without sharing, each worker and the main thread.
    if KEYS_PER_PROCESS { 1 } else { u64::from(workers) + 1 }
}

/// How many fetches the schedule makes at most in a time: each is at least four fifths of `refresh` after the one before.
pub(crate) fn scheduled(time: Duration, refresh: Duration) -> u64 {
    (time.as_secs_f64() / (refresh.as_secs_f64() * 0.8)).ceil() as u64
}

/// How many fetches unknown keys cause at most in a time.
pub(crate) fn for_unknown_keys(time: Duration, interval: Duration) -> u64 {
    (time.as_secs_f64() / interval.as_secs_f64()).ceil() as u64
}

/// How many fetches are made at most in a time in which all fail: the backoff doubles, and is jittered down to its half.
pub(crate) fn failing(time: Duration) -> u64 {
    let (mut count, mut at, mut backoff) = (1, Duration::ZERO, FIRST_BACKOFF);
    loop {
        at += backoff / 2;
        if at > time {
            return count;
        }
        count += 1;
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}

/// How long after its return an issuer that was away so long is asked at the latest: the longest delay that failures in that
/// time lead to.
pub(crate) fn recovery(away: Duration) -> Duration {
    // All the delays before the last one take at least half of it, less the first.
    (away * 2 + FIRST_BACKOFF).min(MAX_BACKOFF)
}

/// Fields of `jwks`.
pub(crate) fn max_staleness(time: Duration) -> Value {
    if HAS_MAX_STALENESS { json!({ "max_staleness": format!("{}s", time.as_secs()) }) } else { json!({}) }
}

/// A listener that wants `orders:read` from one of these issuers. Waits long, so that no answer is a matter of the machine's speed.
pub(crate) fn listener(name: &str, issuers: &[&str], keys: &Value, more: Value) -> Listener {
    let trusted: Vec<Value> = issuers
        .iter()
        .map(|issuer| trust(issuer, json!({ "keys": { "jwks": jwks(issuer, keys.clone()) } })))
        .collect();
    let rule = json!({ "require": { "issuers": issuers, "scopes": ["orders:read"] } });
    let mut all = route("all", "/", rule);
    all["match"] = json!({ "prefix": "/" });
    let mut settings = json!({ "waiting": { "deadline": "30s" } });
    join(&mut settings, more);
    Listener::new(name, Document::Struct(inbound(&trusted, &[all], settings))).manager(quiet())
}

/// No access log: a line for each request of a load is of no use.
pub(crate) fn quiet() -> Value {
    json!({ "access_log": [] })
}

/// Where no server listens, known before Envoy starts. An address of its own, so that no connection of another test
/// takes the port.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.77.2:0").and_then(|listener| listener.local_addr()).unwrap()
}

/// What a filter on a busy machine may take for its tick and the fetch, on top of what the configuration says.
pub(crate) const SLACK: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
