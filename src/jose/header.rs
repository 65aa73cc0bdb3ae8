//! The JOSE header (RFC 7515 §4): what it may say, and what makes a token unacceptable before any key is looked at.
//!
//! Keys come from configuration and issuer only: `jwk`, `jku`, `x5u` and `x5c` are ignored as sources of keys (RFC
//! 8725 §3.5).

use std::borrow::Cow;

use super::algorithm::Algorithm;
use super::json::{Json, Object};
use super::token_error::{TokenError, TokenPart};

/// What of a token's header matters. It is the token's own word until a signature check has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'t> {
    /// The algorithm that the token claims (`alg`).
    pub algorithm: Algorithm,
    /// Which of the issuer's keys (`kid`), at most [`MAX_KID_BYTES`] bytes.
    pub kid: Option<Cow<'t, str>>,
    /// The type of token (`typ`), at most [`MAX_TYP_BYTES`] bytes, as written.
    pub typ: Option<Cow<'t, str>>,
}

impl<'t> Header<'t> {
    /// Depends on nothing but the text: [`KnownHeaders`](super::KnownHeaders) rests on that.
    pub(super) fn parse(text: &'t [u8]) -> Result<Self, TokenError> {
        let object =
            Object::parse(text).map_err(|error| TokenError::Json { part: TokenPart::Header, error })?;
        // RFC 7515 §4.1.11: understand every extension that `crit` names, or refuse. We understand none, and the RFC
        // forbids an empty list, so presence is enough.
        if object.get("crit").is_some() {
            return Err(TokenError::Critical);
        }
        // These change what the bytes mean, and a reader that ignores them reads another token. Only the values that
        // change nothing pass (RFC 7797 §3: `true` is the default), so that both kinds of readers read the same.
        if !matches!(object.get("b64"), None | Some(Json::Null | Json::Bool(true))) {
            return Err(TokenError::UnencodedPayload);
        }
        match object.get("zip") {
            None | Some(Json::Null) => {}
            Some(Json::String(algorithm)) if algorithm.is_empty() => {}
            Some(_) => return Err(TokenError::Compressed),
        }
        let algorithm = string(&object, "alg", MAX_ALG_BYTES)?.ok_or(TokenError::AlgorithmMissing)?;
        if algorithm.eq_ignore_ascii_case("none") {
            return Err(TokenError::AlgorithmNone);
        }
        let algorithm = Algorithm::parse(algorithm).ok_or(TokenError::AlgorithmUnknown)?;
        // `cty` is ignored whatever it says (RFC 7515 §4): of a nested token, which we do not unwrap (RFC 7519 §5.2),
        // the payload is not the JSON object that claims are, and is refused for that.
        Ok(Self {
            algorithm,
            // An empty `kid` is as good as absent: no key has it, here or elsewhere.
            kid: string(&object, "kid", MAX_KID_BYTES)?.filter(|kid| !kid.is_empty()).cloned(),
            typ: string(&object, "typ", MAX_TYP_BYTES)?.cloned(),
        })
    }

    /// The same, in the same place.
    pub(super) fn borrowed(&self) -> Header<'_> {
        Header {
            algorithm: self.algorithm,
            kid: self.kid.as_deref().map(Cow::Borrowed),
            typ: self.typ.as_deref().map(Cow::Borrowed),
        }
    }

    /// The same, in a place of its own.
    pub(super) fn owned(&self) -> Header<'static> {
        let owned = |text: &Option<Cow<'t, str>>| text.as_deref().map(|text| Cow::Owned(text.to_owned()));
        Header { algorithm: self.algorithm, kid: owned(&self.kid), typ: owned(&self.typ) }
    }
}

/// A member that is a string; `null` is as good as absent, since no string could be read from it.
fn string<'o, 't>(
    object: &'o Object<'t>,
    member: &'static str,
    limit: usize,
) -> Result<Option<&'o Cow<'t, str>>, TokenError> {
    match object.get(member) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) if text.len() <= limit => Ok(Some(text)),
        Some(Json::String(_)) => Err(TokenError::MemberTooLong { member, limit }),
        Some(_) => Err(TokenError::MemberType { member }),
    }
}

/// The longest registered `alg` has 20 characters or so; a longer one is not an algorithm of ours.
const MAX_ALG_BYTES: usize = 64;
/// How long a key id may be. Thumbprints take 43 characters; the longest in use (URLs of key vaults, DIDs) stay under
/// 200.
pub const MAX_KID_BYTES: usize = 256;
/// How long `typ` may be: RFC 6838 §4.2 ends each half of a media type at 127 characters.
pub const MAX_TYP_BYTES: usize = 255;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_in_result)]
mod tests {
    use super::super::json::JsonError;
    use super::*;

    fn parse(text: &str) -> Result<Header<'_>, TokenError> {
        Header::parse(text.as_bytes())
    }

    #[test]
    fn what_matters_is_kept_and_the_rest_is_ignored() {
        let header = parse(
            r#"{"alg":"ES256","kid":"k","typ":"at+jwt","cty":"JSON","jwk":{"kty":"oct","k":"AA"},"jku":"https://evil.example",
                "x5u":"https://evil.example","x5c":["AA"],"x-own":1}"#,
        );
        let expected =
            Header { algorithm: Algorithm::Es256, kid: Some("k".into()), typ: Some("at+jwt".into()) };
        assert_eq!(header, Ok(expected));
    }

    #[test]
    fn extensions_that_change_the_meaning_are_refused() {
        for (text, error) in [
            (r#"{"alg":"RS256","crit":["exp"]}"#, TokenError::Critical),
            (r#"{"alg":"RS256","crit":[]}"#, TokenError::Critical),
            (r#"{"alg":"RS256","crit":null}"#, TokenError::Critical),
            (r#"{"alg":"RS256","b64":false}"#, TokenError::UnencodedPayload),
            (r#"{"alg":"RS256","b64":"true"}"#, TokenError::UnencodedPayload),
            (r#"{"alg":"RS256","b64":0}"#, TokenError::UnencodedPayload),
            (r#"{"alg":"RS256","zip":"DEF"}"#, TokenError::Compressed),
            (r#"{"alg":"RS256","zip":["DEF"]}"#, TokenError::Compressed),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn members_that_change_nothing_are_as_good_as_absent() {
        let plain = Header { algorithm: Algorithm::Rs256, kid: None, typ: None };
        for member in [
            r#""b64":true"#,
            r#""b64":null"#,
            r#""zip":"""#,
            r#""zip":null"#,
            r#""cty":"JWT""#,
            r#""cty":"""#,
            r#""cty":null"#,
            r#""cty":"application/json""#,
            r#""cty":7"#,
            r#""typ":null"#,
            r#""kid":null"#,
            r#""kid":"""#,
        ] {
            assert_eq!(parse(&format!(r#"{{"alg":"RS256",{member}}}"#)), Ok(plain.clone()), "{member}");
        }
    }

    #[test]
    fn the_fully_specified_name_of_an_algorithm_is_the_algorithm() {
        let algorithm = |text| parse(text).map(|header| header.algorithm);
        assert_eq!(algorithm(r#"{"alg":"Ed25519"}"#), Ok(Algorithm::EdDsa));
        assert_eq!(algorithm(r#"{"alg":"Ed448"}"#), Err(TokenError::AlgorithmUnknown));
    }

    #[test]
    fn the_algorithm_must_be_named_and_known() {
        for (text, error) in [
            (r#"{}"#, TokenError::AlgorithmMissing),
            (r#"{"alg":"none"}"#, TokenError::AlgorithmNone),
            (r#"{"alg":"NoNe"}"#, TokenError::AlgorithmNone),
            (r#"{"alg":""}"#, TokenError::AlgorithmUnknown),
            (r#"{"alg":"rs256"}"#, TokenError::AlgorithmUnknown),
            (r#"{"alg":"RSA-OAEP"}"#, TokenError::AlgorithmUnknown),
            (r#"{"alg":null}"#, TokenError::AlgorithmMissing),
            (r#"{"alg":["RS256"]}"#, TokenError::MemberType { member: "alg" }),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_repeated_member_is_refused() {
        let error = TokenError::Json { part: TokenPart::Header, error: JsonError::DuplicateMember };
        assert_eq!(parse(r#"{"alg":"RS256","alg":"HS256"}"#), Err(error));
    }

    #[test]
    fn members_are_strings_and_bounded_at_their_limits() {
        for (member, limit) in [("kid", MAX_KID_BYTES), ("typ", MAX_TYP_BYTES)] {
            let with = |length: usize| format!(r#"{{"alg":"RS256","{member}":"{}"}}"#, "x".repeat(length));
            assert!(parse(&with(limit)).is_ok());
            assert_eq!(parse(&with(limit + 1)), Err(TokenError::MemberTooLong { member, limit }));
            let wrong = format!(r#"{{"alg":"RS256","{member}":7}}"#);
            assert_eq!(parse(&wrong), Err(TokenError::MemberType { member }));
        }
    }
}
