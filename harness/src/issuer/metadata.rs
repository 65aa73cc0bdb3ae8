//! The issuer's metadata: where it is found (RFC 8414 §3, OpenID Connect Discovery §4), and what it says. A test may
//! hide one of its places or replace what it says.

use std::collections::HashSet;

use anyhow::{Result, bail};
use axum::http::Uri;
use serde_json::json;

use super::client::AuthMethod;
use super::keys::Algorithm;

/// One of the two places of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetadataForm {
    /// `/.well-known/oauth-authorization-server`, followed by the identifier's path.
    OAuth,
    /// `/.well-known/openid-configuration`, after the identifier's path.
    OpenId,
}

/// What a test changed about the metadata.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    hidden: HashSet<MetadataForm>,
    raw: Option<Vec<u8>>,
    jwks_uri: Option<String>,
    token_endpoint: Option<String>,
}

impl MetadataForm {
    /// Reads a form from its name, as the admin endpoint gets it.
    pub fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "oauth" => Self::OAuth,
            "openid" => Self::OpenId,
            other => bail!("unknown form of metadata `{other}`: use oauth or openid"),
        })
    }

    /// Returns which form is at this path: without a path of its own, or with that of this identifier.
    pub(super) fn find(path: &str, identifier: &str) -> Option<Self> {
        let uri = identifier.parse::<Uri>().ok();
        // A slash at the end is no part of it.
        let own = uri.as_ref().map(Uri::path).unwrap_or_default().trim_end_matches('/');
        let is_own = |rest: &str| rest.is_empty() || rest == own;
        if path.strip_prefix(OAUTH_PATH).is_some_and(is_own) {
            Some(Self::OAuth)
        } else if path.strip_suffix(OPEN_ID_PATH).is_some_and(is_own) {
            Some(Self::OpenId)
        } else {
            None
        }
    }
}

impl Metadata {
    pub(super) fn hide(&mut self, form: MetadataForm, hidden: bool) {
        if hidden {
            self.hidden.insert(form);
        } else {
            self.hidden.remove(&form);
        }
    }

    pub(super) fn is_hidden(&self, form: MetadataForm) -> bool {
        self.hidden.contains(&form)
    }

    pub(super) fn replace(&mut self, raw: Option<Vec<u8>>) {
        self.raw = raw;
    }

    pub(super) fn set_jwks_uri(&mut self, uri: Option<String>) {
        self.jwks_uri = uri;
    }

    pub(super) fn set_token_endpoint(&mut self, uri: Option<String>) {
        self.token_endpoint = uri;
    }

    /// Returns where it says that the token endpoint is.
    pub(super) fn token_endpoint(&self, url: &str) -> String {
        self.token_endpoint.clone().unwrap_or_else(|| format!("{url}/token"))
    }

    /// Returns the document: the issuer's own, or what stands in its place.
    pub(super) fn document(&self, identifier: &str, url: &str) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let jwks_uri = self.jwks_uri.clone().unwrap_or_else(|| format!("{url}/jwks"));
        json!({
            "issuer": identifier,
            "token_endpoint": self.token_endpoint(url),
            "jwks_uri": jwks_uri,
            "grant_types_supported": [CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": AuthMethod::ALL.map(AuthMethod::name),
            "token_endpoint_auth_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::name),
        })
        .to_string()
        .into_bytes()
    }
}

/// The `grant_type` of client credentials (RFC 6749 §4.4.2).
pub(super) const CLIENT_CREDENTIALS: &str = "client_credentials";
/// The `grant_type` of a token exchange (RFC 8693 §2.1).
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// Where metadata is without a path in the identifier.
pub(super) const OAUTH_PATH: &str = "/.well-known/oauth-authorization-server";
/// Where OpenID's is.
pub(super) const OPEN_ID_PATH: &str = "/.well-known/openid-configuration";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_found_at_the_root_and_at_the_path_of_the_identifier_only() {
        let found = |path: &str| MetadataForm::find(path, "https://issuer.example/a/tenant/");
        assert_eq!(found(OAUTH_PATH), Some(MetadataForm::OAuth));
        assert_eq!(found(OPEN_ID_PATH), Some(MetadataForm::OpenId));
        assert_eq!(found("/.well-known/oauth-authorization-server/a/tenant"), Some(MetadataForm::OAuth));
        assert_eq!(found("/a/tenant/.well-known/openid-configuration"), Some(MetadataForm::OpenId));
        for path in [
            "/",
            "/a/tenant",
            "/.well-known/oauth-authorization-server/",
            "/.well-known/oauth-authorization-server/a",
            "/.well-known/oauth-authorization-server/a/tenant/",
            "/.well-known/oauth-authorization-server/a/tenants",
            "/a/tenant/.well-known/oauth-authorization-server",
            "/tenant/.well-known/openid-configuration",
            "/a/tenant//.well-known/openid-configuration",
            "/.well-known/openid-configuration/a/tenant",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn an_identifier_without_a_path_has_metadata_at_the_root_only() {
        for identifier in ["http://127.0.0.1:9000", "https://issuer.example/", "issuer.example", "no uri"] {
            assert_eq!(MetadataForm::find(OAUTH_PATH, identifier), Some(MetadataForm::OAuth), "{identifier}");
            assert_eq!(
                MetadataForm::find(OPEN_ID_PATH, identifier),
                Some(MetadataForm::OpenId),
                "{identifier}"
            );
            assert_eq!(MetadataForm::find("/x/.well-known/openid-configuration", identifier), None);
        }
    }
}
