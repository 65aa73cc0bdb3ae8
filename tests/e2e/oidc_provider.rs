use attache_harness::http::Request;
use serde_json::json;

use crate::provider::Provider;
use crate::proxy::{Document, Listener, Proxy, Setup, echo, inbound, route, verdict};

#[test]
fn a_real_client_credentials_token_passes_with_its_scopes_and_no_further() {
    let provider = Provider::start();
    let proxy = proxy(&provider);
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let read = provider.token(algorithm, "orders:read");
        let get = || proxy.get("oidc", "/orders").bearer(&read);
        let seen = echo(&get().send().unwrap());
        assert_eq!(seen.header("x-client"), Some("orders-service"), "{algorithm}");
        let refused = Request::post(proxy.url("oidc", "/orders")).bearer(&read).send().unwrap();
        assert_eq!(verdict(&refused), (403, "scope_insufficient".into()), "{algorithm}");
        assert!(refused.header("www-authenticate").unwrap().contains("scope=\"orders:write\""));
        let write = provider.token(algorithm, "orders:write");
        let permitted = Request::post(proxy.url("oidc", "/orders")).bearer(&write).send().unwrap();
        assert_eq!(permitted.status, 200, "{algorithm}");
        // One letter of the signature.
        let (head, tail) = read.split_at(read.len() - 20);
        let tampered = format!("{head}{}{}", if tail.starts_with('A') { "B" } else { "A" }, &tail[1..]);
        let answer = proxy.get("oidc", "/orders").bearer(&tampered).send().unwrap();
        assert_eq!(verdict(&answer), (401, "signature_invalid".into()), "{algorithm}");
    }
    assert_eq!(proxy.get("oidc", "/orders").send().unwrap().status, 401);
    proxy.expect_metric("attache_keys", &[("issuer", "oidc")], 3);
}

#[test]
fn its_token_is_refused_where_another_audience_is_meant() {
    let provider = Provider::start();
    let proxy = proxy(&provider);
    let token = provider.token("ES256", "orders:read");
    let answer = proxy.get("oidc-elsewhere", "/orders").bearer(&token).send().unwrap();
    assert_eq!(verdict(&answer), (401, "wrong_audience".into()));
}

/// The rig would notice, without Envoy: what tests of the outbound half change and count.
#[test]
fn its_clients_change_while_it_runs() {
    let provider = Provider::start();
    let client = "orders-service";
    let ask = |secret: &str| provider.ask(client, secret, "ES256", "orders:read").map(drop);
    let old = provider.secret(client);
    assert_eq!(ask(&old), Ok(()));
    provider.set_secret(client, "another-secret");
    assert_eq!(ask(&old), Err("invalid_client".into()));
    assert_eq!(ask("another-secret"), Ok(()));
    provider.remove_client(client);
    assert_eq!(ask("another-secret"), Err("invalid_client".into()));
    assert_eq!(provider.requests_of(client), [("invalid_client".into(), 2), ("ok".into(), 2)].into());
    assert!(provider.requests_of("post-service").is_empty());
}

fn proxy(provider: &Provider) -> Proxy {
    let issuer = |audience: &str| {
        json!({
            "name": "oidc",
            "issuer": provider.place("issuer"),
            "audiences": [audience],
            "type": "at+jwt",
            "keys": { "jwks": { "uri": provider.place("jwks_uri"), "cluster": "oidc" } },
        })
    };
    let mut write = route("write", "/orders", json!({ "require": { "scopes": ["orders:write"] } }));
    write["match"]["methods"] = json!(["POST"]);
    let mut read = route("read", "/orders", json!({ "require": { "scopes": ["orders:read"] } }));
    read["match"]["methods"] = json!(["GET"]);
    let listener = |name: &str, audience: &str| {
        let more = json!({
            "denials": { "body": "problem_json" },
            "forward_claims": [{ "claim": "client_id", "header": "x-client" }],
        });
        Listener::new(
            name,
            Document::Struct(inbound(&[issuer(audience)], &[read.clone(), write.clone()], more)),
        )
    };
    Setup::new()
        .listener(listener("oidc", &provider.place("resource")))
        .listener(listener("oidc-elsewhere", "https://elsewhere.example"))
        .start_without("oidc", provider.addr())
}
