//! Report-only for the tokens of an issuer, or of all, and what the upstream is told of it.

use attache::base::{Edit, Level};
use attache::config::{self, NoticeTopic};
use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, Signer, Time as _, Variables, config, good, issuer, jwks, partner};

/// The issuer `corp` is report-only, `partner` is not.
fn migration() -> Value {
    config(json!({
        "issuers": [issuer(json!({ "mode": "report_only" })), partner()],
        "report_header": "x-attache-report",
        "forward_claims": [{ "claim": "client_id", "header": "x-client" }],
        "filter_state": { "decisions": "all", "facts": ["outcome", "reason", "client", "issuer"] },
        "routes": [
            { "name": "orders", "match": { "path": "/orders" },
              "require": { "issuers": ["corp", "partner"], "scopes": ["orders:read"] } },
            { "name": "partners", "match": { "path": "/partners" },
              "require": { "issuers": ["partner"], "authenticated": {} } },
            { "name": "closed", "match": { "path": "/closed" }, "deny": {} },
            { "name": "health", "match": { "path": "/healthz" }, "public": {} },
        ],
    }))
}

/// Both issuers, with keys.
fn ready(config: &Value) -> (Proxy, Signer, Signer) {
    let (corp, other) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::new(config);
    proxy.serve("idp", good(&jwks(&[&corp])));
    proxy.serve("partner", good(&jwks(&[&other])));
    proxy.tick();
    (proxy, corp, other)
}

#[test]
fn what_follows_the_signature_is_reported_for_an_issuer_that_is_report_only() {
    let (mut proxy, key, _) = ready(&migration());
    let now = proxy.now().secs();
    for (reason, token) in [
        ("wrong_audience", key.token().claim("aud", "https://other.example")),
        ("claim_missing", key.token().no_claim("aud")),
        ("claim_malformed", key.token().claim("aud", 7)),
        ("claim_missing", key.token().no_claim("exp")),
        ("expired", key.token().claim("exp", now - 60)),
        ("not_yet_valid", key.token().claim("nbf", now + 60)),
        ("issued_in_future", key.token().claim("iat", now + 60)),
        ("scope_malformed", key.token().claim("scope", 7)),
        ("claim_malformed", key.token().claim("client_id", json!([]))),
        ("scope_insufficient", key.token().claim("scope", "orders:write")),
    ] {
        // What is remembered of it the first time changes nothing the second time.
        for _ in 0..2 {
            assert_eq!(proxy.get("/orders", &token.sign()), format!("forwarded, would be {reason}"));
        }
    }
}

/// Whom an issuer on trial gives a token, it cannot let in where it is not accepted.
#[test]
fn a_report_only_issuer_opens_no_route_that_does_not_accept_it() {
    let mut of_all = migration();
    of_all["inbound"]["mode"] = "report_only".into();
    of_all["inbound"]["issuers"][0].as_object_mut().unwrap().remove("mode");
    for document in [migration(), of_all] {
        let (mut proxy, key, _) = ready(&document);
        for token in
            [key.token(), key.token().claim("exp", 1), key.token().claim("aud", "https://other.example")]
        {
            assert_eq!(proxy.get("/partners", &token.sign()), "401 issuer_not_accepted");
        }
        // Also where the token is known: it is held against the route each time.
        assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded");
        assert_eq!(proxy.get("/partners", &key.token().sign()), "401 issuer_not_accepted");
    }
    // The route's own mode reports it.
    let mut document = migration();
    document["inbound"]["routes"][1]["mode"] = "report_only".into();
    let (mut proxy, key, _) = ready(&document);
    for _ in 0..2 {
        let told = proxy.get("/partners", &key.token().sign());
        assert_eq!(told, "forwarded, would be issuer_not_accepted");
        assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded");
    }
}

#[test]
fn the_operator_is_told_where_no_token_is_denied_for_what_it_says() {
    let told = |patch: &dyn Fn(&mut Value)| {
        let mut document = migration();
        patch(&mut document["inbound"]);
        let config = config::parse(document.to_string().as_bytes(), &Variables).unwrap();
        let notices = config.notices().into_iter();
        let of_modes = notices.filter(|notice| notice.topic == NoticeTopic::ReportOnly);
        of_modes.map(|notice| (notice.level, &notice.text[..25])).collect::<Vec<_>>()
    };
    let issuers = (Level::Warn, "report-only: every issuer");
    let routes = (Level::Warn, "report-only: every route ");
    assert_eq!(told(&|_| ()), []);
    assert_eq!(told(&|inbound| inbound["mode"] = "report_only".into()), [issuers]);
    assert_eq!(told(&|inbound| inbound["issuers"][1]["mode"] = "report_only".into()), [issuers]);
    let one = |inbound: &mut Value| inbound["routes"][0]["mode"] = "report_only".into();
    assert_eq!(told(&one), []);
    assert_eq!(
        told(&|inbound| {
            one(inbound);
            inbound["routes"][1]["mode"] = "report_only".into();
        }),
        [routes]
    );
    // A closed route requires no token.
    let closed = |inbound: &mut Value| drop(inbound["routes"].as_array_mut().unwrap().drain(..2));
    assert_eq!(told(&closed), []);
}

/// `iss` is anybody's word until the signature is checked.
#[test]
fn whom_no_key_vouches_for_is_denied_whatever_the_issuers_mode() {
    let (mut proxy, key, partner) = ready(&migration());
    let forger = Signer::new("k1").named(Some("k1"));
    let stranger = Signer::unnamed("stranger").named(Some("k1"));
    assert_eq!(proxy.get("/orders", &forger.token().sign()), "forwarded");
    let expired = |signer: &Signer| signer.token().claim("exp", 1).sign();
    // The fault of the signature is told, not the one that a report would be about.
    assert_eq!(proxy.get("/orders", &expired(&stranger)), "401 signature_invalid");
    assert_eq!(proxy.get("/partners", &stranger.token().sign()), "401 issuer_not_accepted");
    let other_audience = stranger.token().claim("aud", "https://other.example").sign();
    assert_eq!(proxy.get("/orders", &other_audience), "401 signature_invalid");
    let (signed, other) = (expired(&key), key.token().sign());
    let patched = format!("{}.{}", signed.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
    assert_eq!(proxy.get("/orders", &patched), "401 signature_invalid");
    for (path, token, told) in [
        ("/orders", "garbage".to_owned(), "401 token_parts"),
        ("/orders", key.token().header("alg", "none").sign(), "401 algorithm_none"),
        ("/orders", key.token().claim("iss", "https://nobody.example").sign(), "401 issuer_unknown"),
        (
            "/orders",
            partner.token().claim("iss", "https://partner.example").claim("exp", 1).sign(),
            "401 expired",
        ),
        ("/closed", key.token().sign(), "403 route_denied"),
        ("/elsewhere", key.token().sign(), "403 route_unknown"),
        ("/orders//", key.token().sign(), "400 path_ambiguous"),
    ] {
        assert_eq!(proxy.get(path, &token), told, "{path}");
    }
    assert_eq!(proxy.request(Request::get("/orders")).tells(), "401 credential_missing");
    let repeated = Request::get("/orders").bearer(&key.token().sign()).bearer(&key.token().sign());
    assert_eq!(proxy.request(repeated).tells(), "400 credential_repeated");
}

/// An algorithm that the issuer does not sign with is no signature of its own.
#[test]
fn an_algorithm_that_is_not_the_issuers_is_denied_whatever_its_mode() {
    let mut document = migration();
    document["inbound"]["issuers"][0]["algorithms"] = json!(["ES256"]);
    let (mut proxy, key, _) = ready(&document);
    assert_eq!(proxy.get("/orders", &key.token().sign()), "401 algorithm_not_allowed");
}

#[test]
fn a_token_that_will_be_reported_waits_for_the_keys_that_vouch_for_it() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&migration());
    let expired = || Request::get("/orders").bearer(&key.token().claim("exp", 1).sign());
    let (first, second) = (proxy.request(expired()).waiting(), proxy.request(expired()).waiting());
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.advance(3.secs());
    assert_eq!(proxy.answer(first).tells(), "forwarded, would be expired");
    assert_eq!(proxy.answer(second).tells(), "forwarded, would be expired");
    // No keys at all are no fault that comes after the signature.
    let mut proxy = Proxy::new(&migration());
    let waits = proxy.request(expired()).waiting();
    proxy.advance(6.secs());
    assert_eq!(proxy.answer(waits).tells(), "503 keys_unavailable");
}

#[test]
fn a_mode_for_all_issuers_covers_what_the_issuers_would() {
    let mut document = migration();
    document["inbound"]["mode"] = json!("report_only");
    document["inbound"]["issuers"][0]["mode"] = json!("enforce");
    let (mut proxy, key, partner) = ready(&document);
    let of_partner = |exp: u64| partner.token().claim("iss", "https://partner.example").claim("exp", exp);
    assert_eq!(proxy.get("/orders", &of_partner(1).sign()), "forwarded, would be expired");
    assert_eq!(proxy.get("/orders", &key.token().claim("exp", 1).sign()), "401 expired");
    assert_eq!(proxy.request(Request::get("/orders")).tells(), "401 credential_missing");
    let forged = key.token().claim("iss", "https://partner.example").header("kid", "k2").sign();
    assert_eq!(proxy.get("/orders", &forged), "401 signature_invalid");
}

#[test]
fn the_upstream_is_told_what_is_reported_and_no_client_can_say_so() {
    let (mut proxy, key, _) = ready(&migration());
    let forge = |request: Request| {
        request
            .header("x-attache-report", "expired")
            .header("x-attache-report", "ok")
            .header("x-client", "root")
    };
    let mut seen = |request: Request| {
        let seen = proxy.request(forge(request)).forwarded();
        (seen.upstream("x-attache-report").join(" "), seen.upstream("x-client").join(" "))
    };
    let get = |token: String| Request::get("/orders").bearer(&token);
    let told = |report: &str, client: &str| (report.to_owned(), client.to_owned());
    assert_eq!(seen(get(key.token().sign())), told("", "orders"));
    assert_eq!(seen(get(key.token().claim("exp", 1).sign())), told("expired", ""));
    assert_eq!(seen(get(key.token().claim("scope", "x").sign())), told("scope_insufficient", ""));
    assert_eq!(seen(Request::get("/healthz")), told("", ""));
    let imitated = Request::get("/healthz").header("X_Attache_Report", "ok");
    assert_eq!(proxy.request(imitated).tells(), "400 header_lookalike");
    let hop = Request::get("/healthz").header("connection", "x-attache-report");
    assert_eq!(proxy.request(hop).tells(), "400 header_hop_by_hop");
}

/// By a header that the filter sets, a client could choose Envoy's route.
#[test]
fn a_header_of_ours_is_refused_where_envoys_route_matters() {
    let mut document = migration();
    document["inbound"]["route_metadata"] = json!("read");
    document["inbound"]["forward_payload"] = json!({ "header": "x-payload" });
    let (mut proxy, ..) = ready(&document);
    for header in ["x-attache-report", "x-payload"] {
        let request = Request::get("/healthz").header(header, "x");
        assert_eq!(proxy.request(request).tells(), "400 header_reserved", "{header}");
    }
}

#[test]
fn filter_state_tells_what_is_reported() {
    let (mut proxy, key, _) = ready(&migration());
    let mut facts = |token: String| proxy.request(Request::get("/orders").bearer(&token)).facts();
    // Nobody has looked at what the token is good for, but whose it is has been verified.
    assert_eq!(
        facts(key.token().claim("scope", "x").sign()),
        "outcome=report reason=scope_insufficient client=orders issuer=corp"
    );
    assert_eq!(facts(key.token().claim("exp", 1).sign()), "outcome=report reason=expired client= issuer=");
    assert_eq!(facts(key.token().sign()), "outcome=permit reason=ok client=orders issuer=corp");
}

#[test]
fn a_report_only_route_tells_its_upstream_too() {
    let mut document = migration();
    document["inbound"]["routes"][2]["mode"] = json!("report_only");
    let (mut proxy, ..) = ready(&document);
    let seen = proxy.request(Request::get("/closed")).forwarded();
    assert_eq!(seen.edits, [Edit::Set("x-attache-report".into(), "route_denied".into())]);
}
