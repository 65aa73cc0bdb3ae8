//! What Envoy's own filters are told by filter state: verified facts, and never a client's word.

use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, Signer, Time as _, config, good, jwks};

const ALL: &str = "client principal issuer subject scopes route outcome reason";

fn told(facts: &str, patch: Value) -> Value {
    let facts: Vec<&str> = facts.split(' ').collect();
    let mut document = config(patch);
    document["inbound"]["filter_state"] = json!({ "facts": facts });
    document
}

#[test]
fn each_fact_that_is_listed_has_a_key_and_no_other_has() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&told(ALL, json!({})), &[&key]);
    let token = key.token().claim("scope", "orders:read b").claim("sub", "jane").sign();
    // The first time it is verified, the second time it is known.
    for _ in 0..2 {
        assert_eq!(
            proxy.request(Request::get("/orders").bearer(&token)).facts(),
            "client=orders principal=corp/orders issuer=corp subject=jane \
             scopes=b orders:read route=orders outcome=permit reason=ok"
        );
    }
    let mut proxy = Proxy::ready(&told("route client", json!({})), &[&key]);
    let facts = proxy.request(Request::get("/orders").bearer(&token)).facts();
    assert_eq!(facts, "route=orders client=orders");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    assert_eq!(proxy.request(Request::get("/orders").bearer(&token)).facts(), "");
}

/// A key that an earlier filter, or an earlier run, has written is overwritten.
#[test]
fn what_is_not_verified_is_told_as_empty() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&told(ALL, json!({})), &[&key]);
    let nobody = "client= principal= issuer= subject= scopes=";
    let mut facts = |request: Request| proxy.request(request).facts();
    assert_eq!(facts(Request::get("/healthz")), format!("{nobody} route=health outcome=permit reason=ok"));
    // A public route looks at no token.
    assert_eq!(
        facts(Request::get("/healthz").bearer(&key.token().sign())),
        format!("{nobody} route=health outcome=permit reason=ok")
    );
    assert_eq!(
        facts(Request::get("/orders")),
        format!("{nobody} route=orders outcome=deny reason=credential_missing")
    );
    let stranger = Signer::unnamed("stranger").named(Some("k1"));
    assert_eq!(
        facts(Request::get("/orders").bearer(&stranger.token().sign())),
        format!("{nobody} route=orders outcome=deny reason=signature_invalid")
    );
    assert_eq!(
        facts(Request::get("/..")),
        format!("{nobody} route=default outcome=deny reason=path_ambiguous")
    );
    assert_eq!(facts(Request::get("x")), format!("{nobody} route= outcome=deny reason=path_invalid"));
}

#[test]
fn a_verified_client_that_lacks_a_scope_is_told() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&told("principal scopes outcome", json!({})), &[&key]);
    let token = key.token().claim("scope", "x").sign();
    assert_eq!(
        proxy.request(Request::get("/orders").bearer(&token)).facts(),
        "principal=corp/orders scopes=x outcome=deny"
    );
}

#[test]
fn a_client_can_write_no_fact() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&told(ALL, json!({})), &[&key]);
    let forge = |request: Request| {
        ["attache.client", "wasm.attache.client", "x-attache-client", "client"]
            .into_iter()
            .fold(request, |request, name| request.header(name, "root"))
    };
    assert!(!proxy.request(forge(Request::get("/healthz"))).facts().contains("root"));
    let forged = forge(Request::get("/orders").bearer(&key.token().sign()));
    assert!(!proxy.request(forged).facts().contains("root"));
}

/// A value stands in descriptors, headers and lines of other filters. A header has no space at its end, and two clients
/// would be one.
#[test]
fn a_fact_is_plain_text_of_1024_bytes_at_most_or_empty() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&told("client", json!({})), &[&key]);
    let mut client = |name: &str| {
        let token = key.token().claim("client_id", name).sign();
        proxy.request(Request::get("/orders").bearer(&token)).facts()
    };
    let longest = "c".repeat(1024);
    assert_eq!(client(&longest), format!("client={longest}"));
    assert_eq!(client(&"c".repeat(1025)), "client=");
    assert_eq!(client("a \"b\", c"), "client=a \"b\", c");
    for odd in ["a\nb", "gr\u{fc}n", "a\0", "\u{7f}", "a\tb", "a ", " a", " "] {
        assert_eq!(client(odd), "client=", "{odd:?}");
    }
}

#[test]
fn scopes_are_told_whole_or_not_at_all() {
    let key = Signer::new("k1");
    let patch = json!({ "issuers": [{
        "name": "corp", "issuer": "https://idp.example", "audiences": "any", "scopes_from": ["roles"],
        "keys": { "jwks": { "uri": "https://idp.example/jwks", "cluster": "idp" } },
    }]});
    let mut proxy = Proxy::ready(&told("scopes", patch), &[&key]);
    let mut scopes = |roles: Value| {
        let token = key.token().claim("iss", "https://idp.example").claim("roles", roles).sign();
        proxy.request(Request::get("/whoami").bearer(&token)).facts()
    };
    assert_eq!(scopes(json!(["b", "a"])), "scopes=a b");
    assert_eq!(scopes(json!([])), "scopes=");
    // It would read as two.
    assert_eq!(scopes(json!(["a b"])), "scopes=");
    let halves = |second: usize| json!(["a".repeat(511), "b".repeat(second)]);
    assert!(scopes(halves(512)).ends_with('b'));
    assert_eq!(scopes(halves(513)), "scopes=");
}

#[test]
fn a_request_that_has_waited_is_told_of_too() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&told("client outcome", json!({})));
    let get = || Request::get("/orders").bearer(&key.token().sign());
    let (served, overdue) = (proxy.request(get()).waiting(), proxy.request(get()).waiting());
    proxy.end(overdue);
    let late = proxy.request(get()).waiting();
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.advance(3.secs());
    assert_eq!(proxy.answer(served).facts(), "client=orders outcome=permit");
    assert_eq!(proxy.answer(late).facts(), "client=orders outcome=permit");
    let mut proxy = Proxy::new(&told("client outcome", json!({})));
    let waits = proxy.request(get()).waiting();
    proxy.advance(6.secs());
    assert_eq!(proxy.answer(waits).facts(), "client= outcome=deny");
}
