use std::time::Duration;

use attache_harness::issuer::{Signer, TokenSpec};
use serde_json::json;

use crate::judge::{Kind, Tally};
use crate::load::Load;
use crate::proxy::{Setup, eventually};
use crate::rules::{self, fetchers};
use crate::scenario::{
    Bound, CALLERS, Fetches, Outcome, Pace, WORKERS, good, idle_workers, refused, shots, unknown,
};

/// Tokens of unknown keys and forged ones, as fast as they go, beside good ones.
pub(crate) fn run(pace: Pace) -> Outcome {
    let keys = json!({ "refresh": "2s", "unknown_key_interval": "500ms" });
    let proxy = Setup::new()
        .issuer("corp")
        .workers(WORKERS)
        .listener(rules::listener("chaos", &["corp"], &keys, json!({})))
        .start();
    let corp = proxy.issuer("corp");
    eventually("the first keys", || (corp.jwks_requests() >= fetchers(WORKERS)).then_some(()));
    let forged = TokenSpec::scoped("orders:read").signer(Signer::Forger);
    let mut callers = good(corp, 0, "/", 20);
    callers.extend(refused(corp, 0, "/"));
    let load = Load::start(
        proxy.addr("chaos"),
        vec![
            (CALLERS, callers),
            (CALLERS, shots(corp, Kind::Forged(0), "/", &forged, 200)),
            // They wait for a fetch each time, so there are many.
            (4 * CALLERS, unknown(corp, "/", 400)),
        ],
    );
    let before = corp.jwks_requests();
    load.until(pace.seconds(5, 30));
    let time = load.now();
    let records = load.finish();
    let seen = corp.jwks_requests() - before;
    let most = rules::for_unknown_keys(time, INTERVAL) + rules::scheduled(time, REFRESH) + 2;
    Outcome {
        tally: Tally::of(&records, |record| record.kind.usual()),
        fetches: vec![Fetches::of("corp", seen, Bound::AtMost(fetchers(WORKERS) * most))],
        problems: idle_workers(&proxy, WORKERS),
    }
}

const REFRESH: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_millis(500);
