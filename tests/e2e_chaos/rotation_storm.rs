use std::time::Duration;

use attache_harness::issuer::{Issuer, Signer, TokenSpec};
use serde_json::json;

use crate::judge::{Kind, Record, Tally};
use crate::load::{Load, Shot};
use crate::proxy::{Setup, eventually};
use crate::rules::{self, SLACK, fetchers};
use crate::scenario::{
    Bound, CALLERS, Fetches, Outcome, Pace, WORKERS, good, idle_workers, refused, shots, unknown,
};

/// A key that was published.
struct Key {
    kid: String,
    good: Vec<Shot>,
    /// When it was withdrawn: not before, and not after.
    withdrawn: Option<(Duration, Duration)>,
}

/// A new key every 200 ms, in use from the moment in which it is published; all older ones are withdrawn every second.
pub(crate) fn run(pace: Pace) -> Outcome {
    let keys = json!({ "refresh": "1s", "unknown_key_interval": "100ms" });
    let proxy = Setup::new()
        .issuer("corp")
        .workers(WORKERS)
        .listener(rules::listener("chaos", &["corp"], &keys, json!({})))
        .start();
    let corp = proxy.issuer("corp");
    eventually("the first keys", || (corp.jwks_requests() >= fetchers(WORKERS)).then_some(()));
    let before = corp.jwks_requests();
    let mut keys = vec![key(corp, 0)];
    let load = Load::start(
        proxy.addr("chaos"),
        vec![(CALLERS, in_use(corp, &keys)), (CALLERS, out_of_use(corp, &keys, Duration::ZERO))],
    );
    let (mut next, end) = (EVERY, pace.seconds(5, 20));
    while next < end {
        load.until(next);
        next += EVERY;
        corp.rotate().unwrap();
        keys.push(key(corp, keys.len()));
        if keys.len().is_multiple_of(WITHDRAWAL) {
            withdraw(&load, corp, &mut keys);
        } else {
            load.aim(IN_USE, in_use(corp, &keys));
        }
    }
    withdraw(&load, corp, &mut keys);
    // Until it is sure for the last of them that its time is over, and a second more.
    load.until(load.now() + REFRESH + SLACK + Duration::from_secs(1));
    let time = load.now();
    let records = load.finish();
    let seen = corp.jwks_requests() - before;
    let mut problems = idle_workers(&proxy, WORKERS);
    let is_over = |record: &&Record| rule(record, &keys) == [401] && matches!(record.kind, Kind::Good(_));
    if !records.iter().any(|record| is_over(&record)) {
        problems.push("no withdrawn key's token was sent after its time".to_owned());
    }
    let most = rules::for_unknown_keys(time, INTERVAL) + 2;
    Outcome {
        tally: Tally::of(&records, |record| rule(record, &keys)),
        fetches: vec![Fetches::of("corp", seen, Bound::AtMost(fetchers(WORKERS) * most))],
        problems,
    }
}

/// A token passes until its key is withdrawn, and does not after one refresh; in between, either is right.
fn rule(record: &Record, keys: &[Key]) -> &'static [u16] {
    let Kind::Good(number) = record.kind else { return record.kind.usual() };
    match keys[number].withdrawn {
        Some((_, after)) if record.sent > after + REFRESH + SLACK => &[401],
        Some((before, _)) if record.received >= before => &[200, 401],
        _ => &[200],
    }
}

fn key(corp: &Issuer, number: usize) -> Key {
    Key { kid: corp.kid(), good: good(corp, number, "/", 4), withdrawn: None }
}

/// Withdraws all keys but the newest, once no client sends their tokens as good ones any more.
fn withdraw(load: &Load, corp: &Issuer, keys: &mut [Key]) {
    let newest = keys.len() - 1;
    load.aim(IN_USE, in_use(corp, &keys[newest..]));
    load.settle(IN_USE);
    let before = load.now();
    let kids = corp.withdraw_old();
    let after = load.now();
    for key in keys.iter_mut().filter(|key| kids.contains(&key.kid)) {
        key.withdrawn = Some((before, after));
    }
    load.aim(OUT_OF_USE, out_of_use(corp, keys, after));
}

/// Good tokens of all keys that are published, and some that never pass.
fn in_use(corp: &Issuer, keys: &[Key]) -> Vec<Shot> {
    let published = keys.iter().filter(|key| key.withdrawn.is_none());
    let mut all: Vec<Shot> = published.flat_map(|key| key.good.iter().cloned()).collect();
    all.extend(refused(corp, keys.len(), "/"));
    all
}

/// Tokens of keys that are withdrawn, for as long as it takes until they must be refused and a second more.
fn out_of_use(corp: &Issuer, keys: &[Key], now: Duration) -> Vec<Shot> {
    let recently = now.saturating_sub(REFRESH + SLACK + Duration::from_secs(1));
    let mut all = unknown(corp, "/", 4);
    for (number, key) in keys.iter().enumerate() {
        if key.withdrawn.is_some_and(|(_, after)| after >= recently) {
            // Some that were good before and are in the cache, and one that no cache knows.
            all.extend_from_slice(&key.good[..1]);
            let spec = TokenSpec::scoped("orders:read").signer(Signer::Kid(key.kid.clone()));
            all.extend(shots(corp, Kind::Good(number), "/", &spec, 1));
        }
    }
    all
}

const EVERY: Duration = Duration::from_millis(200);
/// So many keys are published between one withdrawal and the next.
const WITHDRAWAL: usize = 5;
const REFRESH: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(100);
const IN_USE: usize = 0;
const OUT_OF_USE: usize = 1;
