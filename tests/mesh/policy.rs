//! What the policy of the manifests in `deploy` decides, seen by a client: the demo's requests, with Keycloak's tokens.

use anyhow::{Context, Result};
use attache_harness::demo::shown;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::client::Call;
use crate::keycloak::Keycloak;
use crate::report::{Place, Report};

/// A request, and what should come of it and came.
pub(crate) struct Step {
    pub(crate) scenario: &'static str,
    pub(crate) expected: &'static str,
    pub(crate) got: Result<String>,
}

/// Sends the demo's requests to `base`, a URL without a slash at its end.
pub(crate) fn walk(base: &str, keycloak: &Keycloak) -> Result<Vec<Step>> {
    let [read, write, stock] =
        ["orders:read", "orders:write", "inventory:read"].map(|scope| keycloak.token(scope));
    let (read, write, stock) = (read?, write?, stock?);
    let elsewhere = keycloak.token_of("billing-service", "billing-secret", "orders:read");
    let get = |path: &str| Call::get(format!("{base}{path}"));
    let post = |path: &str| Call::post(format!("{base}{path}"));
    let with = |token: Result<String>| refusal(&get("/orders").bearer(&token?));
    let metadata = || -> Result<String> {
        let answer = get("/.well-known/oauth-protected-resource").send()?;
        Ok(format!("{} {}", shown(&answer), answer.json()?["authorization_servers"]))
    };
    let seen = "200, upstream sees orders-service";
    let forged = "401 Bearer invalid_token, the signature is wrong";
    let steps = [
        ("a token with the scope", seen, get("/orders").bearer(&read).seen_by_upstream()),
        (
            "and a claim header of the client's own",
            seen,
            get("/orders/42").bearer(&read).header("x-auth-client-id", "else").seen_by_upstream(),
        ),
        ("no token", "401 Bearer orders:read", get("/orders").shown()),
        ("a scope added to a token", forged, with(tampered(&read))),
        ("another token's signature", forged, with(swapped(&read, &write))),
        (
            "a token without a signature",
            "401 Bearer invalid_token, `alg` is none: the token is not signed",
            with(unsigned(&read)),
        ),
        (
            "a token for another audience",
            "401 Bearer invalid_token, the token is for another audience",
            with(elsewhere),
        ),
        (
            "another scope",
            "403 Bearer insufficient_scope orders:write",
            post("/orders").bearer(&read).shown(),
        ),
        ("the scope that POST needs", "200", post("/orders").bearer(&write).shown()),
        (
            "another route's scope",
            "403 Bearer insufficient_scope inventory:read",
            get("/inventory/7").bearer(&read).shown(),
        ),
        ("that route's scope", "200", get("/inventory/7").bearer(&stock).shown()),
        ("a public route, no token", "200", get("/healthz").shown()),
        ("a route without a rule", "403", get("/nowhere").bearer(&read).shown()),
        ("a route that only reports, no token", "200", get("/reports/daily").shown()),
        (
            "the metadata of the protected resource",
            "200 [\"https://issuer.example/realms/orders\"]",
            metadata(),
        ),
    ];
    Ok(steps.into_iter().map(|(scenario, expected, got)| Step { scenario, expected, got }).collect())
}

/// Adds each step as a row.
pub(crate) fn report_each(report: &mut Report, place: Place, steps: Vec<Step>) {
    for Step { scenario, expected, got } in steps {
        report.row(place, scenario, 1, expected, got);
    }
}

/// Adds one row for all steps, which says which were not as expected.
pub(crate) fn report_all(report: &mut Report, place: Place, scenario: &str, steps: Vec<Step>) {
    let count = steps.len();
    let others = steps.into_iter().filter_map(|step| {
        let got = step.got.unwrap_or_else(|error| format!("{error:#}"));
        (got != step.expected).then(|| format!("{}: {got}", step.scenario))
    });
    let others: Vec<String> = others.collect();
    let got = if others.is_empty() { "as above".to_owned() } else { others.join("; ") };
    report.row(place, scenario, count, "as above", Ok(got));
}

/// As `Call::shown`, and the reason that the challenge tells: `401 Bearer invalid_token, the token expired`. So a
/// request that is refused for another reason than its own is seen.
pub(crate) fn refusal(call: &Call) -> Result<String> {
    let answer = call.send()?;
    let reason = answer.header("www-authenticate").and_then(|challenge| {
        let (_, reason) = challenge.split_once("error_description=\"")?;
        reason.split('"').next()
    });
    Ok(reason.map_or_else(|| shown(&answer), |reason| format!("{}, {reason}", shown(&answer))))
}

/// The token with a scope more than it was issued with.
fn tampered(token: &str) -> Result<String> {
    let [head, claims, signature] = parts(token)?;
    let mut claims: Value = serde_json::from_slice(&Base64UrlUnpadded::decode_vec(claims)?)?;
    claims["scope"] = "orders:read admin:all".into();
    Ok(format!("{head}.{}.{signature}", Base64UrlUnpadded::encode_string(claims.to_string().as_bytes())))
}

fn swapped(token: &str, other: &str) -> Result<String> {
    let ([head, claims, _], [_, _, signature]) = (parts(token)?, parts(other)?);
    Ok(format!("{head}.{claims}.{signature}"))
}

fn unsigned(token: &str) -> Result<String> {
    let head = json!({ "alg": "none", "typ": "at+jwt" }).to_string();
    let [_, claims, _] = parts(token)?;
    Ok(format!("{}.{claims}.", Base64UrlUnpadded::encode_string(head.as_bytes())))
}

fn parts(token: &str) -> Result<[&str; 3]> {
    token.split('.').collect::<Vec<_>>().try_into().ok().context("a token of three parts")
}
