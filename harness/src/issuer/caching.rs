//! What the issuer says about caching (RFC 9111), and its answers to those who ask whether anything changed (RFC 9110
//! §13). Only whole answers with status 200 say it.

use axum::body::HttpBody;
use axum::http::header::{
    AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPIRES, HeaderName, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::response::whole;
use crate::jws::base64url;

/// What an endpoint's answers say about caching. Default: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Caching {
    /// The value of `Cache-Control`. One that no header can carry is left out, here and below.
    pub cache_control: Option<String>,
    /// The value of `Age`, in seconds.
    pub age: Option<u64>,
    /// The value of `Expires`, a date or not.
    pub expires: Option<String>,
    /// With it, answers carry a strong `ETag`, and an `If-None-Match` that names it gets 304.
    pub etag: bool,
}

impl Caching {
    /// Adds the headers to an answer; makes it a 304 if the client has it already.
    pub(super) async fn apply(&self, mut answer: Response, request: &HeaderMap) -> Response {
        if answer.status() != StatusCode::OK {
            return answer;
        }
        let age = self.age.map(HeaderValue::from);
        let texts = [(CACHE_CONTROL, &self.cache_control), (EXPIRES, &self.expires)];
        let texts = texts.map(|(name, text)| (name, text.as_deref().and_then(value)));
        for (name, value) in texts.into_iter().chain([(AGE, age)]) {
            insert(&mut answer, name, value);
        }
        // A body that is cut has no digest.
        if !self.etag || answer.body().size_hint().exact().is_none() {
            return answer;
        }
        let (mut answer, body) = whole(answer).await;
        let tag = format!("\"{}\"", base64url(&Sha256::digest(&body)));
        insert(&mut answer, ETAG, value(&tag));
        if is_named(&tag, request) {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer.headers_mut().remove(CONTENT_TYPE);
            answer.headers_mut().remove(CONTENT_LENGTH);
        } else {
            *answer.body_mut() = body.into();
        }
        answer
    }
}

/// Whether `If-None-Match` names the tag, by weak comparison (RFC 9110 §13.1.2).
fn is_named(tag: &str, request: &HeaderMap) -> bool {
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|named| named == "*" || named.strip_prefix("W/").unwrap_or(named) == tag)
}

fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}

fn insert(answer: &mut Response, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        answer.headers_mut().insert(name, value);
    }
}
