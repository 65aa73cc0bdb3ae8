//! Authorization server metadata (RFC 8414 §2, OpenID Connect Discovery §3): where an issuer's keys and its token
//! endpoint are.

use super::address::{Address, parse_url};
use crate::base::Excerpt;
use crate::jose::{Json, JsonError, Object};

/// What metadata is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// `jwks_uri`.
    KeySet,
    /// `token_endpoint`.
    TokenEndpoint,
}

impl Member {
    /// Its name in the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeySet => "jwks_uri",
            Self::TokenEndpoint => "token_endpoint",
        }
    }
}

/// Reads an address out of the metadata of `issuer`.
///
/// # Errors
/// When the document is not that issuer's (RFC 8414 §3.3: exactly equal), or names no address that may be used.
pub(crate) fn read(
    document: &[u8],
    issuer: &str,
    member: Member,
    allow_http: bool,
) -> Result<Address, MetadataError> {
    if document.len() > MAX_METADATA_BYTES {
        return Err(MetadataError::TooLong { bytes: document.len() });
    }
    let document = Object::parse(document)?;
    let text = |name| document.get(name).and_then(Json::as_str);
    match text("issuer") {
        Some(found) if found == issuer => {}
        Some(found) => return Err(other_issuer(found, issuer)),
        None => return Err(MetadataError::IssuerMissing),
    }
    let uri = text(member.name()).ok_or(MetadataError::Missing(member))?;
    let url = parse_url(uri).ok_or(MetadataError::Address(member))?;
    let is_plain = uri.bytes().all(|byte| byte.is_ascii_graphic())
        && uri.len() <= MAX_URI_BYTES
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none();
    match url.scheme() {
        _ if !is_plain => Err(MetadataError::Address(member)),
        "https" => Ok(Address::of(&url)),
        "http" if allow_http => Ok(Address::of(&url)),
        "http" => Err(MetadataError::Plaintext(member)),
        _ => Err(MetadataError::Address(member)),
    }
}

fn other_issuer(found: &str, configured: &str) -> MetadataError {
    let hint = if found.trim_end_matches('/') == configured.trim_end_matches('/') {
        ": only slashes at the end differ"
    } else if found.eq_ignore_ascii_case(configured) {
        ": only letter case differs"
    } else if found.contains('{') {
        ": it is a template; configure the address of one tenant, or the template with `tenants`"
    } else {
        ""
    };
    let [found, configured] = [found, configured].map(|issuer| Excerpt::of(issuer, MAX_SHOWN));
    MetadataError::OtherIssuer { found, configured, hint }
}

/// Why a document is not the metadata of an issuer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Longer than [`MAX_METADATA_BYTES`].
    #[error("the metadata has {bytes} bytes, more than {MAX_METADATA_BYTES}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The document is not the JSON object that it should be.
    #[error("the metadata: {0}")]
    Json(#[from] JsonError),
    /// `issuer` is not exactly the configured one.
    #[error(
        "the metadata is another issuer's: its `issuer` is `{found}`, the configured one `{configured}`{hint}"
    )]
    OtherIssuer {
        /// What the metadata says.
        found: Excerpt,
        /// What the configuration says.
        configured: Excerpt,
        /// How they differ, if that is easily overlooked; begins with a colon.
        hint: &'static str,
    },
    /// `issuer` is missing.
    #[error("the metadata has no `issuer` that is a string")]
    IssuerMissing,
    /// The address is missing.
    #[error("the metadata has no `{}`", .0.name())]
    Missing(Member),
    /// The address is not a usable URL.
    #[error("`{}` of the metadata is not a usable URL", .0.name())]
    Address(Member),
    /// The address is not https.
    #[error("`{}` of the metadata is not https", .0.name())]
    Plaintext(Member),
}

impl MetadataError {
    /// A stable name for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "metadata_too_long",
            Self::Json(_) => "metadata_json",
            Self::OtherIssuer { .. } => "metadata_other_issuer",
            Self::IssuerMissing => "metadata_without_issuer",
            Self::Missing(Member::KeySet) => "metadata_without_jwks_uri",
            Self::Address(Member::KeySet) => "metadata_jwks_uri",
            Self::Missing(Member::TokenEndpoint) => "metadata_without_token_endpoint",
            Self::Address(Member::TokenEndpoint) => "metadata_token_endpoint",
            Self::Plaintext(_) => "metadata_plaintext",
        }
    }
}

/// How long metadata may be. Large issuers publish 2 to 8 KiB.
pub const MAX_METADATA_BYTES: usize = 64 * 1024;
/// How much of an issuer's name an error shows.
const MAX_SHOWN: usize = 128;
/// How long an address may be.
const MAX_URI_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_names_its_issuer_exactly_and_an_https_address() {
        let document = |issuer: &str, uri: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}"}}"#);
        let of = |text: String, allow_http| read(text.as_bytes(), "https://h/a", Member::KeySet, allow_http);
        let found = of(document("https://h/a", "https://keys.h:8443/jwks?v=1"), false).unwrap();
        assert_eq!((found.scheme, &*found.authority, &*found.path), ("https", "keys.h:8443", "/jwks?v=1"));
        for (issuer, hint) in [
            ("https://h/a/", ": only slashes at the end differ"),
            ("https://h", ""),
            ("https://H/a", ": only letter case differs"),
            ("", ""),
            ("http://h/a", ""),
            (
                "https://h/{tenantid}",
                ": it is a template; configure the address of one tenant, or the template with `tenants`",
            ),
        ] {
            let told = of(document(issuer, "https://h/jwks"), true).unwrap_err().to_string();
            let values = format!("its `issuer` is `{issuer}`, the configured one `https://h/a`{hint}");
            assert_eq!(told, format!("the metadata is another issuer's: {values}"));
        }
        assert_eq!(
            of(document("https://h/a", "http://h/jwks"), false),
            Err(MetadataError::Plaintext(Member::KeySet))
        );
        assert_eq!(of(document("https://h/a", "http://h/jwks"), true).map(|found| found.scheme), Ok("http"));
        for uri in ["", "/jwks", "file:///etc/passwd", "ftp://h/", "https://u:p@h/jwks", "https://h/a b"] {
            assert_eq!(
                of(document("https://h/a", uri), true),
                Err(MetadataError::Address(Member::KeySet)),
                "{uri}"
            );
        }
        let missing = |text: &str| read(text.as_bytes(), "https://h/a", Member::KeySet, false);
        assert_eq!(missing(r#"{"issuer":"https://h/a"}"#), Err(MetadataError::Missing(Member::KeySet)));
        assert_eq!(
            missing(r#"{"issuer":"https://h/a","jwks_uri":7}"#),
            Err(MetadataError::Missing(Member::KeySet))
        );
        let endpoint = |text: &str| read(text.as_bytes(), "https://h/a", Member::TokenEndpoint, false);
        let both =
            r#"{"issuer":"https://h/a","jwks_uri":"https://h/jwks","token_endpoint":"https://h/token"}"#;
        assert_eq!(endpoint(both).map(|found| found.url()), Ok("https://h/token".to_owned()));
        let without = r#"{"issuer":"https://h/a","jwks_uri":"https://h/jwks"}"#;
        assert_eq!(endpoint(without), Err(MetadataError::Missing(Member::TokenEndpoint)));
        assert_eq!(missing("{}"), Err(MetadataError::IssuerMissing));
        assert_eq!(missing("[]").map_err(|error| error.label()), Err("metadata_json"));
    }

    #[test]
    fn metadata_is_bounded_to_the_byte() {
        let text = r#"{"issuer":"https://h/a","jwks_uri":"https://h/jwks"}"#;
        let padded = |size: usize| format!("{text}{}", " ".repeat(size - text.len()));
        assert!(read(padded(MAX_METADATA_BYTES).as_bytes(), "https://h/a", Member::KeySet, false).is_ok());
        let bytes = MAX_METADATA_BYTES + 1;
        let error = read(padded(bytes).as_bytes(), "https://h/a", Member::KeySet, false);
        assert_eq!(error, Err(MetadataError::TooLong { bytes }));
    }
}
