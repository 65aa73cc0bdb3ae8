//! `attachectl explain`, of a request that comes in.

use anyhow::{Context, Result, bail};
use attache::inbound::{Settings, TokenSource};
use attachectl::explanation::{Explanation, Question};
use clap::Args;

use super::request::{Half, Request, document};

/// What there is to know of a caller and of the issuers.
#[derive(Debug, Args)]
pub(super) struct Inbound {
    /// The token, or `@FILE`, or `-` for standard input; it is sent as the configuration's first source wants it.
    #[arg(long, value_name = "TOKEN", conflicts_with = "outbound")]
    token: Option<String>,
    /// Scopes on Envoy's own route, separated by spaces.
    #[arg(long, value_name = "SCOPES", conflicts_with = "outbound")]
    route_scopes: Option<String>,
    /// The body of a message of MCP: a file, or `-` for standard input. The request is then a POST of JSON, unless
    /// --method and --header say otherwise.
    #[arg(long, value_name = "FILE", conflicts_with = "outbound")]
    body: Option<String>,
    /// The keys of an issuer: `NAME=FILE` or `NAME=http://…`; without the name, of the only one.
    #[arg(long, value_name = "[NAME=]SOURCE", conflicts_with = "outbound")]
    jwks: Vec<String>,
}

impl Inbound {
    pub(super) fn explain(&self, request: &Request) -> Result<Explanation> {
        let (config, _) = request.config(Half::Inbound)?;
        let inbound = config.inbound.as_deref().context("the configuration has no block `inbound`")?;
        let mut headers = request.headers(if self.body.is_some() { "POST" } else { "GET" })?;
        if let Some(token) = &self.token {
            present(&read_token(token)?, &mut headers, inbound)?;
        }
        let body = self.body.as_deref().map(read_body).transpose()?;
        if inbound.reads_bodies() && !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let names: Vec<&str> = inbound.issuers.iter().map(|issuer| &*issuer.name).collect();
        let read = |flag, given: &[String]| -> Result<Vec<_>> {
            given.iter().map(|given| document(flag, given, &names, "issuer")).collect()
        };
        let scopes = self.route_scopes.iter().map(|scopes| ("scopes".to_owned(), scopes.clone()));
        let question = Question {
            headers,
            body,
            route_metadata: scopes.collect(),
            key_sets: read("--jwks", &self.jwks)?,
            metadata: read("--metadata", request.metadata())?,
            now: request.now()?,
        };
        Ok(question.ask(&config))
    }
}

/// Puts the token where the configuration looks first.
fn present(token: &str, headers: &mut Vec<(String, String)>, inbound: &Settings) -> Result<()> {
    let source = inbound.sources.first().context("the configuration takes tokens from nowhere")?;
    let field = match source {
        TokenSource::Header { name, scheme: Some(scheme) } => (name.to_string(), format!("{scheme} {token}")),
        TokenSource::Header { name, scheme: None } => (name.to_string(), token.to_owned()),
        TokenSource::Cookie { name } => ("cookie".to_owned(), format!("{name}={token}")),
        TokenSource::Query { name } => {
            for (_, path) in headers.iter_mut().filter(|(field, _)| field == ":path") {
                let separator = if path.contains('?') { '&' } else { '?' };
                path.push_str(&format!("{separator}{name}={token}"));
            }
            return Ok(());
        }
    };
    headers.push(field);
    Ok(())
}

fn read_body(file: &str) -> Result<Vec<u8>> {
    if file == "-" {
        let mut body = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut body).context("cannot read standard input")?;
        return Ok(body);
    }
    std::fs::read(file).with_context(|| format!("cannot read {file}"))
}

fn read_token(token: &str) -> Result<String> {
    let text = match token.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?,
        None if token == "-" => {
            std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?
        }
        None if std::path::Path::new(token).is_file() => {
            bail!("--token takes a token, and `{token}` is a file: write `--token @{token}`")
        }
        None => token.to_owned(),
    };
    let text = text.trim();
    if text.split_ascii_whitespace().count() > 1 || text.starts_with('{') {
        bail!("--token wants the token alone: without `Bearer`, and not the answer that it came in");
    }
    Ok(text.to_owned())
}
