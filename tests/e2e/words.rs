use std::net::TcpListener;
use std::time::Duration;

use attache_harness::issuer::{Algorithm, Endpoint, Fault, Issuer, IssuerOptions, RawAnswer};
use serde_json::json;

use crate::egress::{asserted, call, client, destination, document, downstream, in_listener, setup};
use crate::proxy::{Document, Listener, Proxy, Setup, eventually, issuer, jwks, reading, trust, trust_with};

/// The line that holds this text.
fn line(proxy: &Proxy, text: &str) -> String {
    let log = || proxy.envoy().logs();
    let find = || log().lines().find(|line| line.contains(text)).map(str::to_owned);
    eventually(&format!("the line {text}\n{}", log()), find)
}

/// The mistakes of an operator's first day: one line tells each from the others.
#[test]
fn each_failed_fetch_names_its_url_its_cluster_and_who_answered() {
    let lost = issuer("lost", &[Algorithm::Es256]);
    lost.fault_at(Endpoint::Jwks, Fault::Status(404));
    let hanging = issuer("hanging", &[Algorithm::Es256]);
    hanging.fault_at(Endpoint::Jwks, Fault::Hang);
    let busy = issuer("busy", &[Algorithm::Es256]);
    busy.fault_at(Endpoint::Jwks, Fault::Status(503));
    let realm = Issuer::start(IssuerOptions {
        identifier: Some("https://realm.example/realms/orders".to_owned()),
        ..IssuerOptions::default()
    });
    let mut other_realm = trust_with("realm", json!({ "discovery": { "cluster": "realm" } }));
    other_realm["issuer"] = "https://realm.example/realms/order".into();
    let trusted = [
        trust("lost", json!({})),
        trust("busy", json!({})),
        trust_with("hanging", json!({ "jwks": jwks("hanging", json!({ "timeout": "1s" })) })),
        other_realm,
        trust("down", json!({})),
        trust_with("mistyped", json!({ "jwks": jwks("mistyped", json!({ "cluster": "mystiped" })) })),
    ];
    // A port that was free a moment ago, and refuses.
    let nowhere = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let proxy = Setup::new()
        .with_issuer("lost", lost)
        .with_issuer("busy", busy)
        .with_issuer("hanging", hanging)
        .with_issuer("realm", realm.unwrap())
        .listener(Listener::new("first-day", Document::Struct(reading("first-day", &trusted, json!({})))))
        .start_without("down", nowhere);
    for (name, why, place) in [
        ("lost", "the server answered 404", "https://lost.example/jwks through cluster lost"),
        ("busy", "the server answered 503", "https://busy.example/jwks through cluster busy"),
        (
            "hanging",
            "no server answered, but Envoy itself, with 504: no answer within the timeout",
            "https://hanging.example/jwks through cluster hanging",
        ),
        (
            "down",
            "no server answered, but Envoy itself, with 503: no connection, or TLS failed (address, port, \
             firewall, CA, SAN, SNI): see the cluster's statistics",
            "https://down.example/jwks through cluster down",
        ),
        (
            "mistyped",
            "the call could not be sent: Envoy knows no cluster of this name",
            "https://mistyped.example/jwks through cluster mystiped",
        ),
    ] {
        let text = format!(
            "issuer {name}: fetching keys failed (1 in a row): {why}; {place}; requests that need them get \
                            503; next attempt in "
        );
        assert!(line(&proxy, &text).contains("[warning]"));
    }
    let place = "https://realm.example/realms/order/.well-known/openid-configuration through cluster realm, and before \
                 https://realm.example/.well-known/oauth-authorization-server/realms/order: the server answered 404";
    let text = format!(
        "issuer realm: fetching metadata failed (1 in a row): the server answered 404; {place}; requests \
                        that need its keys get 503; next attempt in "
    );
    assert!(line(&proxy, &text).contains("[warning]"));
    let configured = line(&proxy, "filter first-day configured, version ");
    assert!(configured.contains("[info]"), "{configured}");
}

#[test]
fn a_renewal_that_fails_tells_how_long_the_token_at_hand_serves() {
    let proxy = in_listener(json!({}), json!({}))
        .start_with(|issuers| issuers["idp"].set_lifetime(Duration::from_secs(4)));
    eventually("a token", || (call(&proxy, "egress", "/").send().unwrap().status == 200).then_some(()));
    let gauge = || proxy.metric("attache_token_margin_left_percent", &[("client", "billing")]);
    eventually("the gauge", || (gauge() == 100).then_some(()));
    let refusal = RawAnswer::json(401, &json!({ "error": "unauthorized_client" }));
    proxy.issuer("idp").fault_at(Endpoint::Token, Fault::Answer(refusal));
    let text = "client billing: renewal failed (1 in a row): the server says `unauthorized_client`: wrong secret, or grant \
                not allowed: check the secret, then whether this client may use this grant; \
                https://idp.example/token through cluster idp; the token at hand serves ";
    let told = line(&proxy, text);
    assert!(told.contains("[error]") && told.contains(" more; next attempt in "), "{told}");
    eventually("the gauge to fall", || (gauge() < 50).then_some(()));
    line(&proxy, "client billing: the token expired before there was a new one: requests get 503; https://");
}

#[test]
fn metadata_of_a_token_endpoint_that_cannot_be_fetched_is_told_ever_more_rarely_and_counted_by_client() {
    let mut client = client(json!({
        "discovery": { "issuer": "https://idp.example", "cluster": "idp", "metadata_refresh": "1s" } }));
    client.as_object_mut().unwrap().remove("token_endpoint");
    let document = document("downstream", &[client], &[destination(json!({}))], json!({}));
    let proxy = setup()
        .cluster("billing", asserted())
        .listener(downstream("egress", document))
        .start_with(|issuers| issuers["idp"].fault_at(Endpoint::Metadata, Fault::Status(500)));
    let failed = |n: u32| {
        format!("client billing: fetching metadata failed ({n} in a row): the server answered 500; https://")
    };
    for (n, level) in [(1, "[warning]"), (2, "[warning]"), (3, "[debug]"), (4, "[warning]"), (5, "[debug]")] {
        let told = line(&proxy, &failed(n));
        assert!(told.contains(level) && told.contains("; no token is obtained; next attempt in "), "{told}");
    }
    let of = [("client", "billing"), ("result", "status")];
    eventually("the metric", || {
        (proxy.metric("attache_token_endpoint_metadata_fetches_total", &of) >= 5).then_some(())
    });
}
