use std::time::{Duration, Instant};

use attache_harness::issuer::{Algorithm, Caching, Endpoint, Fault, Issuer, Signer, TokenSpec};
use serde_json::{Value, json};

use crate::proxy::{
    Document, Listener, Proxy, Setup, Shared, VMS, WORKERS, echo, eventually, issuer, jwks, reading,
    trust_with, verdict, visit,
};
use crate::secrets::{scoped, token};

/// Each test has issuers of its own, so that none disturbs another.
static PROXY: Shared = Shared::new(|| {
    let mut setup = Setup::new();
    let wide = json!({ "refresh": "1h", "min_refresh": "1s" });
    let each_second = json!({ "refresh": "1s" });
    let stale = json!({ "refresh": "1s", "max_staleness": "3s", "timeout": "500ms" });
    let issuers: [(&str, &Value, Caching); 10] = [
        ("stated", &wide, max_age("public, max-age=2")),
        ("aged", &wide, Caching { age: Some(98), ..max_age("max-age=100") }),
        ("floor", &wide, max_age("no-store")),
        ("ceiling", &each_second, max_age("max-age=86400, immutable")),
        ("tagged", &each_second, Caching { etag: true, ..Caching::default() }),
        ("asking", &each_second, Caching::default()),
        ("stale", &stale, Caching::default()),
        ("revived", &stale, Caching { etag: true, ..Caching::default() }),
        ("told", &each_second, Caching::default()),
        ("replaced", &json!({ "refresh": "1h", "min_refresh": "2s" }), Caching::default()),
    ];
    for (name, keys, caching) in issuers {
        let issuer = issuer(name, &[Algorithm::Es256]);
        issuer.set_caching(Endpoint::Jwks, caching);
        let trusted = trust_with(name, json!({ "jwks": jwks(name, keys.clone()) }));
        let more = json!({ "inbound": { "waiting": { "deadline": "1s" } } });
        setup = setup
            .with_issuer(name, issuer)
            .listener(Listener::new(name, Document::Struct(reading(name, &[trusted], more))));
    }
    setup.start()
});

fn max_age(cache_control: &str) -> Caching {
    Caching { cache_control: Some(cache_control.to_owned()), ..Caching::default() }
}

fn get(proxy: &Proxy, name: &str) -> (u16, String) {
    let token = scoped(proxy.issuer(name), "orders:read");
    verdict(&proxy.get(name, "/").bearer(&token).send().unwrap())
}

/// How long after the one before the next requests came. They are sent after the answer to it, so none of it is chance.
fn pauses(issuer: &Issuer, count: usize) -> Vec<Duration> {
    let from = issuer.jwks_request_times().len();
    let times = eventually("fetches", || {
        let times = issuer.jwks_request_times();
        (times.len() > from + count).then_some(times)
    });
    times.windows(2).skip(from.saturating_sub(1)).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn the_server_says_how_long_keys_are_fresh_between_the_floor_and_the_ceiling() {
    let proxy = visit(&PROXY);
    // Keys are asked for again after four fifths of their lifetime at the earliest.
    for (name, lifetime) in [("stated", 2_000), ("aged", 2_000), ("ceiling", 1_000)] {
        let least = Duration::from_millis(lifetime * 8 / 10) - CLOCK;
        for pause in pauses(proxy.issuer(name), 3) {
            assert!(pause >= least, "{name}: {pause:?} is less than {least:?}");
        }
        assert_eq!(get(&proxy, name), (200, "forwarded".into()));
        proxy.expect_fetched(name, "changed", 1);
    }
}

#[test]
fn a_set_that_its_server_forbids_to_keep_is_asked_for_ever_more_rarely_while_it_does_not_change() {
    let proxy = visit(&PROXY);
    let times = eventually("fetches", || {
        let times = proxy.issuer("floor").jwks_request_times();
        (times.len() >= 5).then_some(times)
    });
    let pauses = times.windows(2).map(|pair| pair[1] - pair[0]).take(4);
    for (pause, lifetime) in pauses.zip([1_000, 2_000, 4_000, 8_000]) {
        let least = Duration::from_millis(lifetime * 8 / 10) - CLOCK;
        assert!(pause >= least, "{pause:?} is less than {least:?}");
    }
    assert_eq!(get(&proxy, "floor"), (200, "forwarded".into()));
    proxy.expect_fetched("floor", "changed", 1);
}

#[test]
fn a_set_that_has_not_changed_is_not_sent_again_and_its_keys_stay() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("tagged");
    let unchanged = |count| eventually("answers 304", || (issuer.jwks_not_modified() >= count).then_some(()));
    unchanged(3);
    for _ in 0..6 {
        assert_eq!(get(&proxy, "tagged"), (200, "forwarded".into()));
    }
    // Whichever VM asks has the tag, also when another has fetched the set.
    let (asked, not_modified) = (issuer.jwks_requests(), issuer.jwks_not_modified());
    assert!(asked <= not_modified + 2, "{asked} requests, {not_modified} of them answered 304");
    let taken = proxy.taken("tagged");
    issuer.rotate().unwrap();
    eventually("new keys in every VM", || (proxy.fetched("tagged", "changed") == 2).then_some(()));
    eventually("new keys in every VM", || (proxy.taken("tagged") >= taken + VMS - 1).then_some(()));
    assert_eq!(get(&proxy, "tagged"), (200, "forwarded".into()));
    unchanged(issuer.jwks_not_modified() + 2);
    assert_eq!(get(&proxy, "tagged"), (200, "forwarded".into()));
    proxy.expect_fetched("tagged", "status", 0);
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it_from_all_threads() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("asking");
    eventually("keys", || (get(&proxy, "asking").0 == 200).then_some(()));
    let before = issuer.jwks_request_times().len();
    issuer.fault(Fault::RetryAfter { status: 429, seconds: 3 });
    let start = Instant::now();
    // Unknown keys are no reason to ask sooner; nor is another thread's impatience.
    let unknown = TokenSpec::scoped("orders:read").signer(Signer::Unknown(Algorithm::Es256));
    while issuer.jwks_request_times().len() < before + 3 {
        assert!(start.elapsed() < Duration::from_secs(60), "no third request");
        let answer = proxy.get("asking", "/").bearer(&token(issuer, &unknown)).send().unwrap();
        assert!([503, 401].contains(&answer.status));
        assert_eq!(get(&proxy, "asking"), (200, "forwarded".into()));
    }
    let times = issuer.jwks_request_times();
    let limited: Vec<_> = times.iter().skip_while(|time| **time < start).collect();
    for pair in limited.windows(2) {
        let pause = *pair[1] - *pair[0];
        assert!(pause >= Duration::from_secs(3) - CLOCK, "asked again after {pause:?}");
    }
    issuer.heal();
}

#[test]
fn keys_that_are_too_old_count_no_more_and_callers_are_not_blamed() {
    let proxy = visit(&PROXY);
    for name in ["stale", "revived"] {
        let issuer = proxy.issuer(name);
        eventually("keys in every VM", || (proxy.taken(name) >= VMS - 1).then_some(()));
        issuer.fault(Fault::Status(500));
        let last_good = *issuer.jwks_request_times().last().unwrap();
        // One that the caches know, and ones that they do not.
        let known = scoped(issuer, "orders:read");
        let mut refused = 0;
        while refused < 6 {
            assert!(last_good.elapsed() < Duration::from_secs(60), "the keys count for ever");
            for token in [known.clone(), scoped(issuer, "orders:read")] {
                let answer = proxy.get(name, "/").bearer(&token).send().unwrap();
                if answer.status == 200 && refused == 0 {
                    continue;
                }
                let age = last_good.elapsed();
                // A second that they are fresh, three that they may be stale.
                assert!(age >= Duration::from_secs(4) - CLOCK, "refused after {age:?}");
                // The threads let go of them one after the other, within a tick.
                if answer.status == 200 && age < Duration::from_secs(7) {
                    continue;
                }
                assert_eq!(verdict(&answer), (503, "keys_unavailable".into()));
                assert_eq!(answer.header("www-authenticate"), None);
                let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=60).contains(&seconds), "{seconds}");
                refused += 1;
            }
        }
        proxy.expect_metric("attache_keys", &[("issuer", name)], 0);
        let line = format!("issuer {name}: the keys expired: requests that need them get 503");
        assert!(proxy.envoy().logs().contains(&line));
        assert_eq!(
            proxy.get(name, "/").send().unwrap().status,
            401,
            "without a token it is the caller's fault"
        );
        issuer.heal();
        eventually("keys", || (get(&proxy, name).0 == 200).then_some(()));
        proxy.expect_metric("attache_keys", &[("issuer", name)], 1);
        eventually("no failures", || {
            (proxy.metric("attache_key_fetch_failures", &[("issuer", name)]) == 0).then_some(())
        });
        for _ in 0..6 {
            assert_eq!(get(&proxy, name), (200, "forwarded".into()));
        }
    }
}

#[test]
fn a_change_of_keys_is_told_in_one_line_with_their_names() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("told");
    let changes = |level: &str| -> Vec<String> {
        let log = proxy.envoy().logs();
        let lines =
            log.lines().filter(|line| line.contains(level) && line.contains("issuer told: keys changed: "));
        let change = |line: &str| {
            let (_, change) = line.split_once("keys changed: ").unwrap();
            change.split("; http").next().unwrap().to_owned()
        };
        lines.map(change).collect()
    };
    let expect = |expected: &[&str]| {
        eventually("the line", || (changes("[info]").len() >= expected.len()).then_some(()));
        assert_eq!(changes("[info]"), expected);
    };
    let first = "1 usable, 1 added (told-1), 0 removed";
    expect(&[first]);
    issuer.rotate().unwrap();
    let second = "2 usable, 1 added (told-2), 0 removed";
    expect(&[first, second]);
    issuer.withdraw_old();
    let third = "1 usable, 0 added, 1 removed (told-1)";
    expect(&[first, second, third]);
    // Each of the others has taken it over, which is for those who look closely. What the first one had to tell at its start,
    // it may have had before it could take anything over.
    let workers = usize::try_from(WORKERS).unwrap();
    eventually("the others' lines", || {
        let others = changes("[debug]");
        let of = |line: &str| others.iter().filter(|other| *other == line).count();
        (of(second) == workers && of(third) == workers).then_some(())
    });
    expect(&[first, second, third]);
}

/// The same name for another key: the signature does not fit, which is the only hint.
#[test]
fn a_key_that_is_replaced_under_its_name_is_found_within_the_shortest_refresh() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("replaced");
    eventually("keys in every VM", || (proxy.taken("replaced") == VMS - 1).then_some(()));
    let old = scoped(issuer, "orders:read");
    let send = |token: &str| verdict(&proxy.get("replaced", "/").bearer(token).send().unwrap());
    assert_eq!(send(&old), (200, "forwarded".into()));
    assert_eq!(issuer.jwks_requests(), 1);
    issuer.rotate_in_place().unwrap();
    eventually("the new key", || (get(&proxy, "replaced").0 == 200).then_some(()));
    assert_eq!(issuer.jwks_requests(), 2);
    eventually("all VMs to have it", || (proxy.taken("replaced") == 2 * (VMS - 1)).then_some(()));
    for _ in 0..6 {
        assert_eq!(send(&old), (401, "signature_invalid".into()), "also where it was known");
        assert_eq!(get(&proxy, "replaced"), (200, "forwarded".into()));
    }
    // Every client can forge a signature: that must not set the pace.
    let forged = TokenSpec::scoped("orders:read").signer(Signer::Forger);
    let before = issuer.jwks_request_times().len();
    while issuer.jwks_request_times().len() < before + 2 {
        assert_eq!(send(&token(issuer, &forged)), (401, "signature_invalid".into()));
    }
    for pause in issuer.jwks_request_times().windows(2).map(|pair| pair[1] - pair[0]) {
        assert!(pause >= Duration::from_secs(2) - SENDING, "asked again after {pause:?}");
    }
    echo(&proxy.get("replaced", "/").bearer(&scoped(issuer, "orders:read")).send().unwrap());
}

/// What two clocks of one machine make of a second.
const CLOCK: Duration = Duration::from_millis(30);
/// How much later one request may come than it was sent.
const SENDING: Duration = Duration::from_millis(500);
