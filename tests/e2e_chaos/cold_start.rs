use std::time::Duration;

use attache_harness::issuer::{Algorithm, Fault};
use serde_json::json;

use crate::judge::{Kind, Tally};
use crate::load::Load;
use crate::proxy::{Setup, eventually, issuer};
use crate::rules;
use crate::scenario::{Bound, CALLERS, Fetches, Outcome, Pace, good, idle_workers, refused};

/// Callers are there before Envoy is, and the issuer is slow: all wait for the first keys, which are fetched once.
pub(crate) fn run(pace: Pace) -> Outcome {
    let corp = issuer("corp", &[Algorithm::Es256]);
    corp.fault(Fault::Delay(Duration::from_secs(1)));
    let addr = rules::free_address();
    let lanes = vec![(2 * CALLERS, good(&corp, 0, "/", 20)), (CALLERS, refused(&corp, 0, "/"))];
    let load = Load::start(addr, lanes);
    let proxy = Setup::new()
        .with_issuer("corp", corp)
        .workers(WORKERS)
        .listener(rules::listener("chaos", &["corp"], &json!({ "refresh": "1h" }), json!({})).at(addr))
        .start();
    load.every_last(0, "every caller to be served", |record| record.status() == 200);
    // Less than `min_refresh`, after which a forged token is a reason to fetch.
    load.until(load.now() + pace.seconds(2, 10));
    let records = load.finish();
    let requests = || proxy.issuer("corp").jwks_requests();
    let right = rules::fetchers(WORKERS);
    eventually("the first keys", || (requests() >= right).then_some(()));
    let mut problems = idle_workers(&proxy, WORKERS);
    if !records.iter().any(|record| record.kind == Kind::Good(0) && record.received > record.sent + WAITED) {
        problems.push("no request waited for the first keys".to_owned());
    }
    Outcome {
        tally: Tally::of(&records, |record| record.kind.usual()),
        fetches: vec![Fetches::of("corp", requests(), Bound::Exactly(right))],
        problems,
    }
}

const WORKERS: u32 = 8;
const WAITED: Duration = Duration::from_millis(500);
