//! The faults of the set of keys.

use super::*;

#[test]
fn each_fault_of_the_set_is_parsed_and_told_of() {
    let parse = |kind: &str, value| Fault::parse(kind, value).unwrap();
    let error = |kind: &str| format!("{:#}", Fault::parse(kind, None).unwrap_err());
    assert_eq!(parse("many_keys", Some(3)), Fault::ManyKeys(3));
    assert_eq!(error("many_keys"), "fault `many_keys` needs a number: add `&value=`");
    for (kind, fault) in [
        ("duplicate_kids", Fault::DuplicateKids),
        ("weak_rsa", Fault::WeakRsa),
        ("private_keys", Fault::PrivateKeys),
        ("unknown_kty", Fault::UnknownKty),
        ("alg_contradicts", Fault::AlgContradicts),
    ] {
        assert_eq!(parse(kind, None), fault);
        assert!(error("nonsense").contains(kind), "{kind}");
    }
    assert_eq!(
        error("nonsense"),
        "unknown fault `nonsense`: use one of status, retry_after, delay (ms), hang, reset, empty_body, truncated, \
         half_json, html, not_utf8, huge (bytes), empty_set, redirect, many_keys (keys), duplicate_kids, weak_rsa, \
         private_keys, unknown_kty, alg_contradicts, or none"
    );
}

#[test]
fn many_keys_are_as_many_as_asked_for_and_never_fewer_than_the_real_ones() {
    let issuer = Issuer::with_algorithms(&[Algorithm::Es256, Algorithm::EdDsa]).unwrap();
    let real = keys(&issuer);
    for (count, served) in [(1, 2), (2, 2), (3, 3), (1_000, 1_000)] {
        issuer.fault(Fault::ManyKeys(count));
        let many = keys(&issuer);
        assert_eq!((many.len(), &many[..2]), (served, real.as_slice()));
        let mut kids = members(&many, "kid");
        kids.sort();
        kids.dedup();
        assert_eq!(kids.len(), served);
        assert!(many[2..].iter().all(|key| key["x"] == real[0]["x"] && key["alg"] == "ES256"));
    }
}

#[test]
fn duplicate_kids_change_the_ids_and_nothing_else() {
    let issuer = Issuer::with_algorithms(&[Algorithm::Es256, Algorithm::EdDsa]).unwrap();
    let real = keys(&issuer);
    issuer.fault(Fault::DuplicateKids);
    let bent = keys(&issuer);
    assert_eq!(members(&bent, "kid"), ["key-1", "key-1"]);
    assert_eq!(members(&bent, "x"), members(&real, "x"));
    assert_eq!(members(&bent, "alg"), ["ES256", "EdDSA"]);
}

#[test]
fn the_weak_key_has_1024_bits_and_the_current_id() {
    let issuer = issuer();
    let current = issuer.rotate().unwrap();
    issuer.fault(Fault::WeakRsa);
    let bent = keys(&issuer);
    assert_eq!((bent.len(), &bent[0]["kid"], &bent[0]["kty"]), (1, &json!(current), &json!("RSA")));
    let modulus = bytes(&bent[0], "n");
    assert_eq!((modulus.len(), modulus[0] >> 7), (128, 1));
}

#[test]
fn private_keys_are_the_private_halves_of_the_real_ones() {
    let issuer = Issuer::with_algorithms(&[
        Algorithm::EdDsa,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::Rs256,
    ])
    .unwrap();
    let real = keys(&issuer);
    issuer.fault(Fault::PrivateKeys);
    let mut bent = keys(&issuer);
    let seed = ed25519_dalek::SigningKey::from_bytes(&bytes(&bent[0], "d").try_into().unwrap());
    assert_eq!(seed.verifying_key().as_bytes().as_slice(), bytes(&bent[0], "x"));
    let scalar = p256::ecdsa::SigningKey::from_slice(&bytes(&bent[1], "d")).unwrap();
    assert_eq!(scalar.verifying_key().to_sec1_point(false).as_bytes()[1..33], bytes(&bent[1], "x"));
    let lengths: Vec<usize> = bent[1..4].iter().map(|key| bytes(key, "d").len()).collect();
    assert_eq!(lengths, [32, 48, 66]);
    assert!(bytes(&bent[4], "d").len() > 200);
    for key in &mut bent {
        key.as_object_mut().unwrap().remove("d");
    }
    assert_eq!(bent, real);
}

#[test]
fn keys_of_an_unknown_type_keep_their_ids() {
    let issuer = Issuer::with_algorithms(&[Algorithm::Es256, Algorithm::EdDsa]).unwrap();
    issuer.fault(Fault::UnknownKty);
    let bent = keys(&issuer);
    assert_eq!((members(&bent, "kty"), members(&bent, "kid")), (vec!["XYZ".into(); 2], issuer.kids()));
}

#[test]
fn an_alg_that_contradicts_is_of_another_key_type() {
    let issuer = Issuer::with_algorithms(&[Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256]).unwrap();
    issuer.fault(Fault::AlgContradicts);
    let bent = keys(&issuer);
    assert_eq!(members(&bent, "kty"), ["EC", "OKP", "RSA"]);
    assert_eq!(members(&bent, "alg"), ["RS256", "RS256", "ES256"]);
}

#[test]
fn faults_of_the_set_are_the_jwks_alone() {
    let issuer = issuer();
    let path = "/.well-known/openid-configuration";
    let usual = get(&issuer, path).body;
    issuer.fault_at(Endpoint::Metadata, Fault::WeakRsa);
    assert_eq!(get(&issuer, path).body, usual);
    issuer.fault_at(Endpoint::SecondJwks, Fault::UnknownKty);
    assert_eq!(get(&issuer, "/jwks2").json().unwrap()["keys"][0]["kty"], "XYZ");
    assert_eq!(keys(&issuer)[0]["kty"], "EC");
    issuer.heal();
    assert_eq!(get(&issuer, "/jwks2").json().unwrap()["keys"][0]["kty"], "EC");
}
