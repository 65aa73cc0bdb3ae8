//! The second part: a service that calls another one, and knows nothing of tokens.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{BURST, COUNTING, WITHDRAWAL, Walk, shown};
use crate::demo_environment::Sidecar;
use crate::http::{Request, Response};
use crate::prometheus;
use crate::upstream::Echo;
use crate::wait::wait_for;

impl Walk<'_> {
    /// Walks through the sidecar's job.
    pub(super) fn sidecar(&mut self, sidecar: &Sidecar) {
        let requests = self.token_requests();
        let seen = self.call(sidecar, "/orders").and_then(|answer| seen(&answer));
        self.row("a service calls orders, without a token", "200, upstream sees orders-service", seen);
        let burst = self.calls(sidecar, BURST);
        self.row("and again, many times at once", &format!("{BURST} × 200"), burst);
        let asked = requests.and_then(|before| {
            let asked = self.token_requests()?.saturating_sub(before);
            Ok(format!("{asked} token request{}", if asked == 1 { "" } else { "s" }))
        });
        // The key of the token that it had was withdrawn above: orders said 401 once, and no caller noticed.
        self.row("new tokens: the first one's key is gone", "1 token request", asked);

        let post = Request::post(format!("{}/orders", sidecar.outbound)).header("host", ORDERS);
        let post = self.send(post).map(|answer| shown(&answer));
        self.row("its token lacks a scope", "403 Bearer insufficient_scope orders:write", post);
        let elsewhere = Request::get(format!("{}/", sidecar.outbound)).header("host", "elsewhere.internal");
        let elsewhere = self.send(elsewhere).and_then(|answer| {
            let echo = Echo::parse(&answer.body)?;
            let has = if echo.header("authorization").is_some() { "a token" } else { "no token" };
            Ok(format!("{}, {has}", answer.status))
        });
        self.row("a call to somewhere else", "200, no token", elsewhere);

        let stranger = self.send(Request::get(format!("{}/checkout", sidecar.inbound)));
        let needed = "401 Bearer orders:write";
        self.row("who calls the service needs a token", needed, stranger.map(|answer| shown(&answer)));
        let caller = super::token(self.places, "orders:write").and_then(|token| {
            self.send(Request::get(format!("{}/checkout", sidecar.inbound)).bearer(&token))
        });
        self.row("and gets in with one", "200", caller.map(|answer| shown(&answer)));

        let outage = self.fault("status", Some(503)).and_then(|()| self.calls(sidecar, BURST));
        self.row("the token endpoint is down: calls", &format!("{BURST} × 200"), outage);
        let healed = self.fault("none", None);
        let replayed = healed.and_then(|()| self.replay(sidecar));
        self.row("orders no longer takes the token: the call", "200, with another token", replayed);
        self.sidecar_metrics(sidecar);
    }

    /// Withdraws the key that signed the service's token, waits until orders refuses it, and calls again.
    fn replay(&self, sidecar: &Sidecar) -> Result<String> {
        let old = token_of(&self.call(sidecar, "/orders")?)?;
        self.admin("rotate", &Value::Null)?;
        self.admin("withdraw", &Value::Null)?;
        wait_for("orders to refuse the old token", WITHDRAWAL, || {
            let answer = self.send(self.get("/orders").bearer(&old))?;
            Ok((answer.status == 401).then_some(()))
        })?;
        let answer = self.call(sidecar, "/orders")?;
        if answer.status != 200 {
            return Ok(shown(&answer));
        }
        let other = if token_of(&answer)? == old { "the same token" } else { "another token" };
        Ok(format!("200, with {other}"))
    }

    fn sidecar_metrics(&mut self, sidecar: &Sidecar) {
        let of = |name: &str, labels: &[(&str, &str)]| -> Result<f64> {
            let page = Request::get(format!("{}/stats/prometheus", sidecar.admin)).send();
            Ok(prometheus::sum(
                &prometheus::parse(&page.context("the sidecar's admin")?.text()),
                name,
                labels,
            ))
        };
        let purged = wait_for("the purge to be counted", COUNTING, || {
            let purged = of("attache_token_purges_total", &[("client", "orders"), ("result", "purged")])?;
            Ok((purged >= 1.0).then(|| "counted".to_owned()))
        });
        self.row("metrics: the token that was dropped", "counted", purged);
        let breaker = of("attache_token_endpoint_breaker", &[("client", "orders")]);
        let breaker = breaker.map(|state| if state == 0.0 { "closed".into() } else { format!("{state}") });
        self.row("metrics: the token endpoint's breaker", "closed", breaker);
        // Between `wasm` and `vm` stands the plugin's name.
        let reloads =
            ["envoy_wasm_inbound_vm_reload", "envoy_wasm_outbound_vm_reload"].map(|name| of(name, &[]));
        let reloads = reloads.into_iter().sum::<Result<f64>>();
        let reloads = reloads.map(|reloads| format!("{} reloads", reloads + 0.0));
        self.row("metrics: the sidecar's filter never failed", "0 reloads", reloads);
    }

    fn call(&self, sidecar: &Sidecar, path: &str) -> Result<Response> {
        self.send(Request::get(format!("{}{path}", sidecar.outbound)).header("host", ORDERS))
    }

    fn calls(&self, sidecar: &Sidecar, count: usize) -> Result<String> {
        let answers = (0..count).map(|_| self.call(sidecar, "/orders"));
        let statuses = answers.map(|answer| answer.map(|answer| shown(&answer)));
        let statuses = statuses.collect::<Result<Vec<_>>>()?;
        let good = statuses.iter().filter(|status| *status == "200").count();
        let bad = statuses.into_iter().find(|status| status != "200");
        Ok(bad.map_or_else(|| format!("{good} × 200"), |bad| format!("{good} × 200, then {bad}")))
    }

    fn fault(&self, kind: &str, value: Option<u32>) -> Result<()> {
        let value = value.map(|value| format!("&value={value}")).unwrap_or_default();
        self.admin(&format!("fault?at=token&kind={kind}{value}"), &Value::Null).map(drop)
    }

    fn token_requests(&self) -> Result<u64> {
        let status = Request::get(format!("{}/admin/status", self.places.issuer)).send()?.json()?;
        status.get("token_requests").and_then(Value::as_u64).context("the issuer counts no token requests")
    }
}

fn seen(answer: &Response) -> Result<String> {
    if answer.status != 200 {
        return Ok(shown(answer));
    }
    let echo = Echo::parse(&answer.body)?;
    Ok(format!("200, upstream sees {}", echo.header("x-auth-client-id").unwrap_or("nobody")))
}

fn token_of(answer: &Response) -> Result<String> {
    let echo = Echo::parse(&answer.body)?;
    echo.bearer().map(str::to_owned).context("no token came through")
}

/// The host that the service calls.
const ORDERS: &str = "orders.internal";
