//! The filter that adds tokens at a gateway through which workloads call an API: `outbound.yaml` as it stands.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use attache_harness::prometheus::sum;
use attache_harness::upstream::{Echo, Upstream};
use attache_harness::wait::wait_for;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;

use super::inbound::status;
use super::{CONTROL_PLANE, Mesh, PATIENCE, until};
use crate::client::Call;
use crate::report::{Place, Report};

pub(super) fn run(mesh: &mut Mesh<'_>, api: &Upstream, report: &mut Report) -> Result<()> {
    let heading = "Outbound";
    mesh.block(heading, 0)?;
    mesh.block(heading, 1)?;
    let call = Call::get(format!("{EGRESS}/orders")).header("host", "api.example");
    report.row(PLACE, "a request without a credential", 1, "200", until(&call, "200"));
    let walk = mesh.block(heading, 2).map(|answer| status(&answer));
    report.row(PLACE, "the walk-through", 1, "200", walk);
    report.row(PLACE, "what the API gets", 1, "a token of orders-service with orders:read", seen(api));
    let other = Call::get(format!("{EGRESS}/orders")).header("host", "else.example");
    report.row(PLACE, "another host", 1, "404", other.shown());
    let keys = Call::get(format!("{EGRESS}/jwks")).header("host", "issuer.example").shown();
    report.row(PLACE, "the issuer's keys, by its own route", 1, "403", keys);
    let own = Call::get(format!("{EGRESS}/orders")).header("host", "api.example").bearer("the.callers.own");
    report.row(PLACE, "a credential of the workload's own", 1, "400", own.shown());
    for _ in 0..MANY {
        call.send()?;
    }
    report.row(PLACE, "tokens that many requests carry", MANY, "1", tokens(api));
    report.row(PLACE, "tokens obtained, by the metrics", 0, "some", obtained(mesh));
    Ok(())
}

/// Whose token the last request to the API carried.
fn seen(api: &Upstream) -> Result<String> {
    let seen: Vec<Echo> = api.seen();
    let last = seen.last().context("the API has got no request")?;
    let header = last.header_values("authorization").next().unwrap_or("no authorization");
    let Some(token) = header.strip_prefix("Bearer ") else { return Ok(header.to_owned()) };
    let claims = token.split('.').nth(1).context("a token of three parts")?;
    let claims: Value = serde_json::from_slice(&Base64UrlUnpadded::decode_vec(claims)?)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or("none").to_owned();
    Ok(format!("a token of {} with {}", text("client_id"), text("scope")))
}

/// How many different tokens the last requests to the API carried.
fn tokens(api: &Upstream) -> Result<String> {
    let seen: Vec<Echo> = api.seen();
    ensure!(seen.len() >= MANY, "the API has got {} requests", seen.len());
    let last = seen.iter().rev().take(MANY);
    let tokens: BTreeSet<String> =
        last.flat_map(|echo| echo.header_values("authorization")).map(str::to_owned).collect();
    Ok(tokens.len().to_string())
}

fn obtained(mesh: &Mesh<'_>) -> Result<String> {
    wait_for("the count of tokens", PATIENCE, || {
        let samples = mesh.control_plane.samples("attache_token_requests_total")?;
        let obtained =
            sum(&samples, "attache_token_requests_total", &[("client", "orders"), ("result", "obtained")]);
        Ok((obtained > 0.0).then(|| "some".to_owned()))
    })
}

const PLACE: Place = Place { control_plane: CONTROL_PLANE, position: "gateway, outbound" };
/// On connections of their own, so that each thread gets some.
const MANY: usize = 20;
const EGRESS: &str = "http://127.0.0.1:80";
