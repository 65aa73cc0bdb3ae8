//! Writes the tokens of the issuer, of tests and of measurements (RFC 7515 §7.1). What an honest issuer could say,
//! jwt-compact writes; the raw writer is for what a test wants to see refused. The caller signs, with keys of
//! RustCrypto: the filter's engines would check themselves.

use anyhow::Result;
pub use attache::jose::TokenWriter;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};

/// Writes a token with this header and these claims, which `sign` signs by `algorithm`; raw, if the header is none of a
/// well-formed token.
pub fn write(
    algorithm: &'static str,
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    sign: impl Fn(&[u8]) -> Result<Vec<u8>>,
) -> Result<String> {
    match writer(algorithm, header) {
        Some(writer) => writer.write(claims, sign),
        None => write_raw(&serde_json::to_vec(header)?, &serde_json::to_vec(claims)?, sign),
    }
}

/// Writes any bytes as header and claims.
pub fn write_raw(header: &[u8], claims: &[u8], sign: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<String> {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let signature = sign(message.as_bytes())?;
    Ok(format!("{message}.{}", base64url(&signature)))
}

/// Encodes as base64url without padding.
pub fn base64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Returns what writes this header, if it names the algorithm that signs the token, and beside it no more than `typ`
/// and `kid`.
fn writer<'h>(algorithm: &'static str, header: &'h Map<String, Value>) -> Option<TokenWriter<'h>> {
    let mut writer = TokenWriter { algorithm, typ: None, kid: None, thumbprint: None };
    let mut is_signed_so = false;
    for (name, value) in header {
        match (name.as_str(), value.as_str()?) {
            ("alg", said) => is_signed_so = said == algorithm && said != "none",
            ("typ", typ) => writer.typ = Some(typ),
            ("kid", kid) => writer.kid = Some(kid),
            _ => return None,
        }
    }
    is_signed_so.then_some(writer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is_well_formed(header: &Value) -> bool {
        writer("ES256", header.as_object().unwrap()).is_some()
    }

    #[test]
    fn what_an_honest_issuer_says_jwt_compact_writes() {
        for header in [
            json!({ "alg": "ES256" }),
            json!({ "alg": "ES256", "kid": "k" }),
            json!({ "alg": "ES256", "kid": "k", "typ": "at+jwt" }),
        ] {
            assert!(is_well_formed(&header), "{header}");
            let claims = json!({ "exp": 1.5, "aud": ["a", "b"] });
            let (header, claims) = (header.as_object().unwrap(), claims.as_object().unwrap());
            let token = write("ES256", header, claims, |_| Ok(b"sig".to_vec())).unwrap();
            let parts: Vec<_> = token.split('.').collect();
            for (part, said) in [(parts[0], header), (parts[1], claims)] {
                let read: Value =
                    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap();
                assert_eq!(read.as_object().unwrap(), said);
            }
            assert_eq!(parts[2], "c2ln");
        }
    }

    #[test]
    fn a_hostile_header_is_written_as_it_is() {
        for header in [
            json!({}),
            json!({ "kid": "k" }),
            json!({ "alg": "none" }),
            json!({ "alg": "RS256" }),
            json!({ "alg": "ES256", "kid": 1 }),
            json!({ "alg": "ES256", "crit": ["exp"] }),
            json!({ "alg": "ES256", "cty": "JWT" }),
        ] {
            assert!(!is_well_formed(&header), "{header}");
            let token = write("ES256", header.as_object().unwrap(), &Map::new(), |_| Ok(Vec::new())).unwrap();
            assert_eq!(token, format!("{}.e30.", base64url(header.to_string().as_bytes())));
        }
        assert!(writer("none", json!({ "alg": "none" }).as_object().unwrap()).is_none());
    }
}
