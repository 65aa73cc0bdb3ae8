use std::time::Duration;

use attache_harness::issuer::{Algorithm, Fault, RawAnswer};
use serde_json::json;

use crate::judge::Tally;
use crate::load::{Load, Shot};
use crate::proxy::{Proxy, Setup, eventually, issuer};
use crate::rules::{self, fetchers};
use crate::scenario::{Bound, CALLERS, Fetches, Outcome, Pace, WORKERS, good, idle_workers, refused};

/// Every fault at once, each on an issuer of its own, after good keys: they stay.
pub(crate) fn run(pace: Pace) -> Outcome {
    let faults = faults();
    let names: Vec<String> =
        faults.iter().enumerate().map(|(n, fault)| format!("{}_{n}", word(fault))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut setup = Setup::new().workers(WORKERS);
    for name in &names {
        // Two keys, so that they can have the same id.
        setup = setup.with_issuer(name, issuer(name, &[Algorithm::Es256, Algorithm::EdDsa]));
    }
    let keys = json!({ "refresh": "1s", "timeout": "500ms" });
    let proxy = setup.listener(rules::listener("chaos", &names, &keys, json!({}))).start();
    for name in &names {
        eventually("the first keys", || {
            (proxy.metric("attache_key_fetches_total", &[("issuer", name)]) >= fetchers(WORKERS))
                .then_some(())
        });
    }
    let before: Vec<u64> = names.iter().map(|name| proxy.issuer(name).jwks_requests()).collect();
    let load = Load::start(proxy.addr("chaos"), vec![(2 * CALLERS, shots(&proxy, &names))]);
    for (name, fault) in names.iter().zip(faults) {
        proxy.issuer(name).fault(fault);
    }
    let faulty: Vec<u64> = names.iter().map(|name| proxy.issuer(name).jwks_requests()).collect();
    let end = pace.seconds(5, 30);
    while load.now() < end {
        load.until(load.now() + RENEWAL);
        // Tokens that no cache knows.
        load.aim(0, shots(&proxy, &names));
    }
    for (name, count) in names.iter().zip(faulty) {
        eventually(&format!("issuer {name} to have failed again and again"), || {
            (proxy.issuer(name).jwks_requests() >= count + 3 * fetchers(WORKERS)).then_some(())
        });
    }
    let time = load.now();
    let records = load.finish();
    let most = rules::scheduled(time, REFRESH) + rules::failing(time) + 2;
    let fetches = names.iter().zip(before).map(|(name, before)| {
        let seen = proxy.issuer(name).jwks_requests() - before;
        Fetches::of(name, seen, Bound::AtMost(fetchers(WORKERS) * most))
    });
    Outcome {
        tally: Tally::of(&records, |record| record.kind.usual()),
        fetches: fetches.collect(),
        problems: idle_workers(&proxy, WORKERS),
    }
}

/// All that there are, some in more than one strength.
fn faults() -> Vec<Fault> {
    vec![
        Fault::Status(500),
        Fault::Status(404),
        Fault::RetryAfter { status: 429, seconds: 1 },
        Fault::Delay(Duration::from_millis(300)),
        Fault::Redirect,
        Fault::Answer(RawAnswer::new(204, "")),
        Fault::Patch(json!({ "keys": null })),
        Fault::Hang,
        Fault::Reset,
        Fault::Truncated,
        Fault::EmptyBody,
        Fault::HalfJson,
        Fault::Html,
        Fault::NotUtf8,
        Fault::Huge(100_000),
        Fault::Huge(300_000),
        Fault::Huge(20_000_000),
        Fault::EmptySet,
        Fault::ManyKeys(100),
        Fault::ManyKeys(500),
        Fault::DuplicateKids,
        Fault::WeakRsa,
        Fault::PrivateKeys,
        Fault::UnknownKty,
        Fault::AlgContradicts,
    ]
}

/// No arm for others: a new fault belongs into the list above.
fn word(fault: &Fault) -> &'static str {
    match fault {
        Fault::Status(_) => "status",
        Fault::RetryAfter { .. } => "retry_after",
        Fault::Delay(_) => "delay",
        Fault::Redirect => "redirect",
        Fault::Answer(_) => "answer",
        Fault::Patch(_) => "patch",
        Fault::Hang => "hang",
        Fault::Reset => "reset",
        Fault::Truncated => "truncated",
        Fault::EmptyBody => "empty_body",
        Fault::HalfJson => "half_json",
        Fault::Html => "html",
        Fault::NotUtf8 => "not_utf8",
        Fault::Huge(_) => "huge",
        Fault::EmptySet => "empty_set",
        Fault::ManyKeys(_) => "many_keys",
        Fault::DuplicateKids => "duplicate_kids",
        Fault::WeakRsa => "weak_rsa",
        Fault::PrivateKeys => "private_keys",
        Fault::UnknownKty => "unknown_kty",
        Fault::AlgContradicts => "alg_contradicts",
    }
}

fn shots(proxy: &Proxy, names: &[&str]) -> Vec<Shot> {
    let all = names.iter().enumerate().flat_map(|(number, name)| {
        let mut shots = good(proxy.issuer(name), number, "/", 3);
        shots.extend(refused(proxy.issuer(name), number, "/"));
        shots
    });
    all.collect()
}

const REFRESH: Duration = Duration::from_secs(1);
const RENEWAL: Duration = Duration::from_millis(500);
