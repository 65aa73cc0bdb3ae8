//! The demo: a walk through the filter's main job, each step with what is expected and what came. It meets the parts
//! by URL only, so that it runs against containers as well.

pub mod audit;
mod sidecar;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::demo_environment::Endpoints;
use crate::http::{Request, Response};
use crate::issuer::{DEMO_CLIENT, DEMO_SECRET};
use crate::prometheus::{self, Sample};
use crate::token::{Authentication, TokenRequest};
use crate::upstream::Echo;
use crate::wait::wait_for;

/// One step of the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was tried.
    pub step: String,
    /// What should come of it.
    pub expected: String,
    /// What came of it.
    pub got: String,
    /// The `x-request-id` of each request that the step sent through a proxy, in order.
    pub requests: Vec<String>,
}

impl Row {
    /// Returns whether it went as expected.
    pub fn is_ok(&self) -> bool {
        self.expected == self.got
    }
}

/// Walks all steps and tells of each when it is done.
pub fn walk(places: &Endpoints, tell: &mut dyn FnMut(Row)) {
    let mut walk =
        Walk { places, tell, answers: BTreeMap::new(), before: Vec::new(), requests: RefCell::default() };
    walk.before = walk.samples().unwrap_or_default();
    walk.tokens();
    walk.routes();
    walk.rotation();
    walk.metrics();
    if let Some(sidecar) = &places.sidecar {
        walk.sidecar(sidecar);
    }
}

/// Waits until all parts answer.
pub fn wait_until_up(places: &Endpoints, patience: Duration) -> Result<()> {
    let sidecar = places.sidecar.iter().map(|sidecar| format!("{}/ready", sidecar.admin));
    for url in
        [format!("{}/ready", places.admin), format!("{}/jwks", places.issuer)].into_iter().chain(sidecar)
    {
        wait_for(&url, patience, || {
            let answer = Request::get(&url).timeout(Duration::from_secs(2)).send();
            Ok(answer.is_ok_and(|answer| answer.status == 200).then_some(()))
        })?;
    }
    Ok(())
}

/// Gets a token for the demo's client.
pub fn token(places: &Endpoints, scope: &str) -> Result<String> {
    let request = TokenRequest {
        endpoint: format!("{}/token", places.issuer),
        client_id: DEMO_CLIENT.into(),
        client_secret: DEMO_SECRET.into(),
        authentication: Authentication::ClientSecretBasic,
        scope: Some(scope.into()),
        resource: None,
        audience: None,
    };
    Ok(request.send()?.access_token)
}

struct Walk<'a> {
    places: &'a Endpoints,
    tell: &'a mut dyn FnMut(Row),
    /// How many requests the filter decided in which way, as we saw it.
    answers: BTreeMap<&'static str, u32>,
    before: Vec<Sample>,
    /// The ids of the requests that the step under way has sent through a proxy.
    requests: RefCell<Vec<String>>,
}

impl Walk<'_> {
    fn tokens(&mut self) {
        let fetched = token(self.places, "orders:read");
        let told =
            fetched.as_ref().map(|_| "a token".to_owned()).map_err(|error| anyhow::anyhow!("{error:#}"));
        self.row("get a token for orders:read", "a token", told);
        let read = fetched.unwrap_or_default();

        let seen = self.seen_by_upstream(self.get("/orders").bearer(&read));
        self.row("call with it", "200, upstream sees orders-service", seen);
        let forged = self.get("/orders/42").bearer(&read).header("x-auth-client-id", "somebody-else");
        let seen = self.seen_by_upstream(forged);
        self.row("call with it and a forged claim header", "200, upstream sees orders-service", seen);

        self.refused("call without a token", "401 Bearer orders:read", self.get("/orders"));
        self.minted("expired token", json!({ "expires_in": -3600 }), "401 Bearer invalid_token");
        self.minted(
            "tampered token: a scope added",
            json!({ "tamper": "claims" }),
            "401 Bearer invalid_token",
        );
        self.minted("token of a forger's key", json!({ "signer": "forger" }), "401 Bearer invalid_token");
        self.minted("token without a signature", json!({ "signer": "none" }), "401 Bearer invalid_token");
        self.minted(
            "token for another audience",
            json!({ "claims": { "aud": "https://else.example" } }),
            "401 Bearer invalid_token",
        );

        let write = self.post("/orders").bearer(&read);
        self.refused("POST needs another scope", "403 Bearer insufficient_scope orders:write", write);
    }

    fn routes(&mut self) {
        let read = token(self.places, "orders:read").unwrap_or_default();
        let inventory = self.get("/inventory/7").bearer(&read);
        self.refused(
            "scope on Envoy's route, lacking",
            "403 Bearer insufficient_scope inventory:read",
            inventory,
        );
        let stock = token(self.places, "inventory:read").unwrap_or_default();
        self.passed("scope on Envoy's route, present", self.get("/inventory/7").bearer(&stock));
        self.passed("public route, no token", self.get("/healthz"));
        self.refused("unknown route", "403", self.get("/nowhere").bearer(&read));

        let tool = |name: &str| {
            let params = json!({ "name": name, "arguments": {} });
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
        };
        let list = self.post("/mcp").bearer(&read).json(&tool("orders.list"));
        self.passed("an MCP message that calls a tool", list);
        let purge = self.post("/mcp").bearer(&read).json(&tool("orders.purge"));
        self.refused("and one that calls another tool", "403 Bearer insufficient_scope admin:all", purge);

        let answer = self.send(self.get("/reports/daily"));
        self.count(&answer, "report");
        self.row("report-only route, no token", "200", answer.map(|answer| shown(&answer)));

        let document = self.send(self.get("/.well-known/oauth-protected-resource")).and_then(|answer| {
            let servers =
                answer.json()?.get("authorization_servers").map(Value::to_string).unwrap_or_default();
            Ok(format!("{} {servers}", shown(&answer)))
        });
        self.row("protected resource metadata", "200 [\"https://issuer.example\"]", document);
    }

    fn rotation(&mut self) {
        let old = token(self.places, "orders:read").unwrap_or_default();
        let rotated = self.admin("rotate", &Value::Null);
        let new = token(self.places, "orders:read").unwrap_or_default();
        let burst = rotated.and_then(|_| self.burst("/orders", &new));
        self.row("the issuer rotates its key: calls at once", &format!("{BURST} × 200"), burst);
        self.passed("the old key's token meanwhile", self.get("/orders").bearer(&old));

        let withdrawn = self.admin("withdraw", &Value::Null).and_then(|_| {
            wait_for("the old key's token to be refused", WITHDRAWAL, || {
                let answer = self.send(self.get("/orders").bearer(&old));
                self.count(
                    &answer,
                    if answer.as_ref().is_ok_and(|answer| answer.status == 200) { "permit" } else { "deny" },
                );
                let answer = answer?;
                Ok((answer.status != 200).then(|| shown(&answer)))
            })
        });
        self.row("the old key is withdrawn: its token", "401 Bearer invalid_token", withdrawn);
        self.passed("the new key's token", self.get("/orders").bearer(&new));
    }

    fn metrics(&mut self) {
        let expected = self.told(|outcome| f64::from(self.answers.get(outcome).copied().unwrap_or(0)));
        let mut last = String::new();
        // The filter hands its counts over on a tick.
        let counted = wait_for("the counts", COUNTING, || {
            let now = self.samples()?;
            last = self.told(|outcome| {
                let of = |samples: &[Sample]| {
                    prometheus::sum(samples, "attache_decisions_total", &[("outcome", outcome)])
                };
                of(&now) - of(&self.before)
            });
            Ok((last == expected).then(|| last.clone()))
        });
        let counted = if last.is_empty() { counted } else { Ok(last) };
        self.row("metrics: decisions by outcome", &expected, counted);

        // A gauge is the last writer's: every worker has to notice the withdrawal.
        let mut keys = String::new();
        let noticed = wait_for("one key", WITHDRAWAL, || {
            keys =
                format!("{} key", prometheus::sum(&self.samples()?, "attache_keys", &[("issuer", "demo")]));
            Ok((keys == "1 key").then_some(()))
        });
        let keys = if keys.is_empty() { noticed.map(|()| keys) } else { Ok(keys) };
        self.row("metrics: the issuer's keys", "1 key", keys);
        let reloads = self.samples().map(|samples| {
            let of = |samples: &[Sample]| prometheus::sum(samples, "envoy_wasm_attache_vm_reload", &[]);
            format!("{} reloads", of(&samples) - of(&self.before))
        });
        self.row("metrics: the filter never failed", "0 reloads", reloads);
    }

    fn told(&self, of: impl Fn(&str) -> f64) -> String {
        OUTCOMES.map(|outcome| format!("{outcome} {}", of(outcome))).join(", ")
    }

    fn row(&mut self, step: &str, expected: &str, got: Result<String>) {
        let got = got.unwrap_or_else(|error| format!("{error:#}"));
        let requests = self.requests.take();
        (self.tell)(Row { step: step.to_owned(), expected: expected.to_owned(), got, requests });
    }

    fn passed(&mut self, step: &str, request: Request) {
        let answer = self.send(request);
        self.count(&answer, "permit");
        self.row(step, "200", answer.map(|answer| shown(&answer)));
    }

    fn refused(&mut self, step: &str, expected: &str, request: Request) {
        let answer = self.send(request);
        self.count(&answer, "deny");
        self.row(step, expected, answer.map(|answer| shown(&answer)));
    }

    fn minted(&mut self, step: &str, spec: Value, expected: &str) {
        let token = self
            .admin("mint", &spec)
            .map(|answer| answer.get("token").and_then(Value::as_str).unwrap_or_default().to_owned());
        match token {
            Ok(token) => self.refused(step, expected, self.get("/orders").bearer(&token)),
            Err(error) => self.row(step, expected, Err(error)),
        }
    }

    fn seen_by_upstream(&mut self, request: Request) -> Result<String> {
        let answer = self.send(request);
        self.count(&answer, "permit");
        seen_by_upstream(&answer?)
    }

    /// Many requests at once; all arrive before the first is answered.
    fn burst(&mut self, path: &str, token: &str) -> Result<String> {
        let requests: Vec<Request> = (0..BURST).map(|_| self.get(path).bearer(token)).collect();
        let answers: Vec<Result<Response>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                requests.into_iter().map(|request| scope.spawn(|| request.send())).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| bail!("a request's thread failed")))
                .collect()
        });
        let mut kinds = BTreeMap::<String, u32>::new();
        for answer in &answers {
            self.note(answer);
            self.count(
                answer,
                if answer.as_ref().is_ok_and(|answer| answer.status == 200) { "permit" } else { "deny" },
            );
            let kind = answer.as_ref().map_or_else(|error| format!("{error:#}"), shown);
            let count = kinds.entry(kind).or_default();
            *count = count.saturating_add(1);
        }
        Ok(kinds.into_iter().map(|(kind, count)| format!("{count} × {kind}")).collect::<Vec<_>>().join(", "))
    }

    fn count(&mut self, answer: &Result<Response>, outcome: &'static str) {
        if answer.is_ok() {
            let count = self.answers.entry(outcome).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn get(&self, path: &str) -> Request {
        Request::get(format!("{}{path}", self.places.proxy))
    }

    fn post(&self, path: &str) -> Request {
        Request::post(format!("{}{path}", self.places.proxy))
    }

    /// Sends a request through a proxy, which says in its answer by what id the access log's record is found.
    fn send(&self, request: Request) -> Result<Response> {
        let answer = request.send();
        self.note(&answer);
        answer
    }

    fn note(&self, answer: &Result<Response>) {
        let id = answer.as_ref().ok().and_then(|answer| answer.header("x-request-id"));
        self.requests.borrow_mut().extend(id.map(str::to_owned));
    }

    fn admin(&self, what: &str, body: &Value) -> Result<Value> {
        let answer = Request::post(format!("{}/admin/{what}", self.places.issuer)).json(body).send()?;
        if answer.status != 200 {
            bail!("the issuer answered {}: {}", answer.status, answer.text());
        }
        answer.json()
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        let page = Request::get(format!("{}/stats/prometheus", self.places.admin))
            .send()
            .context("Envoy's admin")?;
        Ok(prometheus::parse(&page.text()))
    }
}

/// Which client the echo upstream sees by the header `x-auth-client-id`; of a request that did not pass, as [`shown`].
pub fn seen_by_upstream(answer: &Response) -> Result<String> {
    if answer.status != 200 {
        return Ok(shown(answer));
    }
    let echo = Echo::parse(&answer.body)?;
    let clients: Vec<&str> = echo.header_values("x-auth-client-id").collect();
    Ok(format!(
        "200, upstream sees {}",
        if clients.is_empty() { "no client".into() } else { clients.join(" and ") }
    ))
}

/// The status and what the challenge says: `401 Bearer invalid_token`.
pub fn shown(answer: &Response) -> String {
    let mut shown = answer.status.to_string();
    if let Some(challenge) = answer.header("www-authenticate") {
        let scheme = challenge.split(' ').next().unwrap_or_default();
        let parts = [Some(scheme), parameter(challenge, "error"), parameter(challenge, "scope")];
        for part in parts.into_iter().flatten() {
            shown.push(' ');
            shown.push_str(part);
        }
    }
    shown
}

fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let start = challenge.match_indices(name).find_map(|(at, _)| {
        let before = challenge.get(..at)?;
        let after = challenge.get(at..)?.strip_prefix(name)?.strip_prefix("=\"")?;
        before.ends_with([' ', ',']).then_some(after)
    })?;
    start.split('"').next()
}

const OUTCOMES: [&str; 3] = ["permit", "deny", "report"];
const BURST: usize = 20;
/// The demo's keys are fetched every two seconds.
const WITHDRAWAL: Duration = Duration::from_secs(20);
const COUNTING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_shown_by_scheme_error_and_scope() {
        let answer = |challenge: &str| Response {
            status: 403,
            headers: vec![("www-authenticate".into(), challenge.into())],
            body: Vec::new(),
        };
        assert_eq!(shown(&answer("Bearer")), "403 Bearer");
        assert_eq!(
            shown(&answer(
                "Bearer realm=\"r\", error=\"insufficient_scope\", error_description=\"no scope\", scope=\"a b\""
            )),
            "403 Bearer insufficient_scope a b"
        );
    }
}
