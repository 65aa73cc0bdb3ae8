#![allow(clippy::arithmetic_side_effects, clippy::string_slice, clippy::unwrap_in_result)]

use super::super::key::{MAX_SECRET_BYTES, MIN_RSA_BITS};
use super::*;
use base64ct::{Base64UrlUnpadded, Encoding as _};

const EC: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
const OKP: &str = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

fn jwk(members: &str) -> Result<Key, KeyError> {
    let text = format!("{{{members}}}");
    let object = Object::parse(text.as_bytes()).unwrap();
    parse(&object, Symmetric::Allowed)
}

fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// A modulus of this many bits: odd, and otherwise nothing that a parser could mind.
fn rsa(bits: usize, exponent: &[u8], more: &str) -> Result<Key, KeyError> {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] = if bits.is_multiple_of(8) { 0xff } else { 0xff >> (8 - bits % 8) };
    jwk(&format!(r#""kty":"RSA","n":"{}","e":"{}"{more}"#, encode(&modulus), encode(exponent)))
}

fn secret(bytes: usize, more: &str) -> Result<Key, KeyError> {
    jwk(&format!(r#""kty":"oct","k":"{}"{more}"#, encode(&vec![7; bytes])))
}

fn algorithms(key: Result<Key, KeyError>) -> Vec<Algorithm> {
    key.unwrap().algorithms().iter().collect()
}

#[test]
fn the_type_of_key_decides_what_it_may_verify() {
    use Algorithm::*;
    assert_eq!(algorithms(rsa(2048, &[1, 0, 1], "")), [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512]);
    assert_eq!(algorithms(jwk(EC)), [Es256]);
    assert_eq!(algorithms(jwk(OKP)), [EdDsa]);
    assert_eq!(algorithms(secret(64, "")), [Hs256, Hs384, Hs512]);
}

#[test]
fn alg_narrows_to_itself_and_never_widens() {
    use Algorithm::*;
    assert_eq!(algorithms(rsa(2048, &[1, 0, 1], r#","alg":"PS384""#)), [Ps384]);
    assert_eq!(algorithms(jwk(&format!(r#"{EC},"alg":"ES256""#))), [Es256]);
    assert_eq!(algorithms(secret(64, r#","alg":"HS256""#)), [Hs256]);
    for alg in [r#""EdDSA""#, r#""Ed25519""#, r#""""#, "null"] {
        assert_eq!(algorithms(jwk(&format!(r#"{OKP},"alg":{alg}"#))), [EdDsa], "{alg}");
    }
    for alg in ["ES256", "HS256", "none", "RSA-OAEP", "rs256", "Ed25519"] {
        assert_eq!(
            rsa(2048, &[1, 0, 1], &format!(r#","alg":"{alg}""#)).unwrap_err(),
            KeyError::Algorithm,
            "{alg}"
        );
    }
    for alg in ["ES384", "RS256", "HS256", "ECDH-ES"] {
        assert_eq!(jwk(&format!(r#"{EC},"alg":"{alg}""#)).unwrap_err(), KeyError::Algorithm, "{alg}");
    }
    let error = jwk(&format!(r#"{EC},"alg":7"#)).unwrap_err();
    assert_eq!(error, KeyError::MemberType { member: "alg" });
}

#[test]
fn use_and_key_ops_must_allow_verification() {
    for members in [
        r#""use":"sig""#,
        r#""use":"jwt-svid""#,
        r#""use":null,"key_ops":null"#,
        r#""key_ops":["verify"]"#,
        r#""key_ops":["sign","verify"],"use":"sig""#,
    ] {
        assert!(jwk(&format!("{EC},{members}")).is_ok(), "{members}");
    }
    for (members, error) in [
        (r#""use":"enc""#, KeyError::Use),
        (r#""use":"""#, KeyError::Use),
        (r#""use":"x509-svid""#, KeyError::Use),
        (r#""use":["sig"]"#, KeyError::MemberType { member: "use" }),
        (r#""key_ops":[]"#, KeyError::Operations),
        (r#""key_ops":["sign"]"#, KeyError::Operations),
        (r#""key_ops":"verify""#, KeyError::MemberType { member: "key_ops" }),
        (r#""key_ops":{}"#, KeyError::MemberType { member: "key_ops" }),
    ] {
        assert_eq!(jwk(&format!("{EC},{members}")).unwrap_err(), error, "{members}");
    }
}

#[test]
fn unknown_types_and_curves_are_named() {
    for (members, error) in [
        (r#""kty":"AKP""#, KeyError::KeyType),
        (r#""kty":"rsa""#, KeyError::KeyType),
        (r#""kty":"EC","crv":"secp256k1""#, KeyError::Curve),
        (r#""kty":"OKP","crv":"X25519","x":"AA""#, KeyError::Curve),
        (r#""kty":"OKP","crv":"Ed448","x":"AA""#, KeyError::Curve),
        (r#""kid":"a""#, KeyError::MemberMissing { member: "kty" }),
        (r#""kty":7"#, KeyError::MemberType { member: "kty" }),
        (r#""kty":"EC""#, KeyError::MemberMissing { member: "crv" }),
        (r#""kty":"RSA","e":"AQAB""#, KeyError::MemberMissing { member: "n" }),
        (r#""kty":"RSA","n":"A","e":"AQAB""#, KeyError::MemberEncoding { member: "n" }),
    ] {
        assert_eq!(jwk(members).unwrap_err(), error, "{members}");
    }
}

#[test]
fn rsa_moduli_are_bounded_at_both_limits() {
    let error = |bits| rsa(bits, &[1, 0, 1], "").unwrap_err();
    assert!(rsa(MIN_RSA_BITS, &[1, 0, 1], "").is_ok());
    assert_eq!(error(MIN_RSA_BITS - 1), KeyError::ModulusSize { bits: 2047 });
    assert!(rsa(MAX_RSA_BITS, &[1, 0, 1], "").is_ok());
    assert_eq!(error(MAX_RSA_BITS + 1), KeyError::ModulusSize { bits: 8193 });
    assert_eq!(error(MAX_RSA_BYTES * 8), KeyError::ModulusSize { bits: 16384 });
    assert_eq!(error(MAX_RSA_BYTES * 8 + 1), KeyError::MemberTooLong { member: "n", limit: MAX_RSA_BYTES });
    let empty = jwk(r#""kty":"RSA","n":"","e":"AQAB""#).unwrap_err();
    assert_eq!(empty, KeyError::ModulusSize { bits: 0 });
}

#[test]
fn an_even_modulus_is_refused() {
    let mut modulus = vec![0xff; 256];
    modulus[255] = 0xfe;
    let error = jwk(&format!(r#""kty":"RSA","n":"{}","e":"AQAB""#, encode(&modulus))).unwrap_err();
    assert_eq!(error, KeyError::Modulus);
}

#[test]
fn rsa_exponents_are_odd_and_of_sane_size() {
    for exponent in
        [&[3][..], &[1, 0, 1], &[0, 1, 0, 1], &[0xff, 0xff, 0xff, 0xff], &[1, 0xff, 0xff, 0xff, 0xff]]
    {
        assert!(rsa(2048, exponent, "").is_ok(), "{exponent:?}");
    }
    for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[2, 0, 0, 0, 1], &[0xff; 256]] {
        assert_eq!(rsa(2048, exponent, "").unwrap_err(), KeyError::Exponent, "{exponent:?}");
    }
}

#[test]
fn a_zero_byte_before_the_modulus_changes_nothing() {
    let modulus = [0xff; 256];
    let key = |bytes: &[u8]| jwk(&format!(r#""kty":"RSA","n":"{}","e":"AQAB""#, encode(bytes))).unwrap();
    assert_eq!(key(&modulus).id(), key(&[&[0], &modulus[..]].concat()).id());
}

/// RFC 7515 §2: base64url without padding, which careless libraries write all the same.
#[test]
fn padding_is_dropped_and_another_alphabet_is_not_read() {
    let key = |n: &str, e: &str| jwk(&format!(r#""kty":"RSA","n":"{n}","e":"{e}""#));
    let n = encode(&[0xff; 256]);
    let id = key(&n, "AQAB").unwrap().id();
    assert_eq!(key(&format!("{n}=="), "AQAB").unwrap().id(), id);
    assert_eq!(jwk(&EC.replace("RVEU", "RVEU=")).unwrap().id(), jwk(EC).unwrap().id());
    for wrong in [n.replace('_', "/"), format!("={n}"), format!("{n} "), format!("{}={}", &n[..8], &n[8..])] {
        assert_eq!(key(&wrong, "AQAB").unwrap_err(), KeyError::MemberEncoding { member: "n" }, "{wrong:.20}");
    }
}

/// RFC 7518 §6.2.1.2: the same number is the same key, with a zero too many or too few.
#[test]
fn coordinates_are_padded_and_cut_to_the_size_of_the_field() {
    let coordinates = |x: &[u8], y: &[u8]| {
        jwk(&format!(r#""kty":"EC","crv":"P-256","x":"{}","y":"{}""#, encode(x), encode(y)))
    };
    // One key of 256 has a zero there.
    let points = (1_u8..=255).flat_map(|high| (1_u8..=255).map(move |low| [high, low])).map(|secret| {
        let key = p256::ecdsa::SigningKey::from_slice(&[&[0; 30], &secret[..]].concat()).unwrap();
        key.verifying_key().to_sec1_point(false).as_bytes()[1..].to_vec()
    });
    let point = points.into_iter().find(|point| point[0] == 0).unwrap();
    let (x, y) = point.split_at(32);
    let id = coordinates(x, y).unwrap().id();
    assert_eq!(coordinates(&x[1..], y).unwrap().id(), id);
    assert_eq!(coordinates(&[&[0], x].concat(), &[&[0; 7], y].concat()).unwrap().id(), id);
    let longer = coordinates(&[&[1], x].concat(), y).unwrap_err();
    assert_eq!(longer, KeyError::CoordinateLength { expected: 32, got: 33 });
}

#[test]
fn points_have_their_length_and_lie_on_their_curve() {
    let (x, y) =
        ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let point = |crv: &str, x: &str, y: &str| {
        jwk(&format!(r#""kty":"EC","crv":"{crv}","x":"{x}","y":"{y}""#)).unwrap_err()
    };
    assert_eq!(point("P-256", x, x), KeyError::Point);
    assert_eq!(point("P-256", y, x), KeyError::Point);
    let zero = "A".repeat(43);
    assert_eq!(point("P-256", &zero, &zero), KeyError::Point);
    assert_eq!(point("P-384", x, y), KeyError::Point);
    assert_eq!(point("P-521", x, y), KeyError::Point);
    assert_eq!(point("P-256", "AA", y), KeyError::Point);
    assert_eq!(point("P-256", "", y), KeyError::CoordinateLength { expected: 32, got: 0 });
    // The field's own prime as x: a second name for zero.
    let prime = "_____wAAAAEAAAAAAAAAAAAAAAD_______________8";
    assert_eq!(point("P-256", prime, y), KeyError::Point);
}

#[test]
fn ed25519_points_are_of_large_order_and_in_their_one_encoding() {
    let okp = |bytes: &[u8]| jwk(&format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, encode(bytes)));
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(okp(&identity).unwrap_err(), KeyError::Point, "small order");
    assert_eq!(okp(&[0; 32]).unwrap_err(), KeyError::Point, "small order");
    // y = 2²⁵⁵ - 19 + 3, which stands for y = 3, a point of large order.
    let mut second_name = [0xff; 32];
    (second_name[0], second_name[31]) = (0xf0, 0x7f);
    assert_eq!(okp(&second_name).unwrap_err(), KeyError::Point, "second encoding");
    assert_eq!(okp(&[7; 31]).unwrap_err(), KeyError::CoordinateLength { expected: 32, got: 31 });
}

#[test]
fn secrets_serve_the_hashes_that_are_no_longer_than_they_are() {
    use Algorithm::*;
    assert_eq!(secret(31, "").unwrap_err(), KeyError::SecretTooShort { bytes: 31, least: 32 });
    assert_eq!(secret(0, "").unwrap_err(), KeyError::SecretTooShort { bytes: 0, least: 32 });
    assert_eq!(algorithms(secret(32, "")), [Hs256]);
    assert_eq!(algorithms(secret(47, "")), [Hs256]);
    assert_eq!(algorithms(secret(48, "")), [Hs256, Hs384]);
    assert_eq!(algorithms(secret(63, "")), [Hs256, Hs384]);
    let error = secret(47, r#","alg":"HS384""#).unwrap_err();
    assert_eq!(error, KeyError::SecretTooShort { bytes: 47, least: 48 });
    let error = secret(63, r#","alg":"HS512""#).unwrap_err();
    assert_eq!(error, KeyError::SecretTooShort { bytes: 63, least: 64 });
    assert!(secret(MAX_SECRET_BYTES, "").is_ok());
    let over = MAX_SECRET_BYTES + 1;
    assert_eq!(secret(over, "").unwrap_err(), KeyError::SecretTooLong { bytes: over });
}

#[test]
fn a_kid_is_a_string_of_bounded_length() {
    let kid = |length: usize| jwk(&format!(r#"{EC},"kid":"{}""#, "k".repeat(length)));
    assert_eq!(kid(MAX_KID_BYTES).unwrap().kid().unwrap().len(), MAX_KID_BYTES);
    let error = KeyError::MemberTooLong { member: "kid", limit: MAX_KID_BYTES };
    assert_eq!(kid(MAX_KID_BYTES + 1).unwrap_err(), error);
}

#[test]
fn a_kid_that_no_token_can_name_is_none() {
    for kid in ["1", "null", r#""""#, "[]", "{}"] {
        assert_eq!(jwk(&format!(r#"{EC},"kid":{kid}"#)).unwrap().kid(), None, "{kid}");
    }
}

#[test]
fn debug_output_shows_no_secret() {
    let shown = format!("{:?}", secret(32, r#","kid":"k""#).unwrap());
    assert_eq!(shown, r#"Key { kid: Some("k"), algorithms: {Hs256}, .. }"#);
}

#[test]
fn every_error_says_what_is_wrong() {
    let errors = [
        (KeyError::NotAnObject, "not an object"),
        (KeyError::MemberMissing { member: "n" }, "`n` is missing"),
        (KeyError::MemberType { member: "n" }, "`n` has the wrong type"),
        (KeyError::MemberEncoding { member: "n" }, "`n` is not base64url"),
        (KeyError::MemberTooLong { member: "kid", limit: 256 }, "`kid` is longer than 256 bytes"),
        (KeyError::KeyType, "`kty` is not RSA, EC, OKP or oct"),
        (KeyError::Curve, "`crv` is not a supported signature curve"),
        (KeyError::Use, "`use` is not sig"),
        (KeyError::Operations, "`key_ops` lacks verify"),
        (KeyError::Algorithm, "`alg` is not a signature algorithm for this type of key"),
        (KeyError::Symmetric, "a symmetric key is only accepted from the configuration"),
        (KeyError::SecretTooShort { bytes: 31, least: 32 }, "the secret has 31 bytes, fewer than 32"),
        (KeyError::SecretTooLong { bytes: 1025 }, "the secret has 1025 bytes, more than 1024"),
        (KeyError::ModulusSize { bits: 1024 }, "the RSA modulus has 1024 bits, expected 2048 to 8192"),
        (KeyError::Modulus, "the RSA modulus is not a product of odd primes"),
        (KeyError::Exponent, "the RSA exponent is not odd and between 3 and 2^33"),
        (KeyError::CoordinateLength { expected: 32, got: 31 }, "expected a coordinate of 32 bytes, got 31"),
        (KeyError::Point, "not a usable point of the curve"),
    ];
    for (error, text) in &errors {
        assert_eq!(error.to_string(), *text);
    }
}
