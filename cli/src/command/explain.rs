use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use attache::base::Timestamp;
use attache::config::Config;
use attache::inbound::{self, TokenSource};
use attachectl::document::Document;
use attachectl::explanation::Question;
use clap::Args;

/// Walks a request through the filter's checks: what each saw, and the exact response.
///
/// This is the filter alone: what Envoy does before it (normalized paths, removed headers, its own refusals) is not
/// modelled, and scopes on Envoy's route are given by --route-scopes. Exits 0 when the request is forwarded and 1 when
/// it is not. Prints claims of the token, and nothing that could be used in its place.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The plugin's configuration, or a bootstrap or manifest that holds it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The token, or `@FILE`, or `-` for standard input; it is sent as the configuration's first source wants it.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// The request's method.
    #[arg(long, default_value = "GET")]
    method: String,
    /// The request's path, with its query if it has one.
    #[arg(long)]
    path: String,
    /// The request's host.
    #[arg(long, default_value = "localhost")]
    authority: String,
    /// Another header, `name: value`; may be repeated.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Scopes on Envoy's own route, separated by spaces.
    #[arg(long, value_name = "SCOPES")]
    route_scopes: Option<String>,
    /// The keys of an issuer: `NAME=FILE` or `NAME=http://…`; without the name, of the only one.
    #[arg(long, value_name = "[NAME=]SOURCE")]
    jwks: Vec<String>,
    /// When: seconds since 1970. Default: now.
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
}

impl Explain {
    pub(super) fn run(self) -> Result<ExitCode> {
        let documents = Document::read_all(&self.config)?;
        let [document] = documents.as_slice() else {
            bail!(
                "{} configures the filter more than once: give the plugin's own configuration",
                self.config.display()
            );
        };
        let config = match document.compile() {
            Ok(config) => config,
            Err(errors) => bail!("the configuration is refused:\n{errors}"),
        };
        let explanation = self.question(&config)?.ask(&config);
        print!("{}", explanation.text);
        Ok(if explanation.is_forwarded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn question(&self, config: &Config) -> Result<Question> {
        let inbound = config.inbound.as_deref();
        let inbound =
            inbound.context("explain is about callers' tokens: the configuration has no block `inbound`")?;
        let mut headers = vec![
            (":method".to_owned(), self.method.clone()),
            (":path".to_owned(), self.path.clone()),
            (":authority".to_owned(), self.authority.clone()),
        ];
        for header in &self.header {
            let (name, value) = header.split_once(':').context("--header wants `name: value`")?;
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        if let Some(token) = &self.token {
            present(&read_token(token)?, &mut headers, inbound)?;
        }
        let key_sets = self.jwks.iter().map(|source| key_set(source, inbound)).collect::<Result<_>>()?;
        let scopes = self.route_scopes.iter().map(|scopes| ("scopes".to_owned(), scopes.clone()));
        Ok(Question { headers, route_metadata: scopes.collect(), key_sets, now: self.now()? })
    }

    fn now(&self) -> Result<Timestamp> {
        if let Some(secs) = self.at {
            return Ok(Timestamp::from_secs(secs));
        }
        #[allow(clippy::disallowed_methods, reason = "a command line reads the clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        Ok(Timestamp::from_secs(now.as_secs()))
    }
}

/// Puts the token where the configuration looks first.
fn present(token: &str, headers: &mut Vec<(String, String)>, inbound: &inbound::Settings) -> Result<()> {
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

fn read_token(token: &str) -> Result<String> {
    let text = match token.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?,
        None if token == "-" => {
            std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?
        }
        None => token.to_owned(),
    };
    let text = text.trim();
    if text.split_ascii_whitespace().count() > 1 || text.starts_with('{') {
        bail!("--token wants the token alone: without `Bearer`, and not the answer that it came in");
    }
    Ok(text.to_owned())
}

fn key_set(source: &str, inbound: &inbound::Settings) -> Result<(String, Vec<u8>)> {
    let issuers = &inbound.issuers;
    let named =
        source.split_once('=').filter(|(name, _)| issuers.iter().any(|issuer| *issuer.name == **name));
    let names = || issuers.iter().map(|issuer| &*issuer.name).collect::<Vec<_>>().join(", ");
    if let (None, Some((name, _))) = (named, source.split_once('=')) {
        bail!("--jwks {source}: no issuer is named {name}; configured: {}", names());
    }
    if source.contains("https://") {
        bail!("--jwks {source}: no TLS here; `curl -o jwks.json URL`, then `--jwks jwks.json`");
    }
    let (name, source) = match (named, issuers.as_slice()) {
        (Some((name, source)), _) => (name.to_owned(), source),
        (None, [only]) => (only.name.to_string(), source),
        (None, _) => bail!("--jwks wants NAME=SOURCE, as there are several issuers: {}", names()),
    };
    let document = if source.starts_with("http://") {
        ureq::get(source)
            .call()
            .and_then(|mut reply| reply.body_mut().read_to_vec())
            .with_context(|| source.to_owned())?
    } else {
        std::fs::read(Path::new(source)).with_context(|| format!("cannot read {source}"))?
    };
    Ok((name, document))
}
