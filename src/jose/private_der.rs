//! A private key in PEM (RFC 7468): PKCS#8 (RFC 5958), PKCS#1 (RFC 8017 §A.1.2) or SEC 1 (RFC 5915) → a [`KeyPair`].

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

use super::der::{BIT_STRING, Der, EXPLICIT_0, EXPLICIT_1, IMPLICIT_1, OCTET_STRING, SEQUENCE};
use super::key_pair::{ED25519, KeyPair, P256, RSA};
use super::rsa_private::RsaNumbers;
use super::signing_key_error::SigningKeyError;

/// Reads the one private key in this text; certificates and parameters beside it are skipped.
pub(super) fn parse(text: &str) -> Result<KeyPair, SigningKeyError> {
    let mut blocks = text.split(BEGIN).skip(1).filter_map(|block| block.split_once(DASHES));
    let Some((label, rest)) = blocks.find(|(label, _)| label.ends_with(PRIVATE_KEY)) else {
        return Err(SigningKeyError::NoPrivateKey);
    };
    if blocks.any(|(label, _)| label.ends_with(PRIVATE_KEY)) {
        return Err(SigningKeyError::TwoKeys);
    }
    let (body, end) = rest.split_once(END).ok_or(SigningKeyError::Pem)?;
    if end.split_once(DASHES).is_none_or(|(name, _)| name != label) {
        return Err(SigningKeyError::Pem);
    }
    // The second is what OpenSSL writes into the block itself.
    if label == "ENCRYPTED PRIVATE KEY" || body.contains("ENCRYPTED") {
        return Err(SigningKeyError::Encrypted);
    }
    let der = decode(body).ok_or(SigningKeyError::Pem)?;
    match label {
        "PRIVATE KEY" => pkcs8(&der),
        "RSA PRIVATE KEY" => pkcs1(&der),
        "EC PRIVATE KEY" => sec1(&der),
        _ => Err(SigningKeyError::Label),
    }
}

/// The bytes of a block. Lines may be of any length, and ended by the two characters `\n`: so they come out of
/// environment variables and folded YAML.
fn decode(body: &str) -> Option<Zeroizing<Vec<u8>>> {
    // As long as it can become: a buffer that grows leaves its contents behind.
    let mut characters = Zeroizing::new(Vec::with_capacity(body.len()));
    let mut rest = body.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => rest.next().filter(|next| matches!(next, b'n' | b'r')).map(|_| ())?,
            byte if byte.is_ascii_whitespace() => {}
            byte => characters.push(byte),
        }
    }
    let mut der = Zeroizing::new(vec![0; characters.len()]);
    let length = Base64::decode(characters.as_slice(), &mut der).ok()?.len();
    der.truncate(length);
    Some(der)
}

fn pkcs8(der: &[u8]) -> Result<KeyPair, SigningKeyError> {
    let info = PrivateKeyInfo::read(der).ok_or(SigningKeyError::Der)?;
    match info.algorithm {
        RSA => pkcs1(info.key),
        P256 => sec1(info.key),
        // RFC 8410 §7: an OCTET STRING inside the one of PKCS#8.
        ED25519 => {
            let seed = Der(info.key).take(OCTET_STRING).ok_or(SigningKeyError::Der)?;
            KeyPair::ed25519(seed, info.public)
        }
        _ => Err(SigningKeyError::Kind),
    }
}

/// RFC 5958 §2, without the attributes.
struct PrivateKeyInfo<'d> {
    algorithm: &'d [u8],
    key: &'d [u8],
    public: Option<&'d [u8]>,
}

impl<'d> PrivateKeyInfo<'d> {
    fn read(der: &'d [u8]) -> Option<Self> {
        let mut info = Der(der).sequence()?;
        info.number()?;
        let algorithm = info.take(SEQUENCE)?;
        let key = info.take(OCTET_STRING)?;
        if info.is_next(EXPLICIT_0) {
            info.take(EXPLICIT_0)?;
        }
        let public = if info.is_next(IMPLICIT_1) { Some(info.bits(IMPLICIT_1)?) } else { None };
        info.0.is_empty().then_some(Self { algorithm, key, public })
    }
}

/// RFC 8017 §A.1.2.
fn pkcs1(der: &[u8]) -> Result<KeyPair, SigningKeyError> {
    let mut key = Der(der).sequence().ok_or(SigningKeyError::Der)?;
    let mut number = || key.number().ok_or(SigningKeyError::Der);
    if number()? != [0] {
        // Version 1 has more than two primes.
        return Err(SigningKeyError::Kind);
    }
    // In the order in which they are read.
    KeyPair::rsa(&RsaNumbers {
        modulus: number()?,
        public_exponent: number()?,
        private_exponent: number()?,
        primes: [number()?, number()?],
        exponents: [number()?, number()?],
        coefficient: number()?,
    })
}

fn sec1(der: &[u8]) -> Result<KeyPair, SigningKeyError> {
    let key = EllipticKey::read(der).ok_or(SigningKeyError::Der)?;
    // Inside PKCS#8 it need not name its curve again; alone it always does.
    if key.curve.is_some_and(|curve| !P256.ends_with(curve)) {
        return Err(SigningKeyError::Kind);
    }
    KeyPair::p256(key.scalar, key.point)
}

/// RFC 5915 §3.
struct EllipticKey<'d> {
    scalar: &'d [u8],
    curve: Option<&'d [u8]>,
    point: Option<&'d [u8]>,
}

impl<'d> EllipticKey<'d> {
    fn read(der: &'d [u8]) -> Option<Self> {
        let mut key = Der(der).sequence()?;
        key.number()?;
        let scalar = key.take(OCTET_STRING)?;
        let curve = if key.is_next(EXPLICIT_0) { Some(key.take(EXPLICIT_0)?) } else { None };
        let point =
            if key.is_next(EXPLICIT_1) { Some(Der(key.take(EXPLICIT_1)?).bits(BIT_STRING)?) } else { None };
        key.0.is_empty().then_some(Self { scalar, curve, point })
    }
}

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const PRIVATE_KEY: &str = "PRIVATE KEY";
