use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use attache_harness::http::Request;
use attache_harness::issuer::{Algorithm, Fault, Issuer, Signer, TokenSpec};
use serde_json::{Value, json};

use crate::h2;
use crate::proxy::{
    Document, Listener, Setup, Shared, VMS, at_once, echo, eventually, inbound, issuer, issuer_at, jwks,
    reading, trust, verdict, visit,
};
use crate::secrets::{scoped, token};

/// Each test has issuers of its own, so that none disturbs another.
static PROXY: Shared = Shared::new(|| {
    let mut setup = Setup::new();
    for name in ["quiet", "rotating", "flooded", "withdrawing"] {
        setup = setup.issuer(name);
    }
    for name in ["slow", "mute"] {
        setup = setup.with_issuer(name, hanging(name));
    }
    let keys = |more: Value| move |name: &str| json!({ "keys": { "jwks": jwks(name, more.clone()) } });
    let rarely = keys(
        json!({ "refresh": "1h", "min_refresh": "1h", "unknown_key_interval": "500ms", "timeout": "30s" }),
    );
    let often = keys(json!({ "refresh": "1s" }));
    let late = keys(json!({ "timeout": "500ms" }));
    setup = setup
        .listener(listener("late", &["late"], late.clone(), json!({ "waiting": { "deadline": "30s" } })))
        .listener(listener("quiet", &["quiet"], rarely.clone(), json!({})))
        .listener(listener(
            "rotating",
            &["rotating"],
            rarely.clone(),
            json!({ "waiting": { "deadline": "30s" } }),
        ))
        .listener(listener("flooded", &["flooded"], rarely, json!({ "waiting": { "deadline": "30s" } })))
        .listener(listener("withdrawing", &["withdrawing"], often, json!({})))
        .listener(listener("slow", &["slow"], late.clone(), json!({ "waiting": { "deadline": "1s" } })))
        .listener(reporting("mute", late("mute")));
    setup.start_without("late", *LATE)
});

/// No server listens here until a test does. An address of its own, so that no connection of another test takes the
/// port.
static LATE: LazyLock<SocketAddr> = LazyLock::new(|| {
    let listener = std::net::TcpListener::bind("127.0.77.1:0").unwrap();
    listener.local_addr().unwrap()
});

fn listener(name: &str, issuers: &[&str], keys: impl Fn(&str) -> Value, more: Value) -> Listener {
    let issuers: Vec<Value> = issuers.iter().map(|issuer| trust(issuer, keys(issuer))).collect();
    Listener::new(name, Document::Struct(reading(name, &issuers, json!({ "inbound": more }))))
}

/// A report-only route whose requests wait a second at most.
fn reporting(name: &str, keys: Value) -> Listener {
    let route = json!({
        "name": name,
        "match": { "prefix": "/" },
        "require": { "scopes": ["orders:read"] },
        "mode": "report_only",
    });
    let more = json!({ "waiting": { "deadline": "1s" } });
    Listener::new(name, Document::Struct(inbound(&[trust(name, keys)], &[route], more)))
}

/// An issuer that never says what its keys are.
fn hanging(name: &str) -> Issuer {
    let issuer = issuer(name, &[Algorithm::Es256]);
    issuer.fault(Fault::Hang);
    issuer
}

#[test]
fn requests_before_the_first_keys_wait_and_pass_when_the_issuer_comes() {
    let proxy = visit(&PROXY);
    // Its twin signs with other keys, so the token has to be made when the issuer is there. Until then, tokens of an unknown key
    // wait as well: whether it is the issuer's cannot be known.
    let stranger = issuer("late", &[Algorithm::Es256]);
    let waiting: Vec<Request> = (0..10)
        .map(|_| proxy.get("late", "/").bearer(&scoped(&stranger, "orders:read")).timeout(PATIENCE))
        .collect();
    std::thread::scope(|scope| {
        let answers = scope.spawn(|| at_once(waiting));
        eventually("all to wait", || (proxy.active("late") == 10).then_some(()));
        let late = issuer_at("late", &[Algorithm::Es256], *LATE);
        let good = proxy.get("late", "/").bearer(&scoped(&late, "orders:read")).timeout(PATIENCE);
        echo(&good.send().unwrap());
        for answer in answers.join().unwrap() {
            assert_eq!(verdict(&answer), (401, "signature_invalid".into()));
        }
        // One fetch for all, the VM on the main thread too.
        proxy.expect_metric(
            "attache_shared_documents_total",
            &[("issuer", "late"), ("result", "adopted")],
            VMS - 1,
        );
        assert_eq!(late.jwks_requests(), 1);
    });
}

#[test]
fn a_request_that_waits_passes_when_the_keys_come() {
    let issuer = issuer("quiet", &[Algorithm::Es256]);
    issuer.fault(Fault::Status(500));
    let keys = |name: &str| json!({ "keys": { "jwks": jwks(name, json!({})) } });
    let more = json!({
        "waiting": { "deadline": "30s" },
        "forward_claims": [{ "claim": "sub", "header": "x-sub" }],
        "token": { "after_verification": "strip" },
    });
    let proxy =
        Setup::new().with_issuer("quiet", issuer).listener(listener("waits", &["quiet"], keys, more)).start();
    let good = scoped(proxy.issuer("quiet"), "orders:read");
    let narrow = scoped(proxy.issuer("quiet"), "orders");
    let request = |n: usize| {
        let request =
            Request::post(proxy.url("waits", "/")).header("x-sub", "forged").body(vec![b'x'; 50_000]);
        request.bearer(if n.is_multiple_of(2) { &good } else { &narrow }).timeout(PATIENCE)
    };
    std::thread::scope(|scope| {
        let answers = scope.spawn(|| at_once((0..20).map(request).collect()));
        eventually("all to wait", || (proxy.active("waits") == 20).then_some(()));
        proxy.issuer("quiet").heal();
        for (n, answer) in answers.join().unwrap().iter().enumerate() {
            if !n.is_multiple_of(2) {
                assert_eq!(verdict(answer), (403, "scope_insufficient".into()));
                continue;
            }
            // Waiting changes nothing about what the upstream sees.
            let seen = echo(answer);
            let headers = (seen.header("x-sub"), seen.header("authorization"));
            assert_eq!((headers, seen.body_length), ((Some("orders-service"), None), 50_000));
        }
    });
}

#[test]
fn a_report_only_route_is_served_without_keys_when_the_wait_is_over() {
    let proxy = visit(&PROXY);
    let answer = proxy.get("mute", "/").bearer(&scoped(proxy.issuer("mute"), "orders:read")).send().unwrap();
    echo(&answer);
    let labels = [("route", "mute"), ("outcome", "report"), ("reason", "keys_unavailable")];
    proxy.expect_metric("attache_decisions_total", &labels, 1);
}

#[test]
fn a_request_without_a_token_or_on_a_public_route_does_not_wait() {
    let proxy = visit(&PROXY);
    // Requests that wait there are answered 503.
    assert_eq!(proxy.get("slow", "/").send().unwrap().status, 401);
    let expired = token(proxy.issuer("slow"), &TokenSpec::default().expired());
    let answer = proxy.get("slow", "/").bearer(&expired).send().unwrap();
    assert_eq!(verdict(&answer), (401, "expired".into()), "the prescreen refuses without keys");
}

/// All requests of one HTTP/2 connection meet the same worker, in order: three wait, as configured, the fourth does not.
#[test]
fn waiting_is_bounded_in_number_and_in_time() {
    let waiting = json!({ "waiting": { "requests": 3, "deadline": "2s" } });
    let keys = |name: &str| json!({ "keys": { "jwks": jwks(name, json!({ "timeout": "60s" })) } });
    let proxy = Setup::new()
        .with_issuer("hanging", hanging("hanging"))
        .listener(listener("bounded", &["hanging"], keys, waiting))
        .start();
    let bearer = format!("Bearer {}", scoped(proxy.issuer("hanging"), "orders:read"));
    let addr = proxy.addr("bounded");
    let requests = (0..5).map(|_| h2::get(addr, "/", &[("authorization", &bearer)])).collect();
    let answers = h2::send_all(addr, requests);
    let first_over = answers.iter().take(3).map(|answer| answer.after).min().unwrap();
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.field("www-authenticate"), None);
        let seconds: u64 = answer.field("retry-after").expect("retry-after").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        if n < 3 {
            assert!(answer.after >= Duration::from_secs(2), "{n} answered after {:?}", answer.after);
        } else {
            assert!(answer.after < first_over, "{n} answered after {:?}", answer.after);
        }
    }
    let denied =
        |reason| [("route", "bounded"), ("issuer", "hanging"), ("outcome", "deny"), ("reason", reason)];
    proxy.expect_metric("attache_decisions_total", &denied("keys_unavailable"), 3);
    proxy.expect_metric("attache_decisions_total", &denied("waiting_full"), 2);
    // Those whose time was up have left their places: a gRPC call waits in one of them.
    let call = h2::grpc(addr, "/orders.Orders/Read", &[("authorization", &bearer)]);
    let answer = h2::send_all(addr, vec![call]).remove(0);
    assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("14")), "{answer:?}");
    assert!(answer.field("retry-after").is_some() && answer.after >= Duration::from_secs(2), "{answer:?}");
}

#[test]
fn a_caller_that_goes_away_leaves_its_place() {
    let waiting = json!({ "waiting": { "requests": 1, "deadline": "60s" } });
    let keys = |name: &str| json!({ "keys": { "jwks": jwks(name, json!({ "timeout": "60s" })) } });
    let proxy = Setup::new()
        .with_issuer("hanging", hanging("hanging"))
        .listener(listener("leaving", &["hanging"], keys, waiting))
        .start();
    let token = scoped(proxy.issuer("hanging"), "orders:read");
    let leave = || {
        // Gives up after a moment: on whichever worker, the place is taken until then.
        proxy.get("leaving", "/").bearer(&token).timeout(Duration::from_millis(300)).send()
    };
    for _ in 0..20 {
        assert!(leave().is_err(), "there was a place to wait in");
        eventually("Envoy to notice", || (proxy.active("leaving") == 0).then_some(()));
    }
}

/// Every way in which an issuer can fail, at once: each on an issuer of its own.
#[test]
fn the_last_good_keys_stay_while_the_issuer_is_down() {
    // For a connection that broke before the headers, and at a timeout, Envoy answers itself; one that breaks later is a
    // reset.
    let faults: [(&str, Fault, &[&str]); 19] = [
        ("status", Fault::Status(500), &["status"]),
        ("retry-after", Fault::RetryAfter { status: 429, seconds: 1 }, &["status"]),
        ("redirect", Fault::Redirect, &["status"]),
        ("not-asked-304", Fault::Status(304), &["status"]),
        ("hang", Fault::Hang, &["not_reached"]),
        ("reset", Fault::Reset, &["not_reached"]),
        ("truncated", Fault::Truncated, &["not_reached", "reset"]),
        ("empty-body", Fault::EmptyBody, &["malformed"]),
        ("half-json", Fault::HalfJson, &["malformed"]),
        ("html", Fault::Html, &["malformed"]),
        ("not-utf8", Fault::NotUtf8, &["malformed"]),
        ("huge", Fault::Huge(300_000), &["too_large"]),
        ("enormous", Fault::Huge(20_000_000), &["too_large", "not_reached", "reset"]),
        ("empty-set", Fault::EmptySet, &["empty_set"]),
        ("ten-thousand-keys", Fault::ManyKeys(10_000), &["too_large"]),
        ("too-many-keys", Fault::ManyKeys(129), &["malformed"]),
        ("weak-rsa", Fault::WeakRsa, &["no_usable_key"]),
        ("unknown-kty", Fault::UnknownKty, &["no_usable_key"]),
        ("alg-contradicts", Fault::AlgContradicts, &["no_usable_key"]),
    ];
    let names: Vec<&str> = faults.iter().map(|(name, ..)| *name).collect();
    let mut setup = Setup::new();
    for name in &names {
        setup = setup.issuer(name);
    }
    let keys = |name: &str| json!({ "keys": { "jwks": jwks(name, json!({ "refresh": "1s", "timeout": "500ms" })) } });
    let proxy = setup.listener(listener("outage", &names, keys, json!({}))).start();
    for name in &names {
        eventually("first keys in every VM", || (proxy.taken(name) >= VMS - 1).then_some(()));
        proxy.expect_fetched(name, "changed", 1);
    }
    let before: Vec<u64> = names.iter().map(|name| proxy.issuer(name).jwks_requests()).collect();
    let start = Instant::now();
    for (name, fault, _) in &faults {
        proxy.issuer(name).fault(fault.clone());
    }
    for (name, _, results) in &faults {
        eventually(&format!("failed fetches of {name}, as {results:?}"), || {
            (results.iter().map(|result| proxy.fetched(name, result)).sum::<u64>() >= 3).then_some(())
        });
        // Tokens that no cache knows, on both workers.
        for _ in 0..6 {
            echo(
                &proxy.get("outage", "/").bearer(&scoped(proxy.issuer(name), "orders:read")).send().unwrap(),
            );
        }
    }
    for (name, before) in names.iter().zip(before) {
        // The pauses between the failures of one process double: three failures do not come from three threads.
        // What is past its lifetime, each VM asks for once itself.
        let most = 1 + failing(start.elapsed()) + VMS;
        let asked = proxy.issuer(name).jwks_requests() - before;
        assert!(asked <= most, "{name} was asked {asked} times, not {most} at most");
        proxy.expect_metric("attache_keys", &[("issuer", name)], 1);
    }
    for (name, ..) in &faults {
        let issuer = proxy.issuer(name);
        issuer.rotate().unwrap();
        issuer.withdraw_old();
        issuer.heal();
    }
    for (name, ..) in &faults {
        eventually(&format!("new keys of {name}"), || {
            let answer =
                proxy.get("outage", "/").bearer(&scoped(proxy.issuer(name), "orders:read")).send().unwrap();
            (answer.status == 200).then_some(())
        });
    }
}

/// How many fetches are made at most in a time in which all fail: 250 ms at first, twice as long each time, less a half.
fn failing(time: Duration) -> u64 {
    let (mut count, mut at, mut pause) = (1, Duration::ZERO, Duration::from_millis(250));
    while at + pause / 2 <= time {
        count += 1;
        at += pause / 2;
        pause = (pause * 2).min(Duration::from_secs(30));
    }
    count
}

#[test]
fn an_unknown_kid_causes_one_fetch_for_a_hundred_requests_on_all_workers() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("rotating");
    eventually("first keys in every VM", || (proxy.taken("rotating") == VMS - 1).then_some(()));
    assert_eq!(issuer.jwks_requests(), 1);
    // Most arrive while it is under way, and some before.
    issuer.fault(Fault::Delay(Duration::from_secs(1)));
    issuer.rotate().unwrap();
    let requests: Vec<Request> = (0..100)
        .map(|_| proxy.get("rotating", "/").bearer(&scoped(issuer, "orders:read")).timeout(PATIENCE))
        .collect();
    for answer in at_once(requests) {
        echo(&answer);
    }
    // Longer than it takes until another would be allowed: no request needs one any more.
    let answered = Instant::now();
    while answered.elapsed() < Duration::from_secs(2) {
        echo(&proxy.get("rotating", "/").bearer(&scoped(issuer, "orders:read")).send().unwrap());
    }
    assert_eq!(issuer.jwks_requests(), 2, "one fetch for all of them");
    proxy.expect_metric("attache_key_fetches_total", &[("issuer", "rotating")], 2);
}

#[test]
fn a_flood_of_unknown_kids_does_not_become_a_flood_of_fetches() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("flooded");
    eventually("first keys in every VM", || (proxy.taken("flooded") == VMS - 1).then_some(()));
    let (start, before) = (Instant::now(), issuer.jwks_requests());
    assert_eq!(before, 1);
    let unknown = TokenSpec::scoped("orders:read").signer(Signer::Unknown(Algorithm::Es256));
    for _ in 0..6 {
        let requests =
            (0..50).map(|_| proxy.get("flooded", "/").bearer(&token(issuer, &unknown)).timeout(PATIENCE));
        for answer in at_once(requests.collect()) {
            assert_eq!(verdict(&answer), (401, "key_unknown".into()));
        }
    }
    let fetches = issuer.jwks_requests() - before;
    // One, and one more in each interval that has passed, for the whole process.
    let intervals = start.elapsed().as_millis() as u64 / 500;
    assert!((1..=intervals + 1).contains(&fetches), "{fetches} fetches in {intervals} intervals");
    // Others are served meanwhile, and afterwards.
    echo(&proxy.get("flooded", "/").bearer(&scoped(issuer, "orders:read")).send().unwrap());
}

#[test]
fn a_withdrawn_keys_tokens_are_refused_after_the_refresh_even_cached_ones() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("withdrawing");
    let old = scoped(issuer, "orders:read");
    let get = || proxy.get("withdrawing", "/").bearer(&old).send().unwrap();
    for _ in 0..8 {
        echo(&get());
    }
    issuer.rotate().unwrap();
    let withdrawn = issuer.withdraw_old();
    assert_eq!(withdrawn.len(), 1);
    // The first fetch may have begun before; once there is a third, all have what the second brought.
    let before = issuer.jwks_requests();
    eventually("two refreshes", || (issuer.jwks_requests() >= before + 3).then_some(()));
    for _ in 0..8 {
        assert_eq!(verdict(&get()), (401, "key_unknown".into()));
    }
    echo(&proxy.get("withdrawing", "/").bearer(&scoped(issuer, "orders:read")).send().unwrap());
}

#[test]
fn keys_are_not_fetched_more_often_than_configured() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("quiet");
    eventually("first keys in every VM", || (proxy.taken("quiet") == VMS - 1).then_some(()));
    let kinds: BTreeSet<u16> = (0..50)
        .map(|_| proxy.get("quiet", "/").bearer(&scoped(issuer, "orders:read")).send().unwrap().status)
        .collect();
    assert_eq!(kinds, BTreeSet::from([200]));
    let forged = token(issuer, &TokenSpec::scoped("orders:read").signer(Signer::Forger));
    assert_eq!(
        verdict(&proxy.get("quiet", "/").bearer(&forged).send().unwrap()),
        (401, "signature_invalid".into())
    );
    assert_eq!(issuer.jwks_requests(), 1, "known kids need no fetch");
}

/// As long as a request of these tests may wait.
const PATIENCE: Duration = Duration::from_secs(40);
