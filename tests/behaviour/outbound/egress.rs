//! A token goes to its clusters and authorities, over TLS or where the operator waives it, and never over a caller's own credential.

use attache::base::Level;
use serde_json::{Value, json};

use super::{
    Tokens, carried, client, client_at, counted_of, destination, document, keep_secrets, numbered, ready,
    serve, to, with_clients,
};
use crate::proxy::{Answer, Proxy, Request, Signer, Time as _, config, jwks};

/// `billing` has token 1, `stock` token 2.
#[track_caller]
fn two(patch: Value) -> Proxy {
    let clients = [client("billing", json!({})), client("stock", json!({}))];
    ready(&with_clients(&clients, patch)).0
}

fn injections(proxy: &mut Proxy, client: &str, outcome: &str) -> u64 {
    proxy.tick();
    proxy.counter(&counted_of(client, "attache_injections_total", "outcome", outcome))
}

/// A request that goes on without a token.
#[track_caller]
fn bare(answer: Answer) {
    assert_eq!(answer.forwarded().upstream("authorization"), [""; 0]);
}

#[test]
fn a_token_goes_where_both_cluster_and_authority_are_its_own() {
    let mut proxy = two(json!({}));
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    assert_eq!(carried(proxy.request(to("stock"))), numbered(2));
    for request in [
        to("billing").to("stock"),
        to("billing").to("elsewhere"),
        to("billing").authority("stock.internal"),
        to("billing").authority("billing.internal.evil.example"),
        to("billing").authority("xbilling.internal"),
        Request::get("/").authority("billing.internal"),
    ] {
        bare(proxy.request(request));
    }
    assert_eq!(carried(proxy.request(to("billing").authority("BILLING.internal.:8443"))), numbered(1));
    assert_eq!(injections(&mut proxy, "none", "passed"), 6);
    // What is no host may be one to a server that is less strict.
    for authority in
        ["", "x@billing.internal", "billing.internal:x", "billing.internal..", "billing.internal,"]
    {
        let refused = proxy.request(to("billing").authority(authority)).refused();
        assert_eq!(refused.response.status, 400, "{authority}");
        assert_eq!(refused.annotation, "outcome=deny reason=outbound_authority_invalid client=none");
        bare(proxy.request(to("elsewhere").authority(authority)));
    }
}

#[test]
fn path_method_and_route_name_choose_among_clients() {
    let narrow = |client: &str, narrows: Value| {
        destination(client, json!({ "match": { "authorities": ["api.internal"], "clusters": ["api"] } }))
            .as_object()
            .map(|fields| {
                let mut fields = Value::Object(fields.clone());
                crate::proxy::merge(&mut fields["match"], narrows);
                fields
            })
            .unwrap()
    };
    let clients =
        [client("a", json!({})), client("b", json!({})), client("c", json!({})), client("d", json!({}))];
    let (mut proxy, _) = ready(&with_clients(
        &clients,
        json!({ "destinations": [
            narrow("a", json!({})),
            narrow("b", json!({ "prefix": "/b" })),
            narrow("c", json!({ "prefix": "/b", "methods": ["POST"] })),
            narrow("d", json!({ "route_names": ["batch"] })),
        ]}),
    ));
    let request = |method: &str, path: &str| Request::new(method, path).authority("api.internal").to("api");
    for (request, token) in [
        (request("GET", "/x"), 1),
        (request("GET", "/b"), 2),
        (request("GET", "/b/c?d"), 2),
        (request("GET", "/bc"), 1),
        (request("POST", "/b/c"), 3),
        (request("GET", "/b").route("batch"), 4),
        (request("GET", "/b").route("other"), 2),
    ] {
        assert_eq!(carried(proxy.request(request)), numbered(token));
    }
    // A path that servers understand differently decides nothing.
    for path in ["/x/../b", "//b", "/%62/..;/x", "/b%2f..", "*", ""] {
        let refused = proxy.request(request("GET", path)).refused();
        assert_eq!(refused.response.status, 400, "{path}");
        assert!(refused.annotation.contains("outbound_path_ambiguous"));
    }
}

/// HTTP/2 lets it through, and to servers that do not look at case it is the method that it is not to us.
#[test]
fn a_method_in_lower_case_gets_no_token_where_methods_or_envoys_route_decide() {
    let at_billing = |narrows: Value| {
        let mut to = json!({ "authorities": ["billing.internal"], "clusters": ["billing"] });
        crate::proxy::merge(&mut to, narrows);
        destination("stock", json!({ "match": to }))
    };
    let beside =
        |other: Value| json!({ "destinations": [destination("billing", json!({})), at_billing(other)] });
    let delete = |method: &str| Request::new(method, "/orders").authority("billing.internal").to("billing");
    let by_name = beside(json!({ "route_names": ["stock"] }));
    for patch in [beside(json!({ "methods": ["DELETE"] })), by_name, json!({ "route_metadata": "read" })] {
        let mut proxy = two(patch);
        let refused = proxy.request(delete("delete")).refused();
        assert_eq!(refused.response.status, 400);
        assert_eq!(refused.annotation, "outcome=deny reason=outbound_method_invalid client=none");
        assert!([1, 2].map(numbered).contains(&carried(proxy.request(delete("DELETE")))));
    }
    // Elsewhere it decides nothing.
    assert_eq!(carried(two(json!({})).request(delete("delete"))), numbered(1));
}

/// A framework behind would do with our token what another client's is for.
#[test]
fn no_header_makes_another_request_of_one_that_carries_our_token() {
    let at_billing = |narrows: Value| {
        let mut to = json!({ "authorities": ["billing.internal"], "clusters": ["billing"] });
        crate::proxy::merge(&mut to, narrows);
        destination("stock", json!({ "match": to }))
    };
    let beside =
        |other: Value| json!({ "destinations": [destination("billing", json!({})), at_billing(other)] });
    let post = |name: &str, value: &str| {
        let request = Request::new("POST", "/orders").authority("billing.internal").to("billing");
        request.header(name, value)
    };
    let overrides = [("x-http-method-override", "DELETE"), ("X_Original_Url", "/admin")];
    let by_method = beside(json!({ "methods": ["DELETE"] }));
    let by_path = beside(json!({ "path": "/admin" }));
    for (patch, refused) in [
        (json!({}), [false, false]),
        (by_method, [true, false]),
        (by_path, [false, true]),
        (beside(json!({ "route_names": ["stock"] })), [true, true]),
        (json!({ "route_metadata": "read" }), [true, true]),
    ] {
        let mut proxy = two(patch.clone());
        for ((name, value), is_refused) in overrides.into_iter().zip(refused) {
            if is_refused {
                let refused = proxy.request(post(name, value)).refused();
                assert_eq!(refused.response.status, 400, "{patch} {name}");
                assert_eq!(refused.annotation, "outcome=deny reason=outbound_overridden client=billing");
            } else {
                assert_eq!(carried(proxy.request(post(name, value))), numbered(1), "{patch} {name}");
            }
        }
        // What says the same takes nothing's place.
        assert_eq!(carried(proxy.request(post("x-http-method", "POST"))), numbered(1));
    }
    let mut allowing = beside(json!({ "methods": ["DELETE"] }));
    crate::proxy::merge(&mut allowing, json!({ "allow_overrides": ["x-http-method-override"] }));
    assert_eq!(carried(two(allowing).request(post("x-http-method-override", "DELETE"))), numbered(1));
}

/// A byte that is spelt otherwise may lead to another of Envoy's routes, and so to another client.
#[test]
fn where_envoys_route_chooses_a_client_a_path_and_a_host_have_one_spelling() {
    let reading = json!({ "route_metadata": "read" });
    let named = json!({ "destinations": [
        destination("billing", json!({})),
        destination("stock", json!({ "match": { "authorities": ["billing.internal"], "clusters": ["billing"], "route_names": ["stock"] } })),
    ]});
    for patch in [reading, named] {
        let mut proxy = two(patch);
        let at = |path: &str| to("billing").without(":path").header(":path", path);
        assert_eq!(carried(proxy.request(at("/v1/orders:batch"))), numbered(1));
        for path in ["/v1/orders%3Abatch", "/caf%c3%A9", "/x/../y"] {
            let refused = proxy.request(at(path)).refused();
            assert_eq!(
                refused.annotation, "outcome=deny reason=outbound_path_ambiguous client=none",
                "{path}"
            );
        }
        for authority in ["billing.internal.", "billing.internal:"] {
            let refused = proxy.request(at("/").authority(authority)).refused();
            assert_eq!(refused.annotation, "outcome=deny reason=outbound_authority_invalid client=none");
        }
    }
    let lenient = json!({ "route_metadata": "read", "destinations": [
        destination("billing", json!({ "allow_in_path": ["needless_escape"] })),
        destination("stock", json!({})),
    ]});
    let mut proxy = two(lenient);
    let escaped = to("billing").without(":path").header(":path", "/%3A");
    assert_eq!(carried(proxy.request(escaped.clone())), numbered(1));
    assert_eq!(carried(proxy.request(escaped.metadata(&[("client", "billing")]))), numbered(1));
}

#[test]
fn a_virtual_hosts_metadata_names_the_client_where_its_route_names_none() {
    let mut by_metadata = destination("stock", json!({ "chosen_by": "route_metadata" }));
    by_metadata["match"] = json!({ "authorities": ["billing.internal"], "clusters": ["billing"] });
    let mut proxy = two(json!({ "route_metadata": "read",
        "destinations": [destination("billing", json!({})), by_metadata] }));
    let request = || to("billing").host_metadata(&[("client", "stock")]);
    assert_eq!(carried(proxy.request(request())), numbered(2));
    assert_eq!(carried(proxy.request(request().metadata(&[("client", "billing")]))), numbered(1));
    assert_eq!(carried(proxy.request(request().metadata(&[("scopes", "x")]))), numbered(2));
}

#[test]
fn where_no_path_matters_any_path_will_do() {
    let mut proxy = two(json!({}));
    for path in ["/x/../b", "//b", "*", "", "/%zz"] {
        carried(proxy.request(to("billing").without(":path").header(":path", path)));
    }
}

#[test]
fn what_goes_nowhere_is_passed_or_refused_as_configured() {
    bare(two(json!({})).request(Request::get("/").to("elsewhere")));
    let mut proxy = two(json!({ "unmatched": "deny" }));
    let refused = proxy.request(Request::get("/").to("elsewhere")).refused();
    assert_eq!(refused.response.status, 403);
    assert_eq!(refused.annotation, "outcome=deny reason=unmatched client=none");
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
}

#[test]
fn a_routes_metadata_chooses_a_client_that_may_go_there() {
    let mut by_metadata = destination("stock", json!({ "chosen_by": "route_metadata" }));
    by_metadata["match"] = json!({ "authorities": ["billing.internal"], "clusters": ["billing"] });
    let patch = json!({ "route_metadata": "read",
        "destinations": [destination("billing", json!({})), by_metadata] });
    let mut proxy = two(patch);
    assert_eq!(carried(proxy.request(to("billing"))), numbered(1));
    assert_eq!(carried(proxy.request(to("billing").metadata(&[("scopes", "x")]))), numbered(1));
    assert_eq!(carried(proxy.request(to("billing").metadata(&[("client", "stock")]))), numbered(2));
    for (request, reason) in [
        (to("billing").metadata(&[("client", "nobody")]), "client_unknown client=none"),
        (to("billing").metadata(&[("client", "")]), "client_unknown client=none"),
        (to("billing").metadata(&[("client", "STOCK")]), "client_unknown client=none"),
        (to("billing").raw_metadata(b"garbage"), "client_unknown client=none"),
        (to("stock").metadata(&[("client", "stock")]), "not_allowed client=stock"),
        (to("elsewhere").metadata(&[("client", "billing")]), "not_allowed client=billing"),
        (
            to("billing").authority("evil.example").metadata(&[("client", "billing")]),
            "not_allowed client=billing",
        ),
    ] {
        let refused = proxy.request(request).refused();
        assert_eq!(refused.response.status, 503, "{reason}");
        assert_eq!(refused.annotation, format!("outcome=deny reason={reason}"));
    }
    assert!(!proxy.logs(Level::Warn).is_empty(), "the operator is told");
    // Where it is not read, it does not choose.
    let mut proxy = two(json!({}));
    assert_eq!(carried(proxy.request(to("billing").metadata(&[("client", "stock")]))), numbered(1));
}

#[test]
fn no_token_goes_over_plaintext_unless_the_operator_vouches_for_it() {
    let mut proxy = two(json!({ "plaintext_clusters": ["stock"] }));
    let plain = |client: &str| Request::get("/").authority(&format!("{client}.internal")).unvouched(client);
    for request in [
        plain("billing"),
        plain("billing").tls("Asserted"),
        plain("billing").tls("asserted "),
        plain("billing").tls("true"),
        plain("billing").tls(""),
    ] {
        let refused = proxy.request(request).refused();
        assert_eq!(refused.response.status, 503);
        assert_eq!(refused.header("retry-after"), None);
        assert_eq!(refused.annotation, "outcome=deny reason=plaintext client=billing");
    }
    assert_eq!(injections(&mut proxy, "billing", "plaintext"), 5);
    assert_eq!(carried(proxy.request(plain("billing").tls("asserted"))), numbered(1));
    assert_eq!(carried(proxy.request(plain("stock"))), numbered(2));
}

#[test]
fn a_callers_own_credential_is_refused_replaced_or_kept_as_configured() {
    let proxy = |word: &str| {
        let destination = destination("billing", json!({ "caller_credential": word }));
        ready(&document(json!({ "destinations": [destination] }))).0
    };
    for own in ["Bearer the-callers-own", "Basic YTpi", "Bearer", "", "bearer x, Bearer y"] {
        let request = || to("billing").header("authorization", own);
        let mut refusing = proxy("deny");
        let refused = refusing.request(request()).refused();
        assert_eq!(refused.response.status, 400);
        assert_eq!(refused.annotation, "outcome=deny reason=caller_credential client=billing");
        assert_eq!(carried(proxy("replace").request(request())), numbered(1));
        assert_eq!(proxy("keep").request(request()).forwarded().upstream("authorization"), [own]);
    }
    let twice = || to("billing").bearer("one").bearer("two");
    assert_eq!(carried(proxy("replace").request(twice())), numbered(1));
    assert_eq!(proxy("keep").request(twice()).forwarded().upstream("authorization").len(), 2);
    // Where there is none, ours is sent.
    assert_eq!(carried(proxy("keep").request(to("billing"))), numbered(1));
    let mut keeping = proxy("keep");
    keeping.request(twice());
    assert_eq!(injections(&mut keeping, "billing", "kept"), 1);
}

/// A request that is sent again, or follows a redirect, carries a token of ours.
#[test]
fn our_own_token_is_never_taken_for_the_callers() {
    let mut proxy = two(json!({}));
    proxy.advance(57.minutes());
    assert!(proxy.calls("idp") >= 4);
    for ours in 1..=4 {
        assert!([3, 4].contains(&number(&carried(proxy.request(to("billing").bearer(&numbered(ours)))))));
    }
    // However the scheme is written, and not what only looks like one.
    carried(proxy.request(to("billing").header("authorization", format!("bearer  {}", numbered(1)))));
    for own in [numbered(1), format!("Basic {}", numbered(1)), format!("Bearer {}, Bearer own", numbered(1))]
    {
        assert_eq!(
            proxy.request(to("billing").header("authorization", own)).tells(),
            "400 caller_credential"
        );
    }
    let other = proxy.request(to("billing").bearer(&numbered(99)));
    assert_eq!(other.tells(), "400 caller_credential");
    let both = format!("Bearer {}", numbered(1));
    let mixed = to("billing").header("authorization", both).bearer("the-callers");
    assert_eq!(proxy.request(mixed).tells(), "400 caller_credential");
}

fn number(token: &str) -> u32 {
    token.split('-').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_token_of_ours_is_taken_out_where_no_token_goes() {
    let mut proxy = two(json!({}));
    bare(proxy.request(Request::get("/").to("elsewhere").bearer(&numbered(1))));
    bare(proxy.request(Request::get("/").to("elsewhere").bearer(&numbered(2))));
    assert_eq!(injections(&mut proxy, "none", "stripped"), 2);
    // A caller's own is none of our business there.
    let own = proxy.request(Request::get("/").to("elsewhere").bearer("own")).forwarded();
    assert_eq!(own.upstream("authorization"), ["Bearer own"]);
}

/// A token endpoint issues whatever word it likes, such as a scheme's, or one that callers use: it takes no caller's
/// credential away.
#[test]
fn whatever_an_endpoint_issues_the_callers_credential_stays_the_callers() {
    let issued = |token: &str| {
        crate::proxy::good(
            &json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }).to_string(),
        )
    };
    for word in ["Bearer", "ALICE", "Basic", "bearer"] {
        for rule in ["deny", "keep", "replace"] {
            let odd = json!({ "header": { "name": "x-odd-token" } });
            let clients = [client("billing", json!({})), client_at("odd", "sts"), client_at("odder", "sts")];
            let mut clients = clients.to_vec();
            crate::proxy::merge(&mut clients[1], odd);
            crate::proxy::merge(
                &mut clients[2],
                json!({ "header": { "name": "authorization", "scheme": "Token" } }),
            );
            let to_billing = destination("billing", json!({ "caller_credential": rule }));
            let destinations =
                json!([to_billing, destination("odd", json!({})), destination("odder", json!({}))]);
            let mut proxy = Proxy::new(&with_clients(&clients, json!({ "destinations": destinations })));
            keep_secrets(&mut proxy);
            serve(&mut proxy, "idp", &Tokens::new());
            proxy.serve("sts", issued(word));
            proxy.tick();
            proxy.tick();
            assert_eq!(proxy.request(to("odd")).forwarded().upstream("x-odd-token"), [word]);
            for own in ["Bearer ALICE", "bearer ALICE", "ALICE", "Basic ALICE", "Bearer"] {
                let answer = proxy.request(to("billing").header("authorization", own));
                match rule {
                    "deny" => assert_eq!(answer.tells(), "400 caller_credential", "{word}: {own}"),
                    "keep" => assert_eq!(answer.forwarded().upstream("authorization"), [own], "{word}"),
                    _ => assert_eq!(carried(answer), numbered(1), "{word}: {own}"),
                }
                let elsewhere = Request::get("/").to("elsewhere").header("authorization", own);
                assert_eq!(proxy.request(elsewhere).forwarded().upstream("authorization"), [own], "{word}");
            }
        }
    }
}

/// RFC 9110 §7.6.1.
#[test]
fn no_connection_option_takes_our_token_from_the_upstream() {
    let mut proxy = two(json!({}));
    let upgrade = |options: &str| to("billing").header("connection", options).header("upgrade", "websocket");
    assert_eq!(carried(proxy.request(upgrade("upgrade"))), numbered(1));
    for options in ["upgrade, authorization", "Authorization", "close,AUTHORIZATION"] {
        let refused = proxy.request(upgrade(options)).refused();
        assert_eq!(refused.response.status, 400, "{options}");
        assert_eq!(refused.annotation, "outcome=deny reason=outbound_header_hop_by_hop client=billing");
    }
    // Where no token goes, it is none of our business.
    bare(proxy.request(Request::get("/").to("elsewhere").header("connection", "upgrade, authorization")));
}

#[test]
fn another_clients_token_is_replaced_or_taken_out() {
    let header = json!({ "header": { "name": "x-api-token" } });
    let clients = [client("billing", json!({})), client("third", json!({})), client("stock", header)];
    for word in ["deny", "replace", "keep"] {
        let destinations = json!([
            destination("billing", json!({ "caller_credential": word })),
            destination("third", json!({})),
            destination("stock", json!({}))
        ]);
        let (mut proxy, _) = ready(&with_clients(&clients, json!({ "destinations": destinations })));
        let request = to("billing").bearer(&numbered(2)).header("x-api-token", numbered(3));
        let forwarded = proxy.request(request).forwarded();
        assert_eq!(forwarded.upstream("authorization"), [format!("Bearer {}", numbered(1))]);
        assert_eq!(forwarded.upstream("x-api-token"), [""; 0]);
        let request = to("stock").bearer(&numbered(1));
        let forwarded = proxy.request(request).forwarded();
        assert_eq!(forwarded.upstream("authorization"), [""; 0]);
        assert_eq!(forwarded.upstream("x-api-token"), [numbered(3)]);
    }
}

/// Whose credential is kept keeps its own, and carries no other client's token along.
#[test]
fn a_kept_credential_takes_no_token_of_ours_along() {
    let clients =
        [client("billing", json!({})), client("stock", json!({ "header": { "name": "x-api-token" } }))];
    let destinations = json!([
        destination("billing", json!({ "caller_credential": "keep" })),
        destination("stock", json!({}))
    ]);
    let (mut proxy, _) = ready(&with_clients(&clients, json!({ "destinations": destinations })));
    let request = to("billing").bearer("own").header("x-api-token", numbered(2));
    let forwarded = proxy.request(request).forwarded();
    assert_eq!(forwarded.upstream("authorization"), ["Bearer own"]);
    assert_eq!(forwarded.upstream("x-api-token"), [""; 0]);
}

#[test]
fn a_header_without_a_prefix_takes_the_bare_token() {
    let clients = [client("billing", json!({ "header": { "name": "X-Api-Token" } }))];
    let (mut proxy, _) = ready(&with_clients(&clients, json!({})));
    let forwarded = proxy.request(to("billing").bearer("own")).forwarded();
    assert_eq!(forwarded.upstream("x-api-token"), [numbered(1)]);
    assert_eq!(forwarded.upstream("authorization"), ["Bearer own"], "it is in no other header's way");
    let refused = proxy.request(to("billing").header("x-api-token", "own"));
    assert_eq!(refused.tells(), "400 caller_credential");
}

#[test]
fn upstream_calls_of_our_own_are_left_alone() {
    let (mut proxy, _) = ready(&document(json!({ "position": "upstream", "unmatched": "deny" })));
    let own = Request::new("POST", "/token")
        .authority("idp.example")
        .unvouched("idp")
        .header("authorization", "Basic eA");
    let forwarded = proxy.request(own).forwarded();
    assert!(forwarded.edits.is_empty());
    assert_eq!(proxy.request(Request::get("/").to("elsewhere")).tells(), "403 unmatched");
}

/// An upstream that redirects, and Envoy's own retry after a 401.
#[test]
fn a_retry_carries_the_new_token() {
    let (mut proxy, _) = ready(&document(json!({ "position": "upstream" })));
    proxy.advance(10.secs());
    let first = proxy.request(to("billing")).forwarded();
    let token = first.upstream("authorization")[0].clone();
    proxy.upstream_answers(&first, 401);
    let retry = proxy.request(to("billing").header("authorization", token));
    assert_eq!(carried(retry), numbered(2));
}

/// Both halves, and no server has answered anything yet.
fn fresh(inbound: Value, destination_patch: Value) -> (Proxy, Signer) {
    let mut document = config(json!({}));
    crate::proxy::merge(&mut document["inbound"], inbound);
    document["outbound"] =
        super::document(json!({ "destinations": [destination("billing", destination_patch)] }))["outbound"]
            .clone();
    document["outbound"]["clients"] = json!([client_at("billing", "tokens")]);
    let mut proxy = Proxy::new(&document);
    keep_secrets(&mut proxy);
    (proxy, Signer::new("k1"))
}

/// The caller's token is verified, and ours takes its place or not.
fn both(inbound: Value, destination_patch: Value) -> (Proxy, Signer) {
    let (mut proxy, key) = fresh(inbound, destination_patch);
    serve(&mut proxy, "tokens", &Tokens::new());
    proxy.serve("idp", crate::proxy::good(&jwks(&[&key])));
    proxy.tick();
    proxy.sleep(1.ms());
    (proxy, key)
}

fn orders() -> Request {
    to("billing").without(":path").header(":path", "/orders")
}

#[test]
fn in_one_filter_the_callers_token_is_stripped_and_ours_sent() {
    for (inbound, destination) in [
        (json!({ "token": { "after_verification": "strip" } }), json!({})),
        (json!({ "token": { "after_verification": "forward" } }), json!({ "caller_credential": "replace" })),
    ] {
        let (mut proxy, key) = both(inbound, destination);
        let token = key.token().sign();
        assert_eq!(carried(proxy.request(orders().bearer(&token))), numbered(1));
        assert_eq!(proxy.request(orders()).tells(), "401 credential_missing");
        assert_eq!(proxy.request(orders().bearer("garbage")).tells(), "401 token_parts");
        let public = to("billing").without(":path").header(":path", "/healthz");
        assert_eq!(carried(proxy.request(public)), numbered(1));
    }
    let (mut proxy, key) = both(json!({}), json!({}));
    let token = key.token().sign();
    assert_eq!(proxy.request(orders().bearer(&token)).tells(), "400 caller_credential");
}

/// Each wait has a deadline of its own.
#[test]
fn a_request_waits_for_keys_and_then_for_a_token() {
    let (mut proxy, key) = fresh(json!({ "token": { "after_verification": "strip" } }), json!({}));
    let waits = proxy.request(orders().bearer(&key.token().sign())).waiting();
    proxy.advance(4.secs());
    // The keys were asked for first.
    proxy.reply(crate::proxy::good(&jwks(&[&key])));
    proxy.advance(4.secs());
    assert_eq!(proxy.answer(waits).tells(), "waiting");
    let tokens = Tokens::new();
    let answer = tokens.issue();
    proxy.reply(answer);
    assert_eq!(carried(proxy.answer(waits)), numbered(1));
    // It carries the caller's token no more.
    assert_eq!(proxy.waiting(), 0);
}

/// What would be denied goes on, and gets our token no differently.
#[test]
fn a_report_only_route_denies_nothing_and_injects_all_the_same() {
    let routes = json!([{ "name": "trial", "match": { "prefix": "/" }, "require": { "authenticated": {} }, "mode": "report_only" }]);
    let (mut proxy, _) = both(json!({ "routes": routes }), json!({ "caller_credential": "replace" }));
    let answer = proxy.request(orders());
    assert_eq!(answer.tells(), "forwarded, would be credential_missing");
    assert_eq!(carried(answer), numbered(1));
}

/// Envoy chooses the route again after an edit: a caller that could name a header which is removed could have the token of one cluster
/// sent to another.
#[test]
fn beside_a_downstream_outbound_half_no_request_carries_a_header_that_is_set_from_claims() {
    let claims = json!([{ "claim": "sub", "header": "x-auth-subject" }]);
    let routes = json!([
        { "name": "orders", "match": { "path": "/orders" }, "require": { "scopes": ["orders:read"] } },
        { "name": "open", "match": { "prefix": "/open" }, "public": {} },
        { "name": "shut", "match": { "prefix": "/shut" }, "deny": {}, "mode": "report_only" },
        { "name": "trial", "match": { "prefix": "/trial" }, "require": { "scopes": ["x"] }, "mode": "report_only" },
    ]);
    let inbound = json!({ "forward_claims": claims, "routes": routes, "route_metadata": "ignore" });
    let (mut proxy, key) = both(inbound.clone(), json!({ "caller_credential": "replace" }));
    let token = key.token().sign();
    let at = |path: &str| to("billing").without(":path").header(":path", path);
    for path in ["/orders", "/open", "/shut", "/trial", "/trial//x", "/nowhere"] {
        for value in ["root", "orders-service", ""] {
            let forged = at(path).bearer(&token).header("x-auth-subject", value);
            assert_eq!(proxy.request(forged).tells(), "400 header_reserved", "{path}");
        }
        let lookalike = at(path).bearer(&token).header("x_auth_subject", "root");
        assert_eq!(proxy.request(lookalike).tells(), "400 header_lookalike", "{path}");
    }
    let elsewhere = Request::get("/open").to("elsewhere").header("x-auth-subject", "root");
    assert_eq!(proxy.request(elsewhere).tells(), "400 header_reserved");
    for path in ["/orders", "/open", "/shut", "/trial"] {
        assert_eq!(carried(proxy.request(at(path).bearer(&token))), numbered(1), "{path}");
    }
    // Alone, the inbound half replaces such a header.
    let mut document = config(inbound);
    document["inbound"]["forward_claims"] = claims;
    let mut proxy = Proxy::ready(&document, &[&key]);
    let seen = proxy.request(Request::get("/orders").bearer(&token).header("x-auth-subject", "root"));
    assert_eq!(seen.forwarded().upstream("x-auth-subject"), ["orders-service"]);
}
