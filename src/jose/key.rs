//! A verification key: material that has been checked and parsed once, and what it may verify.

use rsa::BoxedUint;
use rsa::pkcs8::EncodePublicKey as _;
use sha2::{Digest as _, Sha256};

use super::algorithm::{Algorithm, AlgorithmSet};
use crate::base::Secret;

/// A key that verifies signatures. The algorithms belong to the key: a token can only choose among them (RFC 8725
/// §3.1).
#[derive(Clone, derive_more::Debug)]
#[debug("Key {{ kid: {kid:?}, algorithms: {algorithms:?}, .. }}")]
pub struct Key {
    kid: Option<String>,
    issuer: Option<Box<str>>,
    algorithms: AlgorithmSet,
    id: KeyId,
    material: Material,
}

/// The material in the form in which `RustCrypto` takes it.
#[derive(Clone)]
pub(super) enum Material {
    Symmetric(Secret),
    Rsa(Box<Public<rsa::RsaPublicKey>>, ModulusBytes),
    P256(Box<Public<p256::ecdsa::VerifyingKey>>),
    P384(Box<Public<p384::ecdsa::VerifyingKey>>),
    P521(Box<Public<p521::ecdsa::VerifyingKey>>),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

/// How long an RSA key's modulus and its signatures are, in bytes: the key itself would count its bits at each
/// question.
pub(super) type ModulusBytes = usize;

/// A public key, and its SubjectPublicKeyInfo for the engine that wants that.
#[derive(Clone)]
pub(super) struct Public<K> {
    pub(super) key: K,
    spki: Vec<u8>,
}

impl Key {
    /// An HMAC key. It may be used for each hash that is no longer than the secret (RFC 7518 §3.2).
    pub fn symmetric(secret: Secret, kid: Option<String>) -> Result<Self, KeyError> {
        let material = Material::symmetric(secret)?;
        let algorithms = material.algorithms();
        Ok(Self::new(kid, algorithms, material))
    }

    /// Joins checked parts.
    pub(super) fn new(kid: Option<String>, algorithms: AlgorithmSet, material: Material) -> Self {
        let id = KeyId::new(kid.as_deref(), None, algorithms, &material);
        Self { kid, issuer: None, algorithms, id, material }
    }

    /// The same key, for tokens of this issuer only: the member `issuer` of Entra's keys, as it stands there.
    pub(super) fn of_issuer(mut self, issuer: &str) -> Self {
        self.id = KeyId::new(self.kid.as_deref(), Some(issuer), self.algorithms, &self.material);
        self.issuer = Some(issuer.into());
        self
    }

    /// The issuer, or the template of issuers, whose tokens the set says that the key is for.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The key's name in its set.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What the key may verify.
    pub fn algorithms(&self) -> AlgorithmSet {
        self.algorithms
    }

    /// How many bytes of memory the key takes, about. An RSA key keeps its modulus some six times: as a number, in what
    /// Montgomery arithmetic needs, and in its SubjectPublicKeyInfo.
    pub fn size(&self) -> usize {
        let material = match &self.material {
            Material::Symmetric(secret) => secret.expose().len(),
            Material::Rsa(_, modulus_bytes) => modulus_bytes.saturating_mul(6),
            Material::P256(_) | Material::P384(_) | Material::P521(_) | Material::Ed25519(_) => 512,
        };
        size_of::<Self>()
            .saturating_add(self.kid.as_ref().map_or(0, String::len))
            .saturating_add(self.issuer().map_or(0, str::len))
            .saturating_add(material)
            .saturating_add(256)
    }

    /// What identifies this key, with this name and these algorithms.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) in DER, for RSA and ECDSA keys.
    pub fn spki(&self) -> Option<&[u8]> {
        match &self.material {
            Material::Rsa(public, _) => Some(&public.spki),
            Material::P256(public) => Some(&public.spki),
            Material::P384(public) => Some(&public.spki),
            Material::P521(public) => Some(&public.spki),
            Material::Symmetric(_) | Material::Ed25519(_) => None,
        }
    }

    pub(super) fn material(&self) -> &Material {
        &self.material
    }

    /// How long a signature of this key by one of its algorithms is, in JOSE's encoding.
    pub(super) fn signature_len(&self, algorithm: Algorithm) -> usize {
        match &self.material {
            Material::Symmetric(_) => algorithm.hash().size(),
            Material::Rsa(_, modulus_bytes) => *modulus_bytes,
            Material::P256(_) | Material::Ed25519(_) => 64,
            Material::P384(_) => 96,
            Material::P521(_) => 132,
        }
    }
}

impl Material {
    pub(super) fn symmetric(secret: Secret) -> Result<Self, KeyError> {
        let bytes = secret.expose().len();
        if bytes > MAX_SECRET_BYTES {
            return Err(KeyError::SecretTooLong { bytes });
        }
        let material = Self::Symmetric(secret);
        if material.algorithms().is_empty() {
            return Err(KeyError::SecretTooShort { bytes, least: 32 });
        }
        Ok(material)
    }

    /// RFC 7518 §6.3.1, from big-endian integers. Leading zeros, which that section forbids and known libraries
    /// write, change nothing.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        let bits = bit_length(modulus);
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
            return Err(KeyError::ModulusSize { bits });
        }
        let odd = exponent.last().is_some_and(|low| low & 1 == 1);
        if !odd || exponent == [1] || bit_length(exponent) > MAX_EXPONENT_BITS {
            return Err(KeyError::Exponent);
        }
        let size = rsa::RsaPublicKey::MIN_SIZE..=rsa::RsaPublicKey::MAX_SIZE;
        let key = rsa::RsaPublicKey::new_with_size_limits(
            BoxedUint::from_be_slice_vartime(modulus),
            BoxedUint::from_be_slice_vartime(exponent),
            size,
        );
        let key = key.map_err(|_| KeyError::Modulus)?;
        let spki = key.to_public_key_der().map_err(|_| KeyError::Modulus)?.into_vec();
        Ok(Self::Rsa(Box::new(Public { key, spki }), modulus.len()))
    }

    /// RFC 7518 §6.2.1: `point` is `04 ‖ x ‖ y`, which must lie on the curve.
    pub(super) fn p256(point: &[u8]) -> Result<Self, KeyError> {
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| KeyError::Point)?;
        let spki = key.to_public_key_der().map_err(|_| KeyError::Point)?.into_vec();
        Ok(Self::P256(Box::new(Public { key, spki })))
    }

    /// As [`Material::p256`].
    pub(super) fn p384(point: &[u8]) -> Result<Self, KeyError> {
        let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| KeyError::Point)?;
        let spki = key.to_public_key_der().map_err(|_| KeyError::Point)?.into_vec();
        Ok(Self::P384(Box::new(Public { key, spki })))
    }

    /// As [`Material::p256`].
    pub(super) fn p521(point: &[u8]) -> Result<Self, KeyError> {
        let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| KeyError::Point)?;
        let spki = key.to_public_key_der().map_err(|_| KeyError::Point)?.into_vec();
        Ok(Self::P521(Box::new(Public { key, spki })))
    }

    /// RFC 8037 §2. A point of small order verifies almost anything, and a second encoding of a point is a second
    /// name for one key.
    pub(super) fn ed25519(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: &[u8; 32] =
            bytes.try_into().map_err(|_| KeyError::CoordinateLength { expected: 32, got: bytes.len() })?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Point)?;
        if key.is_weak() || key.to_edwards().compress().to_bytes() != *bytes {
            return Err(KeyError::Point);
        }
        Ok(Self::Ed25519(Box::new(key)))
    }

    /// What such material can verify when nothing narrows it.
    pub(super) fn algorithms(&self) -> AlgorithmSet {
        match self {
            Self::Symmetric(secret) => {
                let bytes = secret.expose().len();
                let hmac = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512].into_iter();
                hmac.filter(|algorithm| bytes >= algorithm.hash().size()).collect()
            }
            Self::Rsa(..) => AlgorithmSet::RSA,
            Self::P256(_) => AlgorithmSet::of(&[Algorithm::Es256]),
            Self::P384(_) => AlgorithmSet::of(&[Algorithm::Es384]),
            Self::P521(_) => AlgorithmSet::of(&[Algorithm::Es512]),
            Self::Ed25519(_) => AlgorithmSet::of(&[Algorithm::EdDsa]),
        }
    }
}

/// What identifies a key: a digest of its material, its name, its issuer and its algorithms. A set that names the same
/// material otherwise, or allows it less, holds another key, so nothing that was verified with the old one outlives it.
///
/// Its `Debug` shows the first bytes only: the whole digest of a weak secret would let it be searched for.
#[derive(Clone, Copy, derive_more::Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[debug("KeyId({:08x}..)", _0.first_chunk().map_or(0, |first| u32::from_be_bytes(*first)))]
pub struct KeyId([u8; 32]);

impl KeyId {
    fn new(kid: Option<&str>, issuer: Option<&str>, algorithms: AlgorithmSet, material: &Material) -> Self {
        let (kind, bytes): (u8, &[u8]) = match material {
            Material::Symmetric(secret) => (0, secret.expose()),
            Material::Rsa(public, _) => (1, &public.spki),
            Material::P256(public) => (1, &public.spki),
            Material::P384(public) => (1, &public.spki),
            Material::P521(public) => (1, &public.spki),
            Material::Ed25519(key) => (2, key.as_bytes()),
        };
        let name = kid.unwrap_or_default();
        // Every part but the last has a length of its own or says it, so no two keys digest the same bytes.
        let length = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes();
        let of = issuer.unwrap_or_default();
        let digest = Sha256::new()
            .chain_update([kind, u8::from(kid.is_some()), u8::from(issuer.is_some())])
            .chain_update(length(name))
            .chain_update(name)
            .chain_update(length(of))
            .chain_update(of)
            .chain_update(algorithms.bits().to_le_bytes())
            .chain_update(bytes)
            .finalize();
        Self(digest.into())
    }

    /// The digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The entry is not an object.
    #[error("not an object")]
    NotAnObject,
    /// A member is missing.
    #[error("`{member}` is missing")]
    MemberMissing {
        /// Which one.
        member: &'static str,
    },
    /// A member has the wrong type.
    #[error("`{member}` has the wrong type")]
    MemberType {
        /// Which one.
        member: &'static str,
    },
    /// A member is not base64url without padding.
    #[error("`{member}` is not base64url")]
    MemberEncoding {
        /// Which one.
        member: &'static str,
    },
    /// A member is too long.
    #[error("`{member}` is longer than {limit} bytes")]
    MemberTooLong {
        /// Which one.
        member: &'static str,
        /// How long it may be.
        limit: usize,
    },
    /// `kty` is not one that we use.
    #[error("`kty` is not RSA, EC, OKP or oct")]
    KeyType,
    /// `crv` is not one that we use.
    #[error("`crv` is not a supported signature curve")]
    Curve,
    /// `use` says that the key is not for signatures (RFC 7517 §4.2).
    #[error("`use` is not sig")]
    Use,
    /// `key_ops` does not say `verify` (RFC 7517 §4.3).
    #[error("`key_ops` lacks verify")]
    Operations,
    /// `alg` is not a signature algorithm of this type of key (RFC 7517 §4.4).
    #[error("`alg` is not a signature algorithm for this type of key")]
    Algorithm,
    /// A symmetric key in a document that others can read.
    #[error("a symmetric key is only accepted from the configuration")]
    Symmetric,
    /// The secret is shorter than the hash (RFC 7518 §3.2).
    #[error("the secret has {bytes} bytes, fewer than {least}")]
    SecretTooShort {
        /// How long it is.
        bytes: usize,
        /// How long it must be.
        least: usize,
    },
    /// The secret is longer than [`MAX_SECRET_BYTES`].
    #[error("the secret has {bytes} bytes, more than {MAX_SECRET_BYTES}")]
    SecretTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The RSA modulus is too small or too large (RFC 7518 §3.3).
    #[error("the RSA modulus has {bits} bits, expected {MIN_RSA_BITS} to {MAX_RSA_BITS}")]
    ModulusSize {
        /// How large it is.
        bits: usize,
    },
    /// The RSA modulus is even.
    #[error("the RSA modulus is not a product of odd primes")]
    Modulus,
    /// The RSA exponent is even, below 3 or above 33 bits.
    #[error("the RSA exponent is not odd and between 3 and 2^33")]
    Exponent,
    /// A coordinate is not as long as the curve wants it (RFC 7518 §6.2.1.2).
    #[error("expected a coordinate of {expected} bytes, got {got}")]
    CoordinateLength {
        /// How long it must be.
        expected: usize,
        /// How long it is.
        got: usize,
    },
    /// The point is not on the curve, of small order, or not in its one encoding.
    #[error("not a usable point of the curve")]
    Point,
}

pub(super) fn without_zeros(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|byte| **byte == 0).count();
    integer.get(zeros..).unwrap_or_default()
}

fn bit_length(integer: &[u8]) -> usize {
    let Some(first) = integer.first() else {
        return 0;
    };
    let zeros = usize::try_from(first.leading_zeros()).unwrap_or_default();
    integer.len().saturating_mul(8).saturating_sub(zeros)
}

/// RFC 7518 §3.3: "a key of size 2048 bits or larger".
pub const MIN_RSA_BITS: usize = 2048;
/// A check costs the square of the size; BoringSSL and the `rsa` crate stop here too.
pub const MAX_RSA_BITS: usize = 8192;
/// The bound of BoringSSL and of the `rsa` crate: a check costs as many multiplications as the exponent has bits.
const MAX_EXPONENT_BITS: usize = 33;
/// How long a symmetric secret may be. RFC 2104 §3 sees no use beyond the hash's block, which is 128 bytes at most.
pub const MAX_SECRET_BYTES: usize = 1024;
