//! A private JSON Web Key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2) → a [`KeyPair`], with its name and what it may sign.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use zeroize::Zeroizing;

use super::algorithm::AlgorithmSet;
use super::json::Object;
use super::jwk::{self, MAX_RSA_BYTES, bytes, point, required};
use super::key::KeyError;
use super::key_pair::KeyPair;
use super::rsa_private::RsaNumbers;
use super::signing_key_error::SigningKeyError;

/// What the text of a JWK says.
pub(super) struct PrivateJwk {
    pub(super) pair: KeyPair,
    pub(super) kid: Option<String>,
    pub(super) algorithms: AlgorithmSet,
}

/// Reads one JWK, which is an object; a key set is not accepted.
pub(super) fn parse(text: &[u8]) -> Result<PrivateJwk, SigningKeyError> {
    let jwk = Object::parse(text).map_err(SigningKeyError::Json)?;
    let kty = required(&jwk, "kty")?;
    jwk::check_use(&jwk)?;
    if !jwk::may(&jwk, "sign")? {
        return Err(SigningKeyError::Operations);
    }
    let pair = match kty {
        "RSA" => rsa(&jwk)?,
        "EC" => elliptic(&jwk)?,
        "OKP" if required(&jwk, "crv")? == "Ed25519" => {
            KeyPair::ed25519(&secret(&jwk, "d")?, Some(&bytes(&jwk, "x", MAX_RSA_BYTES)?))?
        }
        _ => return Err(SigningKeyError::Kind),
    };
    let algorithms = jwk::algorithms(&jwk, &pair.public)?;
    Ok(PrivateJwk { pair, kid: jwk::kid(&jwk)?, algorithms })
}

/// RFC 7518 §6.3.2. Keys without their primes, which it allows, would have to be factored; keys with more than two are
/// not in use.
fn rsa(jwk: &Object<'_>) -> Result<KeyPair, SigningKeyError> {
    if jwk.get("oth").is_some() {
        return Err(SigningKeyError::Kind);
    }
    KeyPair::rsa(&RsaNumbers {
        modulus: &bytes(jwk, "n", MAX_RSA_BYTES)?,
        public_exponent: &bytes(jwk, "e", MAX_RSA_BYTES)?,
        private_exponent: &secret(jwk, "d")?,
        primes: [&secret(jwk, "p")?, &secret(jwk, "q")?],
        exponents: [&secret(jwk, "dp")?, &secret(jwk, "dq")?],
        coefficient: &secret(jwk, "qi")?,
    })
}

/// RFC 7518 §6.2.2.
fn elliptic(jwk: &Object<'_>) -> Result<KeyPair, SigningKeyError> {
    match required(jwk, "crv")? {
        "P-256" => KeyPair::p256(&secret(jwk, "d")?, Some(&point(jwk, 32)?)),
        _ => Err(SigningKeyError::Kind),
    }
}

/// A private member, decoded in constant time.
fn secret(jwk: &Object<'_>, member: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let text = required(jwk, member)?;
    let mut bytes = Zeroizing::new(vec![0; text.len()]);
    let length = Base64UrlUnpadded::decode(text, &mut bytes).map(<[u8]>::len);
    bytes.truncate(length.map_err(|_| KeyError::MemberEncoding { member })?);
    Ok(bytes)
}
