//! The issuer's endpoints: the standard ones here, and `/admin/*` beside them.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, State as Shared};
use axum::http::header::{CACHE_CONTROL, PRAGMA};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::admin;
use super::answer::answer;
use super::endpoint::Endpoint;
use super::grant::grant;
use super::metadata::{MetadataForm, OAUTH_PATH, OPEN_ID_PATH};
use super::response::json_response;
use super::state::{SharedState, State};
use super::token_request::TokenRequest;
use crate::server::Hangup;

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/token", post(token))
        .route("/jwks", get(jwks))
        .route("/jwks2", get(second_jwks))
        .route(OAUTH_PATH, get(metadata))
        .route(OPEN_ID_PATH, get(metadata))
        // An identifier's path is no route: it may hold what means something else there.
        .fallback(get(metadata).fallback(async || StatusCode::NOT_FOUND))
        .merge(admin::router())
        .with_state(state)
}

type Cut = Extension<Hangup>;

async fn jwks(issuer: SharedState, cut: Cut, uri: Uri, headers: HeaderMap) -> Response {
    keys(issuer, Endpoint::Jwks, cut, uri, headers).await
}

async fn second_jwks(issuer: SharedState, cut: Cut, uri: Uri, headers: HeaderMap) -> Response {
    keys(issuer, Endpoint::SecondJwks, cut, uri, headers).await
}

async fn keys(
    Shared(issuer): SharedState,
    at: Endpoint,
    Extension(hangup): Cut,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    issuer.requests.count_jwks(at);
    let answer = answer(&issuer, at, &hangup, &uri, |issuer| json_response(issuer.jwks())).await;
    let status = answer.status();
    let answer = issuer.caching(at).apply(answer, &headers).await;
    // Not the 304 of a fault.
    if answer.status() != status {
        issuer.requests.jwks_not_modified.count();
    }
    answer
}

async fn metadata(
    Shared(issuer): SharedState,
    Extension(hangup): Cut,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Some(form) = MetadataForm::find(uri.path(), &issuer.identifier) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    issuer.requests.count_metadata(form);
    if issuer.is_metadata_hidden(form) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let at = Endpoint::Metadata;
    let answer = answer(&issuer, at, &hangup, &uri, |issuer| json_response(issuer.metadata())).await;
    issuer.caching(at).apply(answer, &headers).await
}

async fn token(
    Shared(issuer): SharedState,
    Extension(hangup): Cut,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = TokenRequest::read(&headers, &body);
    issuer.requests.count_token(&request);
    issuer.token_log.add(request);
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
