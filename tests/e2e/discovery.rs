use std::net::SocketAddr;

use attache_harness::issuer::{Algorithm, Endpoint, Fault, Issuer, IssuerOptions, MetadataForm};
use serde_json::{Value, json};

use crate::proxy::{
    Document, Listener, Proxy, Setup, Shared, VMS, echo, eventually, reading, trust_with, verdict, visit,
};
use crate::secrets::scoped;

/// Each test has issuers of its own, so that none disturbs another.
static PROXY: Shared = Shared::new(|| {
    let mut setup = Setup::new();
    // The cluster, the path of the issuer's URL, and what is said of its discovery.
    let issuers = [
        ("root", "", json!({})),
        ("tenant", "/tenants/a", json!({})),
        ("slash", "/tenants/a/", json!({})),
        ("openid", "/tenants/b", json!({})),
        ("liar", "", json!({})),
        ("plain", "", json!({})),
        ("plain-allowed", "", json!({ "tls": "optional" })),
        ("moving", "", json!({ "metadata_refresh": "1s", "unknown_key_interval": "100ms" })),
        ("moved", "", json!({ "unknown_key_interval": "100ms" })),
        ("silent", "", json!({ "metadata_refresh": "1s", "refresh": "1s" })),
    ];
    for (name, path, more) in issuers {
        let issuer = issuer(name, path);
        match name {
            "openid" => issuer.hide_metadata(MetadataForm::OAuth, true),
            "liar" => issuer.replace_metadata(Some(
                json!({ "issuer": "https://liar.example/", "jwks_uri": "https://liar.example/jwks" })
                    .to_string()
                    .into_bytes(),
            )),
            "plain" | "plain-allowed" => issuer.set_jwks_uri(None),
            _ => {}
        }
        let mut discovery = json!({ "cluster": name, "refresh": "1h", "metadata_refresh": "1h" });
        crate::proxy::join(&mut discovery, more);
        let mut trusted = trust_with(name, json!({ "discovery": discovery }));
        trusted["issuer"] = issuer.identifier().into();
        let more = json!({ "inbound": { "waiting": { "deadline": "1s" } } });
        setup = setup
            .with_issuer(name, issuer)
            .listener(Listener::new(name, Document::Struct(reading(name, &[trusted], more))));
    }
    setup.start()
});

/// An issuer at this path of its host, whose metadata says that its keys are at `/jwks`, over TLS.
fn issuer(name: &str, path: &str) -> Issuer {
    let issuer = Issuer::start(IssuerOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        identifier: Some(format!("https://{name}.example{path}")),
        algorithms: vec![Algorithm::Es256],
        kid_prefix: name.to_owned(),
        ..IssuerOptions::default()
    });
    let issuer = issuer.unwrap();
    issuer.set_jwks_uri(Some(format!("https://{name}.example/jwks")));
    issuer
}

fn get(proxy: &Proxy, name: &str) -> (u16, String) {
    let token = scoped(proxy.issuer(name), "orders:read");
    verdict(&proxy.get(name, "/").bearer(&token).send().unwrap())
}

fn metadata(proxy: &Proxy, name: &str, result: &str) -> u64 {
    proxy.metric("attache_metadata_fetches_total", &[("issuer", name), ("result", result)])
}

#[test]
fn the_issuers_url_is_all_it_takes_with_a_path_and_without() {
    let proxy = visit(&PROXY);
    for name in ["root", "tenant", "slash"] {
        let issuer = proxy.issuer(name);
        // Both documents, in each VM but the one that fetched it.
        eventually(&format!("{name}'s keys in every VM"), || {
            (proxy.taken(name) == 2 * (VMS - 1)).then_some(())
        });
        for _ in 0..6 {
            assert_eq!(get(&proxy, name), (200, "forwarded".into()), "{name}");
        }
        assert_eq!(issuer.oauth_metadata_requests(), 1, "{name}");
        assert_eq!(issuer.openid_metadata_requests(), 0, "{name}: RFC 8414 comes first");
        assert_eq!(issuer.jwks_requests(), 1, "{name}");
        assert_eq!(metadata(&proxy, name, "changed"), 1, "{name}");
    }
}

#[test]
fn where_there_is_no_metadata_of_oauth_there_is_that_of_openid() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("openid");
    eventually("keys in every VM", || (proxy.taken("openid") == 2 * (VMS - 1)).then_some(()));
    assert_eq!(get(&proxy, "openid"), (200, "forwarded".into()));
    assert_eq!((issuer.oauth_metadata_requests(), issuer.openid_metadata_requests()), (1, 1));
    assert_eq!((metadata(&proxy, "openid", "status"), metadata(&proxy, "openid", "changed")), (1, 1));
}

#[test]
fn metadata_of_another_issuer_or_without_tls_brings_no_key() {
    let proxy = visit(&PROXY);
    for (name, result, line) in [
        ("liar", "metadata_other_issuer", "the metadata is another issuer's: its `issuer` is `"),
        ("plain", "metadata_plaintext", "`jwks_uri` of the metadata is not https"),
    ] {
        let issuer = proxy.issuer(name);
        // The first attempt asks at both places.
        eventually(&format!("failures of {name}"), || (metadata(&proxy, name, result) >= 3).then_some(()));
        let token = scoped(issuer, "orders:read");
        for _ in 0..6 {
            let answer = proxy.get(name, "/").bearer(&token).send().unwrap();
            assert_eq!(verdict(&answer), (503, "keys_unavailable".into()), "{name}");
            assert!(answer.header("retry-after").is_some() && answer.header("www-authenticate").is_none());
        }
        assert_eq!(issuer.jwks_requests(), 0, "{name}");
        assert!(issuer.oauth_metadata_requests() > 0 && issuer.openid_metadata_requests() > 0, "{name}");
        proxy.expect_metric("attache_keys", &[("issuer", name)], 0);
        let log = proxy.envoy().logs();
        assert!(log.contains(&format!("issuer {name}: fetching metadata failed (1 in a row): {line}")));
    }
    eventually("keys over http where it may be", || (get(&proxy, "plain-allowed").0 == 200).then_some(()));
    // Once it says who it is, there are keys.
    proxy.issuer("liar").replace_metadata(None);
    eventually("keys", || (get(&proxy, "liar").0 == 200).then_some(()));
}

#[test]
fn keys_that_move_are_found_again() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("moving");
    eventually("keys", || (get(&proxy, "moving").0 == 200).then_some(()));
    issuer.rotate().unwrap();
    issuer.fault(Fault::Status(410));
    issuer.set_jwks_uri(Some("https://moving.example/jwks2".to_owned()));
    // The date of the metadata brings it; keys are not due for an hour.
    eventually("new keys", || (get(&proxy, "moving").0 == 200).then_some(()));
    assert_eq!(issuer.second_jwks_requests(), 1, "one fetch at the new place");
    proxy.expect_metric("attache_metadata_fetches_total", &[("issuer", "moving"), ("result", "changed")], 2);
    for _ in 0..6 {
        assert_eq!(get(&proxy, "moving"), (200, "forwarded".into()));
    }
    let log = proxy.envoy().logs();
    let lines = log
        .lines()
        .filter(|line| line.contains("[info]") && line.contains("issuer moving: the metadata names"));
    assert_eq!(lines.count(), 2, "one line for each address");
}

/// The metadata is not due for an hour, but the keys are not where it said.
#[test]
fn keys_that_are_gone_are_looked_for_where_the_metadata_says_now() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("moved");
    eventually("keys", || (get(&proxy, "moved").0 == 200).then_some(()));
    issuer.set_jwks_uri(Some("https://moved.example/jwks2".to_owned()));
    issuer.rotate().unwrap();
    issuer.fault(Fault::Status(404));
    let old = proxy.get("moved", "/").bearer(&scoped_by(issuer, "moved-1"));
    let old = || old.clone().send().unwrap();
    echo(&old());
    eventually("new keys", || {
        echo(&old());
        (get(&proxy, "moved").0 == 200).then_some(())
    });
    assert_eq!(issuer.second_jwks_requests(), 1);
}

#[test]
fn an_issuer_whose_metadata_fail_keeps_its_address_and_its_keys() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("silent");
    eventually("keys", || (get(&proxy, "silent").0 == 200).then_some(()));
    let failing = |result: &str| {
        let before = metadata(&proxy, "silent", result);
        eventually("failures", || (metadata(&proxy, "silent", result) >= before + 3).then_some(()));
        issuer.rotate().unwrap();
        eventually("new keys all the same", || (get(&proxy, "silent").0 == 200).then_some(()));
    };
    issuer.fault_at(Endpoint::Metadata, Fault::Status(500));
    failing("status");
    issuer.heal();
    // Another issuer's metadata, which would lead to another issuer's keys.
    let other = json!({ "issuer": "https://other.example", "jwks_uri": "https://silent.example/jwks2" });
    issuer.replace_metadata(Some(other.to_string().into_bytes()));
    failing("metadata_other_issuer");
    assert_eq!(issuer.second_jwks_requests(), 0);
    issuer.fault(Fault::Status(500));
    eventually("failures", || (proxy.fetched("silent", "status") >= 3).then_some(()));
    for _ in 0..6 {
        assert_eq!(get(&proxy, "silent"), (200, "forwarded".into()));
    }
}

#[test]
fn discovery_needs_an_issuer_that_is_an_https_url() {
    for (issuer, tls, told) in [
        ("corp", "required", "discovery needs an `issuer` that is an https URL"),
        ("http://corp.example", "required", "discovery without TLS needs `tls: optional`"),
        ("https://corp.example?a=b", "optional", "discovery needs an `issuer` without query"),
    ] {
        let mut trusted = trust_with("corp", json!({ "discovery": { "cluster": "corp", "tls": tls } }));
        trusted["issuer"] = Value::from(issuer);
        let document = reading("refused", &[trusted], json!({}));
        let ended = Setup::new()
            .issuer("corp")
            .listener(Listener::new("refused", Document::Struct(document)))
            .start_refused();
        let path = "configuration refused: inbound.issuers[0].keys.discovery: ";
        assert!(ended.log.contains(path) && ended.log.contains(told), "{issuer}:\n{}", ended.log);
    }
}

fn scoped_by(issuer: &Issuer, kid: &str) -> String {
    use attache_harness::issuer::{Signer, TokenSpec};
    crate::secrets::token(issuer, &TokenSpec::scoped("orders:read").signer(Signer::Kid(kid.to_owned())))
}
