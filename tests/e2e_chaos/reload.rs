use std::time::Duration;

use attache_harness::issuer::TokenSpec;
use serde_json::{Value, json};

use crate::judge::{Kind, Record, Tally};
use crate::load::{Load, Shot};
use crate::proxy::{
    Document, Listener, Proxy, Setup, completed, ecds_file, eventually, inbound, jwks, lds_file, route, trust,
};
use crate::rules::{self, KEYS_PER_PROCESS, fetchers};
use crate::scenario::{Bound, CALLERS, Fetches, Outcome, Pace, WORKERS, good, idle_workers, shots};

/// Only the filter's configuration changes.
pub(crate) fn ecds(pace: Pace) -> Outcome {
    let file = |n: u64| ecds_file("chaos", &n.to_string(), &Document::Struct(document(n)));
    let setup = Setup::new()
        .file("filter.json", file(1).to_string())
        .listener(Listener::ecds("chaos", "filter.json").manager(rules::quiet()));
    run(pace, setup, "filter.json", &file)
}

/// The listener is another one; the connections of the one before are told to close, and do.
pub(crate) fn lds(pace: Pace) -> Outcome {
    let addr = rules::free_address();
    let file = |n: u64| {
        let listener = Listener::new("chaos", Document::Struct(document(n))).at(addr).manager(rules::quiet());
        lds_file(&n.to_string(), vec![listener])
    };
    let setup = Setup::new().file("listeners.json", file(1).to_string()).lds("listeners.json").arguments(&[
        "--drain-strategy",
        "immediate",
        "--drain-time-s",
        "3",
    ]);
    run(pace, setup, "listeners.json", &file)
}

fn run(pace: Pace, setup: Setup, name: &str, file: &dyn Fn(u64) -> Value) -> Outcome {
    let swaps = pace.of(11, 61);
    let proxy = setup.issuer("corp").workers(WORKERS).start();
    let corp = proxy.issuer("corp");
    eventually("the first keys", || (corp.jwks_requests() >= fetchers(WORKERS)).then_some(()));
    let lanes = vec![(CALLERS, always(&proxy)), (CALLERS, sometimes(&proxy))];
    let load = Load::start(proxy.addr("chaos"), lanes);
    for n in 2..=swaps {
        let swapped = load.now();
        proxy.envoy().replace_file(name, &completed(file(n))).unwrap();
        eventually("the new configuration", || {
            (proxy.metric("attache_config_version", &[]) == n).then_some(())
        });
        load.until(swapped + EVERY);
        load.every_last(0, "requests under it", |record| record.sent > swapped);
    }
    // The last one is in force everywhere, soon.
    let last = load.now();
    let ends_even = swaps.is_multiple_of(2);
    let expected = if ends_even { 200 } else { 403 };
    load.every_last(1, "the last configuration everywhere", |record| {
        record.sent > last && record.status() == expected
    });
    let settled = load.now();
    load.until(settled + pace.seconds(1, 5));
    let records = load.finish();
    let rule = |record: &Record| -> &'static [u16] {
        let is_settled = record.kind == Kind::Sometimes && record.sent > settled;
        match (is_settled, ends_even) {
            (false, _) => record.kind.usual(),
            (true, true) => &[200],
            (true, false) => &[403],
        }
    };
    // Without sharing, each configuration fetches for itself.
    let right = if KEYS_PER_PROCESS { Bound::Exactly(1) } else { Bound::AtMost(swaps * fetchers(WORKERS)) };
    Outcome {
        tally: Tally::of(&records, rule),
        fetches: vec![Fetches::of("corp", corp.jwks_requests(), right)],
        problems: idle_workers(&proxy, WORKERS),
    }
}

/// The n-th configuration. `/flip` needs one scope in even ones and another in odd ones; the rest stays.
fn document(n: u64) -> Value {
    let flip = if n.is_multiple_of(2) { "even" } else { "odd" };
    let routes = [
        route("stays", "/stays", json!({ "require": { "scopes": ["orders:read"] } })),
        route("flips", "/flip", json!({ "require": { "scopes": [flip] } })),
        route("never", "/never", json!({ "require": { "scopes": ["never"] } })),
        route("open", "/open", json!({ "public": {} })),
    ];
    let keys = json!({ "keys": { "jwks": jwks("corp", json!({ "refresh": "1h", "timeout": "30s" })) } });
    let more = json!({ "version": n, "waiting": { "deadline": "30s", "requests": 10_000 } });
    inbound(&[trust("corp", keys)], &routes, more)
}

/// What is right whatever configuration is in force.
fn always(proxy: &Proxy) -> Vec<Shot> {
    let corp = proxy.issuer("corp");
    let all = TokenSpec::scoped("orders:read even odd");
    let mut load = good(corp, 0, "/stays", 4);
    load.extend(shots(corp, Kind::Good(0), "/flip", &all, 4));
    load.extend(shots(corp, Kind::Never, "/never", &all, 1));
    // No forged one: its key could be a new one under an old id, so it is a reason to fetch.
    load.extend(shots(corp, Kind::Narrow(0), "/stays", &TokenSpec::scoped("orders"), 1));
    load.push(Shot::new(Kind::Nobody, "/stays", None));
    load.push(Shot::new(Kind::Public, "/open", None));
    load
}

/// What depends on it.
fn sometimes(proxy: &Proxy) -> Vec<Shot> {
    shots(proxy.issuer("corp"), Kind::Sometimes, "/flip", &TokenSpec::scoped("even"), 4)
}

/// From one configuration to the next, at least.
const EVERY: Duration = Duration::from_millis(300);
