//! One JSON Web Key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2) → a [`Key`], or the reason why it is skipped.
//!
//! `kty`, `crv`, `use`, `key_ops` and `alg` only ever narrow what a key may verify. Private members are not read. A
//! member that is `null` is absent; numbers may be padded, since it is the parsed key that counts
//! ([`KeyId`](super::KeyId)) and not its spelling.

use super::algorithm::{Algorithm, AlgorithmSet};
use super::base64url;
use super::header::MAX_KID_BYTES;
use super::json::{Json, Object};
use super::key::{Key, KeyError, MAX_RSA_BITS, Material, without_zeros};
use crate::base::Secret;

/// Whether the document may hold symmetric keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symmetric {
    /// It is part of the configuration.
    Allowed,
    /// It was fetched: every client that can read a published secret can sign with it.
    Refused,
}

/// Reads a key.
pub(super) fn parse(jwk: &Object<'_>, symmetric: Symmetric) -> Result<Key, KeyError> {
    let kty = required(jwk, "kty")?;
    check_use(jwk)?;
    if !may(jwk, "verify")? {
        return Err(KeyError::Operations);
    }
    let kid = kid(jwk)?;
    let material = match (kty, symmetric) {
        ("RSA", _) => Material::rsa(&bytes(jwk, "n", MAX_RSA_BYTES)?, &bytes(jwk, "e", MAX_RSA_BYTES)?)?,
        ("EC", _) => elliptic(jwk)?,
        ("OKP", _) if required(jwk, "crv")? == "Ed25519" => {
            Material::ed25519(&bytes(jwk, "x", MAX_RSA_BYTES)?)?
        }
        ("OKP", _) => return Err(KeyError::Curve),
        ("oct", Symmetric::Refused) => return Err(KeyError::Symmetric),
        ("oct", Symmetric::Allowed) => Material::symmetric(Secret::new(bytes(jwk, "k", usize::MAX)?))?,
        _ => return Err(KeyError::KeyType),
    };
    let key = Key::new(kid, algorithms(jwk, &material)?, material);
    Ok(match present(jwk, "issuer") {
        None => key,
        // What cannot be an issuer's name is not as good as no name: the key is for nobody's tokens.
        Some(issuer) => key
            .of_issuer(issuer.as_str().filter(|issuer| issuer.len() <= MAX_ISSUER_BYTES).unwrap_or_default()),
    })
}

/// Whether the key carries members that only its owner should have (RFC 7518 §6.2.2, §6.3.2; RFC 8037 §2). An
/// issuer that publishes them has lost the key; what we keep of it can still only verify.
pub(super) fn has_private_members(jwk: &Object<'_>) -> bool {
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth"];
    // In a symmetric key none of these exists; there `k` is the whole key.
    private.into_iter().any(|member| present(jwk, member).is_some())
}

fn elliptic(jwk: &Object<'_>) -> Result<Material, KeyError> {
    match required(jwk, "crv")? {
        "P-256" => Material::p256(&point(jwk, 32)?),
        "P-384" => Material::p384(&point(jwk, 48)?),
        "P-521" => Material::p521(&point(jwk, 66)?),
        _ => Err(KeyError::Curve),
    }
}

/// RFC 7518 §6.2.1.2: each coordinate is as long as the field, leading zeros included. Libraries that write numbers
/// leave them out or put one more before: the number is the same, and the point that it makes has to lie on the curve.
pub(super) fn point(jwk: &Object<'_>, size: usize) -> Result<Vec<u8>, KeyError> {
    let mut point = vec![UNCOMPRESSED];
    for member in ["x", "y"] {
        let coordinate = bytes(jwk, member, MAX_RSA_BYTES)?;
        let number = without_zeros(&coordinate);
        let Some(zeros) = size.checked_sub(number.len()).filter(|_| !coordinate.is_empty()) else {
            return Err(KeyError::CoordinateLength { expected: size, got: coordinate.len() });
        };
        point.resize(point.len().saturating_add(zeros), 0);
        point.extend_from_slice(number);
    }
    Ok(point)
}

/// What the key may do: all that its type can, or what `alg` leaves of it (RFC 7517 §4.4).
pub(super) fn algorithms(jwk: &Object<'_>, material: &Material) -> Result<AlgorithmSet, KeyError> {
    let possible = material.algorithms();
    // An empty name names nothing, as an absent one.
    let Some(name) = string(jwk, "alg")?.filter(|name| !name.is_empty()) else {
        return Ok(possible);
    };
    let algorithm = Algorithm::parse(name).ok_or(KeyError::Algorithm)?;
    if possible.contains(algorithm) {
        return Ok(AlgorithmSet::of(&[algorithm]));
    }
    if let Material::Symmetric(secret) = material
        && algorithm.is_symmetric()
    {
        let (bytes, least) = (secret.expose().len(), algorithm.hash().size());
        return Err(KeyError::SecretTooShort { bytes, least });
    }
    Err(KeyError::Algorithm)
}

/// RFC 7517 §4.2. SPIFFE marks the keys of its JWTs with a use of its own (SPIFFE Trust Domain and Bundle §4.2.2).
pub(super) fn check_use(jwk: &Object<'_>) -> Result<(), KeyError> {
    match string(jwk, "use")? {
        None | Some("sig" | "jwt-svid") => Ok(()),
        Some(_) => Err(KeyError::Use),
    }
}

/// Whether `key_ops`, if it is there, names this operation (RFC 7517 §4.3).
pub(super) fn may(jwk: &Object<'_>, operation: &str) -> Result<bool, KeyError> {
    let Some(operations) = present(jwk, "key_ops") else {
        return Ok(true);
    };
    let operations = operations.as_array().ok_or(KeyError::MemberType { member: "key_ops" })?;
    Ok(operations.iter().any(|one| one.as_str() == Some(operation)))
}

/// The key's name (RFC 7517 §4.5). One that is empty or not a string, which no token can name, is as good as absent.
pub(super) fn kid(jwk: &Object<'_>) -> Result<Option<String>, KeyError> {
    match jwk.get("kid").and_then(Json::as_str).filter(|kid| !kid.is_empty()) {
        Some(kid) if kid.len() > MAX_KID_BYTES => {
            Err(KeyError::MemberTooLong { member: "kid", limit: MAX_KID_BYTES })
        }
        kid => Ok(kid.map(str::to_owned)),
    }
}

/// A member that says something.
fn present<'o, 't>(jwk: &'o Object<'t>, member: &str) -> Option<&'o Json<'t>> {
    jwk.get(member).filter(|value| **value != Json::Null)
}

fn string<'o>(jwk: &'o Object<'_>, member: &'static str) -> Result<Option<&'o str>, KeyError> {
    match present(jwk, member) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(KeyError::MemberType { member }),
    }
}

pub(super) fn required<'o>(jwk: &'o Object<'_>, member: &'static str) -> Result<&'o str, KeyError> {
    string(jwk, member)?.ok_or(KeyError::MemberMissing { member })
}

/// A member that is base64url (RFC 7515 §2); the padding that it should not have is dropped.
pub(super) fn bytes(jwk: &Object<'_>, member: &'static str, limit: usize) -> Result<Vec<u8>, KeyError> {
    let text = required(jwk, member)?.trim_end_matches('=');
    let bytes = base64url::decode(text.as_bytes()).ok_or(KeyError::MemberEncoding { member })?;
    if bytes.len() > limit {
        return Err(KeyError::MemberTooLong { member, limit });
    }
    Ok(bytes)
}

/// SEC 1 §2.3.3: what begins a point with both coordinates.
const UNCOMPRESSED: u8 = 4;
/// Entra's have under a hundred.
const MAX_ISSUER_BYTES: usize = 512;
/// Room for the largest modulus and the zero byte that some libraries put before it; larger ones are not worth
/// measuring.
pub(super) const MAX_RSA_BYTES: usize = MAX_RSA_BITS / 8 * 2;

#[cfg(test)]
#[path = "jwk_tests.rs"]
mod tests;
