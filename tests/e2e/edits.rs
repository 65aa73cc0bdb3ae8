use serde_json::{Value, json};

use crate::egress::{HOST, asserted, client, destination, document, downstream, setup};
use crate::proxy::{Document, Listener, Proxy, Setup, echo, inbound, issuer, join, route, trust, verdict};
use crate::raw;
use crate::secrets::scoped;
use attache_harness::issuer::Algorithm;

fn forwarding() -> Value {
    let claims = json!([{ "claim": "sub", "header": "x-auth-subject" }]);
    json!({ "forward_claims": claims, "denials": { "body": "problem_json" } })
}

fn routes() -> [Value; 2] {
    [
        route("edits-orders", "/orders", json!({ "require": { "scopes": ["orders:read"] } })),
        json!({ "name": "edits-open", "match": { "prefix": "/open" }, "public": {} }),
    ]
}

/// Both halves in one filter, in front of a route that a header chooses: with it a request goes to `billing`, which has a token, and
/// without it to `upstream`, which must not see one.
fn both_halves() -> Setup {
    let mut document = document("downstream", &[client(json!({}))], &[destination(json!({}))], json!({}));
    join(&mut document, inbound(&[trust("corp", json!({}))], &routes(), forwarding()));
    let by_header = json!({
        "match": { "prefix": "/", "headers": [{ "name": "x-auth-subject", "string_match": { "exact": "partner" } }] },
        "route": { "cluster": "billing" },
    });
    let other = json!({ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } });
    let routes = json!({ "route_config": { "virtual_hosts": [
        { "name": "all", "domains": ["*"], "routes": [by_header, other] }] } });
    let corp = issuer("corp", &[Algorithm::Es256]);
    setup()
        .with_issuer("corp", corp)
        .cluster("billing", asserted())
        .listener(downstream("both", document).manager(routes))
}

/// After an edit Envoy chooses the route again, and the filter does not see which: by a header that the filter removes, a caller could
/// have the token of one cluster sent to another.
#[test]
fn no_header_that_is_removed_sends_a_token_to_another_cluster() {
    let proxy = both_halves().start();
    let get = |path: &str| proxy.get("both", path).header("host", HOST);
    for path in ["/open", "/open/more"] {
        let forged = get(path).header("x-auth-subject", "partner").send().unwrap();
        assert_eq!(verdict(&forged), (400, "header_reserved".into()), "{path}");
        assert_eq!(echo(&get(path).send().unwrap()).header("authorization"), None, "{path}");
    }
    assert!(proxy.upstream().seen().iter().all(|seen| seen.bearer().is_none()));
}

/// Envoy takes the headers out that `Connection` names, but for upgrades: those it sends on as they are.
#[test]
fn a_verified_claim_cannot_be_named_away_on_an_upgrade() {
    let document = inbound(&[trust("corp", json!({}))], &routes(), forwarding());
    let upgrades = json!({ "upgrade_configs": [{ "upgrade_type": "websocket" }] });
    let proxy = Setup::new()
        .issuer("corp")
        .listener(Listener::new("upgrades", Document::Struct(document)).manager(upgrades))
        .start();
    let token = scoped(proxy.issuer("corp"), "orders:read");
    let send = |options: &str| {
        let head = format!(
            "GET /orders HTTP/1.1\r\nhost: orders.example\r\nauthorization: Bearer {token}\r\nupgrade: websocket\r\nconnection: {options}\r\n\r\n"
        );
        raw::exchange(proxy.addr("upgrades"), head.as_bytes())
    };
    // The upstream does not know the protocol, and answers as always.
    assert_eq!(send("upgrade").status, 200);
    let seen = proxy.upstream().seen().pop().unwrap();
    assert_eq!(seen.header("x-auth-subject"), Some("orders-service"));
    assert!(
        seen.header("connection").is_some_and(|options| options.eq_ignore_ascii_case("upgrade")),
        "{seen:?}"
    );
    for options in ["upgrade, x-auth-subject", "X-AUTH-SUBJECT,Upgrade", "upgrade, authorization"] {
        let answer = send(options);
        assert_eq!(answer.status, 400, "{options}");
        assert!(
            answer.header("www-authenticate").unwrap().contains("`connection` names a protected header"),
            "{answer:?}"
        );
    }
    assert_eq!(proxy.upstream().requests(), 1);
}

/// A listener that follows redirects of the upstream's by itself.
fn following(name: &str, more: Value, manager: Value) -> Listener {
    let document = inbound(&[trust("corp", json!({}))], &routes(), more);
    let policy = json!({ "max_internal_redirects": 1, "redirect_response_codes": [302] });
    let all = json!({ "match": { "prefix": "/" }, "route": { "cluster": "upstream", "internal_redirect_policy": policy } });
    Listener::new(name, Document::Struct(document)).routes(&[all]).manager(manager)
}

fn redirected(proxy: &Proxy, listener: &str) -> attache_harness::http::Response {
    proxy.upstream().redirect("/orders", &format!("http://{HOST}/open/landed"));
    let token = scoped(proxy.issuer("corp"), "orders:read");
    proxy.get(listener, "/orders").bearer(&token).send().unwrap()
}

/// A request that follows a redirect goes through the filter again, with what the filter has set and without what it has stripped, and
/// past Envoy's early mutations: `attachectl check` refuses files in which that costs the request.
#[test]
fn a_redirect_that_envoy_follows_passes_unless_the_filter_has_to_refuse_its_own_headers_or_has_stripped_the_token()
 {
    let mut reading = forwarding();
    join(&mut reading, json!({ "route_metadata": "read" }));
    let early = json!({ "early_header_mutation_extensions": [{
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [{ "remove": "x-auth-subject" }],
        },
    }] });
    let again = json!({ "name": "edits-landed", "match": { "path": "/open/landed" }, "require": { "authenticated": {} } });
    let mut stripping =
        json!({ "token": { "after_verification": "strip" }, "denials": { "body": "problem_json" } });
    stripping["routes"] = json!([routes()[0], again]);
    let proxy = Setup::new()
        .issuer("corp")
        .listener(following("replacing", forwarding(), json!({})))
        .listener(following("reading", reading.clone(), json!({})))
        .listener(following("early", reading, early))
        .listener(following("stripping", stripping, json!({})))
        .start();
    let landed = echo(&redirected(&proxy, "replacing"));
    assert_eq!((landed.path.as_str(), landed.header("x-auth-subject")), ("/open/landed", None));
    for listener in ["reading", "early"] {
        assert_eq!(verdict(&redirected(&proxy, listener)), (400, "header_reserved".into()), "{listener}");
    }
    assert_eq!(verdict(&redirected(&proxy, "stripping")), (401, "credential_missing".into()));
}
