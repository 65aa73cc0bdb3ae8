//! Signing keys of every algorithm that the filter verifies, and their public halves as JWKs.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use base64ct::{Base64, Encoding};
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::rand_core::UnwrapErr;
use rsa::signature::{RandomizedSigner, SignatureEncoding, Signer};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{RsaPrivateKey, RsaPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

use crate::jws::base64url;

/// A signature algorithm with a public key (RFC 7518 §3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PSS with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSASSA-PSS with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// ECDSA on P-521 with SHA-512.
    #[serde(rename = "ES512")]
    Es512,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// A key pair with its key id.
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    private: Private,
}

enum Private {
    Rsa(Box<RsaPrivateKey>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(Box<p521::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl Algorithm {
    /// Every algorithm, in the order of RFC 7518.
    pub const ALL: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// Returns the name in a token's `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|algorithm| algorithm.name() == name) {
            Some(algorithm) => Ok(algorithm),
            None => bail!("unknown algorithm `{name}`: use one of {}", Self::ALL.map(Self::name).join(", ")),
        }
    }
}

impl Key {
    /// Generates a key pair. An RSA one takes from a tenth of a second to a second.
    pub(crate) fn generate(kid: String, algorithm: Algorithm) -> Result<Self> {
        let private = match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => Private::Rsa(Box::new(RsaPrivateKey::new(&mut randomness(), RSA_BITS)?)),
            Algorithm::Es256 => {
                Private::P256(scalar(|bytes: [u8; 32]| p256::ecdsa::SigningKey::from_slice(&bytes))?)
            }
            Algorithm::Es384 => {
                Private::P384(scalar(|bytes: [u8; 48]| p384::ecdsa::SigningKey::from_slice(&bytes))?)
            }
            Algorithm::Es512 => Private::P521(Box::new(scalar(|mut bytes: [u8; 66]| {
                if let Some(first) = bytes.first_mut() {
                    *first &= 1; // 521 bits
                }
                p521::ecdsa::SigningKey::from_slice(&bytes)
            })?)),
            Algorithm::EdDsa => Private::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&random()?))),
        };
        Ok(Self { kid, algorithm, private })
    }

    /// Signs with the key's own algorithm; the signature is as JWS wants it (ECDSA: r‖s).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        Ok(match &self.private {
            Private::Rsa(key) => sign_rsa(key, self.algorithm, message)?,
            Private::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message)?;
                signature.to_vec()
            }
            Private::P384(key) => {
                let signature: p384::ecdsa::Signature = key.try_sign(message)?;
                signature.to_vec()
            }
            Private::P521(key) => {
                let signature: p521::ecdsa::Signature = key.try_sign(message)?;
                signature.to_vec()
            }
            Private::Ed25519(key) => key.try_sign(message)?.to_vec(),
        })
    }

    /// Returns the public half as a JWK (RFC 7517) with `kid`, `alg` and `use`.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.private {
            Private::Rsa(key) => {
                json!({ "kty": "RSA", "n": base64url(&key.n_bytes()), "e": base64url(&key.e_bytes()) })
            }
            Private::P256(key) => ec_jwk("P-256", key.verifying_key().to_sec1_point(false).as_bytes()),
            Private::P384(key) => ec_jwk("P-384", key.verifying_key().to_sec1_point(false).as_bytes()),
            Private::P521(key) => ec_jwk("P-521", key.verifying_key().to_sec1_point(false).as_bytes()),
            Private::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(key.verifying_key().as_bytes()) })
            }
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".into(), self.kid.clone().into());
            members.insert("alg".into(), self.algorithm.name().into());
            members.insert("use".into(), "sig".into());
        }
        jwk
    }

    /// Returns the private half as a JWK's `d` (RFC 7518 §6.2.2 and §6.3.2, RFC 8037 §2).
    pub(crate) fn private_member(&self) -> String {
        match &self.private {
            Private::Rsa(key) => number(key.d()),
            Private::P256(key) => base64url(&key.to_bytes()),
            Private::P384(key) => base64url(&key.to_bytes()),
            Private::P521(key) => base64url(&key.to_bytes()),
            Private::Ed25519(key) => base64url(key.as_bytes()),
        }
    }

    /// Returns both halves as a JWK (RFC 7518 §6, RFC 8037 §2).
    pub(crate) fn private_jwk(&self) -> Value {
        let mut jwk = self.jwk();
        let Some(members) = jwk.as_object_mut() else { return jwk };
        members.insert("d".into(), self.private_member().into());
        if let Private::Rsa(key) = &self.private {
            let mut primes = key.primes().iter().map(|prime| number(prime));
            let numbers = [
                ("p", primes.next()),
                ("q", primes.next()),
                ("dp", key.dp().map(number)),
                ("dq", key.dq().map(number)),
                ("qi", key.crt_coefficient().as_ref().map(number)),
            ];
            members.extend(numbers.map(|(name, number)| (name.to_owned(), number.into())));
        }
        jwk
    }

    /// Returns the private half as PKCS#8 in PEM (RFC 5958, RFC 7468).
    pub(crate) fn private_pem(&self) -> Result<String> {
        let pem = match &self.private {
            Private::Rsa(key) => key.to_pkcs8_pem(LineEnding::LF)?,
            Private::P256(key) => key.to_pkcs8_pem(LineEnding::LF)?,
            Private::P384(key) => key.to_pkcs8_pem(LineEnding::LF)?,
            Private::P521(key) => key.to_pkcs8_pem(LineEnding::LF)?,
            Private::Ed25519(key) => {
                let der = [ED25519_PKCS8.as_slice(), key.as_bytes()].concat();
                let text = Base64::encode_string(&der);
                return Ok(format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"));
            }
        };
        Ok(pem.to_string())
    }

    /// Returns the public half as PEM if it is an RSA key: what an HS256 forger would take for the secret.
    pub(crate) fn rsa_public_pem(&self) -> Result<String> {
        match &self.private {
            Private::Rsa(key) => Ok(RsaPublicKey::from(key.as_ref()).to_public_key_pem(LineEnding::LF)?),
            Private::P256(_) | Private::P384(_) | Private::P521(_) | Private::Ed25519(_) => {
                bail!(
                    "key `{}` is no RSA key: choose a {} or {} key",
                    self.kid,
                    Algorithm::Rs256,
                    Algorithm::Ps256
                )
            }
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {})", self.kid, self.algorithm)
    }
}

/// Returns random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn sign_rsa(key: &RsaPrivateKey, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>> {
    let key = key.clone();
    let mut rng = randomness();
    Ok(match algorithm {
        Algorithm::Rs256 => rsa::pkcs1v15::SigningKey::<Sha256>::new(key).try_sign(message)?.to_vec(),
        Algorithm::Rs384 => rsa::pkcs1v15::SigningKey::<Sha384>::new(key).try_sign(message)?.to_vec(),
        Algorithm::Rs512 => rsa::pkcs1v15::SigningKey::<Sha512>::new(key).try_sign(message)?.to_vec(),
        Algorithm::Ps256 => {
            rsa::pss::SigningKey::<Sha256>::new(key).try_sign_with_rng(&mut rng, message)?.to_vec()
        }
        Algorithm::Ps384 => {
            rsa::pss::SigningKey::<Sha384>::new(key).try_sign_with_rng(&mut rng, message)?.to_vec()
        }
        Algorithm::Ps512 => {
            rsa::pss::SigningKey::<Sha512>::new(key).try_sign_with_rng(&mut rng, message)?.to_vec()
        }
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 | Algorithm::EdDsa => {
            bail!("an RSA key does not sign {algorithm}")
        }
    })
}

/// Encodes a number as RFC 7518 §2 wants it.
fn number(number: &rsa::BoxedUint) -> String {
    base64url(&number.to_be_bytes_trimmed_vartime())
}

fn ec_jwk(curve: &str, point: &[u8]) -> Value {
    // 04 ‖ x ‖ y
    let coordinates = point.get(1..).unwrap_or_default();
    let (x, y) = coordinates.split_at(coordinates.len().div_euclid(2));
    json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) })
}

/// Draws until the bytes are a valid private scalar: nearly always the first time.
fn scalar<const N: usize, K, E>(mut parse: impl FnMut([u8; N]) -> Result<K, E>) -> Result<K> {
    for _ in 0..MAX_DRAWS {
        if let Ok(key) = parse(random()?) {
            return Ok(key);
        }
    }
    bail!("the system's randomness gave no valid private key in {MAX_DRAWS} draws")
}

fn randomness() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

/// All of an Ed25519 key's PKCS#8 but the key itself (RFC 8410 §7).
const ED25519_PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const RSA_BITS: usize = 2048;
const MAX_DRAWS: usize = 64;
