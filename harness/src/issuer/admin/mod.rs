//! `/admin/*`, which tells the issuer what to do next: what the handle does, for those who have only HTTP.

mod reply;
mod token;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State as Shared};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use self::reply::{bad_request, times};
use super::caching::Caching;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::keys::Algorithm;
use super::metadata::MetadataForm;
use super::raw_answer::RawAnswer;
use super::response::json_response;
use super::spec::TokenSpec;
use super::state::{SharedState, State};

/// The routes under `/admin`.
pub(super) fn router() -> Router<Arc<State>> {
    token::router()
        .route("/admin/status", get(status))
        .route("/admin/jwks/times", get(jwks_times))
        .route("/admin/rotate", post(rotate))
        .route("/admin/rotate_in_place", post(rotate_in_place))
        .route("/admin/withdraw", post(withdraw))
        .route("/admin/fault", post(fault))
        .route("/admin/answer", post(raw_answer))
        .route("/admin/patch", post(patch))
        .route("/admin/mint", post(mint))
        .route("/admin/caching", post(caching))
        .route("/admin/jwks", post(replace_jwks).delete(restore_jwks))
        .route("/admin/jwks_uri", post(set_jwks_uri).delete(restore_jwks_uri))
        .route("/admin/token_endpoint", post(set_token_endpoint).delete(restore_token_endpoint))
        .route("/admin/metadata", post(replace_metadata).delete(restore_metadata))
        .route("/admin/metadata/hidden", post(hide_metadata).delete(show_metadata))
}

async fn status(Shared(issuer): SharedState) -> Response {
    let counters = &issuer.requests;
    json_response(
        json!({
            "issuer": issuer.identifier,
            "kid": issuer.kid(),
            "kids": issuer.kids(),
            "jwks_requests": counters.jwks.read(),
            "second_jwks_requests": counters.second_jwks.read(),
            "jwks_not_modified": counters.jwks_not_modified.read(),
            "token_requests": counters.token.read(),
            "token_requests_by_client": counters.clients.all(),
            "token_requests_by_grant": counters.grants.all(),
            "metadata_requests": counters.metadata(),
            "oauth_metadata_requests": counters.oauth_metadata.read(),
            "openid_metadata_requests": counters.openid_metadata.read(),
        })
        .to_string(),
    )
}

/// When each JWKS request came, in milliseconds before now, oldest first.
async fn jwks_times(Shared(issuer): SharedState) -> Response {
    times(&issuer.requests.jwks_times.read())
}

#[derive(Deserialize)]
struct RotateQuery {
    alg: Option<Algorithm>,
}

async fn rotate(Shared(issuer): SharedState, Query(query): Query<RotateQuery>) -> Response {
    // An RSA key takes a moment, in which others are served.
    match tokio::task::spawn_blocking(move || issuer.rotate(query.alg)).await {
        Ok(Ok(kid)) => json_response(json!({ "kid": kid }).to_string()),
        Ok(Err(error)) => bad_request(&error),
        Err(error) => bad_request(&error.into()),
    }
}

async fn rotate_in_place(Shared(issuer): SharedState) -> Response {
    match tokio::task::spawn_blocking(move || issuer.rotate_in_place()).await {
        Ok(Ok(kid)) => json_response(json!({ "kid": kid }).to_string()),
        Ok(Err(error)) => bad_request(&error),
        Err(error) => bad_request(&error.into()),
    }
}

#[derive(Deserialize)]
struct WithdrawQuery {
    /// Default: all but the current one.
    kid: Option<String>,
}

async fn withdraw(Shared(issuer): SharedState, Query(query): Query<WithdrawQuery>) -> Response {
    let withdrawn = match query.kid {
        Some(kid) if issuer.withdraw(&kid) => vec![kid],
        Some(_) => Vec::new(),
        None => issuer.withdraw_old(),
    };
    json_response(json!({ "withdrawn": withdrawn }).to_string())
}

#[derive(Deserialize)]
struct FaultQuery {
    kind: String,
    value: Option<u64>,
    /// Of `retry_after`. Default: 503.
    status: Option<u16>,
    at: Option<String>,
    times: Option<u64>,
}

async fn fault(Shared(issuer): SharedState, Query(query): Query<FaultQuery>) -> Response {
    let at = match Endpoint::parse(query.at.as_deref().unwrap_or("jwks")) {
        Ok(at) => at,
        Err(error) => return bad_request(&error),
    };
    if query.kind == "none" {
        issuer.set_fault(at, None, None);
        return json_response("{}");
    }
    match Fault::parse(&query.kind, query.value) {
        Ok(mut fault) => {
            if let (Fault::RetryAfter { status, .. }, Some(asked)) = (&mut fault, query.status) {
                *status = asked;
            }
            issuer.set_fault(at, Some(fault), query.times);
            json_response("{}")
        }
        Err(error) => bad_request(&error),
    }
}

#[derive(Deserialize)]
struct AnswerQuery {
    /// Default: the token endpoint.
    at: Option<String>,
    times: Option<u64>,
}

async fn raw_answer(
    Shared(issuer): SharedState,
    Query(query): Query<AnswerQuery>,
    Json(answer): Json<RawAnswer>,
) -> Response {
    set_answer(&issuer, &query, Fault::Answer(answer))
}

async fn patch(
    Shared(issuer): SharedState,
    Query(query): Query<AnswerQuery>,
    Json(patch): Json<Value>,
) -> Response {
    set_answer(&issuer, &query, Fault::Patch(patch))
}

fn set_answer(issuer: &State, query: &AnswerQuery, fault: Fault) -> Response {
    match Endpoint::parse(query.at.as_deref().unwrap_or("token")) {
        Ok(at) => {
            issuer.set_fault(at, Some(fault), query.times);
            json_response("{}")
        }
        Err(error) => bad_request(&error),
    }
}

async fn mint(Shared(issuer): SharedState, Json(spec): Json<TokenSpec>) -> Response {
    match tokio::task::spawn_blocking(move || issuer.mint(&spec)).await {
        Ok(Ok(token)) => json_response(json!({ "token": token }).to_string()),
        Ok(Err(error)) => bad_request(&error),
        Err(error) => bad_request(&error.into()),
    }
}

async fn replace_jwks(Shared(issuer): SharedState, body: Bytes) -> Response {
    issuer.replace_jwks(Some(body.to_vec()));
    json_response("{}")
}

async fn restore_jwks(Shared(issuer): SharedState) -> Response {
    issuer.replace_jwks(None);
    json_response("{}")
}

#[derive(Deserialize)]
struct CachingQuery {
    at: Option<String>,
}

async fn caching(
    Shared(issuer): SharedState,
    Query(query): Query<CachingQuery>,
    Json(caching): Json<Caching>,
) -> Response {
    match Endpoint::parse(query.at.as_deref().unwrap_or("jwks")) {
        Ok(at) => {
            issuer.set_caching(at, caching);
            json_response("{}")
        }
        Err(error) => bad_request(&error),
    }
}

async fn replace_metadata(Shared(issuer): SharedState, body: Bytes) -> Response {
    issuer.replace_metadata(Some(body.to_vec()));
    json_response("{}")
}

async fn restore_metadata(Shared(issuer): SharedState) -> Response {
    issuer.replace_metadata(None);
    json_response("{}")
}

#[derive(Deserialize)]
struct FormQuery {
    form: String,
}

async fn hide_metadata(Shared(issuer): SharedState, Query(query): Query<FormQuery>) -> Response {
    set_hidden(&issuer, &query.form, true)
}

async fn show_metadata(Shared(issuer): SharedState, Query(query): Query<FormQuery>) -> Response {
    set_hidden(&issuer, &query.form, false)
}

fn set_hidden(issuer: &State, form: &str, hidden: bool) -> Response {
    match MetadataForm::parse(form) {
        Ok(form) => {
            issuer.hide_metadata(form, hidden);
            json_response("{}")
        }
        Err(error) => bad_request(&error),
    }
}

#[derive(Deserialize)]
struct UriQuery {
    uri: String,
}

async fn set_jwks_uri(Shared(issuer): SharedState, Query(query): Query<UriQuery>) -> Response {
    issuer.set_jwks_uri(Some(query.uri));
    json_response("{}")
}

async fn restore_jwks_uri(Shared(issuer): SharedState) -> Response {
    issuer.set_jwks_uri(None);
    json_response("{}")
}

async fn set_token_endpoint(Shared(issuer): SharedState, Query(query): Query<UriQuery>) -> Response {
    issuer.set_token_endpoint(Some(query.uri));
    json_response("{}")
}

async fn restore_token_endpoint(Shared(issuer): SharedState) -> Response {
    issuer.set_token_endpoint(None);
    json_response("{}")
}
