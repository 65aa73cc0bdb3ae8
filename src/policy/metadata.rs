//! Scopes that stand on Envoy's own route, as route metadata under `attache`.
//!
//! Metadata only adds: all of it must hold together with the table's requirement; alone it is the requirement; it never
//! makes a route public. What cannot be read is an error, under which the request is denied.

use std::rc::Rc;

use crate::base::decode_pairs;
use crate::claims::is_scope_token;

/// What a route's metadata demands, as written: issuers by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteMetadata {
    /// `issuers`; `None` when the key is absent.
    pub issuers: Option<Vec<Rc<str>>>,
    /// `scopes`: all of them.
    pub scopes: Vec<Rc<str>>,
    /// `any_scope`: one of them.
    pub any_scope: Vec<Rc<str>>,
}

/// Why a route's metadata is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteMetadataError {
    /// It is there, and the configuration does not say what it counts for.
    #[error("the route carries metadata `attache`: configure `route_metadata: read` to apply it")]
    NotConfigured,
    /// It is no map with text keys.
    #[error("the route metadata `attache` is not a map")]
    NotAMap,
    /// It has a key other than `scopes`, `any_scope`, `issuers` and `client`.
    #[error("the route metadata `attache` has an unknown key; known are scopes, any_scope, issuers, client")]
    UnknownKey,
    /// A value is neither a text nor a list of texts, is empty, or holds what no scope may hold.
    #[error("the route metadata `attache.{key}` is not a scope list")]
    BadList {
        /// The key.
        key: &'static str,
    },
    /// There is neither `scopes` nor `any_scope`.
    #[error("the route metadata `attache` names no scope")]
    NoScope,
    /// An issuer is not configured, or `issuers` is missing where several are.
    #[error("the route metadata `attache.issuers` does not name configured issuers")]
    BadIssuers,
}

impl RouteMetadata {
    /// Reads the host's encoding of the metadata namespace: pairs, whose values are texts or lists in the same
    /// encoding. `None` where it says nothing but `client`, which is about requests that go out.
    ///
    /// # Errors
    /// See [`RouteMetadataError`]; at most 64 scopes or issuers in one list.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, RouteMetadataError> {
        let pairs = decode_pairs(bytes).map_err(|_| RouteMetadataError::NotAMap)?;
        let mut metadata = Self::default();
        let mut is_ours = false;
        let mut is_others = false;
        for (key, value) in pairs {
            match key {
                b"scopes" => metadata.scopes = list("scopes", value)?,
                b"any_scope" => metadata.any_scope = list("any_scope", value)?,
                b"issuers" => metadata.issuers = Some(list("issuers", value)?),
                b"client" => {
                    is_others = true;
                    continue;
                }
                _ => return Err(RouteMetadataError::UnknownKey),
            }
            is_ours = true;
        }
        if is_others && !is_ours {
            return Ok(None);
        }
        if metadata.scopes.is_empty() && metadata.any_scope.is_empty() {
            return Err(RouteMetadataError::NoScope);
        }
        Ok(Some(metadata))
    }
}

/// A text, split at spaces, or a list of texts. The two cannot be confused: a list's encoding begins with its length in
/// four bytes of which one is zero, and no text that passes as a scope holds a zero.
fn list(key: &'static str, value: &[u8]) -> Result<Vec<Rc<str>>, RouteMetadataError> {
    let bad = RouteMetadataError::BadList { key };
    let texts: Vec<&[u8]> = if value.contains(&0) {
        let items = decode_pairs(value).map_err(|_| bad)?;
        if items.clone().any(|(_, padding)| !padding.is_empty()) {
            return Err(bad);
        }
        items.map(|(item, _)| item).collect()
    } else {
        value.split(|byte| *byte == b' ').filter(|text| !text.is_empty()).collect()
    };
    if texts.is_empty() || texts.len() > MAX_LIST {
        return Err(bad);
    }
    let scope = |text: &[u8]| str::from_utf8(text).ok().filter(|text| is_scope_token(text)).map(Rc::from);
    texts.into_iter().map(|text| scope(text).ok_or(bad)).collect()
}

/// As many as one route of the table may name.
const MAX_LIST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn word(n: usize) -> [u8; 4] {
        u32::try_from(n).unwrap().to_le_bytes()
    }

    fn pairs(items: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut bytes = word(items.len()).to_vec();
        for (key, value) in items {
            bytes.extend(word(key.len()));
            bytes.extend(word(value.len()));
        }
        for (key, value) in items {
            bytes.extend_from_slice(key);
            bytes.push(0);
            bytes.extend_from_slice(value);
            bytes.push(0);
        }
        bytes
    }

    fn of(key: &str, value: &[u8]) -> Result<RouteMetadata, RouteMetadataError> {
        RouteMetadata::parse(&pairs(&[(key.as_bytes(), value)])).map(|metadata| metadata.unwrap_or_default())
    }

    fn scopes(metadata: Result<RouteMetadata, RouteMetadataError>) -> Vec<String> {
        metadata.unwrap().scopes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn scopes_are_a_text_or_a_list() {
        assert_eq!(scopes(of("scopes", b"a b")), ["a", "b"]);
        assert_eq!(scopes(of("scopes", &pairs(&[(b"a", b""), (b"b:c", b"")]))), ["a", "b:c"]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_never_an_empty_requirement() {
        let bad = Err(RouteMetadataError::BadList { key: "scopes" });
        for value in [
            &b""[..],
            b" ",
            &[0; 4],
            &5f64.to_le_bytes(),
            &[1],
            b"a\"b",
            &pairs(&[(b"a", b"b")]),
            &pairs(&[(b"", b"")]),
        ] {
            assert_eq!(of("scopes", value), bad, "{value:?}");
        }
        assert_eq!(of("scope", b"a"), Err(RouteMetadataError::UnknownKey));
        assert_eq!(of("issuers", b"corp"), Err(RouteMetadataError::NoScope));
        assert_eq!(RouteMetadata::parse(b""), Err(RouteMetadataError::NoScope));
        assert_eq!(RouteMetadata::parse(b"scopes"), Err(RouteMetadataError::NotAMap));
    }

    #[test]
    fn what_is_about_requests_that_go_out_demands_nothing_of_those_that_come_in() {
        assert_eq!(RouteMetadata::parse(&pairs(&[(b"client", b"billing")])), Ok(None));
        let both =
            RouteMetadata::parse(&pairs(&[(b"client", b"billing"), (b"scopes", b"a")])).unwrap().unwrap();
        assert_eq!(both.scopes, ["a".into()]);
        let bad = RouteMetadata::parse(&pairs(&[(b"client", b"billing"), (b"issuers", b"corp")]));
        assert_eq!(bad, Err(RouteMetadataError::NoScope));
    }

    #[test]
    fn a_list_is_bounded() {
        let item: (&[u8], &[u8]) = (b"a", b"");
        assert!(of("scopes", &pairs(&[item; MAX_LIST])).is_ok());
        assert!(of("scopes", &pairs(&[item; MAX_LIST + 1])).is_err());
    }
}
