//! Tokens of SPIFFE trust domains (JWT-SVID): found by `sub`, verified by the trust domain's bundle.

use serde_json::{Value, json};

use crate::proxy::{
    AUDIENCE, ISSUER, Proxy, START, Signer, Time as _, Token, config, good, issuer, jwks, merge,
};

fn mesh(patch: Value) -> Value {
    let mut mesh = issuer(json!({
        "name": "mesh", "issuer": null, "trust_domain": "example.org", "algorithms": ["EdDSA"],
        "keys": { "jwks": { "uri": "https://spire.example/", "cluster": "spire" } },
    }));
    merge(&mut mesh, patch);
    mesh
}

/// The bundle as SPIRE's endpoint has it: keys of certificates beside those of tokens.
fn bundle(keys: &[&Signer]) -> String {
    let mut bundle: Value = serde_json::from_str(&jwks(keys)).unwrap();
    let keys = bundle["keys"].as_array_mut().unwrap();
    keys.iter_mut().for_each(|key| key["use"] = json!("jwt-svid"));
    let mut certificate = Signer::new("certificate").jwk();
    merge(&mut certificate, json!({ "use": "x509-svid", "x5c": ["MIIB"], "kid": null }));
    keys.push(certificate);
    bundle["spiffe_sequence"] = json!(7);
    bundle["spiffe_refresh_hint"] = json!(300);
    bundle.to_string()
}

fn proxy(key: &Signer) -> Proxy {
    let routes = json!([
        { "name": "orders", "match": { "path": "/orders" },
          "require": { "issuers": ["corp", "mesh"], "authenticated": {} } },
    ]);
    let mut proxy =
        Proxy::new(&config(json!({ "issuers": [issuer(json!({})), mesh(json!({}))], "routes": routes })));
    proxy.serve("idp", good(&jwks(&[&Signer::new("corp")])));
    proxy.serve("spire", good(&bundle(&[key])));
    proxy.tick();
    proxy.sleep(1.ms());
    proxy
}

/// A JWT-SVID: what SPIRE puts in, and no more.
fn svid(key: &Signer, sub: &str) -> Token {
    let mut token = key.token().header("typ", "JWT");
    token.claims = json!({ "aud": [AUDIENCE], "exp": START + 300, "iat": START, "sub": sub });
    token
}

const WORKLOAD: &str = "spiffe://example.org/ns/shop/sa/orders";

#[test]
fn a_jwt_svid_needs_no_issuer_and_may_have_one() {
    let key = Signer::new("svid");
    let mut proxy = proxy(&key);
    let svid = || svid(&key, WORKLOAD);
    for token in [
        svid(),
        svid().no_header("typ"),
        svid().header("typ", "JOSE"),
        svid().claim("iss", json!(null)),
        svid().claim("iss", "https://spire.example"),
        svid().claim("iss", "spiffe://example.org"),
        svid().claim("iss", "spiffe://other.example"),
    ] {
        assert_eq!(proxy.get("/orders", &token.sign()), "forwarded", "{}", token.claims);
    }
}

#[test]
fn what_a_jwt_svid_must_have_is_demanded() {
    let key = Signer::new("svid");
    let mut proxy = proxy(&key);
    let svid = || svid(&key, WORKLOAD);
    for (token, tells) in [
        (svid().no_claim("exp"), "401 claim_missing"),
        (svid().no_claim("aud"), "401 claim_missing"),
        (svid().claim("aud", "spiffe://example.org/other"), "401 wrong_audience"),
        (svid().claim("exp", START - 300), "401 expired"),
        (svid().no_claim("sub"), "401 issuer_unknown"),
        (svid().claim("iss", 7), "401 issuer_unknown"),
        (svid().claim("iss", json!([])), "401 issuer_unknown"),
        (svid().header("typ", "at+jwt"), "401 wrong_type"),
        (svid().header("typ", "dpop+jwt"), "401 wrong_type"),
    ] {
        assert_eq!(proxy.get("/orders", &token.sign()), tells, "{}", token.claims);
    }
    assert_eq!(proxy.signature_checks(), 0);
}

#[test]
fn sub_is_the_spiffe_id_of_a_workload_of_the_trust_domain() {
    let key = Signer::new("svid");
    let mut proxy = proxy(&key);
    let mut tell = |sub: &str| proxy.get("/orders", &svid(&key, sub).sign());
    for sub in ["spiffe://example.org/a", "spiffe://example.org/A-b_c.d/...", WORKLOAD] {
        assert_eq!(tell(sub), "forwarded", "{sub}");
    }
    let longest = format!("spiffe://example.org/{}", "a".repeat(2048 - 21));
    assert_eq!(tell(&longest), "forwarded");
    for sub in [
        "spiffe://example.org/",
        "spiffe://example.org//a",
        "spiffe://example.org/a/",
        "spiffe://example.org/a//b",
        "spiffe://example.org/.",
        "spiffe://example.org/a/../b",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b",
        "spiffe://example.org/a%2fb",
        "spiffe://example.org/\u{e4}",
        &format!("{longest}a"),
    ] {
        assert_eq!(tell(sub), "401 claim_malformed", "{sub}");
    }
    for sub in [
        "",
        "orders-service",
        "spiffe://example.org",
        "spiffe:///a",
        "spiffe://EXAMPLE.org/a",
        "SPIFFE://example.org/a",
        "spiffe://example.org:443/a",
        "spiffe://a@example.org/a",
        "spiffe://example.org.evil/a",
        "spiffe://evil/example.org/a",
        "spiffe://sub.example.org/a",
        " spiffe://example.org/a",
        "https://example.org/a",
    ] {
        assert_eq!(tell(sub), "401 issuer_unknown", "{sub}");
    }
}

/// RFC 8725 §3.8: a token is held against the keys of one issuer. `iss` comes first, and `sub` counts only where `iss`
/// names none that is configured; so nobody chooses a laxer one by adding the other claim.
#[test]
fn no_token_is_held_against_the_keys_of_two() {
    let (corp, key) = (Signer::new("corp"), Signer::new("svid"));
    let mut proxy = proxy(&key);
    let of_corp = corp.token();
    for (token, tells) in [
        // The mesh's keys do not sign for corp, nor corp's for the mesh.
        (key.token(), "401 signature_invalid"),
        (svid(&key, WORKLOAD).claim("iss", ISSUER), "401 signature_invalid"),
        (svid(&corp, WORKLOAD), "401 signature_invalid"),
        (svid(&corp, WORKLOAD).claim("iss", "https://stranger.example"), "401 signature_invalid"),
        // Corp's token is corp's, whatever its subject is called.
        (of_corp.clone().claim("sub", WORKLOAD), "forwarded"),
        (
            of_corp.claim("sub", WORKLOAD).claim("iss", "https://stranger.example").header("typ", "JWT"),
            "401 signature_invalid",
        ),
    ] {
        // Under either key's name.
        for kid in ["corp", "svid"] {
            let tells = if tells == "forwarded" && kid == "svid" { "401 signature_invalid" } else { tells };
            let told = proxy.get("/orders", &token.clone().header("kid", kid).sign());
            let told = if told == "waiting" { tells.to_owned() } else { told };
            assert_eq!(told, tells, "{} {kid}", token.claims);
        }
    }
    proxy.advance(1.minutes());
    assert_eq!(
        proxy.counter(
            "route=.=orders;.;issuer=.=mesh;.;outcome=.=permit;.;reason=.=ok;.;attache_decisions_total"
        ),
        0
    );
}

/// The keys of certificates are in the same document.
#[test]
fn a_key_for_certificates_verifies_no_token() {
    let (key, certificate) = (Signer::new("svid"), Signer::new("certificate"));
    let mut proxy = proxy(&key);
    let token = svid(&certificate.named(None), WORKLOAD).sign();
    assert_ne!(proxy.get("/orders", &token), "forwarded");
    proxy.advance(10.secs());
    assert_ne!(proxy.get("/orders", &token), "forwarded");
}

/// Several trust domains, each with its own bundle.
#[test]
fn each_trust_domain_has_keys_of_its_own() {
    let (ours, theirs) = (Signer::new("ours"), Signer::new("theirs"));
    let other = mesh(json!({ "name": "second", "trust_domain": "other.example",
        "keys": { "jwks": { "uri": "https://other.example/", "cluster": "other" } } }));
    let routes = json!([{ "name": "r", "match": { "path": "/orders" },
        "require": { "issuers": ["mesh", "second"], "authenticated": {} } }]);
    let mut proxy = Proxy::new(&config(json!({ "issuers": [mesh(json!({})), other], "routes": routes })));
    proxy.serve("spire", good(&bundle(&[&ours])));
    proxy.serve("other", good(&bundle(&[&theirs])));
    proxy.tick();
    proxy.sleep(1.ms());
    let of = |key: &Signer, kid: &str, sub: &str| svid(&key.named(Some(kid)), sub).sign();
    assert_eq!(proxy.get("/orders", &of(&ours, "ours", WORKLOAD)), "forwarded");
    assert_eq!(proxy.get("/orders", &of(&theirs, "theirs", "spiffe://other.example/a")), "forwarded");
    assert_eq!(proxy.get("/orders", &of(&theirs, "ours", WORKLOAD)), "401 signature_invalid");
    assert_eq!(
        proxy.get("/orders", &of(&ours, "theirs", "spiffe://other.example/a")),
        "401 signature_invalid"
    );
}
