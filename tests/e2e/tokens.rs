use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use attache_harness::http::Response;
use attache_harness::issuer::{Algorithm, Issuer, IssuerOptions, Signer, Tamper, TokenSpec};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::proxy::{Document, Listener, Visit, eventually, inbound, jwks, trust, verdict};
use crate::secrets::{scoped, token};
use crate::world;

pub(crate) const SHARED_SECRET: &str = "forty-bytes-that-only-two-parties-know!!";

pub(crate) fn shared_secret_variable() -> String {
    Base64UrlUnpadded::encode_string(SHARED_SECRET.as_bytes())
}

pub(crate) fn listeners() -> Vec<Listener> {
    let quick =
        |name: &str| json!({ "keys": { "jwks": jwks(name, json!({ "unknown_key_interval": "100ms" })) } });
    let strict = json!({ "type": "at+jwt", "max_lifetime": "10m" });
    let mut hmac = trust("hmac", json!({ "algorithms": ["HS256"] }));
    hmac["keys"] = json!({ "shared_secret": { "env": "HS_KEY" } });
    let issuers =
        [trust("corp", quick("corp")), trust("second", quick("second")), trust("strict", strict), hmac];
    let all = json!({ "require": { "issuers": ["corp", "second", "strict", "hmac"], "authenticated": {} } });
    let listener = |name: &str, issuers: &[Value], rule: &Value| {
        let mut route = json!({ "name": name, "match": { "prefix": "/" } });
        route.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
        let more = json!({ "denials": { "body": "problem_json" } });
        Listener::new(name, Document::Struct(inbound(issuers, &[route], more)))
    };
    let exact = trust("corp", json!({ "clock_skew": "0s" }));
    let alone = json!({ "require": { "authenticated": {} } });
    vec![
        listener("tokens", &issuers, &all),
        listener("tokens-refused", &issuers, &all),
        listener(
            "tokens-corp",
            &issuers,
            &json!({ "require": { "issuers": ["corp"], "authenticated": {} } }),
        ),
        listener("tokens-exact", &[exact], &alone),
    ]
}

#[test]
fn a_token_of_every_algorithm_is_accepted() {
    let world = world::visit();
    for algorithm in Algorithm::ALL {
        let token = token(world.issuer("corp"), &TokenSpec::default().algorithm(algorithm));
        // On fresh connections, so that both workers check it and both find it in their caches.
        for _ in 0..6 {
            assert_eq!(verdict(&ask(&world, "tokens", &token)), (200, "forwarded".into()), "{algorithm}");
        }
    }
}

#[test]
fn a_shared_secret_comes_from_the_environment() {
    let world = world::visit();
    let hs256 = TokenSpec::default().signer(Signer::Hs256(SHARED_SECRET.into()));
    let good = token(world.issuer("hmac"), &hs256);
    assert_eq!(ask(&world, "tokens", &good).status, 200);
    let other = TokenSpec::default().signer(Signer::Hs256("another-secret-of-more-than-32-bytes".into()));
    let forged = token(world.issuer("hmac"), &other);
    assert_eq!(verdict(&ask(&world, "tokens", &forged)), (401, "signature_invalid".into()));
    // The secret is the issuer's own: it signs for no other issuer.
    let stranger = token(world.issuer("corp"), &hs256);
    assert_eq!(verdict(&ask(&world, "tokens", &stranger)), (401, "algorithm_not_allowed".into()));
}

#[test]
fn a_bad_token_is_refused_with_its_reason_and_counted() {
    let world = world::visit();
    let now = now().as_secs();
    let corp = world.issuer("corp");
    let es256 = || TokenSpec::default().algorithm(Algorithm::Es256);
    let of_corp = |spec: TokenSpec| token(corp, &spec);
    let of_strict = |spec: TokenSpec| token(world.issuer("strict"), &spec);
    let of_other = |spec: TokenSpec| token(world.issuer("second"), &spec);
    let good = of_corp(es256());
    let kid = part(&good, 0)["kid"].as_str().unwrap().to_owned();
    let claims = part(&good, 1).to_string();
    let twice = |name: &str| claims.replacen('{', &format!("{{\"{name}\":1,"), 1);

    // An attacker with an own key, who says the right `iss` and `kid` and brings the key along.
    let attacker = impostor("https://corp.example", &kid);
    let jwk = serde_json::from_slice::<Value>(&attacker.jwks()).unwrap()["keys"][0].clone();
    let forged = |spec: TokenSpec| token(&attacker, &spec.header("kid", kid.as_str()));

    let cases: Vec<(&str, String, &str)> = vec![
        ("alg none", of_corp(es256().signer(Signer::None)), "algorithm_none"),
        ("alg none in other letters", of_corp(es256().header("alg", "nOnE")), "algorithm_none"),
        ("alg missing", of_corp(es256().without_header("alg")), "algorithm_missing"),
        ("alg of another key type", of_corp(es256().header("alg", "RS256")), "key_unknown"),
        (
            "HS256 with the public key",
            of_strict(es256().signer(Signer::Hs256WithPublicKey)),
            "algorithm_not_allowed",
        ),
        ("an own key", forged(TokenSpec::default()), "signature_invalid"),
        ("an own key in jwk", forged(TokenSpec::default().header("jwk", jwk)), "signature_invalid"),
        (
            "an own key at jku",
            forged(TokenSpec::default().header("jku", format!("{}/jwks", attacker.url()))),
            "signature_invalid",
        ),
        (
            "an own key at x5u",
            forged(TokenSpec::default().header("x5u", attacker.url())),
            "signature_invalid",
        ),
        ("a path as kid", of_corp(es256().header("kid", "../../dev/null")), "key_unknown"),
        ("an unknown kid", of_corp(es256().signer(Signer::Unknown(Algorithm::Es256))), "key_unknown"),
        ("a kid that is no string", of_corp(es256().header("kid", 1)), "header_member_type"),
        (
            "a kid of another algorithm",
            of_corp(TokenSpec::default().algorithm(Algorithm::Es384).header("kid", kid.as_str())),
            "key_unknown",
        ),
        ("crit", of_corp(es256().header("crit", json!(["exp"]))), "critical_extension"),
        ("empty crit", of_corp(es256().header("crit", json!([]))), "critical_extension"),
        ("b64", of_corp(es256().header("b64", false)), "unencoded_payload"),
        ("zip", of_corp(es256().header("zip", "DEF")), "compressed"),
        (
            "another issuer's key",
            of_other(TokenSpec::default().claim("iss", "https://corp.example")),
            "key_unknown",
        ),
        (
            "another issuer's key under our kid",
            of_other(TokenSpec::default().claim("iss", "https://corp.example").header("kid", kid.as_str())),
            "signature_invalid",
        ),
        ("an unknown issuer", of_corp(es256().claim("iss", "https://evil.example")), "issuer_unknown"),
        (
            "an issuer with a slash more",
            of_corp(es256().claim("iss", "https://corp.example/")),
            "issuer_unknown",
        ),
        ("no issuer", of_corp(es256().without("iss")), "issuer_unknown"),
        ("expired", of_corp(es256().expired()), "expired"),
        ("expired, beyond the skew", of_corp(es256().expires_in(-31)), "expired"),
        ("no exp", of_corp(es256().without("exp")), "claim_missing"),
        ("exp as a text", of_corp(es256().claim("exp", (now + 60).to_string())), "claim_malformed"),
        ("nbf to come", of_corp(es256().claim("nbf", now + 90)), "not_yet_valid"),
        ("iat to come", of_corp(es256().claim("iat", now + 90)), "issued_in_future"),
        ("another audience", of_corp(es256().claim("aud", "https://else.example")), "wrong_audience"),
        (
            "our audience as a prefix",
            of_corp(es256().claim("aud", "https://orders.example.evil")),
            "wrong_audience",
        ),
        (
            "other audiences",
            of_corp(es256().claim("aud", json!(["https://else.example", "https://orders.exampl"]))),
            "wrong_audience",
        ),
        ("no audience", of_corp(es256().without("aud")), "claim_missing"),
        (
            "an audience that is no text",
            of_corp(es256().claim("aud", json!(["https://orders.example", 1]))),
            "claim_malformed",
        ),
        ("typ JWT for at+jwt", of_strict(es256().signer(Signer::Current).header("typ", "JWT")), "wrong_type"),
        ("no typ for at+jwt", of_strict(TokenSpec::default().without_header("typ")), "wrong_type"),
        ("no jti for at+jwt", of_strict(TokenSpec::default().without("jti")), "claim_missing"),
        ("no client_id for at+jwt", of_strict(TokenSpec::default().without("client_id")), "claim_missing"),
        ("no sub for at+jwt", of_strict(TokenSpec::default().without("sub")), "claim_missing"),
        ("a long life", of_strict(TokenSpec::default().expires_in(601)), "lifetime_too_long"),
        ("a life without beginning", of_strict(TokenSpec::default().without("iat")), "claim_missing"),
        ("a claim twice", of_corp(es256().raw_claims(twice("exp"))), "token_json"),
        ("a claim twice, escaped", of_corp(es256().raw_claims(twice("\\u0069ss"))), "token_json"),
        (
            "a header member twice",
            of_corp(es256().raw_header(format!(r#"{{"alg":"none","alg":"ES256","kid":"{kid}"}}"#))),
            "token_json",
        ),
        ("claims that are no object", of_corp(es256().raw_claims("[]")), "token_json"),
        ("claims cut off", of_corp(es256().raw_claims(&claims[..claims.len() - 1])), "token_json"),
        ("a scope that is no text", of_corp(es256().claim("scope", 1)), "scope_malformed"),
        ("changed claims", of_corp(es256().tamper(Tamper::Claims)), "signature_invalid"),
        ("a changed signature", of_corp(es256().tamper(Tamper::Signature)), "signature_invalid"),
        ("half a signature", of_corp(es256().tamper(Tamper::HalfSignature)), "signature_invalid"),
        ("no signature", of_corp(es256().tamper(Tamper::NoSignature)), "token_empty_part"),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned(), "token_parts"),
        ("four parts", format!("{good}.e30"), "token_parts"),
        ("five parts", format!("{good}.e30.e30"), "token_encrypted"),
        ("padding", format!("{good}="), "token_encoding"),
        ("other characters", good.replacen('.', ".+/", 1), "token_encoding"),
        ("a bit more in the last character", with_trailing_bit(&good), "token_encoding"),
    ];
    let mut counts = BTreeMap::<&str, u64>::new();
    for (what, token, reason) in &cases {
        let answer = ask(&world, "tokens-refused", token);
        assert_eq!(verdict(&answer), (401, (*reason).into()), "{what}: {}", answer.text());
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(
            challenge.starts_with("Bearer error=\"invalid_token\", error_description=\""),
            "{what}: {challenge}"
        );
        *counts.entry(reason).or_default() += 1;
    }
    for (reason, count) in counts {
        let labels = [("route", "tokens-refused"), ("outcome", "deny"), ("reason", reason)];
        world.expect_metric("attache_decisions_total", &labels, count);
    }
    assert_eq!(attacker.jwks_requests(), 0, "the token said where to fetch its key");
    assert_eq!(ask(&world, "tokens-refused", &good).status, 200);
}

#[test]
fn a_good_token_may_look_unusual() {
    let world = world::visit();
    let now = now().as_secs();
    let es256 = || TokenSpec::default().algorithm(Algorithm::Es256);
    for (what, spec) in [
        (
            "several audiences",
            es256().claim("aud", json!(["https://else.example", "https://orders.example"])),
        ),
        ("within the skew", es256().expires_in(-15)),
        ("not before soon", es256().claim("nbf", now + 15)),
        ("a fraction of a second", es256().claim("exp", now as f64 + 60.5)),
        ("the last exp of four digits' years", es256().claim("exp", 253_402_300_799_u64)),
        (
            "claims that are only what is needed",
            es256().raw_claims(
                r#"{"iss":"https://corp.example","aud":"https://orders.example","exp":99999999999}"#,
            ),
        ),
        ("no kid", es256().without_header("kid")),
        ("no typ", es256().without_header("typ")),
        ("no scope", es256().without("scope")),
        ("scopes as a list", es256().without("scope").claim("scp", json!(["orders:read"]))),
        ("a jwk that is ignored", es256().header("jwk", json!({ "kty": "oct", "k": "AA" }))),
    ] {
        let answer = ask(&world, "tokens", &token(world.issuer("corp"), &spec));
        assert_eq!(verdict(&answer), (200, "forwarded".into()), "{what}");
    }
    let media_type = TokenSpec::default().header("typ", "application/AT+JWT");
    assert_eq!(ask(&world, "tokens", &token(world.issuer("strict"), &media_type)).status, 200);
}

#[test]
fn a_good_token_of_an_issuer_that_the_route_does_not_name_is_refused() {
    let world = world::visit();
    let other = scoped(world.issuer("second"), "");
    assert_eq!(verdict(&ask(&world, "tokens-corp", &other)), (401, "issuer_not_accepted".into()));
    assert_eq!(ask(&world, "tokens", &other).status, 200);
}

#[test]
fn a_token_is_denied_the_second_it_expires() {
    let world = world::visit();
    let token = token(world.issuer("corp"), &TokenSpec::default().algorithm(Algorithm::Es256).expires_in(3));
    let exp = Duration::from_secs(part(&token, 1)["exp"].as_u64().unwrap());
    // Both workers have it in their caches long before.
    let (mut accepted, mut refused) = (0, 0);
    eventually("the token to expire", || {
        let sent = now();
        let answer = ask(&world, "tokens-exact", &token);
        let answered = now();
        if sent >= exp {
            assert_eq!(verdict(&answer), (401, "expired".into()), "{:?} after exp", sent - exp);
            refused += 1;
        } else if answered < exp {
            assert_eq!(answer.status, 200, "{:?} before exp", exp - answered);
            accepted += 1;
        }
        (refused > 20).then_some(())
    });
    assert!(accepted > 10, "it was accepted {accepted} times");
}

fn ask(world: &Visit, listener: &str, token: &str) -> Response {
    world.get(listener, "/").bearer(token).send().unwrap()
}

/// Someone who claims to be this issuer.
fn impostor(identifier: &str, kid: &str) -> Issuer {
    let kid_prefix = kid.rsplit_once('-').unwrap().0.to_owned();
    Issuer::start(IssuerOptions {
        identifier: Some(identifier.to_owned()),
        kid_prefix,
        ..IssuerOptions::default()
    })
    .unwrap()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap()
}

/// The same signature to a lenient reader: 64 bytes leave four bits of the last character without meaning.
fn with_trailing_bit(token: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (head, last) = token.split_at(token.len() - 1);
    let place = ALPHABET.find(last).unwrap();
    format!("{head}{}", &ALPHABET[place + 1..place + 2])
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
