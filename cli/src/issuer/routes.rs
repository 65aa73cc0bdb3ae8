//! The issuer's endpoints: the standard ones, and `/admin/*` which tells it what to do next.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Query, State as Shared};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, LOCATION, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64ct::{Base64, Encoding};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Client;
use super::keys::Algorithm;
use super::spec::{Endpoint, Fault, TokenSpec};
use super::state::{Counters, State};
use crate::server::Hangup;

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/token", post(token))
        .route("/jwks", get(jwks))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/.well-known/openid-configuration", get(metadata))
        .route("/admin/status", get(status))
        .route("/admin/rotate", post(rotate))
        .route("/admin/withdraw", post(withdraw))
        .route("/admin/fault", post(fault))
        .route("/admin/mint", post(mint))
        .route("/admin/jwks", post(replace_jwks).delete(restore_jwks))
        .with_state(state)
}

type Issuer = Shared<Arc<State>>;
type Cut = Extension<Hangup>;

async fn jwks(Shared(issuer): Issuer, Extension(hangup): Cut, uri: Uri) -> Response {
    Counters::count(&issuer.requests.jwks);
    answer(&issuer, Endpoint::Jwks, &hangup, &uri, |issuer| json_response(issuer.jwks())).await
}

async fn metadata(Shared(issuer): Issuer, Extension(hangup): Cut, uri: Uri) -> Response {
    Counters::count(&issuer.requests.metadata);
    answer(&issuer, Endpoint::Metadata, &hangup, &uri, |issuer| json_response(describe(issuer).to_string()))
        .await
}

async fn token(
    Shared(issuer): Issuer,
    Extension(hangup): Cut,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    Counters::count(&issuer.requests.token);
    answer(&issuer, Endpoint::Token, &hangup, &uri, |issuer| {
        let mut response = match grant(issuer, &headers, &body) {
            Ok(granted) => json_response(granted.to_string()),
            Err(refusal) => refusal.into_response(),
        };
        // RFC 6749 §5.1
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
        response
    })
    .await
}

fn describe(issuer: &State) -> Value {
    json!({
        "issuer": issuer.identifier,
        "token_endpoint": format!("{}/token", issuer.url),
        "jwks_uri": format!("{}/jwks", issuer.url),
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    })
}

/// A refusal as RFC 6749 §5.2 words it.
struct Refusal {
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

fn grant(issuer: &State, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
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

/// Answers as usual, or as the endpoint's fault wants it.
async fn answer(
    issuer: &State,
    at: Endpoint,
    hangup: &Hangup,
    uri: &Uri,
    usual: impl FnOnce(&State) -> Response,
) -> Response {
    let Some(fault) = issuer.meet_fault(at) else { return usual(issuer) };
    match fault {
        Fault::Status(code) => failure(code),
        Fault::RetryAfter { status, seconds } => {
            let mut response = failure(status);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
        Fault::Delay(delay) => {
            tokio::time::sleep(delay).await;
            usual(issuer)
        }
        Fault::Hang => std::future::pending().await,
        Fault::Reset => {
            hangup.now();
            std::future::pending().await
        }
        Fault::EmptyBody => json_response(Vec::new()),
        Fault::Truncated => {
            let (response, body) = whole(usual(issuer)).await;
            truncated(response, &body)
        }
        Fault::HalfJson => {
            let (_, body) = whole(usual(issuer)).await;
            json_response(half(&body).to_vec())
        }
        Fault::Html => {
            ([(CONTENT_TYPE, "text/html")], "<!doctype html><title>Sign in</title>").into_response()
        }
        Fault::NotUtf8 => json_response(b"{\"keys\":[{\"kid\":\"\xff\xfe\"}]}".to_vec()),
        Fault::Huge(size) => {
            let (_, body) = whole(usual(issuer)).await;
            json_response(padded(&body, size))
        }
        Fault::EmptySet => json_response(if at == Endpoint::Jwks { "{\"keys\":[]}" } else { "{}" }),
        Fault::Redirect => {
            let mut response = StatusCode::FOUND.into_response();
            let target = HeaderValue::from_str(uri.path()).unwrap_or_else(|_| HeaderValue::from_static("/"));
            response.headers_mut().insert(LOCATION, target);
            response
        }
    }
}

fn json_response(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.into()).into_response()
}

fn failure(code: u16) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = json_response("{\"error\":\"temporarily_unavailable\"}");
    *response.status_mut() = status;
    response
}

async fn whole(response: Response) -> (Response, Bytes) {
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    (Response::from_parts(parts, Body::empty()), body)
}

fn truncated(mut response: Response, body: &Bytes) -> Response {
    response.headers_mut().insert(axum::http::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = Bytes::copy_from_slice(half(body));
    let parts = [Ok(half), Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))];
    *response.body_mut() = Body::from_stream(stream::iter(parts));
    response
}

fn half(body: &[u8]) -> &[u8] {
    body.get(..body.len().div_euclid(2)).unwrap_or_default()
}

/// White space inside the object keeps it the same JSON.
fn padded(body: &[u8], size: usize) -> Vec<u8> {
    let mut padded = body.to_vec();
    let last = padded.pop();
    padded.resize(size.saturating_sub(1).max(padded.len()), b' ');
    padded.extend(last);
    padded
}

async fn status(Shared(issuer): Issuer) -> Response {
    let counters = &issuer.requests;
    json_response(
        json!({
            "issuer": issuer.identifier,
            "kid": issuer.kid(),
            "kids": issuer.kids(),
            "jwks_requests": super::read(&counters.jwks),
            "token_requests": super::read(&counters.token),
            "metadata_requests": super::read(&counters.metadata),
        })
        .to_string(),
    )
}

#[derive(Deserialize)]
struct RotateQuery {
    alg: Option<Algorithm>,
}

async fn rotate(Shared(issuer): Issuer, Query(query): Query<RotateQuery>) -> Response {
    // An RSA key takes a moment, in which others are served.
    match tokio::task::spawn_blocking(move || issuer.rotate(query.alg)).await {
        Ok(Ok(kid)) => json_response(json!({ "kid": kid }).to_string()),
        Ok(Err(error)) => bad_request(&error),
        Err(error) => bad_request(&error.into()),
    }
}

async fn withdraw(Shared(issuer): Issuer) -> Response {
    json_response(json!({ "withdrawn": issuer.withdraw_old() }).to_string())
}

#[derive(Deserialize)]
struct FaultQuery {
    kind: String,
    value: Option<u64>,
    at: Option<String>,
    times: Option<u64>,
}

async fn fault(Shared(issuer): Issuer, Query(query): Query<FaultQuery>) -> Response {
    let at = match Endpoint::parse(query.at.as_deref().unwrap_or("jwks")) {
        Ok(at) => at,
        Err(error) => return bad_request(&error),
    };
    if query.kind == "none" {
        issuer.set_fault(at, None, None);
        return json_response("{}");
    }
    match Fault::parse(&query.kind, query.value) {
        Ok(fault) => {
            issuer.set_fault(at, Some(fault), query.times);
            json_response("{}")
        }
        Err(error) => bad_request(&error),
    }
}

async fn mint(Shared(issuer): Issuer, Json(spec): Json<TokenSpec>) -> Response {
    match tokio::task::spawn_blocking(move || issuer.mint(&spec)).await {
        Ok(Ok(token)) => json_response(json!({ "token": token }).to_string()),
        Ok(Err(error)) => bad_request(&error),
        Err(error) => bad_request(&error.into()),
    }
}

async fn replace_jwks(Shared(issuer): Issuer, body: Bytes) -> Response {
    issuer.replace_jwks(Some(body.to_vec()));
    json_response("{}")
}

async fn restore_jwks(Shared(issuer): Issuer) -> Response {
    issuer.replace_jwks(None);
    json_response("{}")
}

fn bad_request(error: &anyhow::Error) -> Response {
    let mut response = json_response(json!({ "error": format!("{error:#}") }).to_string());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
