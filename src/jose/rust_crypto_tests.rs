//! The examples of the RFCs.

use super::super::{KeySet, TokenParts};
use super::*;

#[track_caller]
fn verifies(jwk: &str, token: &str) {
    let set = KeySet::parse_inline(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes()).unwrap().set;
    let parts = TokenParts::decode(token).unwrap();
    let token = parts.read().unwrap();
    let key = set.candidates(token.header().algorithm, None).next().expect("a usable key");
    assert_eq!(token.verify(key, &RustCrypto).map(|_| ()), Ok(()));
}

const CLAIMS: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn rfc_7515_a1_hs256() {
    verifies(
        r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
        &format!(
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{CLAIMS}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        ),
    );
}

#[test]
fn rfc_7515_a2_rs256() {
    let modulus = concat!(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR",
        "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB",
        "dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia",
        "GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
    );
    let signature = concat!(
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9",
        "uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB",
        "_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rq",
        "Vt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    verifies(
        &format!(r#"{{"kty":"RSA","e":"AQAB","n":"{modulus}"}}"#),
        &format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}.{signature}"),
    );
}

#[test]
fn rfc_7515_a3_es256() {
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    verifies(
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        &format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS}.{signature}"),
    );
}

/// The payload of RFC 8037 is no JSON object, so this goes to the engine directly.
#[test]
fn rfc_8037_a4_ed25519() {
    let jwk = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let set = KeySet::parse(jwk.as_bytes()).unwrap().set;
    let key = set.iter().next().unwrap();
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = b"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let signature = super::super::base64url::decode(signature).unwrap();
    assert_eq!(RustCrypto.verify(Algorithm::EdDsa, key, message, &signature), Ok(()));
}

#[test]
fn ecdsa_halves_out_of_range_are_named() {
    let jwk = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    let set = KeySet::parse(jwk.as_bytes()).unwrap().set;
    let key = set.iter().next().unwrap();
    for signature in [[0; 64], [0xff; 64]] {
        let outcome = RustCrypto.verify(Algorithm::Es256, key, b"", &signature);
        assert_eq!(outcome, Err(SignatureError::OutOfRange));
    }
}

#[test]
fn every_algorithm_runs_here() {
    for algorithm in Algorithm::ALL {
        assert_eq!(RustCrypto.engine(algorithm), Engine::RustCrypto);
    }
    assert_eq!((Engine::Envoy.label(), Engine::RustCrypto.label()), ("envoy", "portable"));
}

/// Strictness beyond Wycheproof, whose vectors pass either way: R is the identity here, which only the holder of the
/// key can make fit; OpenSSL accepts it.
#[test]
fn a_signature_with_a_point_of_small_order_is_refused() {
    let jwk = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"xzpJO6siizVeEkwf4VArmSJc0gTbh9y9Hl5DotOTJq0"}]}"#;
    let set = KeySet::parse(jwk.as_bytes()).unwrap().set;
    let signature = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACpoBApAEJuImAFu9d601g3qFlFJoyYEoFZerKl5d3ABw";
    let signature = super::super::base64url::decode(signature.as_bytes()).unwrap();
    let outcome = RustCrypto.verify(Algorithm::EdDsa, set.iter().next().unwrap(), b"message", &signature);
    assert_eq!(outcome, Err(SignatureError::Mismatch));
}
