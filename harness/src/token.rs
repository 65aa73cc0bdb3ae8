//! Asks an authorization server for a token, as the client of RFC 6749 §4.4.

use anyhow::{Context, Result, bail};
use base64ct::{Base64, Encoding};
use serde_json::Value;

use crate::http::Request;

/// A client-credentials request.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// The token endpoint.
    pub endpoint: String,
    /// The `client_id`.
    pub client_id: String,
    /// The `client_secret`.
    pub client_secret: String,
    /// Where the client's credentials go.
    pub authentication: Authentication,
    /// The scopes, separated by spaces; none: what the issuer gives by default.
    pub scope: Option<String>,
    /// The `resource` (RFC 8707).
    pub resource: Option<String>,
    /// The `audience`, which some issuers want in place of a resource.
    pub audience: Option<String>,
}

/// Where a client's credentials go (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Into the `authorization` header.
    ClientSecretBasic,
    /// Into the form.
    ClientSecretPost,
}

/// What the issuer granted.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The access token.
    pub access_token: String,
    /// The scopes, if the issuer named them.
    pub scope: Option<String>,
}

impl TokenRequest {
    /// Sends it.
    pub fn send(&self) -> Result<Granted> {
        let mut form = vec![("grant_type", "client_credentials")];
        let optional = [("scope", &self.scope), ("resource", &self.resource), ("audience", &self.audience)];
        form.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
        let mut request = Request::post(&self.endpoint).header("accept", "application/json");
        match self.authentication {
            Authentication::ClientSecretBasic => {
                let pair = format!("{}:{}", form_encode(&self.client_id), form_encode(&self.client_secret));
                let credentials = Base64::encode_string(pair.as_bytes());
                request = request.header("authorization", format!("Basic {credentials}"));
            }
            Authentication::ClientSecretPost => {
                form.extend([("client_id", self.client_id.as_str()), ("client_secret", &self.client_secret)]);
            }
        }
        let response = request.form(&form).send()?;
        let body =
            response.json().with_context(|| format!("{} answered {}", self.endpoint, response.status))?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        if response.status != 200 {
            let error = text("error").unwrap_or_else(|| "no error code".into());
            let description = text("error_description").map(|text| format!(": {text}")).unwrap_or_default();
            bail!("{} answered {} {error}{description}", self.endpoint, response.status);
        }
        let access_token =
            text("access_token").with_context(|| format!("{} granted no token", self.endpoint))?;
        Ok(Granted { access_token, scope: text("scope") })
    }
}

/// Finds an issuer's token endpoint in its metadata (RFC 8414, else OpenID Connect Discovery).
pub fn discover(issuer: &str) -> Result<String> {
    let issuer = issuer.trim_end_matches('/');
    for name in ["oauth-authorization-server", "openid-configuration"] {
        let response = Request::get(format!("{issuer}/.well-known/{name}")).send()?;
        if response.status == 200
            && let Some(endpoint) = response.json()?.get("token_endpoint").and_then(Value::as_str)
        {
            return Ok(endpoint.to_owned());
        }
    }
    bail!("{issuer} has no metadata that names a token endpoint: give it with --token-endpoint")
}

fn form_encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
