//! What is printed on which failure: whose it is, why and who answered, where, what still works, and what is next.

use attache::base::{HttpReply, Level};
use serde_json::json;

use crate::proxy::{Proxy, Request, Signer, Time as _, config, good, issuer, jwks, local_reply, status};

/// E4: which URL by which cluster, and who answered; what still works, and what is next.
#[test]
fn a_failed_fetch_names_the_url_the_cluster_and_who_answered() {
    let key = Signer::new("k1");
    let refused =
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
    for (reply, who) in [
        (status(404), "the server answered 404"),
        (status(503), "the server answered 503"),
        (
            local_reply(503, refused),
            "no server answered, but Envoy itself, with 503: no connection, or TLS failed (address, port, \
             firewall, CA, SAN, SNI): see the cluster's statistics",
        ),
        (
            local_reply(504, "upstream request timeout"),
            "no server answered, but Envoy itself, with 504: no answer within the timeout",
        ),
        (HttpReply::ClusterUnknown, "the call could not be sent: Envoy knows no cluster of this name"),
    ] {
        let mut proxy = Proxy::new(&config(json!({})));
        proxy.serve("idp", reply.clone());
        proxy.tick();
        let line = format!(
            "issuer corp: fetching keys failed (1 in a row): {who}; https://idp.example/jwks through cluster idp; \
             requests that need them get 503; next attempt in "
        );
        let lines = proxy.logs(Level::Warn);
        let next = lines[0].strip_prefix(&line).unwrap_or_else(|| panic!("{lines:?}"));
        assert!(next.ends_with(" ms") && next.len() <= 6, "{next}");

        let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
        proxy.serve("idp", reply);
        proxy.advance_to_call("idp", 2);
        let line = "through cluster idp; the keys at hand serve 24 h more; next attempt in ";
        assert!(proxy.logs(Level::Warn)[0].contains(line), "{:?}", proxy.logs(Level::Warn));
    }
}

/// E2: both values are shown, in part and harmless, and what is easily overlooked is named. Both addresses are told of.
#[test]
fn metadata_of_another_issuer_is_told_with_both_values() {
    let discovery = json!({ "keys": { "jwks": null, "discovery": { "cluster": "idp" } } });
    for (found, told) in [
        (
            "https://idp.example/",
            "`https://idp.example/`, the configured one `https://idp.example`: only slashes at the end differ",
        ),
        ("https://a\u{1b}[31m`\nb", "`https://a?[31m??b`, the configured one `https://idp.example`"),
    ] {
        let mut proxy = Proxy::new(&config(json!({ "issuers": [issuer(discovery.clone())] })));
        let metadata = json!({ "issuer": found, "jwks_uri": "https://idp.example/jwks" }).to_string();
        proxy.script("idp", move |call| {
            let path = crate::threads::header_of(call, ":path").unwrap();
            Some(if path.ends_with("openid-configuration") { status(404) } else { good(&metadata) })
        });
        proxy.advance(1.secs());
        let line = format!(
            "issuer corp: fetching metadata failed (1 in a row): the server answered 404; \
             https://idp.example/.well-known/openid-configuration through cluster idp, and before \
             https://idp.example/.well-known/oauth-authorization-server: the metadata is another issuer's: its \
             `issuer` is {told}; requests that need its keys get 503; next attempt in "
        );
        let lines = proxy.logs(Level::Warn);
        assert!(lines[0].starts_with(&line), "{lines:#?}");
    }
}

/// Why each key is not usable is told once for each change, and whether or not a usable key changes with it.
#[test]
fn keys_that_are_not_usable_are_told_with_their_reason_once_per_change() {
    let key = Signer::new("k1");
    let set = |more: serde_json::Value| good(&json!({ "keys": [key.jwk(), more] }).to_string());
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.serve("idp", set(json!({ "kty": "AKP", "kid": "pq1" })));
    proxy.tick();
    proxy.advance(3.hours());
    let first = "issuer corp: keys changed: 1 usable, 1 added (k1), 0 removed, 1 not usable (`pq1`: `kty` is not RSA, \
                 EC, OKP or oct)";
    assert_eq!(proxy.events(Level::Info), [first]);
    proxy.serve("idp", set(json!({ "kty": "RSA", "kid": "enc", "use": "enc" })));
    proxy.advance(3.hours());
    let second =
        "issuer corp: keys changed: 1 usable, 0 added, 0 removed, 1 not usable (`enc`: `use` is not sig)";
    assert_eq!(proxy.events(Level::Info), [first, second]);
    proxy.serve("idp", good(&json!({ "keys": [{ "kty": "RSA", "kid": "enc", "use": "enc" }] }).to_string()));
    proxy.advance(20.minutes());
    let failed = "issuer corp: fetching keys failed (1 in a row): the set holds no usable key: `enc`: `use` is not sig";
    assert_eq!(proxy.events(Level::Warn)[0], failed);
}

#[test]
fn a_document_that_begins_with_a_byte_order_mark_is_named_so() {
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.serve("idp", good(&format!("\u{feff}{}", jwks(&[&Signer::new("k1")]))));
    proxy.tick();
    let line = "issuer corp: fetching keys failed (1 in a row): the key set: it begins with a byte order mark, which JSON \
                may not";
    assert_eq!(proxy.events(Level::Warn), [line]);
}

/// A URL's query may hold a key.
#[test]
fn no_query_of_a_url_is_told() {
    let keys =
        json!({ "keys": { "jwks": { "uri": "https://idp.example/jwks?key=hunter2", "cluster": "idp" } } });
    let mut proxy = Proxy::new(&config(json!({ "issuers": [issuer(keys)] })));
    proxy.serve("idp", status(500));
    proxy.tick();
    let lines = proxy.logs(Level::Debug);
    assert!(lines[0].contains("; https://idp.example/jwks?… through cluster idp; "), "{lines:?}");
    assert!(!lines[0].contains("hunter2"));
}

mod outbound {
    use super::*;
    use crate::outbound::{Tokens, client, document, serve, to, with_clients};

    fn started(document: &serde_json::Value) -> (Proxy, Tokens) {
        let mut proxy = Proxy::new(document);
        let tokens = Tokens::new();
        serve(&mut proxy, "idp", &tokens);
        (proxy, tokens)
    }

    /// E5, E6.
    #[test]
    fn a_renewal_that_fails_says_how_long_the_token_at_hand_serves() {
        let (mut proxy, tokens) = started(&document(json!({})));
        tokens.live(60);
        proxy.tick();
        let error = json!({ "error": "unauthorized_client", "error_description": "hunter2" }).to_string();
        tokens.fail(crate::proxy::with_status(good(&error), 401));
        while proxy.logs(Level::Error).is_empty() {
            proxy.advance(100.ms());
        }
        let line = "client billing: renewal failed (1 in a row): the server says `unauthorized_client`: wrong secret, or \
                    grant not allowed: check the secret, then whether this client may use this grant; \
                    https://idp.example/token through cluster idp; the token at hand serves ";
        let lines = proxy.logs(Level::Error);
        let rest = lines[0].strip_prefix(line).unwrap_or_else(|| panic!("{lines:?}"));
        let (serves, next) = rest.split_once(" s more; next attempt in ").unwrap();
        let (serves, next): (u64, u64) =
            (serves.parse().unwrap(), next.strip_suffix(" s").unwrap().parse().unwrap());
        assert!((1..60).contains(&serves) && next <= serves / 2 + 1, "{rest}");
        assert_eq!(proxy.request(to("billing")).tells(), "forwarded");
        proxy.advance(60.secs());
        let lines = proxy.logs(Level::Debug);
        let told =
            lines.iter().any(|line| line.contains(": no token (") && line.contains("; requests get 503; "));
        assert!(told, "{lines:#?}");
    }

    /// E8: thinned as keys are, with the clients' names, and counted for each of them.
    #[test]
    fn metadata_of_a_token_endpoint_that_cannot_be_fetched_is_told_ever_more_rarely_and_counted() {
        let at = json!({ "token_endpoint": null, "discovery": { "issuer": "https://idp.example", "cluster": "idp" } });
        let clients = [client("billing", at.clone()), client("stock", at)];
        let mut proxy = Proxy::new(&with_clients(&clients, json!({})));
        proxy.serve("idp", status(503));
        proxy.advance(10.minutes());
        let line = |n: u32| {
            format!("client billing, stock: fetching metadata failed ({n} in a row): the server answered 503")
        };
        let events = proxy.events(Level::Warn);
        let told: Vec<_> = (0..u32::try_from(events.len()).unwrap()).map(|n| line(1 << n)).collect();
        assert_eq!(events, told);
        assert!((4..=8).contains(&told.len()), "{told:?}");
        assert!(
            proxy.logs(Level::Warn)[0]
                .contains("through cluster idp; no token is obtained; next attempt in ")
        );
        for client in ["billing", "stock"] {
            let counter = |result: &str| {
                format!(
                    "client=.={client};.;result=.={result};.;attache_token_endpoint_metadata_fetches_total"
                )
            };
            assert!(proxy.defined().contains(&counter("status")));
            assert_eq!(proxy.counter(&counter("status")), u64::try_from(proxy.calls("idp")).unwrap());
        }
        proxy.serve(
            "idp",
            good(
                &json!({ "issuer": "https://idp.example",
            "token_endpoint": "https://idp.example/token" })
                .to_string(),
            ),
        );
        proxy.advance(31.secs());
        let named = "client billing, stock: the metadata names the address of the token endpoint";
        assert!(proxy.events(Level::Info).contains(&named), "{:?}", proxy.events(Level::Info));
    }

    /// E7: bounded, and no work for each request.
    #[test]
    fn authorities_that_match_no_destination_are_told_once_each_up_to_a_bound() {
        let (mut proxy, _) = started(&document(json!({})));
        proxy.tick();
        let before = proxy.logs(Level::Info).len();
        for _ in 0..3 {
            for n in 0..40 {
                let host = format!("h{n}.internal");
                proxy.request(Request::get("/").authority(&host).to("other"));
                // Not looked at before the next tick.
                proxy.request(Request::get("/").authority(&format!("x{n}.internal")).to("other"));
                proxy.tick();
            }
        }
        let lines = &proxy.logs(Level::Info)[before..];
        assert_eq!(lines.len(), 17, "{lines:#?}");
        assert_eq!(
            lines[0],
            "no destination matches a request to authority `h0.internal` and cluster `other`: such requests pass without a \
             token"
        );
        assert_eq!(lines[16], "more authorities match no destination: no more of them are logged");
    }
}
