use std::net::SocketAddr;

use attache_harness::issuer::{Algorithm, Endpoint, Fault, Issuer, IssuerOptions, Signer, TokenSpec};
use serde_json::{Value, json};

use crate::proxy::{
    Document, Listener, Proxy, Setup, Shared, VMS, echo, eventually, issuer, jwks, reading, trust_with,
    verdict, visit,
};
use crate::secrets::{scoped, token};

/// Each test has issuers of its own, so that none disturbs another.
static PROXY: Shared = Shared::new(|| {
    let mut setup = Setup::new();
    let second = |name: &str, more: Value| {
        let mut second = jwks(name, more);
        second["uri"] = format!("https://{name}.example/jwks2").into();
        json!({ "jwks": second })
    };
    let each_second = || json!({ "refresh": "1s", "timeout": "500ms" });
    let first = |name: &str, more: Value| json!({ "jwks": jwks(name, more) });
    let written: Value = serde_json::from_slice(&emergency().jwks()).unwrap();
    let believing = json!({ "refresh": "1s", "empty_set": "accept" });
    let issuers: [(&str, Value); 7] = [
        ("both", json!([first("both", each_second()), second("both", each_second())])),
        ("one-down", json!([first("one-down", each_second()), second("one-down", each_second())])),
        ("written", json!([first("written", each_second()), { "inline": written }])),
        ("keeping", first("keeping", each_second())),
        ("believing", first("believing", believing)),
        ("alike", first("alike", json!({ "refresh": "1s", "unknown_key_interval": "100ms" }))),
        ("leaking", first("leaking", each_second())),
    ];
    for (name, keys) in issuers {
        let issuer = issuer(name, &[Algorithm::Es256]);
        match name {
            "one-down" | "written" => issuer.fault(Fault::Status(500)),
            "leaking" => issuer.fault(Fault::PrivateKeys),
            _ => {}
        }
        let more = json!({ "inbound": { "waiting": { "deadline": "2s" } } });
        let document = reading(name, &[trust_with(name, keys)], more);
        setup = setup.with_issuer(name, issuer).listener(Listener::new(name, Document::Struct(document)));
    }
    setup.start()
});

/// Another server of the issuer `written`, with a key that the configuration holds.
fn emergency() -> &'static Issuer {
    static ISSUER: std::sync::LazyLock<Issuer> = std::sync::LazyLock::new(|| {
        let issuer = Issuer::start(IssuerOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            identifier: Some("https://written.example".to_owned()),
            algorithms: vec![Algorithm::EdDsa],
            kid_prefix: "emergency".to_owned(),
            ..IssuerOptions::default()
        });
        issuer.unwrap()
    });
    &ISSUER
}

fn send(proxy: &Proxy, listener: &str, token: &str) -> (u16, String) {
    verdict(&proxy.get(listener, "/").bearer(token).send().unwrap())
}

fn get(proxy: &Proxy, name: &str) -> (u16, String) {
    send(proxy, name, &scoped(proxy.issuer(name), "orders:read"))
}

fn by(issuer: &Issuer, kid: &str) -> String {
    token(issuer, &TokenSpec::scoped("orders:read").signer(Signer::Kid(kid.to_owned())))
}

#[test]
fn keys_of_two_documents_count_alike_and_one_goes_on_alone() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("both");
    eventually("keys", || (get(&proxy, "both").0 == 200).then_some(()));
    // The second is behind: it does not know the new key, and still has the old one.
    issuer.fault_at(Endpoint::SecondJwks, Fault::Status(500));
    issuer.rotate().unwrap();
    issuer.withdraw_old();
    eventually("the new key", || (get(&proxy, "both").0 == 200).then_some(()));
    let old = by(issuer, "both-1");
    for _ in 0..6 {
        assert_eq!(send(&proxy, "both", &old), (200, "forwarded".into()));
        assert_eq!(get(&proxy, "both"), (200, "forwarded".into()));
    }
    proxy.expect_metric("attache_keys", &[("issuer", "both")], 2);
    eventually("failures", || {
        (proxy.metric("attache_key_fetch_failures", &[("issuer", "both")]) > 0).then_some(())
    });
    // Once the second has caught up, the old key is in neither set.
    issuer.heal();
    eventually("the old key to go", || (send(&proxy, "both", &old).0 == 401).then_some(()));
    proxy.expect_metric("attache_keys", &[("issuer", "both")], 1);
    assert_eq!(get(&proxy, "both"), (200, "forwarded".into()));
}

#[test]
fn the_first_keys_may_come_from_either_document() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("one-down");
    eventually("keys of the second", || (get(&proxy, "one-down").0 == 200).then_some(()));
    eventually("failures of the first", || (proxy.fetched("one-down", "status") >= 2).then_some(()));
    assert_eq!(get(&proxy, "one-down"), (200, "forwarded".into()));
    // What neither has may be what the first would say.
    let stranger = token(issuer, &TokenSpec::scoped("orders:read").signer(Signer::Unknown(Algorithm::Es256)));
    assert_eq!(send(&proxy, "one-down", &stranger), (503, "keys_unavailable".into()));
    issuer.heal();
    eventually("the first to say that it is in neither set", || {
        (send(&proxy, "one-down", &stranger) == (401, "key_unknown".into())).then_some(())
    });
}

#[test]
fn a_written_key_counts_from_the_first_request_while_the_document_is_not_there() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("written");
    let written = scoped(emergency(), "orders:read");
    for _ in 0..6 {
        assert_eq!(send(&proxy, "written", &written), (200, "forwarded".into()));
    }
    proxy.expect_metric("attache_keys", &[("issuer", "written")], 1);
    assert_eq!(get(&proxy, "written"), (503, "keys_unavailable".into()), "a fetched key may be the one");
    issuer.heal();
    eventually("fetched keys", || (get(&proxy, "written").0 == 200).then_some(()));
    assert_eq!(send(&proxy, "written", &written), (200, "forwarded".into()));
    proxy.expect_metric("attache_keys", &[("issuer", "written")], 2);
}

#[test]
fn an_empty_set_is_believed_only_where_the_configuration_says_so() {
    let proxy = visit(&PROXY);
    for name in ["keeping", "believing"] {
        eventually("keys in every VM", || (proxy.taken(name) >= VMS - 1).then_some(()));
        assert_eq!(get(&proxy, name), (200, "forwarded".into()));
        proxy.issuer(name).fault(Fault::EmptySet);
    }
    eventually("an empty set", || (proxy.fetched("keeping", "empty_set") >= 3).then_some(()));
    for _ in 0..6 {
        assert_eq!(get(&proxy, "keeping"), (200, "forwarded".into()));
    }
    proxy.expect_metric("attache_keys", &[("issuer", "keeping")], 1);

    proxy.expect_fetched("believing", "changed", 2);
    proxy.expect_metric("attache_keys", &[("issuer", "believing")], 0);
    for _ in 0..6 {
        assert_eq!(get(&proxy, "believing"), (401, "key_unknown".into()));
    }
    assert_eq!(proxy.fetched("believing", "empty_set"), 0);
    proxy.issuer("believing").heal();
    eventually("keys", || (get(&proxy, "believing").0 == 200).then_some(()));
}

/// RFC 7517 §4.5: names should differ, and need not.
#[test]
fn keys_under_one_name_are_tried_one_after_the_other() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("alike");
    issuer.rotate().unwrap();
    eventually("both keys", || (get(&proxy, "alike").0 == 200).then_some(()));
    issuer.fault(Fault::DuplicateKids);
    let renamed = TokenSpec::scoped("orders:read").header("kid", "alike-1");
    eventually("the second key under the first one's name", || {
        (send(&proxy, "alike", &token(issuer, &renamed)).0 == 200).then_some(())
    });
    eventually("all VMs to have them", || {
        let token = scoped(issuer, "orders:read");
        (0..6).all(|_| send(&proxy, "alike", &token) == (401, "key_unknown".into())).then_some(())
    });
    for _ in 0..6 {
        assert_eq!(send(&proxy, "alike", &by(issuer, "alike-1")), (200, "forwarded".into()));
        assert_eq!(send(&proxy, "alike", &token(issuer, &renamed)), (200, "forwarded".into()));
    }
    proxy.expect_metric("attache_keys", &[("issuer", "alike")], 2);
}

#[test]
fn private_halves_are_not_used_and_the_leak_is_told() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("leaking");
    eventually("keys", || (get(&proxy, "leaking").0 == 200).then_some(()));
    let served: Value =
        attache_harness::http::Request::get(format!("{}/jwks", issuer.url())).send().unwrap().json().unwrap();
    crate::secrets::remember(served["keys"][0]["d"].as_str().expect("a private half"));
    let log = proxy.envoy().logs();
    let mut lines = log.lines().filter(|line| line.contains("[warn"));
    let line =
        lines.find(|line| line.contains("issuer leaking: ")).unwrap_or_else(|| panic!("no line:\n{log}"));
    assert!(line.contains("the document publishes PRIVATE key material: replace those keys"), "{line}");
    proxy.expect_fetched("leaking", "changed", 1);
    echo(&proxy.get("leaking", "/").bearer(&scoped(issuer, "orders:read")).send().unwrap());
}
