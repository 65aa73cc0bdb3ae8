//! Writes a token of ours in the compact form (RFC 7515 §7.1), by jwt-compact. Its `Algorithm` cannot fail to sign, and
//! our engines can: the adapter keeps the error, and nothing leaves without a signature.

use core::cell::Cell;
use std::borrow::Cow;

use jwt_compact::{Algorithm, AlgorithmExt as _, AlgorithmSignature, Claims, Header};
use serde::Serialize;

/// What the header of a token says.
#[derive(Clone, Copy, Debug)]
pub struct TokenWriter<'h> {
    /// `alg`: how the token is signed.
    pub algorithm: &'static str,
    /// `typ`.
    pub typ: Option<&'h str>,
    /// `kid`.
    pub kid: Option<&'h str>,
    /// `x5t#S256`: the SHA-256 of the key's certificate.
    pub thumbprint: Option<[u8; 32]>,
}

impl TokenWriter<'_> {
    /// A token with these claims, an object, and the signature that `sign` makes of what stands before it.
    ///
    /// # Errors
    /// That of `sign`; [`Unsigned`] when its signature is empty.
    pub fn write<E: From<Unsigned>>(
        &self,
        claims: impl Serialize,
        sign: impl Fn(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<String, E> {
        let mut header = Header::empty();
        header.token_type = self.typ.map(str::to_owned);
        header.key_id = self.kid.map(str::to_owned);
        header.certificate_thumbprint = self.thumbprint.map(Into::into);
        let signer = Signer { algorithm: self.algorithm, sign, outcome: Cell::new(Err(Unsigned.into())) };
        let token = signer.token(&header, &Claims::new(claims), &());
        signer.outcome.into_inner()?;
        token.map_err(|_| Unsigned.into())
    }
}

/// There is no token, since there is no signature for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed")]
pub struct Unsigned;

/// What signs, behind jwt-compact's trait.
struct Signer<F, E> {
    algorithm: &'static str,
    sign: F,
    /// Unsigned until it is signed.
    outcome: Cell<Result<(), E>>,
}

impl<F, E> Algorithm for Signer<F, E>
where
    F: Fn(&[u8]) -> Result<Vec<u8>, E>,
    E: From<Unsigned>,
{
    type SigningKey = ();
    type VerifyingKey = ();
    type Signature = Signature;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.algorithm)
    }

    fn sign(&self, (): &(), message: &[u8]) -> Signature {
        let signature = match (self.sign)(message) {
            Ok(signature) if signature.is_empty() => Err(Unsigned.into()),
            outcome => outcome,
        };
        let (outcome, bytes) = match signature {
            Ok(bytes) => (Ok(()), bytes),
            Err(error) => (Err(error), Vec::new()),
        };
        self.outcome.set(outcome);
        Signature(bytes)
    }

    /// Nothing reads by this: the filter reads tokens in `token`.
    fn verify_signature(&self, _: &Signature, (): &(), _: &[u8]) -> bool {
        false
    }
}

struct Signature(Vec<u8>);

impl AlgorithmSignature for Signature {
    fn try_from_slice(bytes: &[u8]) -> anyhow::Result<Self> {
        Ok(Self(bytes.to_vec()))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SigningError, TokenParts};
    use super::*;
    use serde_json::json;

    const WRITER: TokenWriter<'_> =
        TokenWriter { algorithm: "ES256", typ: Some("JWT"), kid: Some("k"), thumbprint: Some([0; 32]) };

    fn part(text: &str) -> serde_json::Value {
        use base64ct::Encoding as _;
        serde_json::from_slice(&base64ct::Base64UrlUnpadded::decode_vec(text).unwrap()).unwrap()
    }

    #[test]
    fn a_token_says_what_it_was_told_and_what_is_signed_is_what_leaves() {
        let claims = json!({ "exp": 1.5, "aud": ["a", "b"], "nested": { "iat": -1 }, "none": null });
        let signed = Cell::new(Vec::new());
        let sign = |message: &[u8]| {
            signed.set(message.to_vec());
            Ok::<_, Unsigned>(b"sig".to_vec())
        };
        let token = WRITER.write(&claims, sign).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        assert_eq!((message.as_bytes(), signature), (&*signed.into_inner(), "c2ln"));
        let (header, own) = message.split_once('.').unwrap();
        let expected = json!({ "alg": "ES256", "typ": "JWT", "kid": "k", "x5t#S256": "A".repeat(43) });
        assert_eq!((part(header), part(own)), (expected, claims));
        let bare = TokenWriter { algorithm: "EdDSA", typ: None, kid: None, thumbprint: None };
        let token = bare.write(json!({}), |_| Ok::<_, Unsigned>(vec![0])).unwrap();
        assert_eq!(part(token.split('.').next().unwrap()), json!({ "alg": "EdDSA" }));
        assert!(TokenParts::decode(&token).unwrap().read().is_ok());
    }

    #[test]
    fn what_is_not_signed_does_not_leave_and_says_why() {
        let refused = WRITER.write(json!({}), |_| Err(SigningError::Host));
        assert_eq!(refused, Err(SigningError::Host));
        let empty = WRITER.write(json!({}), |_| Ok::<_, SigningError>(Vec::new()));
        assert_eq!(empty, Err(SigningError::Unsigned(Unsigned)));
    }

    #[test]
    fn claims_that_are_no_object_come_to_no_token() {
        for claims in [json!([]), json!("iss"), json!(1)] {
            assert_eq!(WRITER.write(&claims, |_| Ok::<_, Unsigned>(vec![1])), Err(Unsigned), "{claims}");
        }
    }
}
