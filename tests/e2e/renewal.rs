use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use attache_harness::http::Request;
use attache_harness::issuer::{Endpoint, Fault, Issuer};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::egress::{
    HOST, PATIENCE, assert_all_good, bare, call, client, destination, document, grow_old, hosts, in_cluster,
    in_listener, patient, replaying, setup, under_load, upstream,
};
use crate::proxy::{Proxy, at_once, echo, eventually};

/// Lets the API accept live tokens only, and remembers those that came after their own `exp`.
fn accept_live_tokens(proxy: &Proxy) -> Arc<Mutex<Vec<String>>> {
    let late = Arc::new(Mutex::new(Vec::new()));
    let (live, remembered) = (proxy.issuer("idp").liveness(), Arc::clone(&late));
    proxy.upstream().accept_tokens(move |token| {
        if exp(token) <= UNIX_EPOCH.elapsed().unwrap().as_secs_f64() {
            remembered.lock().unwrap().push(token.to_owned());
        }
        live(token)
    });
    late
}

fn exp(token: &str) -> f64 {
    let claims = Base64UrlUnpadded::decode_vec(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["exp"].as_f64().unwrap()
}

fn tokens_seen(proxy: &Proxy) -> BTreeSet<String> {
    proxy.upstream().seen().iter().map(|echo| echo.bearer().expect("a token").to_owned()).collect()
}

#[test]
fn a_cold_start_at_a_slow_token_endpoint_makes_requests_wait_and_none_fail() {
    let (client, more) = patient();
    let (setup, gate) = in_listener(client, more).workers(4).gated("idp");
    let proxy = setup.start();
    std::thread::scope(|scope| {
        let calls = (0..64).map(|_| call(&proxy, "egress", "/").timeout(PATIENCE));
        let answers = scope.spawn(|| at_once(calls.collect()));
        eventually("all to wait", || (proxy.active("egress") == 64).then_some(()));
        gate.open();
        for answer in answers.join().unwrap() {
            assert!(echo(&answer).bearer().is_some());
        }
    });
    assert_eq!(proxy.issuer("idp").token_requests(), 1);
}

/// More than any buffer on the way holds.
#[test]
fn an_upload_that_waits_for_the_first_token_arrives_whole_in_either_position() {
    let slow = |issuers: &BTreeMap<String, Issuer>| {
        issuers["idp"].fault_at(Endpoint::Token, Fault::Delay(Duration::from_secs(2)));
    };
    let body = vec![b'x'; 8 << 20];
    let (client, more) = patient();
    for setup in [in_listener(client.clone(), more.clone()), in_cluster(client, more)] {
        let proxy = setup.start_with(slow);
        let request = Request::post(proxy.url("egress", "/")).header("host", HOST).body(body.clone());
        let seen = echo(&request.timeout(PATIENCE).send().unwrap());
        assert!(seen.bearer().is_some());
        assert_eq!((seen.body_length, seen.body_sha256), (body.len(), digest(&body)));
        assert_eq!(proxy.issuer("idp").token_requests(), 1);
    }
}

/// Envoy replays what it has kept, and it keeps a megabyte.
#[test]
fn a_body_that_envoy_does_not_keep_is_not_replayed_and_the_next_request_has_a_new_token() {
    let proxy = in_cluster(json!({}), json!({ "outbound": { "purge_interval": "1s" } })).workers(1).start();
    let issuer = proxy.issuer("idp");
    proxy.upstream().accept_tokens(issuer.liveness());
    echo(&call(&proxy, "egress", "/").send().unwrap());
    grow_old(Instant::now(), Duration::from_millis(1_100));
    issuer.revoke_all_tokens();
    let body = vec![b'x'; 8 << 20];
    let post =
        || Request::post(proxy.url("egress", "/")).header("host", HOST).body(body.clone()).send().unwrap();
    assert_eq!(post().status, 401);
    echo(&post());
    assert_eq!(issuer.token_requests(), 2);
}

#[test]
fn a_token_endpoint_that_is_down_at_the_start_costs_503_after_the_deadline_and_nothing_once_it_is_up() {
    let waiting = json!({ "outbound": { "waiting": { "deadline": "1s" }, "breaker": { "failures": 100 } } });
    let setup = in_listener(json!({}), waiting).workers(4);
    let proxy = setup.start_with(|issuers| issuers["idp"].fault_at(Endpoint::Token, Fault::Reset));
    let begun = Instant::now();
    let refused = call(&proxy, "egress", "/").send().unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    // At once only if no attempt can come in time.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    let (came, ()) = under_load(
        || call(&proxy, "egress", "/"),
        |load| {
            eventually("some answers", || (load.count(503) > 20).then_some(()));
            proxy.issuer("idp").heal();
            eventually("good answers", || (load.count(200) > 100).then_some(()));
        },
    );
    let statuses: BTreeSet<u16> = came.iter().map(|came| came.status).collect();
    assert_eq!(statuses, BTreeSet::from([200, 503]), "never 401");
    let first_good = came.iter().filter(|came| came.status == 200).map(|came| came.at).min().unwrap();
    let last_bad = came.iter().filter(|came| came.status == 503).map(|came| came.at).max().unwrap();
    // All workers learn of the token at once.
    assert!(last_bad < first_good + Duration::from_secs(1), "{:?}", last_bad - first_good);
    assert!(came.iter().filter(|came| came.status == 503).all(|came| came.retry_after.is_some()));
    assert!(proxy.upstream().seen().iter().all(|echo| echo.bearer().is_some()));
}

#[test]
fn tokens_are_renewed_under_load_before_they_expire_and_once_for_all_workers() {
    let setup = in_listener(json!({}), json!({})).workers(4);
    let proxy = setup.start_with(|issuers| issuers["idp"].set_lifetime(LIFETIME));
    let late = accept_live_tokens(&proxy);
    let begun = Instant::now();
    let (came, ()) = under_load(
        || call(&proxy, "egress", "/"),
        |_| {
            eventually("several lifetimes", || (begun.elapsed() > 3 * LIFETIME).then_some(()));
        },
    );
    assert_all_good(&came);
    assert!(late.lock().unwrap().is_empty(), "an expired token");
    let requests = proxy.issuer("idp").token_requests();
    // Between a half and the whole of a life after the one before, of which its `exp`, in whole seconds, takes up to one.
    let most = begun.elapsed().as_secs_f64() / 1.1 + 2.0;
    assert!((4..=most as u64).contains(&requests), "{requests} in {:?}", begun.elapsed());
    let seen = tokens_seen(&proxy).len() as u64;
    assert!(seen + 1 >= requests, "{seen} of {requests} were of use");
}

fn digest(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

const LIFETIME: Duration = Duration::from_secs(4);

/// Envoy's own retry carries a request whose token was revoked to the next token.
#[test]
fn no_caller_sees_a_401_when_a_token_is_revoked_in_mid_traffic() {
    let proxy = in_cluster(json!({}), json!({ "outbound": { "purge_interval": "1s" } })).workers(4).start();
    let issuer = proxy.issuer("idp");
    proxy.upstream().accept_tokens(issuer.liveness());
    let body = vec![b'x'; 100 * 1024];
    let digest = digest(&body);
    let post = || {
        Request::post(proxy.url("egress", "/"))
            .header("host", HOST)
            .header("x-number", "1")
            .body(body.clone())
    };
    echo(&post().send().unwrap());
    let obtained = Instant::now();
    let (came, ()) = under_load(post, |load| {
        eventually("some answers", || (load.count(200) > 20).then_some(()));
        grow_old(obtained, Duration::from_millis(1_500));
        assert_eq!(issuer.token_requests(), 1);
        issuer.revoke_all_tokens();
        let before = load.count(200);
        eventually("answers after it", || (load.count(200) > before + 200).then_some(()));
    });
    assert_all_good(&came);
    assert_eq!(issuer.token_requests(), 2, "one for all workers");
    assert_eq!(tokens_seen(&proxy).len(), 2);
    assert!(
        proxy.upstream().seen().iter().all(|echo| echo.body_sha256 == digest),
        "bodies are replayed whole"
    );
    // At most once for each worker.
    let purges = [("client", "billing"), ("result", "purged")];
    eventually("the purges to be counted", || {
        (1..=4).contains(&proxy.metric("attache_token_purges_total", &purges)).then_some(())
    });
}

/// Envoy's own limit is three for a cluster, and a request that waits for the next token is a retry all the while.
#[test]
fn as_many_requests_are_replayed_as_the_max_retries_of_their_cluster_allow() {
    let (patient_client, mut more) = patient();
    more["outbound"]["purge_interval"] = "1s".into();
    let document = document("upstream", &[client(patient_client)], &[destination(json!({}))], more);
    for (cluster_has_room, refused) in [(true, 0), (false, CALLS - 3)] {
        let mut cluster = upstream("egress", document.clone());
        if !cluster_has_room {
            cluster.as_object_mut().unwrap().remove("circuit_breakers");
        }
        let (setup, gate) = setup().gated("idp");
        gate.open();
        let proxy = setup
            .workers(1)
            .cluster("billing", cluster)
            .listener(bare("egress").manager(hosts(replaying())))
            .start();
        let issuer = proxy.issuer("idp");
        proxy.upstream().accept_tokens(issuer.liveness());
        echo(&call(&proxy, "egress", "/").send().unwrap());
        grow_old(Instant::now(), Duration::from_millis(1_100));
        // All are on their way before the first is refused, and all refused before the next token is there.
        proxy.upstream().delay(Duration::from_secs(3));
        gate.close();
        issuer.revoke_all_tokens();
        let answers = std::thread::scope(|scope| {
            let calls = (0..CALLS).map(|_| call(&proxy, "egress", "/").timeout(PATIENCE));
            let answers = scope.spawn(|| at_once(calls.collect()));
            let purges = [("client", "billing"), ("result", "purged")];
            eventually("the token to be purged", || {
                let seen = proxy.upstream().seen().len();
                (seen > CALLS && proxy.metric("attache_token_purges_total", &purges) == 1).then_some(())
            });
            gate.open();
            answers.join().unwrap()
        });
        assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), refused);
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), CALLS - refused);
        let overflow = proxy.envoy().stat("cluster.billing.upstream_rq_retry_overflow").unwrap();
        assert_eq!(overflow, refused as u64);
    }
}

const CALLS: usize = 12;

#[test]
fn in_the_downstream_position_a_caller_sees_the_one_401_and_the_next_request_succeeds() {
    let proxy = in_listener(json!({}), json!({ "outbound": { "purge_interval": "1s" } })).start();
    let issuer = proxy.issuer("idp");
    proxy.upstream().accept_tokens(issuer.liveness());
    echo(&call(&proxy, "egress", "/").send().unwrap());
    grow_old(Instant::now(), Duration::from_millis(1_100));
    issuer.revoke_all_tokens();
    assert_eq!(call(&proxy, "egress", "/").send().unwrap().status, 401);
    // Other workers do not know of it: each may find out for itself, once.
    let mut refused = 1;
    for _ in 0..20 {
        match call(&proxy, "egress", "/").send().unwrap().status {
            200 => {}
            401 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(refused <= crate::proxy::WORKERS, "{refused}");
    assert_eq!(issuer.token_requests(), 2);
}

/// An API that refuses every token, for reasons of its own.
#[test]
fn an_api_that_always_says_401_does_not_drive_the_token_endpoint() {
    let proxy = in_cluster(json!({}), json!({ "outbound": { "purge_interval": "2s" } })).workers(4).start();
    proxy.upstream().accept_tokens(|_| false);
    let begun = Instant::now();
    let (came, ()) = under_load(
        || call(&proxy, "egress", "/"),
        |_| {
            eventually("some time", || (begun.elapsed() > Duration::from_secs(7)).then_some(()));
        },
    );
    assert!(came.iter().all(|came| came.status == 401), "{:?}", came.iter().find(|came| came.status != 401));
    // The first, and one whenever the last is two seconds old.
    let requests = proxy.issuer("idp").token_requests();
    assert!((2..=5).contains(&requests), "{requests}");
}
