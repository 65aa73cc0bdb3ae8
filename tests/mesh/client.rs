//! A client outside of the mesh: `curl`, which trusts the machine's certification authority.

use std::process::Command;

use anyhow::{Context, Result, bail};
use attache_harness::demo;
use attache_harness::http::Response;

/// A request to send.
pub(crate) struct Call {
    method: &'static str,
    url: String,
    headers: Vec<String>,
}

impl Call {
    pub(crate) fn get(url: impl Into<String>) -> Self {
        Self { method: "GET", url: url.into(), headers: Vec::new() }
    }

    pub(crate) fn post(url: impl Into<String>) -> Self {
        Self { method: "POST", ..Self::get(url) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(format!("{name}: {value}"));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Sends it and reads the whole answer; any status is one.
    pub(crate) fn send(&self) -> Result<Response> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--http1.1", "--max-time", "60"]);
        command.args(["--request", self.method, &self.url]);
        for header in &self.headers {
            command.args(["--header", header]);
        }
        let output = command.output().context("cannot start curl")?;
        if !output.status.success() {
            // Without the command: it has a token.
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let answer = String::from_utf8(output.stdout)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without an end of its head")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Ok(Response { status, headers, body: body.into() })
    }

    /// The status and what the challenge says: `401 Bearer invalid_token`.
    pub(crate) fn shown(&self) -> Result<String> {
        Ok(demo::shown(&self.send()?))
    }

    /// As `shown`; of a request that passed, which client the upstream sees.
    pub(crate) fn seen_by_upstream(&self) -> Result<String> {
        demo::seen_by_upstream(&self.send()?)
    }
}
