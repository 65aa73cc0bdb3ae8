//! What the token endpoint shall know and tell: its clients, its tokens, and who asked for some.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State as Shared};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::super::client::Client;
use super::super::response::json_response;
use super::super::state::{SharedState, State};
use super::reply::{bad_request, times};

pub(super) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/admin/clients", post(add_client).delete(remove_client))
        .route("/admin/clients/secret", post(set_secret))
        .route("/admin/token/lifetime", post(set_lifetime))
        .route("/admin/token/live", post(is_live))
        .route("/admin/token/revoke", post(revoke))
        .route("/admin/token/revoke_all", post(revoke_all))
        .route("/admin/token/times", get(token_times))
        .route("/admin/token/log", get(log))
}

async fn add_client(Shared(issuer): SharedState, Json(client): Json<Client>) -> Response {
    match issuer.clients.add(client) {
        Ok(()) => json_response("{}"),
        Err(error) => bad_request(&error),
    }
}

#[derive(Deserialize)]
struct IdQuery {
    id: String,
}

async fn remove_client(Shared(issuer): SharedState, Query(query): Query<IdQuery>) -> Response {
    json_response(json!({ "removed": issuer.clients.remove(&query.id) }).to_string())
}

/// In the body, since addresses end up in logs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    id: String,
    secret: String,
}

async fn set_secret(Shared(issuer): SharedState, Json(credentials): Json<Credentials>) -> Response {
    let is_set = issuer.clients.set_secret(&credentials.id, &credentials.secret);
    json_response(json!({ "set": is_set }).to_string())
}

#[derive(Deserialize)]
struct LifetimeQuery {
    seconds: u64,
}

async fn set_lifetime(Shared(issuer): SharedState, Query(query): Query<LifetimeQuery>) -> Response {
    issuer.set_lifetime(Duration::from_secs(query.seconds));
    json_response("{}")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Presented {
    token: String,
}

async fn is_live(Shared(issuer): SharedState, Json(presented): Json<Presented>) -> Response {
    json_response(json!({ "live": issuer.issued.is_live(&presented.token) }).to_string())
}

async fn revoke(Shared(issuer): SharedState, Json(presented): Json<Presented>) -> Response {
    json_response(json!({ "revoked": issuer.issued.revoke(&presented.token) }).to_string())
}

async fn revoke_all(Shared(issuer): SharedState) -> Response {
    issuer.issued.revoke_all();
    json_response("{}")
}

/// When each token request came, in milliseconds before now, oldest first.
async fn token_times(Shared(issuer): SharedState) -> Response {
    times(&issuer.requests.token_times.read())
}

async fn log(Shared(issuer): SharedState) -> Response {
    json_response(json!({ "requests": issuer.token_log.read() }).to_string())
}
