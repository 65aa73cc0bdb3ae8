//! How an endpoint answers: as usual, or as its fault wants it.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Map, Value};

use super::endpoint::Endpoint;
use super::fault::Fault;
use super::key_set;
use super::keys::Key;
use super::response::{json_response, whole};
use super::state::State;
use crate::server::Hangup;

/// Answers as usual, or as the endpoint's fault wants it.
pub(super) async fn answer(
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
        Fault::EmptySet => json_response(if at.is_jwks() { "{\"keys\":[]}" } else { "{}" }),
        Fault::Redirect => {
            let mut response = StatusCode::FOUND.into_response();
            let target = HeaderValue::from_str(uri.path()).unwrap_or_else(|_| HeaderValue::from_static("/"));
            response.headers_mut().insert(LOCATION, target);
            response
        }
        Fault::Answer(raw) => raw.response(),
        Fault::Patch(patch) => {
            let answer = usual(issuer);
            if answer.status() != StatusCode::OK {
                return answer;
            }
            let (mut answer, body) = whole(answer).await;
            *answer.body_mut() = patched(&body, &patch).into();
            answer
        }
        Fault::ManyKeys(count) => bent(issuer, at, usual, |keys| key_set::many(keys, count)),
        Fault::DuplicateKids => bent(issuer, at, usual, key_set::under_one_kid),
        Fault::WeakRsa => bent(issuer, at, usual, |_| key_set::weak_rsa(&issuer.kid())),
        Fault::PrivateKeys => bent(issuer, at, usual, key_set::private),
        Fault::UnknownKty => bent(issuer, at, usual, key_set::of_unknown_type),
        Fault::AlgContradicts => bent(issuer, at, usual, key_set::contradictory),
    }
}

/// Answers with another set of keys where keys are served, elsewhere as usual.
fn bent(
    issuer: &State,
    at: Endpoint,
    usual: impl FnOnce(&State) -> Response,
    set: impl FnOnce(&[Arc<Key>]) -> Vec<Value>,
) -> Response {
    if at.is_jwks() { json_response(issuer.jwks_as(set)) } else { usual(issuer) }
}

fn failure(code: u16) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = json_response("{\"error\":\"temporarily_unavailable\"}");
    *response.status_mut() = status;
    response
}

fn truncated(mut response: Response, body: &Bytes) -> Response {
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = Bytes::copy_from_slice(half(body));
    let parts = [Ok(half), Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))];
    *response.body_mut() = Body::from_stream(stream::iter(parts));
    response
}

/// What is no JSON stays as it is.
fn patched(body: &Bytes, patch: &Value) -> Bytes {
    let Ok(mut value) = serde_json::from_slice(body) else { return body.clone() };
    merge(&mut value, patch);
    value.to_string().into()
}

/// RFC 7396 §2
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
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
