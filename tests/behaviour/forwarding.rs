//! What the upstream sees of a request that goes on.

use attache::base::Edit;
use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, Signer, Time as _, config};

fn forwarding() -> Value {
    json!({ "forward_claims": [
        { "claim": "sub", "header": "x-auth-subject" },
        { "claim": ["realm_access", "tenant"], "header": "X-Auth-Tenant" },
    ]})
}

#[test]
fn claims_reach_the_upstream_as_headers() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(forwarding()), &[&key]);
    let token = key.token().claim("realm_access", json!({ "tenant": "acme" })).sign();
    for _ in 0..2 {
        let seen = proxy.request(Request::get("/orders").bearer(&token)).forwarded();
        assert_eq!(seen.upstream("x-auth-subject"), ["orders-service"]);
        assert_eq!(seen.upstream("x-auth-tenant"), ["acme"]);
        assert_eq!(seen.upstream("authorization"), [format!("Bearer {token}")]);
    }
}

/// Where a request cannot wait, or has waited in vain, its headers are those that it came with.
#[test]
fn a_forged_header_is_removed_also_from_what_report_only_lets_through_without_keys() {
    let key = Signer::new("k1");
    let mut trial = config(forwarding());
    trial["inbound"]["routes"] = json!([
        { "name": "trial", "match": { "path": "/trial" }, "require": { "scopes": ["x"] }, "mode": "report_only" },
    ]);
    trial["inbound"]["waiting"] = json!({ "requests": 1 });
    let mut proxy = Proxy::new(&trial);
    let forged = || Request::get("/trial").bearer(&key.token().sign()).header("x-auth-subject", "root");
    let waits = proxy.request(forged()).waiting();
    let seen = proxy.request(forged()).forwarded();
    assert!(seen.annotation.contains("reason=waiting_full"), "{}", seen.annotation);
    assert_eq!(seen.upstream("x-auth-subject"), [""; 0]);
    proxy.advance(5.secs());
    let seen = proxy.answer(waits).forwarded();
    assert!(seen.annotation.contains("reason=keys_unavailable"), "{}", seen.annotation);
    assert_eq!(seen.upstream("x-auth-subject"), [""; 0]);
}

/// seen in other filters: an absent claim must not leave the client's own header standing.
#[test]
fn a_header_of_the_client_s_never_stands_in_for_a_claim() {
    let key = Signer::new("k1");
    let patch = json!({
        "cors_preflight": "forward",
        "routes": [
            { "name": "orders", "match": { "path": "/orders" }, "require": { "scopes": ["orders:read"] } },
            { "name": "trial", "match": { "path": "/trial" }, "require": { "scopes": ["x"] }, "mode": "report_only" },
            { "name": "shut", "match": { "path": "/shut" }, "deny": {}, "mode": "report_only" },
            { "name": "health", "match": { "path": "/healthz" }, "public": {} },
        ],
    });
    let mut all = config(forwarding());
    for (name, value) in patch.as_object().unwrap() {
        all["inbound"][name] = value.clone();
    }
    let mut proxy = Proxy::ready(&all, &[&key]);
    let forge = |request: Request| {
        request
            .header("x-auth-subject", "root")
            .header("x-auth-tenant", "evil")
            .header("x-auth-tenant", "evil2")
    };
    let token = key.token().sign();
    let bare = key.token().no_claim("sub").sign();
    let mut seen = |request: Request| {
        let seen = proxy.request(forge(request)).forwarded();
        (seen.upstream("x-auth-subject"), seen.upstream("x-auth-tenant"))
    };
    let none = || (vec![], vec![]);
    assert_eq!(seen(Request::get("/orders").bearer(&token)), (vec!["orders-service".to_owned()], vec![]));
    assert_eq!(seen(Request::get("/orders").bearer(&bare)), none());
    assert_eq!(seen(Request::get("/healthz")), none());
    assert_eq!(seen(Request::get("/healthz").bearer(&token)), none());
    assert_eq!(seen(Request::get("/trial")), none());
    assert_eq!(seen(Request::get("/trial").bearer(&token)), none());
    assert_eq!(seen(Request::get("/shut").bearer(&token)), none());
    let preflight = Request::new("OPTIONS", "/orders").header("origin", "https://app.example");
    assert_eq!(seen(preflight.header("access-control-request-method", "GET")), none());
}

#[test]
fn only_a_text_that_a_header_can_hold_becomes_one() {
    let key = Signer::new("k1");
    let claims = json!({ "forward_claims": [{ "claim": "name", "header": "x-auth-name" }] });
    let mut proxy = Proxy::ready(&config(claims), &[&key]);
    for (name, header) in [
        (json!("orders service"), Some("orders service")),
        (json!("42"), Some("42")),
        (json!(42), None),
        (json!(true), None),
        (json!(["a", "b"]), None),
        (json!("evil\r\nx-admin: yes"), None),
        (json!("evil\nx"), None),
        (json!("nul\0"), None),
        (json!("tab\t"), None),
        (json!("naïve"), None),
        (json!(""), None),
        (json!(" "), None),
        (json!(" padded"), None),
        (json!(null), None),
        (json!({ "a": 1 }), None),
        (json!("a".repeat(1025)), None),
    ] {
        let token = key.token().claim("name", name.clone()).sign();
        let request = Request::get("/orders").bearer(&token).header("x-auth-name", "root");
        let seen = proxy.request(request).forwarded().upstream("x-auth-name");
        assert_eq!(seen, header.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{name}");
    }
    let longest = "a".repeat(1024);
    let token = key.token().claim("name", longest.clone()).sign();
    let seen = proxy.request(Request::get("/orders").bearer(&token)).forwarded();
    assert_eq!(seen.upstream("x-auth-name"), [longest]);
}

/// `5` and `"5"`, `["a","b"]` and `"a b"`: a caller who could be one by being the other would be let in as it.
#[test]
fn a_claim_becomes_a_header_only_as_the_type_that_is_named() {
    let key = Signer::new("k1");
    let typed = |header: &str, more: Value| {
        let mut entry = json!({ "claim": "c", "header": header });
        crate::proxy::merge(&mut entry, more);
        entry
    };
    let claims = json!({ "forward_claims": [
        typed("x-string", json!({})),
        typed("x-integer", json!({ "type": "integer" })),
        typed("x-boolean", json!({ "type": "boolean" })),
        typed("x-words", json!({ "type": "strings", "separator": " " })),
        typed("x-list", json!({ "type": "strings", "separator": "," })),
    ]});
    let mut proxy = Proxy::ready(&config(claims), &[&key]);
    let mut seen = |claim: Value| {
        let token = key.token().claim("c", claim).sign();
        let seen = proxy.request(Request::get("/orders").bearer(&token)).forwarded();
        ["x-string", "x-integer", "x-boolean", "x-words", "x-list"].map(|name| seen.upstream(name).concat())
    };
    assert_eq!(seen(json!("5")), ["5", "", "", "", ""]);
    assert_eq!(seen(json!(5)), ["", "5", "", "", ""]);
    assert_eq!(seen(json!(-5)), ["", "-5", "", "", ""]);
    assert_eq!(seen(json!(5.5)), [""; 5]);
    assert_eq!(seen(json!(true)), ["", "", "true", "", ""]);
    assert_eq!(seen(json!("true")), ["true", "", "", "", ""]);
    assert_eq!(seen(json!(["a", "b"])), ["", "", "", "a b", "a,b"]);
    assert_eq!(seen(json!("a b")), ["a b", "", "", "", ""]);
    assert_eq!(seen(json!(["a b"])), ["", "", "", "", "a b"]);
    assert_eq!(seen(json!(["a,b"])), ["", "", "", "a,b", ""]);
    assert_eq!(seen(json!(["a", ""])), [""; 5]);
    assert_eq!(seen(json!([])), [""; 5]);
    assert_eq!(seen(json!({})), [""; 5]);
}

/// RFC 7519 §4.1.2, §4.1.7, RFC 9068 §2.2: without a header the upstream would take the caller for an anonymous one.
#[test]
fn who_a_caller_is_must_be_a_string_where_something_depends_on_it() {
    let key = Signer::new("k1");
    for name in ["sub", "jti", "client_id"] {
        let claims = json!({ "forward_claims": [{ "claim": name, "header": "x-who" }] });
        let mut depending = Proxy::ready(&config(claims), &[&key]);
        let mut other = Proxy::ready(&config(json!({})), &[&key]);
        for odd in [json!(["a", "b"]), json!(5), json!({}), json!(false)] {
            let token = key.token().claim(name, odd.clone()).sign();
            assert_eq!(depending.get("/orders", &token), "401 claim_malformed", "{name} {odd}");
            assert_eq!(other.get("/orders", &token), "forwarded", "{name} {odd}");
        }
        let absent = key.token().claim(name, Value::Null).sign();
        assert_eq!(depending.get("/orders", &absent), "forwarded", "{name}");
    }
    let numbered = json!({ "forward_claims": [{ "claim": "sub", "header": "x-who", "type": "integer" }] });
    let mut proxy = Proxy::ready(&config(numbered), &[&key]);
    let token = key.token().claim("sub", 5).sign();
    let seen = proxy.request(Request::get("/orders").bearer(&token)).forwarded();
    assert_eq!(seen.upstream("x-who"), ["5"]);
}

/// RFC 9110 §7.6.1: Envoy forwards `Connection` where the request is an upgrade.
#[test]
fn a_verified_claim_cannot_be_named_away() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(forwarding()), &[&key]);
    let token = key.token().sign();
    let upgrade = |options: &str| {
        Request::get("/orders").bearer(&token).header("upgrade", "websocket").header("connection", options)
    };
    for honest in ["Upgrade", "keep-alive, Upgrade", "Upgrade, HTTP2-Settings", "x-other"] {
        let seen = proxy.request(upgrade(honest)).forwarded();
        assert_eq!(seen.upstream("x-auth-subject"), ["orders-service"], "{honest}");
    }
    for named in
        ["upgrade, x-auth-subject", "X-AUTH-TENANT", "upgrade,x_auth_subject", "close , authorization"]
    {
        assert_eq!(proxy.request(upgrade(named)).tells(), "400 header_hop_by_hop", "{named}");
        let split = upgrade("upgrade").header("connection", named);
        assert_eq!(proxy.request(split).tells(), "400 header_hop_by_hop", "{named}");
        let public = Request::get("/healthz").header("proxy-connection", named);
        assert_eq!(proxy.request(public).tells(), "400 header_hop_by_hop", "{named}");
    }
}

#[test]
fn a_token_in_a_quoted_cookie_is_found() {
    let key = Signer::new("k1");
    for after in ["forward", "strip"] {
        let token =
            json!({ "token": { "after_verification": after, "sources": [{ "cookie": { "name": "t" } }] } });
        let mut proxy = Proxy::ready(&config(token), &[&key]);
        let cookie = format!("a=\"b\"; t=\"{}\"", key.token().sign());
        let seen = proxy.request(Request::get("/orders").header("cookie", &cookie)).forwarded();
        let expected = if after == "strip" { "a=\"b\"" } else { &cookie };
        assert_eq!(seen.upstream("cookie"), [expected]);
    }
}

#[test]
fn a_request_without_anything_to_change_is_not_touched() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let seen = proxy.request(Request::get("/orders").bearer(&key.token().sign())).forwarded();
    assert_eq!(seen.edits, []);
    assert_eq!(proxy.request(Request::get("/healthz").header("x", "y")).forwarded().edits, []);
}

#[test]
fn a_token_is_stripped_from_wherever_it_sat() {
    let key = Signer::new("k1");
    let strip = json!({ "token": { "after_verification": "strip", "sources": [
        { "header": { "name": "authorization", "scheme": "Bearer" } },
        { "header": { "name": "x-token" } },
        { "query": { "name": "access_token" } },
        { "cookie": { "name": "token" } },
    ]}});
    let mut proxy = Proxy::ready(&config(strip), &[&key]);
    let token = key.token().sign();
    let mut edits = |request: Request| proxy.request(request).forwarded().edits;
    let remove = |name: &str| vec![Edit::Remove(name.into())];
    let set = |name: &str, value: &str| vec![Edit::Set(name.into(), value.into())];
    let get = || Request::get("/orders");
    assert_eq!(edits(get().bearer(&token)), remove("authorization"));
    assert_eq!(edits(get().header("x-token", &token)), remove("x-token"));
    assert_eq!(edits(Request::get(&format!("/orders?access_token={token}"))), set(":path", "/orders"));
    assert_eq!(
        edits(Request::get(&format!("/orders?a=1&access%5Ftoken={token}&b=%20+"))),
        set(":path", "/orders?a=1&b=%20+")
    );
    assert_eq!(edits(get().header("cookie", format!("token={token}"))), remove("cookie"));
    assert_eq!(
        edits(get().header("cookie", format!("a=b; token={token}")).header("cookie", "c=d")),
        set("cookie", "a=b; c=d")
    );
    // Credentials that are not ours stay.
    let basic = get().header("authorization", "Basic YTpi").header("x-token", &token);
    assert_eq!(edits(basic), remove("x-token"));
    // A public route sees no token either, nor two.
    assert_eq!(edits(Request::get("/healthz").bearer(&token)), remove("authorization"));
    let twice = Request::get("/healthz?access_token=a&access_token=b");
    assert_eq!(edits(twice), set(":path", "/healthz"));
}

#[test]
fn a_query_token_is_taken_and_the_path_still_matches() {
    let key = Signer::new("k1");
    let query = json!({ "token": { "sources": [{ "query": { "name": "access_token" } }] } });
    let mut proxy = Proxy::ready(&config(query), &[&key]);
    let token = key.token().sign();
    let tells = |proxy: &mut Proxy, path: &str| proxy.request(Request::get(path)).tells();
    assert_eq!(tells(&mut proxy, &format!("/orders?access_token={token}")), "forwarded");
    assert_eq!(tells(&mut proxy, &format!("/orders?a&&access_token={token}&=x")), "forwarded");
    assert_eq!(tells(&mut proxy, "/orders?access_token="), "400 credential_malformed");
    assert_eq!(tells(&mut proxy, "/orders?access_token"), "400 credential_malformed");
    assert_eq!(tells(&mut proxy, "/orders?Access_Token=a"), "401 credential_missing");
    assert_eq!(tells(&mut proxy, &format!("/orders?access_token={token}&x=ä")), "400 credential_malformed");
    // The header is no place for it here.
    assert_eq!(proxy.get("/orders", &token), "401 credential_missing");
}

/// The token's own payload, of one that is verified now and of one that is known.
#[test]
fn the_whole_payload_reaches_the_upstream_as_it_was_signed() {
    let key = Signer::new("k1");
    for sources in [
        json!([{ "header": { "name": "authorization", "scheme": "Bearer" } }]),
        json!([{ "query": { "name": "t" } }]),
        json!([{ "cookie": { "name": "t" } }]),
    ] {
        for after in ["forward", "strip"] {
            let token = json!({ "sources": sources, "after_verification": after });
            let patch = json!({ "forward_payload": { "header": "x-jwt-payload" }, "token": token });
            let mut proxy = Proxy::ready(&config(patch), &[&key]);
            let token = key.token().claim("name", "gr\u{fc}n").claim("n", json!({ "a": [1.5, null] })).sign();
            let payload = token.split('.').nth(1).unwrap();
            for _ in 0..2 {
                let request = if sources[0].get("query").is_some() {
                    Request::get(&format!("/orders?t={token}"))
                } else if sources[0].get("cookie").is_some() {
                    Request::get("/orders").header("cookie", format!("t={token}"))
                } else {
                    Request::get("/orders").bearer(&token)
                };
                let seen = proxy.request(request.header("x-jwt-payload", "forged")).forwarded();
                assert_eq!(seen.upstream("x-jwt-payload"), [payload]);
            }
        }
    }
}

#[test]
fn no_payload_is_forwarded_that_no_permit_rests_on() {
    let key = Signer::new("k1");
    let mut document = config(json!({ "forward_payload": { "header": "x-jwt-payload" } }));
    document["inbound"]["routes"][1]["mode"] = json!("report_only");
    let mut proxy = Proxy::ready(&document, &[&key]);
    let mut seen = |request: Request| {
        let seen = proxy.request(request.header("x-jwt-payload", "forged")).forwarded();
        seen.upstream("x-jwt-payload")
    };
    assert_eq!(seen(Request::get("/healthz")), [""; 0]);
    // A public route looks at no token.
    assert_eq!(seen(Request::get("/healthz").bearer(&key.token().sign())), [""; 0]);
    assert_eq!(seen(Request::get("/admin").bearer(&key.token().sign())), [""; 0]);
    assert_eq!(seen(Request::get("/admin")), [""; 0]);
}

/// What the longest token carries is forwarded too.
#[test]
fn a_payload_is_bounded_by_its_token() {
    let key = Signer::new("k1");
    let patch = json!({ "forward_payload": { "header": "x-jwt-payload" } });
    let mut proxy = Proxy::ready(&config(patch), &[&key]);
    let of = |bytes: usize| key.token().claim("pad", "x".repeat(bytes)).sign();
    let longest =
        (0..16 * 1024).rev().map(|bytes| of(12_000 + bytes % 300)).find(|token| token.len() <= 16 * 1024);
    let token = longest.unwrap();
    let seen = proxy.request(Request::get("/orders").bearer(&token)).forwarded();
    assert_eq!(seen.upstream("x-jwt-payload"), [token.split('.').nth(1).unwrap()]);
}

#[test]
fn objects_and_text_beyond_ascii_reach_the_upstream_encoded() {
    let key = Signer::new("k1");
    let patch = json!({ "forward_claims": [
        { "claim": "realm_access", "header": "x-realm", "type": "json" },
        { "claim": "realm_access", "header": "x-realm-64", "type": "json", "encoding": "base64url" },
        { "claim": "name", "header": "x-name", "encoding": "base64url" },
        { "claim": "name", "header": "x-plain" },
    ]});
    let mut proxy = Proxy::ready(&config(patch), &[&key]);
    let token =
        key.token().claim("realm_access", json!({ "roles": ["gr\u{fc}n"] })).claim("name", "gr\u{fc}n");
    let seen = proxy.request(Request::get("/orders").bearer(&token.sign())).forwarded();
    assert_eq!(seen.upstream("x-realm"), [r#"{"roles":["gr\u00fcn"]}"#]);
    assert_eq!(seen.upstream("x-realm-64"), ["eyJyb2xlcyI6WyJnclx1MDBmY24iXX0"]);
    assert_eq!(seen.upstream("x-name"), ["Z3LDvG4"]);
    assert_eq!(seen.upstream("x-plain"), [""; 0]);
}
