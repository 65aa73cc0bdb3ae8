//! A client's key pair: the private half for a configuration, the public one for the issuer.

use anyhow::Result;
use serde_json::{Value, json};

use super::keys::{Algorithm, Key};

/// A key pair that a client signs its assertions with.
#[derive(Debug)]
pub struct KeyPair(pub(super) Key);

impl KeyPair {
    /// Generates a key pair. An RSA one takes from a tenth of a second to a second.
    pub fn generate(kid: &str, algorithm: Algorithm) -> Result<Self> {
        Ok(Self(Key::generate(kid.to_owned(), algorithm)?))
    }

    /// Returns the public half in a JWKS document: what [`Client::keys`](super::Client::keys) takes.
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.0.jwk()] })
    }

    /// Returns both halves as a JWK, with `kid` and `alg`.
    pub fn private_jwk(&self) -> Value {
        self.0.private_jwk()
    }

    /// Returns the private half as PKCS#8 in PEM.
    pub fn private_pem(&self) -> Result<String> {
        self.0.private_pem()
    }
}

#[cfg(test)]
mod tests {
    use rsa::pkcs8::DecodePrivateKey;
    use rsa::traits::{PrivateKeyParts, PublicKeyParts};

    use super::*;
    use crate::jws::base64url;

    fn pair(algorithm: Algorithm) -> (KeyPair, String, Value) {
        let pair = KeyPair::generate("k", algorithm).unwrap();
        let (pem, jwk) = (pair.private_pem().unwrap(), pair.private_jwk());
        (pair, pem, jwk)
    }

    #[test]
    fn the_private_forms_of_an_rsa_key_are_of_the_public_one() {
        let (pair, pem, jwk) = pair(Algorithm::Ps256);
        let key = rsa::RsaPrivateKey::from_pkcs8_pem(&pem).unwrap();
        let public = pair.jwks()["keys"][0].clone();
        assert_eq!((&public["n"], &public["kid"]), (&base64url(&key.n_bytes()).into(), &json!("k")));
        let number = |number: &rsa::BoxedUint| Value::from(base64url(&number.to_be_bytes_trimmed_vartime()));
        assert_eq!((&jwk["n"], &jwk["d"]), (&public["n"], &number(key.d())));
        assert_eq!((&jwk["p"], &jwk["q"]), (&number(&key.primes()[0]), &number(&key.primes()[1])));
        assert_eq!((&jwk["dp"], &jwk["dq"]), (&number(key.dp().unwrap()), &number(key.dq().unwrap())));
        assert_eq!(jwk["qi"], number(&key.crt_coefficient().unwrap()));
        assert!(["d", "p", "q", "dp", "dq", "qi"].iter().all(|name| public.get(name).is_none()));
    }

    #[test]
    fn the_private_forms_of_a_key_on_a_curve_are_of_the_public_one() {
        let (_, pem, jwk) = pair(Algorithm::Es256);
        let key = p256::ecdsa::SigningKey::from_pkcs8_pem(&pem).unwrap();
        assert_eq!((&jwk["d"], &jwk["alg"]), (&base64url(&key.to_bytes()).into(), &json!("ES256")));
        let (_, pem, jwk) = pair(Algorithm::Es384);
        let key = p384::ecdsa::SigningKey::from_pkcs8_pem(&pem).unwrap();
        assert_eq!(jwk["d"], base64url(&key.to_bytes()));
        let (_, pem, jwk) = pair(Algorithm::Es512);
        let key = p521::ecdsa::SigningKey::from_pkcs8_pem(&pem).unwrap();
        assert_eq!(jwk["d"], base64url(&key.to_bytes()));
    }

    #[test]
    fn the_private_forms_of_an_ed25519_key_are_of_the_public_one() {
        let (_, pem, jwk) = pair(Algorithm::EdDsa);
        let (_, der) = rsa::pkcs8::SecretDocument::from_pem(&pem).unwrap();
        let info = rsa::pkcs8::PrivateKeyInfoRef::try_from(der.as_bytes()).unwrap();
        assert_eq!(info.algorithm.oid.to_string(), "1.3.101.112");
        let seed = info.private_key.as_bytes()[2..].try_into().unwrap();
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        assert_eq!(jwk["d"], base64url(&seed));
        assert_eq!(jwk["x"], base64url(key.verifying_key().as_bytes()));
    }
}
