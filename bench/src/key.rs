//! Signing keys of the four algorithms that are measured, and their public halves as JWKs.

use anyhow::{Context, Result, bail};
use attache_harness::jws::base64url;
use fastrand::Rng;
use p256::ecdsa::signature::Signer as _;
use rsa::pkcs8::EncodePublicKey as _;
use rsa::{BoxedUint, RsaPublicKey};
use serde_json::{Value, json};

use crate::modulus::{EXPONENT, Modulus};

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
    Ps256,
}

/// A key pair with its key id.
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    private: Private,
}

enum Private {
    Rsa(Box<Modulus>),
    P256(p256::ecdsa::SigningKey),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl Algorithm {
    pub(crate) const ALL: [Self; 4] = [Self::Rs256, Self::Es256, Self::EdDsa, Self::Ps256];

    /// The name in a token's `alg`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Ps256 => "PS256",
        }
    }

    /// How long its signatures are with these keys.
    pub(crate) fn signature_length(self) -> usize {
        match self {
            Self::Rs256 | Self::Ps256 => 256,
            Self::Es256 | Self::EdDsa => 64,
        }
    }
}

impl Key {
    /// Draws a key pair.
    pub(crate) fn generate(kid: String, algorithm: Algorithm, rng: &mut Rng) -> Result<Self> {
        let mut seed = [0; 32];
        rng.fill(&mut seed);
        let private = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => Private::Rsa(Box::new(Modulus::generate(rng)?)),
            Algorithm::Es256 => Private::P256(
                p256::ecdsa::SigningKey::from_slice(&seed)
                    .ok()
                    .context("the random numbers made no key: choose another --seed")?,
            ),
            Algorithm::EdDsa => Private::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&seed))),
        };
        Ok(Self { kid, algorithm, private })
    }

    /// Signs; the signature is as JWS wants it. The random numbers are PS256's salt.
    pub(crate) fn sign(&self, message: &[u8], rng: &mut Rng) -> Vec<u8> {
        match &self.private {
            Private::Rsa(key) if self.algorithm == Algorithm::Ps256 => {
                let mut salt = [0; 32];
                rng.fill(&mut salt);
                key.sign_pss(message, salt)
            }
            Private::Rsa(key) => key.sign_pkcs1(message),
            Private::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_vec()
            }
            Private::Ed25519(key) => key.sign(message).to_vec(),
        }
    }

    /// The public half as DER (RFC 5280 §4.1.2.7).
    pub(crate) fn subject_public_key_info(&self) -> Result<Vec<u8>> {
        let der = match &self.private {
            Private::Rsa(key) => {
                let (n, e) = (BoxedUint::from_be_slice_vartime(&key.n()), BoxedUint::from(EXPONENT));
                RsaPublicKey::new(n, e)?.to_public_key_der()?
            }
            Private::P256(key) => key.verifying_key().to_public_key_der()?,
            Private::Ed25519(_) => bail!("Envoy checks no EdDSA for wasm"),
        };
        Ok(der.into_vec())
    }

    /// The public half.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.private {
            Private::Rsa(key) => {
                json!({ "kty": "RSA", "n": base64url(&key.n()), "e": base64url(&EXPONENT.to_be_bytes()[5..]) })
            }
            Private::P256(key) => {
                // 04 ‖ x ‖ y
                let point = key.verifying_key().to_sec1_point(false);
                let (x, y) = point.as_bytes()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) })
            }
            Private::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(key.verifying_key().as_bytes()) })
            }
        };
        jwk["kid"] = self.kid.clone().into();
        jwk["alg"] = self.algorithm.name().into();
        jwk["use"] = "sig".into();
        jwk
    }
}

/// A JWKS.
pub(crate) fn key_set<'k>(keys: impl IntoIterator<Item = &'k Key>) -> Value {
    json!({ "keys": keys.into_iter().map(Key::jwk).collect::<Vec<_>>() })
}
