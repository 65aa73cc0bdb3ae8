//! How the upstream answers: with what came, or as a test tells it to.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use sha2::{Digest, Sha256};

use super::behaviour::Behaviour;
use super::echo::Echo;

/// Answers a request as the upstream is told to: by default, with its echo.
pub(super) async fn answer(behaviour: Arc<Behaviour>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let headers =
        parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), latin1(value))).collect();
    let echo = Echo {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        version: format!("{:?}", parts.version),
        headers,
        body_length: body.len(),
        body_sha256: Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    behaviour.remember(echo.clone());
    let answer = decide(&behaviour, &echo, &parts.headers);
    let delay = behaviour.delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    answer
}

fn decide(behaviour: &Behaviour, echo: &Echo, received: &HeaderMap) -> Response<Body> {
    if let Some(location) = behaviour.location(echo) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::FOUND;
        if let Ok(location) = HeaderValue::try_from(location) {
            response.headers_mut().insert(LOCATION, location);
        }
        return response;
    }
    let status = StatusCode::from_u16(behaviour.status(echo)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let is_grpc =
        received.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if is_grpc && status == StatusCode::OK {
        return grpc(received);
    }
    let mut response = Response::new(Body::from(serde_json::to_vec(echo).unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::UNAUTHORIZED {
        // RFC 6750 §3.1
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// An empty message and a good status; the claims that arrived go back as `echo-<name>`.
fn grpc(received: &HeaderMap) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    for (name, value) in received.iter().filter(|(name, _)| name.as_str().starts_with("x-")) {
        if let Ok(name) = axum::http::HeaderName::try_from(format!("echo-{name}")) {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

fn latin1(value: &HeaderValue) -> String {
    value.as_bytes().iter().copied().map(char::from).collect()
}

const MAX_BODY: usize = 64 << 20;
