//! What several of the admin endpoints answer.

use std::time::Instant;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::super::response::json_response;

/// Answers with how long ago each of these was, in milliseconds.
pub(super) fn times(times: &[Instant]) -> Response {
    let now = Instant::now();
    let ago: Vec<u64> = times
        .iter()
        .map(|time| u64::try_from(now.saturating_duration_since(*time).as_millis()).unwrap_or(u64::MAX))
        .collect();
    json_response(json!({ "milliseconds_ago": ago }).to_string())
}

/// Answers 400 with what is wrong.
pub(super) fn bad_request(error: &anyhow::Error) -> Response {
    let mut response = json_response(json!({ "error": format!("{error:#}") }).to_string());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
