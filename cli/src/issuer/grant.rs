//! The token request: client credentials (RFC 6749 §4.4) and the resources it asks for (RFC 8707).

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::Client;
use super::answer::json_response;
use super::state::State;

/// A refusal as RFC 6749 §5.2 words it.
pub(super) struct Refusal {
    error: &'static str,
    description: &'static str,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.description }).to_string();
        let mut response = json_response(body);
        *response.status_mut() = StatusCode::BAD_REQUEST;
        if self.error == "invalid_client" {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"token\""));
        }
        response
    }
}

fn refuse<T>(error: &'static str, description: &'static str) -> Result<T, Refusal> {
    Err(Refusal { error, description })
}

/// Grants a token, or refuses.
pub(super) fn grant(issuer: &State, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
    let form = Form::parse(headers, body)?;
    let client = authenticate(issuer, headers, &form)?;
    match form.one("grant_type")? {
        Some("client_credentials") => {}
        Some(_) => return refuse("unsupported_grant_type", "this issuer grants client_credentials only"),
        None => return refuse("invalid_request", "grant_type is missing"),
    }
    let scope = match form.one("scope")? {
        None | Some("") => client.scopes.join(" "),
        Some(asked) => {
            if asked.split(' ').any(|scope| !client.scopes.iter().any(|allowed| allowed == scope)) {
                return refuse("invalid_scope", "the client may not have one of the scopes it asked for");
            }
            asked.to_owned()
        }
    };
    // RFC 8707: `resource` may be repeated, and is an absolute URI without a fragment.
    let mut audiences: Vec<String> = form.all("resource").map(str::to_owned).collect();
    if audiences.iter().any(|resource| !resource.contains(':') || resource.contains('#')) {
        return refuse("invalid_target", "a resource is an absolute URI without a fragment");
    }
    audiences.extend(form.all("audience").map(str::to_owned));
    let Ok(token) = issuer.issue(client, &scope, &audiences) else {
        return refuse("invalid_request", "the issuer failed to sign");
    };
    Ok(json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": issuer.options.lifetime.as_secs(),
        "scope": scope,
    }))
}

/// Client authentication by the Basic scheme or by the form, not by both (RFC 6749 §2.3).
fn authenticate<'a>(issuer: &'a State, headers: &HeaderMap, form: &Form) -> Result<&'a Client, Refusal> {
    let in_form = form.one("client_secret")?;
    let (id, secret) = match (basic(headers)?, in_form) {
        (Some(_), Some(_)) => {
            return refuse("invalid_request", "the client authenticates in two ways at once");
        }
        (Some(pair), None) => pair,
        (None, Some(secret)) => (form.one("client_id")?.unwrap_or_default().to_owned(), secret.to_owned()),
        (None, None) => return refuse("invalid_client", "the client does not authenticate"),
    };
    match issuer.options.clients.iter().find(|client| client.id == id && client.secret == secret) {
        Some(client) => Ok(client),
        None => refuse("invalid_client", "no such client, or another secret"),
    }
}

fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return refuse("invalid_request", "authorization is repeated");
    }
    let pair = value.to_str().ok().and_then(|value| {
        let (scheme, credentials) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let credentials = String::from_utf8(Base64::decode_vec(credentials.trim()).ok()?).ok()?;
        let (id, secret) = credentials.split_once(':')?;
        // Both were form-urlencoded before they were joined (RFC 6749 §2.3.1).
        Some((form_decode(id)?, form_decode(secret)?))
    });
    match pair {
        Some(pair) => Ok(Some(pair)),
        None => refuse("invalid_client", "authorization is not Basic with an id and a secret"),
    }
}

fn form_decode(text: &str) -> Option<String> {
    // A value without a name parses as a name without a value.
    let escaped = text.replace('&', "%26").replace('=', "%3D");
    match form_urlencoded::parse(escaped.as_bytes()).next() {
        Some((decoded, _)) => Some(decoded.into_owned()),
        None => Some(String::new()),
    }
}

/// A form body; parameters other than `resource` may not be repeated (RFC 6749 §3.2).
struct Form(Vec<(String, String)>);

impl Form {
    fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return refuse("invalid_request", "the body is not application/x-www-form-urlencoded");
        }
        Ok(Self(form_urlencoded::parse(body).into_owned().collect()))
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return refuse("invalid_request", "a parameter is repeated");
        }
        Ok(first)
    }
}
