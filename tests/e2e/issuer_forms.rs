//! Issuers that are not one `iss`: a template with tenants, and a SPIFFE trust domain; metadata that is elsewhere.

use std::net::SocketAddr;

use attache_harness::issuer::{Algorithm, Issuer, IssuerOptions, Signer, TokenSpec};
use serde_json::{Value, json};

use crate::proxy::{
    Document, Listener, Proxy, Setup, Shared, eventually, reading, trust_with, verdict, visit,
};
use crate::secrets::token;

const TEMPLATE: &str = "https://login.example/{tenantid}/v2.0";
const OURS: &str = "6babcaad-604b-40ac-a9d7-9fd97c0b779f";
const THEIRS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
/// The metadata is at the common address of all tenants.
const COMMON: &str = "https://entra.example/common/v2.0";

static PROXY: Shared = Shared::new(|| {
    let entra = issuer("entra", COMMON);
    let first = entra.kid();
    entra.rotate().unwrap();
    let keys = with_keys(&entra, |key| {
        let is_first = key["kid"] == *first;
        key["issuer"] = if is_first { json!(TEMPLATE) } else { json!(of(THEIRS)) };
    });
    entra.replace_jwks(keys);
    let metadata = json!({ "issuer": TEMPLATE, "jwks_uri": "https://entra.example/jwks" });
    entra.replace_metadata(Some(metadata.to_string().into_bytes()));
    let discovery = json!({
        "cluster": "entra", "unknown_key_interval": "100ms",
        "metadata_uri": format!("{COMMON}/.well-known/openid-configuration"),
    });
    let mut trusted = trust_with("entra", json!({ "discovery": discovery }));
    trusted["issuer"] = json!(TEMPLATE);
    trusted["tenants"] = json!([OURS, THEIRS]);

    let spire = issuer("spire", "https://spire.example");
    let certificate = spire.kid();
    spire.rotate().unwrap();
    let bundle = with_keys(&spire, |key| {
        let is_certificate = key["kid"] == *certificate;
        key["use"] = if is_certificate { json!("x509-svid") } else { json!("jwt-svid") };
    });
    spire.replace_jwks(bundle);
    let bundle = json!({
        "uri": "https://spire.example/jwks", "cluster": "spire", "refresh": "5m", "unknown_key_interval": "100ms",
    });
    let mut mesh = trust_with("spire", json!({ "jwks": bundle }));
    mesh.as_object_mut().unwrap().remove("issuer");
    mesh["trust_domain"] = json!("example.org");

    let more = || json!({ "inbound": { "waiting": { "deadline": "2s" } } });
    let both = [trusted, mesh];
    Setup::new()
        .with_issuer("entra", entra)
        .with_issuer("spire", spire)
        .listener(Listener::new("forms", Document::Struct(reading("forms", &both, more()))))
        .start()
});

fn issuer(name: &str, identifier: &str) -> Issuer {
    let options = IssuerOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        identifier: Some(identifier.to_owned()),
        algorithms: vec![Algorithm::Es256],
        kid_prefix: name.to_owned(),
        ..IssuerOptions::default()
    };
    Issuer::start(options).unwrap()
}

/// The issuer's key set, with each key changed.
fn with_keys(issuer: &Issuer, change: impl FnMut(&mut Value)) -> Vec<u8> {
    let mut set: Value = serde_json::from_slice(&issuer.jwks()).unwrap();
    set["keys"].as_array_mut().unwrap().iter_mut().for_each(change);
    set.to_string().into_bytes()
}

fn of(tenant: &str) -> String {
    TEMPLATE.replace("{tenantid}", tenant)
}

fn send(proxy: &Proxy, issuer: &str, spec: TokenSpec) -> (u16, String) {
    let token = token(proxy.issuer(issuer), &spec);
    verdict(&proxy.get("forms", "/").bearer(&token).send().unwrap())
}

fn is_forwarded(answer: &(u16, String)) -> bool {
    answer.0 == 200
}

#[test]
fn tokens_of_listed_tenants_come_in_by_the_keys_that_are_for_them() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("entra");
    let [for_all, for_theirs] = [issuer.kids()[0].clone(), issuer.kids()[1].clone()];
    let by = |kid: &str, tenant: &str| {
        let spec = TokenSpec::scoped("orders:read").claim("iss", of(tenant)).claim("tid", tenant);
        spec.signer(Signer::Kid(kid.to_owned()))
    };
    eventually("keys", || is_forwarded(&send(&proxy, "entra", by(&for_all, OURS))).then_some(()));
    for (spec, told) in [
        (by(&for_all, THEIRS), (200, "forwarded")),
        (by(&for_theirs, THEIRS), (200, "forwarded")),
        (by(&for_theirs, OURS), (401, "signature_invalid")),
        (by(&for_all, OURS).claim("tid", THEIRS), (401, "wrong_tenant")),
        (by(&for_all, OURS).without("tid"), (401, "claim_missing")),
        (by(&for_all, "11111111-604b-40ac-a9d7-9fd97c0b779f"), (401, "issuer_unknown")),
        (by(&for_all, OURS).claim("iss", TEMPLATE), (401, "issuer_unknown")),
        (by(&for_all, OURS).claim("iss", of(&OURS.to_uppercase())), (401, "issuer_unknown")),
    ] {
        for _ in 0..2 {
            assert_eq!(send(&proxy, "entra", spec.clone()), (told.0, told.1.to_owned()), "{:?}", spec.claims);
        }
    }
    // The metadata's own address, and no other.
    assert!(issuer.openid_metadata_requests() > 0 && issuer.oauth_metadata_requests() == 0);
}

#[test]
fn a_workload_s_jwt_svid_comes_in_by_the_bundle_of_its_trust_domain() {
    let proxy = visit(&PROXY);
    let issuer = proxy.issuer("spire");
    let [certificate, current] = [issuer.kids()[0].clone(), issuer.kids()[1].clone()];
    let with_issuer = |sub: &str| {
        let spec = TokenSpec::scoped("orders:read").without("client_id").header("typ", "JWT");
        spec.claim("sub", sub).signer(Signer::Kid(current.clone()))
    };
    // What is left out stays out, whatever is claimed.
    let svid = |sub: &str| with_issuer(sub).without("iss");
    let orders = "spiffe://example.org/ns/shop/sa/orders";
    eventually("keys", || is_forwarded(&send(&proxy, "spire", svid(orders))).then_some(()));
    for (spec, told) in [
        (with_issuer(orders).claim("iss", "https://spire.example"), (200, "forwarded")),
        (svid("spiffe://other.example/orders"), (401, "issuer_unknown")),
        (svid("spiffe://example.org/../orders"), (401, "claim_malformed")),
        (svid(orders).without("exp"), (401, "claim_missing")),
        (svid(orders).header("typ", "at+jwt"), (401, "wrong_type")),
        // By its `iss` the token is another issuer's, whose keys have not signed it.
        (with_issuer(orders).claim("iss", of(OURS)).claim("tid", OURS), (401, "signature_invalid")),
        (svid(orders).signer(Signer::Forger), (401, "signature_invalid")),
    ] {
        let answer = send(&proxy, "spire", spec.clone());
        let is_told = answer == (told.0, told.1.to_owned());
        // No key of the other issuer has this name.
        let is_unknown = told.1 == "signature_invalid" && answer == (401, "key_unknown".to_owned());
        assert!(is_told || is_unknown, "{answer:?} {:?}", spec.claims);
    }
    let by_certificate = svid(orders).signer(Signer::Kid(certificate));
    assert!(!is_forwarded(&send(&proxy, "spire", by_certificate)));
}
