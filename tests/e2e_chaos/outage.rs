use std::time::Duration;

use attache_harness::issuer::Fault;
use serde_json::json;

use crate::judge::{Kind, Record, Tally};
use crate::load::Load;
use crate::proxy::{Proxy, Setup, eventually};
use crate::rules::{self, HAS_MAX_STALENESS, SLACK, fetchers};
use crate::scenario::{Bound, Fetches, Outcome, Pace, WORKERS, good, idle_workers, refused};

/// The times that the rule turns on.
struct Outage {
    /// When the issuers were back: not before, and not after.
    up: (Duration, Duration),
    /// When the keys are believed no more.
    stale: (Duration, Duration),
    /// When the issuers have been asked again at the latest.
    recovered: Duration,
}

/// Issuers are away for longer than their keys are believed, each in its own way and one in all of them in turn. Envoy goes on.
pub(crate) fn run(pace: Pace) -> Outcome {
    let staleness = pace.seconds(3, 20);
    let proxy = start(staleness);
    eventually("the first keys", || {
        ISSUERS.iter().all(|(name, _)| proxy.issuer(name).jwks_requests() >= fetchers(WORKERS)).then_some(())
    });
    let before: Vec<u64> = requests(&proxy);
    let lanes = ISSUERS.iter().enumerate().map(|(number, (name, _))| {
        let mut shots = good(proxy.issuer(name), number, "/", 10);
        shots.extend(refused(proxy.issuer(name), number, "/"));
        (CALLERS, shots)
    });
    let load = Load::start(proxy.addr("chaos"), lanes.collect());
    // Some scheduled refreshes.
    load.until(REFRESH * 2);

    let down_from = load.now();
    ISSUERS.iter().for_each(|(name, faults)| proxy.issuer(name).fault(faults[0].clone()));
    let down = (down_from, load.now());
    let stale = (down.0 + staleness, down.1 + REFRESH + staleness + SLACK);
    for part in 1..3 {
        load.until(down.0 + staleness * part / 3);
        for (name, faults) in ISSUERS.iter().filter(|(_, faults)| faults.len() > 1) {
            proxy.issuer(name).fault(faults[part as usize].clone());
        }
    }
    // Long enough that no caller has an answer from before.
    load.until(stale.1 + DEADLINE + pace.seconds(1, 5));

    let up_from = load.now();
    ISSUERS.iter().for_each(|(name, _)| proxy.issuer(name).heal());
    let up = (up_from, load.now());
    let recovered = up.1 + rules::recovery(up.1 - down.0) + TIMEOUT + SLACK;
    for (lane, (name, _)) in ISSUERS.iter().enumerate() {
        let is_served = |record: &Record| record.sent > up.1 && record.status() != 503;
        load.every_last(lane, &format!("{name} to be back"), is_served);
    }
    load.until(load.now() + pace.seconds(1, 5));
    let time = load.now();
    let records = load.finish();

    let outage = Outage { up, stale, recovered };
    let mut problems = idle_workers(&proxy, WORKERS);
    if HAS_MAX_STALENESS && !records.iter().any(|record| outage.rule(record) == [503]) {
        problems.push("no request was sent after the keys' time".to_owned());
    }
    let good_time = time - (up.0 - down.1);
    let most = rules::scheduled(good_time, REFRESH) + rules::failing(recovered.min(time) - down.0) + 2;
    let counts = requests(&proxy).into_iter().zip(before);
    let fetches = ISSUERS.iter().zip(counts).map(|((name, _), (now, before))| {
        // What is past its lifetime, each VM asks for once itself.
        let most = fetchers(WORKERS) * most + u64::from(WORKERS) + 1;
        Fetches::of(name, now - before, Bound::AtMost(most))
    });
    Outcome { tally: Tally::of(&records, |record| outage.rule(record)), fetches: fetches.collect(), problems }
}

impl Outage {
    /// As always until the keys are stale, then 503 until the issuer is asked again, then as always. No token needs no keys.
    fn rule(&self, record: &Record) -> &'static [u16] {
        let is_as_always = record.received < self.stale.0 || record.sent > self.recovered;
        if is_as_always || !HAS_MAX_STALENESS || record.kind == Kind::Nobody {
            return record.kind.usual();
        }
        if record.sent > self.stale.1 && record.received < self.up.0 {
            return &[503];
        }
        match record.kind.usual() {
            [200] => &[200, 503],
            [403] => &[403, 503],
            _ => &[401, 503],
        }
    }
}

fn start(staleness: Duration) -> Proxy {
    let mut keys = json!({ "refresh": "1s", "timeout": "500ms" });
    crate::proxy::join(&mut keys, rules::max_staleness(staleness));
    let names: Vec<&str> = ISSUERS.iter().map(|(name, _)| *name).collect();
    let mut setup = Setup::new().workers(WORKERS);
    for name in &names {
        setup = setup.issuer(name);
    }
    // What waits in vain is answered, and the next one asks.
    let more = json!({ "waiting": { "deadline": "1s" } });
    setup.listener(rules::listener("chaos", &names, &keys, more)).start()
}

fn requests(proxy: &Proxy) -> Vec<u64> {
    ISSUERS.iter().map(|(name, _)| proxy.issuer(name).jwks_requests()).collect()
}

/// What each issuer does while it is away; the last one, each for a third of the time that its keys are believed.
const ISSUERS: [(&str, &[Fault]); 4] = [
    ("status", &[Fault::Status(500)]),
    ("reset", &[Fault::Reset]),
    ("hang", &[Fault::Hang]),
    ("in_turn", &[Fault::Status(500), Fault::Reset, Fault::Hang]),
];
/// For each issuer.
const CALLERS: usize = 12;
const REFRESH: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_secs(1);
