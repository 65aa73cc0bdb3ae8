//! One token, one verdict. What a token's bytes may be is `src/jose`'s; here is what the filter makes of them.

use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, START, Signer, Time as _, Token, config, good, issuer, jwks};

fn proxy(key: &Signer) -> Proxy {
    Proxy::ready(&config(json!({})), &[key])
}

#[test]
fn a_good_token_with_the_scope_is_let_through() {
    let key = Signer::new("k1");
    assert_eq!(proxy(&key).get("/orders", &key.token().sign()), "forwarded");
}

/// RFC 6750 §2.1, §3.1: nothing, one token, or a mistake; never a choice.
#[test]
fn only_one_well_formed_credential_is_looked_at() {
    let key = Signer::new("k1");
    let token = key.token().sign();
    let mut proxy = proxy(&key);
    let mut tell = |request: Request| proxy.request(request).tells();
    let get = || Request::get("/orders");
    assert_eq!(tell(get()), "401 credential_missing");
    assert_eq!(tell(get().header("authorization", "Basic YTpi")), "401 credential_missing");
    assert_eq!(tell(get().header("authorization", format!("bEaReR  {token} "))), "forwarded");
    assert_eq!(tell(get().bearer(&token).bearer(&token)), "400 credential_repeated");
    assert_eq!(tell(get().bearer(&token).header("authorization", "Basic YTpi")), "400 credential_repeated");
    assert_eq!(tell(get().header("authorization", "Bearer")), "400 credential_malformed");
    assert_eq!(tell(get().bearer(&format!("{token},{token}"))), "400 credential_malformed");
    assert_eq!(tell(get().header("authorization", b"Bearer \xff\xfe")), "400 credential_malformed");
    assert_eq!(tell(get().header("authorization", b"\xff\xfe")), "401 credential_missing");
    // RFC 6750 §2.3 and cookies: only where they are configured.
    assert_eq!(tell(Request::get(&format!("/orders?access_token={token}"))), "401 credential_missing");
    assert_eq!(tell(get().header("cookie", format!("token={token}"))), "401 credential_missing");
}

#[test]
fn a_token_in_two_places_is_refused_wherever_they_are() {
    let key = Signer::new("k1");
    let token = key.token().sign();
    let sources = json!({ "token": { "sources": [
        { "header": { "name": "authorization", "scheme": "Bearer" } },
        { "header": { "name": "X-Token" } },
        { "query": { "name": "access_token" } },
        { "cookie": { "name": "token" } },
    ]}});
    let mut proxy = Proxy::ready(&config(sources), &[&key]);
    let places: [fn(Request, &str) -> Request; 4] = [
        |request, token| request.bearer(token),
        |request, token| request.header("x-token", token),
        |request, token| {
            request.without(":path").header(":path", format!("/orders?a=b&access_token={token}"))
        },
        |request, token| request.header("cookie", format!("a=b; token={token}")),
    ];
    for (i, one) in places.iter().enumerate() {
        assert_eq!(proxy.request(one(Request::get("/orders"), &token)).tells(), "forwarded", "place {i}");
        for (j, other) in places.iter().enumerate().filter(|(j, _)| i != *j) {
            let both = other(one(Request::get("/orders"), &token), &token);
            assert_eq!(proxy.request(both).tells(), "400 credential_repeated", "places {i} and {j}");
        }
    }
}

/// RFC 7515 §7.1, §4; RFC 8725 §3.1, §3.2: what the strict front refuses, as the wire shows it.
#[test]
fn what_is_no_token_that_we_read_is_refused_by_its_reason() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&key);
    let good = key.token().sign();
    let parts: Vec<&str> = good.split('.').collect();
    let header = |name: &str, value: Value| key.token().header(name, value).sign();
    let claims = key.token().claims.to_string();
    for (token, tells) in [
        (format!("{}.{}", parts[0], parts[1]), "401 token_parts"),
        (format!("{good}."), "401 token_parts"),
        (format!("{good}.a.b"), "401 token_encrypted"),
        (format!("{}..{}", parts[0], parts[2]), "401 token_empty_part"),
        (format!("{}.{}.", parts[0], parts[1]), "401 token_empty_part"),
        (format!("{good}="), "401 token_encoding"),
        (format!("{}.{}+.{}", parts[0], parts[1], parts[2]), "401 token_encoding"),
        (header("alg", json!("none")), "401 algorithm_none"),
        (header("alg", json!("nOnE")), "401 algorithm_none"),
        (header("alg", json!("HS257")), "401 algorithm_unknown"),
        (header("alg", json!(1)), "401 header_member_type"),
        (key.token().no_header("alg").sign(), "401 algorithm_missing"),
        (header("crit", json!(["exp"])), "401 critical_extension"),
        (header("b64", json!(false)), "401 unencoded_payload"),
        (header("zip", json!("DEF")), "401 compressed"),
        (header("kid", json!("k".repeat(257))), "401 header_member_too_long"),
        (key.sign_raw(br#"{"alg":"EdDSA","alg":"none"}"#, claims.as_bytes()), "401 token_json"),
        (key.sign_raw(br#"{"alg":"EdDSA"}"#, br#"{"iss":"a","iss":"b"}"#), "401 token_json"),
        (key.sign_raw(br#"{"alg":"EdDSA"}"#, b"[]"), "401 token_json"),
        (key.sign_raw(br#"{"alg":"EdDSA"}"#, b"{\"a\":\"\xff\"}"), "401 token_json"),
        ("a".repeat(16 * 1024), "401 token_parts"),
        ("a".repeat(16 * 1024 + 1), "401 token_too_long"),
    ] {
        assert_eq!(proxy.get("/orders", &token), tells, "{token:.80}");
    }
    assert_eq!(proxy.signature_checks(), 0);
}

#[test]
fn every_algorithm_is_verified_and_a_flipped_bit_is_not() {
    let samples: Value = serde_json::from_str(include_str!("../conformance/tokens.json")).unwrap();
    let mut tried = 0;
    for sample in samples.as_array().unwrap() {
        let patch = json!({
            "name": "corp", "issuer": "https://issuer.example", "audiences": "any",
            "algorithms": [sample["alg"]], "keys": { "jwks": null, "inline": { "keys": [sample["jwk"]] } },
        });
        let mut proxy = Proxy::new(&config(json!({ "issuers": [issuer(patch)], "token_cache": "off" })));
        let token = sample["token"].as_str().unwrap();
        assert_eq!(proxy.get("/whoami", token), "forwarded", "{}", sample["alg"]);
        let middle = token.len() - 20;
        let flipped = if &token[middle..=middle] == "A" { "B" } else { "A" };
        let forged = format!("{}{flipped}{}", &token[..middle], &token[middle + 1..]);
        assert_eq!(proxy.get("/whoami", &forged), "401 signature_invalid", "{}", sample["alg"]);
        tried += 1;
    }
    assert_eq!(tried, 13);
}

#[test]
fn a_changed_claim_breaks_the_signature() {
    let key = Signer::new("k1");
    let (good, other) = (key.token().sign(), key.token().claim("scope", "orders:admin").sign());
    let (good, other): (Vec<&str>, Vec<&str>) = (good.split('.').collect(), other.split('.').collect());
    let forged = format!("{}.{}.{}", good[0], other[1], good[2]);
    assert_eq!(proxy(&key).get("/admin", &forged), "401 signature_invalid");
}

/// RFC 8725 §3.1: the key decides, and the issuer's list; HS256 with the public key as its secret is the classic.
#[test]
fn the_token_does_not_choose_the_algorithm() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&key);
    assert_eq!(proxy.get("/orders", &key.token().header("alg", "HS256").sign()), "401 algorithm_not_allowed");
    assert_eq!(proxy.get("/orders", &key.token().header("alg", "ES256").sign()), "401 key_unknown");
    assert_eq!(proxy.signature_checks(), 0);

    let only_es = config(json!({ "issuers": [issuer(json!({ "algorithms": ["ES256"] }))] }));
    let mut proxy = Proxy::ready(&only_es, &[&key]);
    assert_eq!(proxy.get("/orders", &key.token().sign()), "401 algorithm_not_allowed");
}

/// RFC 8725 §3.5: keys come from the issuer's set, whatever the header offers.
#[test]
fn a_key_that_the_token_brings_is_not_used() {
    let (key, stranger) = (Signer::new("k1"), Signer::new("stranger").named(Some("k1")));
    let token = stranger
        .token()
        .header("jwk", stranger.jwk())
        .header("jku", "https://evil.example/jwks")
        .header("x5u", "https://evil.example/x5u")
        .header("x5c", json!(["AAAA"]));
    let mut proxy = proxy(&key);
    assert_eq!(proxy.get("/orders", &token.sign()), "401 signature_invalid");
    assert_eq!(proxy.calls("idp"), 1);
}

/// seen in other filters: an unknown `kid` must not fall back to the first key, nor an empty set trap.
#[test]
fn a_kid_narrows_and_never_widens() {
    let (first, second) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&first, &second]);
    assert_eq!(proxy.get("/orders", &second.token().sign()), "forwarded");
    // The right key under another's name.
    assert_eq!(proxy.get("/orders", &first.named(Some("k2")).token().sign()), "401 signature_invalid");
    assert_eq!(proxy.get("/orders", &first.named(Some("../../k1")).token().sign()), "waiting");
    // Without a name, all compatible keys are tried.
    let before = proxy.signature_checks();
    assert_eq!(proxy.get("/orders", &second.named(None).token().sign()), "forwarded");
    assert_eq!(proxy.signature_checks() - before, 2);
}

#[test]
fn two_keys_of_one_kid_are_both_tried() {
    let (old, new) = (Signer::new("k1"), Signer::unnamed("new").named(Some("k1")));
    let mut proxy = Proxy::ready(&config(json!({})), &[&old, &new]);
    assert_eq!(proxy.get("/orders", &old.token().sign()), "forwarded");
    assert_eq!(proxy.get("/orders", &new.token().sign()), "forwarded");
}

#[test]
fn a_token_without_kid_is_held_against_every_key_that_fits_once() {
    let keys: Vec<Signer> = (0..12).map(|n| Signer::new(&format!("k{n}"))).collect();
    let mut proxy = Proxy::ready(&config(json!({})), &keys.iter().collect::<Vec<_>>());
    assert_eq!(proxy.get("/orders", &keys[10].named(None).token().sign()), "forwarded");
    assert_eq!(proxy.signature_checks(), 11);
    // The token may be of a newer set, so one fetch is made; the same twelve are not tried again.
    let stranger = Request::get("/orders").bearer(&Signer::unnamed("x").token().sign());
    let waits = proxy.request(stranger).waiting();
    assert_eq!(proxy.signature_checks(), 23);
    proxy.advance(3.secs());
    assert_eq!(proxy.answer(waits).tells(), "401 signature_invalid");
    assert_eq!((proxy.signature_checks(), proxy.calls("idp")), (23, 2));
}

/// What has been tried before the request waited is not tried again, whatever the new set is.
#[test]
fn a_set_with_a_new_key_costs_a_token_that_waits_one_check() {
    let keys: Vec<Signer> = (0..12).map(|n| Signer::new(&format!("k{n}"))).collect();
    let new = Signer::new("new");
    let old: Vec<_> = keys.iter().collect();
    let mut proxy = Proxy::ready(&config(json!({})), &old);
    let waits = proxy.request(Request::get("/orders").bearer(&new.named(None).token().sign())).waiting();
    assert_eq!(proxy.signature_checks(), 12);
    let all: Vec<_> = keys.iter().chain([&new]).collect();
    proxy.serve("idp", good(&jwks(&all)));
    proxy.advance(3.secs());
    assert_eq!(proxy.answer(waits).tells(), "forwarded");
    assert_eq!(proxy.signature_checks(), 13);
}

/// The issuer may have forgotten the name of the one key whose tokens have none.
#[test]
fn keys_without_kid_are_tried_first_with_a_token_without_kid() {
    let mut keys: Vec<Signer> = (0..11).map(|n| Signer::new(&format!("k{n}"))).collect();
    keys.push(Signer::unnamed("nameless"));
    let mut proxy = Proxy::ready(&config(json!({})), &keys.iter().collect::<Vec<_>>());
    assert_eq!(proxy.get("/orders", &keys[11].token().sign()), "forwarded");
    assert_eq!(proxy.signature_checks(), 1);
}

#[test]
fn the_key_that_verified_the_last_token_without_kid_is_tried_first_with_the_next() {
    let keys: Vec<Signer> = (0..12).map(|n| Signer::new(&format!("k{n}"))).collect();
    let mut proxy = Proxy::ready(&config(json!({})), &keys.iter().collect::<Vec<_>>());
    let token = |key: &Signer, jti: &str| key.named(None).token().claim("jti", jti).sign();
    for (jti, key, checks) in [("a", 11, 12), ("b", 11, 1), ("c", 9, 11), ("d", 9, 1), ("e", 11, 2)] {
        let before = proxy.signature_checks();
        assert_eq!(proxy.get("/orders", &token(&keys[key], jti)), "forwarded");
        assert_eq!(proxy.signature_checks() - before, checks, "{jti}");
    }
}

/// RFC 7515 §4: what is not understood and not critical is ignored, and what says nothing is absent.
#[test]
fn a_header_with_members_that_change_nothing_is_read() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&key);
    for (member, value) in [
        ("cty", json!("JWT")),
        ("cty", json!("")),
        ("cty", json!(null)),
        ("cty", json!("application/json")),
        ("zip", json!("")),
        ("b64", json!(true)),
        ("typ", json!(null)),
        ("alg", json!("Ed25519")),
        ("kid", json!("")),
        ("kid", json!(null)),
    ] {
        let token = key.token().header(member, value.clone()).sign();
        assert_eq!(proxy.get("/orders", &token), "forwarded", "{member}: {value}");
    }
    // A nested token is no JSON.
    let nested = key.sign_raw(br#"{"alg":"EdDSA","kid":"k1","cty":"JWT"}"#, key.token().sign().as_bytes());
    assert_eq!(proxy.get("/orders", &nested), "401 token_json");
}

/// RFC 9864: the list and the key name the algorithm by either name.
#[test]
fn the_fully_specified_name_of_eddsa_is_eddsa_wherever_it_stands() {
    let key = Signer::new("k1");
    for listed in ["EdDSA", "Ed25519"] {
        for named in ["EdDSA", "Ed25519"] {
            let only = config(json!({ "issuers": [issuer(json!({ "algorithms": [listed] }))] }));
            let mut proxy = Proxy::new(&only);
            let mut jwk = key.jwk();
            jwk["alg"] = json!(named);
            proxy.serve("idp", good(&json!({ "keys": [jwk] }).to_string()));
            proxy.tick();
            for token in ["EdDSA", "Ed25519"] {
                let token = key.token().header("alg", token).sign();
                assert_eq!(proxy.get("/orders", &token), "forwarded", "{listed} {named}");
            }
        }
    }
}

/// A careless member of a key spoils neither the key nor its set; what would widen the key's use still does.
#[test]
fn a_key_with_careless_members_verifies() {
    let (key, other) = (Signer::new("k1"), Signer::new("k2"));
    for (member, value) in [
        ("use", json!("jwt-svid")),
        ("use", json!(null)),
        ("alg", json!(null)),
        ("alg", json!("")),
        ("key_ops", json!(null)),
        ("x", json!(format!("{}=", key.jwk()["x"].as_str().unwrap()))),
        ("kid", json!(7)),
        ("kid", json!("")),
        ("kid", json!(null)),
    ] {
        let mut careless = key.jwk();
        careless[member] = value.clone();
        let mut proxy = Proxy::new(&config(json!({})));
        proxy.serve("idp", good(&json!({ "keys": [other.jwk(), careless] }).to_string()));
        proxy.tick();
        assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded", "{member}: {value}");
        assert_eq!(proxy.get("/orders", &other.token().sign()), "forwarded", "{member}: {value}");
    }
}

/// RFC 7517 §4.2–4.4: `use`, `key_ops` and `alg` only narrow.
#[test]
fn a_key_that_is_not_for_signatures_verifies_none() {
    let (key, other) = (Signer::new("k1"), Signer::new("k2"));
    for (member, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["encrypt"])),
        ("alg", json!("ES256")),
        ("crv", json!("X25519")),
    ] {
        let mut narrowed = key.jwk();
        narrowed[member] = value;
        let mut proxy = Proxy::new(&config(json!({})));
        proxy.serve("idp", good(&json!({ "keys": [narrowed, other.jwk()] }).to_string()));
        proxy.tick();
        proxy.sleep(1.ms());
        assert_eq!(proxy.get("/orders", &other.token().sign()), "forwarded");
        assert_eq!(proxy.get("/orders", &key.token().sign()), "waiting", "{member}");
        proxy.advance(3.secs());
        assert_eq!(proxy.get("/orders", &other.token().sign()), "forwarded");
    }
}

#[test]
fn iss_must_be_a_configured_issuer_byte_for_byte() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&key);
    for iss in [json!("https://idp.example/"), json!("HTTPS://idp.example"), json!(""), json!(null), json!(1)]
    {
        assert_eq!(
            proxy.get("/orders", &key.token().claim("iss", iss.clone()).sign()),
            "401 issuer_unknown",
            "{iss}"
        );
    }
    assert_eq!(proxy.get("/orders", &key.token().no_claim("iss").sign()), "401 issuer_unknown");
}

#[test]
fn aud_must_name_a_configured_audience() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&key);
    for (aud, tells) in [
        (json!("https://api.example"), "forwarded"),
        (json!(["https://other.example", "https://api.example"]), "forwarded"),
        (json!("https://other.example"), "401 wrong_audience"),
        (json!(["https://other.example", "https://api.example.evil"]), "401 wrong_audience"),
        (json!("https://api.example/"), "401 wrong_audience"),
        (json!([]), "401 wrong_audience"),
        (json!(["https://api.example", 1]), "401 claim_malformed"),
        (json!({ "https://api.example": true }), "401 claim_malformed"),
        (json!(["https://api.example", null]), "forwarded"),
        (json!(["https://other.example", null]), "401 wrong_audience"),
        (json!([null]), "401 wrong_audience"),
        (json!(null), "401 claim_missing"),
    ] {
        assert_eq!(proxy.get("/orders", &key.token().claim("aud", aud.clone()).sign()), tells, "{aud}");
    }
    assert_eq!(proxy.get("/orders", &key.token().no_claim("aud").sign()), "401 claim_missing");
}

#[test]
fn audiences_any_asks_nothing_of_aud() {
    let key = Signer::new("k1");
    let any = config(json!({ "issuers": [issuer(json!({ "audiences": "any" }))] }));
    let mut proxy = Proxy::ready(&any, &[&key]);
    assert_eq!(proxy.get("/orders", &key.token().no_claim("aud").sign()), "forwarded");
    for aud in [json!("x"), json!(""), json!(["x"]), json!([]), json!(null), json!([null]), json!(7)] {
        let token = key.token().claim("aud", aud.clone()).sign();
        assert_eq!(proxy.get("/orders", &token), "forwarded", "{aud}");
    }
}

/// RFC 9068 §2.1, §2.2, §4.
#[test]
fn an_access_token_issuer_wants_typ_and_every_required_claim() {
    let key = Signer::new("k1");
    let typed = config(json!({ "issuers": [issuer(json!({ "type": "at+jwt" }))] }));
    let mut proxy = Proxy::ready(&typed, &[&key]);
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert_eq!(proxy.get("/orders", &key.token().header("typ", typ).sign()), "forwarded", "{typ}");
    }
    for typ in ["JWT", "jwt", "at+jwt ", "text/at+jwt", "", "id+jwt"] {
        assert_eq!(proxy.get("/orders", &key.token().header("typ", typ).sign()), "401 wrong_type", "{typ}");
    }
    assert_eq!(proxy.get("/orders", &key.token().no_header("typ").sign()), "401 wrong_type");
    for claim in ["exp", "aud", "sub", "client_id", "iat", "jti"] {
        assert_eq!(proxy.get("/orders", &key.token().no_claim(claim).sign()), "401 claim_missing", "{claim}");
    }
    for claim in ["sub", "client_id", "jti"] {
        assert_eq!(
            proxy.get("/orders", &key.token().claim(claim, 7).sign()),
            "401 claim_malformed",
            "{claim}"
        );
    }
}

/// Keycloak's lightweight tokens are at+jwt, and have no `sub`.
#[test]
fn required_claims_are_apart_from_the_type() {
    let key = Signer::new("k1");
    let with = |patch: Value| Proxy::ready(&config(json!({ "issuers": [issuer(patch)] })), &[&key]);
    let light = || key.token().header("typ", "at+jwt").no_claim("sub").no_claim("client_id");

    let mut typed = with(json!({ "type": "at+jwt", "required_claims": ["exp", ["realm_access", "roles"]] }));
    let roles = |token: Token| token.claim("realm_access", json!({ "roles": ["a"] }));
    assert_eq!(typed.get("/orders", &roles(light()).sign()), "forwarded");
    assert_eq!(typed.get("/orders", &roles(light().no_claim("exp")).sign()), "401 claim_missing");
    for access in [json!(null), json!({}), json!({ "roles": null }), json!(["roles"])] {
        let token = light().claim("realm_access", access).sign();
        let refused = typed.request(Request::get("/orders").bearer(&token)).refused();
        assert_eq!(refused.response.details, "claim_missing");
        assert!(refused.challenge().unwrap().contains("the claim `realm_access.roles` is missing"));
    }
    assert_eq!(typed.get("/orders", &roles(light().header("typ", "JWT")).sign()), "401 wrong_type");

    let mut untyped = with(json!({ "required_claims": ["jti", "sub"] }));
    assert_eq!(untyped.get("/orders", &key.token().header("typ", "JWT").sign()), "forwarded");
    assert_eq!(untyped.get("/orders", &key.token().no_claim("jti").sign()), "401 claim_missing");
    assert_eq!(untyped.get("/orders", &key.token().claim("jti", json!(null)).sign()), "401 claim_missing");
    assert_eq!(untyped.get("/orders", &key.token().claim("sub", json!(["a"])).sign()), "401 claim_malformed");
}

#[test]
fn an_issuer_of_any_type_minds_no_typ_and_no_other_claims() {
    let key = Signer::new("k1");
    let bare = |token: Token| token.no_claim("sub").no_claim("client_id").no_claim("jti").no_claim("iat");
    let token = bare(key.token()).no_header("typ").sign();
    assert_eq!(proxy(&key).get("/orders", &token), "forwarded");
}

#[test]
fn scopes_are_a_string_or_a_list_and_united_over_their_claims() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&key);
    let bare = || key.token().no_claim("scope");
    for (token, tells) in [
        (bare().claim("scope", "a orders:read  b"), "forwarded"),
        (bare().claim("scp", json!(["a", "orders:read"])), "forwarded"),
        (bare().claim("scp", "orders:read"), "forwarded"),
        (bare().claim("scope", "a").claim("scp", json!(["orders:read"])), "forwarded"),
        (bare().claim("scope", "orders:rea orders:reader orders orders:READ"), "403 scope_insufficient"),
        (bare().claim("scope", "orders:*"), "403 scope_insufficient"),
        (bare().claim("scope", "orders:read,orders:write"), "403 scope_insufficient"),
        (bare().claim("scp", json!(["a orders:read"])), "403 scope_insufficient"),
        (bare().claim("scope", ""), "403 scope_insufficient"),
        (bare(), "403 scope_insufficient"),
        (bare().claim("roles", "orders:read"), "403 scope_insufficient"),
        (bare().claim("scope", json!(null)).claim("scp", json!(["orders:read", null])), "forwarded"),
        (bare().claim("scope", json!(null)).claim("scp", json!(null)), "403 scope_insufficient"),
        (bare().claim("scope", 7), "401 scope_malformed"),
        (bare().claim("scope", "orders:read").claim("scp", json!([1])), "401 scope_malformed"),
        (bare().claim("scope", "a ".repeat(1025)), "401 too_many_scopes"),
        (bare().claim("scope", format!("orders:read {}", "a ".repeat(1023))), "forwarded"),
    ] {
        assert_eq!(proxy.get("/orders", &token.sign()), tells, "{:.120}", token.claims.to_string());
    }
}

#[test]
fn scopes_come_from_the_configured_claims_only() {
    let key = Signer::new("k1");
    let nested = json!({ "scopes_from": [["realm_access", "roles"]] });
    let mut proxy = Proxy::ready(&config(json!({ "issuers": [issuer(nested)] })), &[&key]);
    let roles = key.token().no_claim("scope").claim("realm_access", json!({ "roles": ["orders:read"] }));
    assert_eq!(proxy.get("/orders", &roles.sign()), "forwarded");
    assert_eq!(proxy.get("/orders", &key.token().sign()), "403 scope_insufficient");
}

#[test]
fn scopes_are_matched_by_the_rules_of_the_token_s_issuer() {
    let (key, theirs) = (Signer::new("k1"), Signer::new("k2"));
    let mut other = crate::proxy::partner();
    crate::proxy::merge(&mut other, json!({ "scope_matching": "wildcard", "scope_levels": ["/"] }));
    let corp = issuer(json!({ "scope_matching": "hierarchical", "scope_separators": [" ", ","] }));
    let require = json!({ "issuers": ["corp", "partner"], "any_scope": ["orders:read", "stock/items/read"] });
    let routes = json!([{ "name": "r", "match": { "path": "/orders" }, "require": require }]);
    let mut proxy = Proxy::new(&config(json!({ "issuers": [corp, other], "routes": routes })));
    proxy.serve("idp", good(&jwks(&[&key])));
    proxy.serve("partner", good(&jwks(&[&theirs])));
    proxy.tick();
    let of_corp = |scope: &str| key.token().claim("scope", scope).sign();
    let of_partner =
        |scope: &str| theirs.token().claim("iss", "https://partner.example").claim("scope", scope).sign();
    for (token, tells) in [
        (of_corp("a,orders"), "forwarded"),
        (of_corp("orders:read"), "forwarded"),
        (of_corp("order"), "403 scope_insufficient"),
        (of_corp("orders:"), "403 scope_insufficient"),
        (of_corp("orders:read:own"), "403 scope_insufficient"),
        (of_corp("orders:* *"), "403 scope_insufficient"),
        (of_corp("stock"), "403 scope_insufficient"),
        (of_partner("stock/*"), "forwarded"),
        (of_partner("stock/*/read"), "forwarded"),
        (of_partner("*"), "forwarded"),
        (of_partner("stock"), "403 scope_insufficient"),
        (of_partner("orders"), "403 scope_insufficient"),
        (of_partner("orders:*"), "403 scope_insufficient"),
        (of_partner("stock/*/write"), "403 scope_insufficient"),
        (of_partner("a,stock/*"), "403 scope_insufficient"),
    ] {
        // The second time the token is known.
        assert_eq!([proxy.get("/orders", &token), proxy.get("/orders", &token)], [tells; 2]);
    }
}

#[test]
fn all_of_and_any_of_must_both_hold() {
    let key = Signer::new("k1");
    let require = json!({ "scopes": ["a", "b"], "any_scope": ["c", "d"] });
    let routes = json!([{ "name": "r", "match": { "path": "/orders" }, "require": require }]);
    let mut proxy = Proxy::ready(&config(json!({ "routes": routes })), &[&key]);
    for (scope, tells) in [
        ("a b c", "forwarded"),
        ("d b a", "forwarded"),
        ("a b c d", "forwarded"),
        ("a b", "403 scope_insufficient"),
        ("a c", "403 scope_insufficient"),
        ("c d", "403 scope_insufficient"),
    ] {
        assert_eq!(proxy.get("/orders", &key.token().claim("scope", scope).sign()), tells, "{scope}");
    }
}

#[test]
fn routes_say_who_comes_in() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&key);
    let token = key.token().claim("scope", "nothing").sign();
    assert_eq!(proxy.get("/whoami", &token), "forwarded");
    assert_eq!(proxy.request(Request::get("/whoami")).tells(), "401 credential_missing");
    assert_eq!(proxy.request(Request::get("/healthz")).tells(), "forwarded");
    assert_eq!(proxy.get("/healthz", "garbage"), "forwarded");
    assert_eq!(proxy.get("/internal/x", &token), "403 route_denied");
    assert_eq!(proxy.get("/unknown", &token), "403 route_unknown");
}

/// HS* is a secret of the configuration, and no fetched document can bring one.
#[test]
fn a_symmetric_key_in_a_fetched_set_is_passed_over() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::new(&config(json!({})));
    let oct = json!({ "kty": "oct", "kid": "hs", "k": "A".repeat(86) });
    proxy.serve("idp", good(&json!({ "keys": [oct, key.jwk()] }).to_string()));
    proxy.tick();
    assert_eq!(proxy.get("/orders", &key.token().sign()), "forwarded");
    proxy.tick();
    assert_eq!(proxy.gauge("issuer=.=corp;.;attache_keys"), Some(1));
}

#[test]
fn a_shared_secret_verifies_only_the_listed_hash() {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let shared =
        json!({ "algorithms": ["HS256"], "keys": { "jwks": null, "shared_secret": { "env": "HS_KEY" } } });
    let mut proxy = Proxy::new(&config(json!({ "issuers": [issuer(shared)] })));
    let encode = <base64ct::Base64UrlUnpadded as base64ct::Encoding>::encode_string;
    let claims = encode(Signer::new("x").token().claims.to_string().as_bytes());
    let sign = |header: &str, secret: &[u8]| {
        let message = format!("{}.{claims}", encode(header.as_bytes()));
        let tag = Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap().chain_update(&message).finalize();
        format!("{message}.{}", encode(&tag.into_bytes()))
    };
    assert_eq!(proxy.get("/orders", &sign(r#"{"alg":"HS256"}"#, &[9; 64])), "forwarded");
    assert_eq!(proxy.get("/orders", &sign(r#"{"alg":"HS256"}"#, &[8; 64])), "401 signature_invalid");
    assert_eq!(proxy.get("/orders", &sign(r#"{"alg":"HS512"}"#, &[9; 64])), "401 algorithm_not_allowed");
    proxy.advance(1.hours());
    assert_eq!(proxy.calls("idp"), 0);
}

/// RFC 7519 §2: a NumericDate may be anything that a number can be, and none of it traps.
#[test]
fn odd_dates_are_refused_or_understood_and_never_trap() {
    let key = Signer::new("k1");
    let mut proxy = proxy(&key);
    let with = |claim: &str, raw: &str| {
        let mut claims = key.token().no_claim(claim).claims.to_string();
        claims.pop();
        let claims = format!("{claims},\"{claim}\":{raw}}}");
        key.sign_raw(br#"{"alg":"EdDSA","kid":"k1"}"#, claims.as_bytes())
    };
    for claim in ["exp", "nbf", "iat"] {
        for raw in ["\"1800003600\"", "null", "true", "[1]", "{}"] {
            assert_eq!(proxy.get("/orders", &with(claim, raw)), "401 claim_malformed", "{claim}: {raw}");
        }
    }
    for raw in ["0", "-1", "0.5", "1e-300", "-8210266876800", "-1e300", "-9223372036854775808"] {
        assert_eq!(proxy.get("/orders", &with("exp", raw)), "401 expired", "{raw}");
        assert_ne!(proxy.get("/orders", &with("nbf", raw)), "401 not_yet_valid", "{raw}");
    }
    // In milliseconds, the largest numbers of some types, and beyond what any calendar tells: none of them ever comes.
    for raw in [
        "32503680000000",
        "8210266876800",
        "9223372036854775807",
        "18446744073709551615",
        "99999999999999999999999",
        "1e300",
    ] {
        assert_eq!(proxy.get("/orders", &with("exp", raw)), "forwarded", "{raw}");
        assert_eq!(proxy.get("/orders", &with("nbf", raw)), "401 not_yet_valid", "{raw}");
        assert_eq!(proxy.get("/orders", &with("iat", raw)), "401 issued_in_future", "{raw}");
    }
    assert_eq!(proxy.get("/orders", &with("exp", &(START + 60).to_string())), "forwarded");
    assert_eq!(proxy.get("/orders", &with("exp", &format!("{}.75e0", START + 60))), "forwarded");
}

#[test]
fn the_signature_of_a_set_without_this_token_s_key_is_never_guessed() {
    let (key, other) = (Signer::new("k1"), Signer::unnamed("other"));
    let mut proxy = Proxy::new(&config(json!({})));
    proxy.serve("idp", good(&jwks(&[&other])));
    proxy.tick();
    proxy.sleep(1.ms());
    // The only key has no name, so it may be meant; it is tried, and it is not the one.
    assert_eq!(proxy.get("/orders", &key.token().sign()), "waiting");
    assert_eq!(proxy.signature_checks(), 1);
}
