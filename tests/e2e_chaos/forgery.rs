use std::time::Duration;

use attache::inbound::{CHECK_BUDGET, CHECKS_ONE_IN};
use attache_harness::issuer::{Algorithm, Issuer, Signer, TokenSpec};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::judge::{Kind, Record, Tally};
use crate::load::{Load, Shot};
use crate::proxy::{Document, Listener, Proxy, Setup, inbound, issuer, route, trust_with};
use crate::rules::quiet;
use crate::scenario::{Bound, Fetches, Outcome, Pace, good, shots};

/// A thousand tokens a second that are worth nothing, of each kind in turn, beside known ones that go on: all on one worker.
pub(crate) fn run(pace: Pace) -> Outcome {
    let corp = issuer("corp", &Algorithm::ALL);
    let keys: Value = serde_json::from_slice(&corp.jwks()).unwrap();
    // Written out, so that no token waits for a newer set: what is left is the work of checking.
    let trusted = trust_with("corp", json!({ "inline": keys }));
    let mut all = route("all", "/", json!({ "require": { "scopes": ["orders:read"] } }));
    all["match"] = json!({ "prefix": "/" });
    let document = Document::Struct(inbound(&[trusted], &[all], json!({})));
    let proxy = Setup::new()
        .with_issuer("corp", corp)
        .workers(1)
        .listener(Listener::new("chaos", document).manager(quiet()))
        .start();
    let corp = proxy.issuer("corp");
    let load =
        Load::start(proxy.addr("chaos"), vec![(KNOWN, good(corp, 0, "/", 20)), (ATTACKERS, Vec::new())]);
    load.pace(0, KNOWN_A_SECOND);
    load.pace(1, A_SECOND);
    let mut windows = vec![Window::watch("nothing else", &proxy, &load, pace.seconds(2, 10))];
    for (name, shots) in floods(corp) {
        load.aim(1, shots);
        load.settle(1);
        windows.push(Window::watch(
            &name,
            &proxy,
            &load,
            pace.of(Duration::from_millis(400), Duration::from_secs(8)),
        ));
    }
    windows.push(Window::new("all of it", (Duration::ZERO, load.now()), failed(&proxy)));
    let records = load.finish();
    let quiet = windows[0].p99(&records);
    for window in &windows {
        window.print(&records, quiet);
    }
    Outcome {
        tally: Tally::of(&records, |record| record.kind.usual()),
        fetches: vec![Fetches::of("corp", corp.jwks_requests(), Bound::Exactly(0))],
        problems: windows.iter().filter_map(Window::problem).collect(),
    }
}

/// What an attacker sends, by name: forgeries of each algorithm, with the key's name and without; and what is refused for less.
fn floods(corp: &Issuer) -> Vec<(String, Vec<Shot>)> {
    let mut floods = Vec::new();
    for algorithm in Algorithm::ALL {
        let spec = TokenSpec::scoped("orders:read").signer(Signer::Algorithm(algorithm));
        let name = algorithm.name();
        floods.push((format!("{name} with kid"), forgeries(corp, &spec)));
        floods.push((format!("{name} without kid"), forgeries(corp, &spec.without_header("kid"))));
    }
    let worthless = |spec: TokenSpec| shots(corp, Kind::Worthless, "/", &spec, 20);
    let spec = || TokenSpec::scoped("orders:read");
    floods.push(("expired".to_owned(), worthless(spec().expired())));
    floods.push(("unknown issuer".to_owned(), worthless(spec().claim("iss", "https://stranger.example"))));
    floods.push(("malformed".to_owned(), worthless(spec().raw_claims("{\"iss\":"))));
    floods
}

/// The token of this specification with random bytes for a signature, each time others.
fn forgeries(corp: &Issuer, spec: &TokenSpec) -> Vec<Shot> {
    let token = corp.mint(spec).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let length = Base64UrlUnpadded::decode_vec(signature).unwrap().len();
    let forgery = |number: usize| {
        let blocks = (0..length.div_ceil(64))
            .flat_map(|block| sha2::Sha512::digest([number.to_le_bytes(), block.to_le_bytes()].concat()));
        let mut bytes: Vec<u8> = blocks.take(length).collect();
        // Numbers in the range of every algorithm, so that none is refused before the arithmetic.
        (bytes[0], bytes[length / 2], bytes[length - 1]) = (0, 0, 0);
        Shot::new(Kind::Flood, "/", Some(&format!("{signed}.{}", Base64UrlUnpadded::encode_string(&bytes))))
    };
    (0..FORGERIES).map(forgery).collect()
}

/// A part of the time in which one thing is sent, and what failing checks cost meanwhile.
struct Window {
    name: String,
    from: Duration,
    to: Duration,
    /// By the filter's estimate.
    failed: Duration,
    /// How much that may be.
    most: Duration,
}

impl Window {
    fn watch(name: &str, proxy: &Proxy, load: &Load, time: Duration) -> Self {
        let from = load.now();
        let before = failed(proxy);
        load.until(from + time);
        let to = load.now();
        Self::new(name, (from, to), failed(proxy) - before)
    }

    fn new(name: &str, (from, to): (Duration, Duration), failed: Duration) -> Self {
        // The budget may be whole at the beginning; what was counted before it is handed over within a tick.
        let most = CHECK_BUDGET + (to - from + TICK) / CHECKS_ONE_IN + DEAREST_CHECK;
        Self { name: name.to_owned(), from, to, failed, most }
    }

    fn p99(&self, records: &[Record]) -> Duration {
        let known = records.iter().filter(|record| record.kind == Kind::Good(0));
        let known = known.filter(|record| (self.from..self.to).contains(&record.sent));
        let mut times: Vec<_> = known.map(|record| record.received - record.sent).collect();
        times.sort_unstable();
        times.get(times.len() * 99 / 100).copied().unwrap_or_default()
    }

    fn print(&self, records: &[Record], quiet: Duration) {
        let p99 = self.p99(records);
        println!(
            "chaos: forgery, {}: known tokens p99 {:.1} ms ({:.1} times), failing checks {:.1} ms of at most {:.1}",
            self.name,
            p99.as_secs_f64() * 1e3,
            p99.as_secs_f64() / quiet.as_secs_f64(),
            self.failed.as_secs_f64() * 1e3,
            self.most.as_secs_f64() * 1e3,
        );
    }

    fn problem(&self) -> Option<String> {
        let Self { name, failed, most, .. } = self;
        (failed > most).then(|| format!("{name}: failing checks cost {failed:?}, at most {most:?}"))
    }
}

/// What failing checks have cost so far.
fn failed(proxy: &Proxy) -> Duration {
    Duration::from_micros(proxy.metric("attache_failed_check_microseconds_total", &[]))
}

/// Connections with known tokens, and how many requests they send.
const KNOWN: usize = 8;
const KNOWN_A_SECOND: usize = 1_000;
/// Connections with others, and how many requests they send.
const ATTACKERS: usize = 32;
const A_SECOND: usize = 1_000;
/// More than any flood sends in the time that the filter remembers what it has refused.
const FORGERIES: usize = 4_000;
/// The filter hands its counts over so often.
const TICK: Duration = Duration::from_millis(100);
/// The budget may be exceeded by as much: ES512 in the module.
const DEAREST_CHECK: Duration = Duration::from_millis(6);
