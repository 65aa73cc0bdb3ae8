//! What both halves have to be told: the configuration, the request, and what servers would answer.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use attache::base::Timestamp;
use attache::config::{Config, Value};
use attachectl::document::Document;
use clap::Args;

/// The request, and where it is configured what becomes of it.
#[derive(Debug, Args)]
pub(super) struct Request {
    /// The plugin's configuration, or a bootstrap or manifest that holds it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The filter, where the file configures several: a part of its path in the file.
    #[arg(long, value_name = "PATH")]
    filter: Option<String>,
    /// The request's method. Default: GET, or POST with --body.
    #[arg(long)]
    method: Option<String>,
    /// The request's path, with its query if it has one.
    #[arg(long, required_unless_present = "audit")]
    path: Option<String>,
    /// The request's host.
    #[arg(long, default_value = "localhost")]
    authority: String,
    /// Another header, `name: value`; may be repeated.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The metadata of an issuer, or of a client's server, where it is found by that: `NAME=FILE` or `NAME=http://…`;
    /// without the name, of the only one.
    #[arg(long, value_name = "[NAME=]SOURCE")]
    metadata: Vec<String>,
    /// When: seconds since 1970. Default: now.
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
}

/// A half of the filter.
#[derive(Clone, Copy)]
pub(super) enum Half {
    /// Tokens of callers.
    Inbound,
    /// Tokens of its own.
    Outbound,
}

impl Request {
    /// The one configuration of the file that has this half, and what it was compiled from.
    pub(super) fn config(&self, half: Half) -> Result<(Config, Value)> {
        let name = match half {
            Half::Inbound => "inbound",
            Half::Outbound => "outbound",
        };
        let file = self.config.display();
        let documents = Document::read_all(&self.config)?;
        let is_named = |document: &&Document| {
            self.filter.as_deref().is_none_or(|filter| document.place.contains(filter))
        };
        let mut found: Vec<(&Document, Config)> = Vec::new();
        for document in documents.iter().filter(is_named) {
            let config = match document.compile() {
                Ok(config) => config,
                Err(errors) => bail!("{file} ({}): the configuration is refused:\n{errors}", document.place),
            };
            let has_half = match half {
                Half::Inbound => config.inbound.is_some(),
                Half::Outbound => config.outbound.is_some(),
            };
            if has_half {
                found.push((document, config));
            }
        }
        let places = found.iter().map(|(document, _)| document.place.clone()).collect::<Vec<_>>().join("; ");
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some((document, config)), None) => {
                for name in document.unset() {
                    eprintln!("{file}: {name} is not set here: something else stands in for it");
                }
                Ok((config, document.value().clone()))
            }
            (None, _) => bail!("{file}: no configuration with a block `{name}`"),
            (Some(_), Some(_)) => {
                bail!("{file}: several filters have a block `{name}`; choose one with --filter: {places}")
            }
        }
    }

    /// The file with the configuration.
    pub(super) fn file(&self) -> &Path {
        &self.config
    }

    /// The metadata documents.
    pub(super) fn metadata(&self) -> &[String] {
        &self.metadata
    }

    /// The headers, pseudo-headers first. `method` counts where none was given.
    pub(super) fn headers(&self, method: &str) -> Result<Vec<(String, String)>> {
        let mut headers = vec![
            (":method".to_owned(), self.method.clone().unwrap_or_else(|| method.to_owned())),
            (":path".to_owned(), self.path.clone().unwrap_or_default()),
            (":authority".to_owned(), self.authority.clone()),
        ];
        for header in &self.header {
            let (name, value) = header.split_once(':').context("--header wants `name: value`")?;
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(headers)
    }

    /// When it comes.
    pub(super) fn now(&self) -> Result<Timestamp> {
        if let Some(secs) = self.at {
            return Ok(Timestamp::from_secs(secs));
        }
        #[allow(clippy::disallowed_methods, reason = "a command line reads the clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        Ok(Timestamp::from_secs(now.as_secs()))
    }
}

/// A document that a server would answer with, and whose it is: `NAME=SOURCE`, or the source alone where there is only
/// one that it can be of. `whose` says what the names are of.
pub(super) fn document(flag: &str, given: &str, names: &[&str], whose: &str) -> Result<(String, Vec<u8>)> {
    let named = given.split_once('=').filter(|(name, _)| names.contains(name));
    let known = || names.join(", ");
    if let (None, Some((name, _))) = (named, given.split_once('=')) {
        bail!("{flag} {given}: no {whose} is named {name}; configured: {}", known());
    }
    if given.contains("https://") {
        bail!("{flag} {given}: no TLS here; `curl -o FILE URL`, then `{flag} FILE`");
    }
    let (name, source) = match (named, names) {
        (Some((name, source)), _) => (name, source),
        (None, [only]) => (*only, given),
        (None, _) => bail!("{flag} wants NAME=SOURCE, as there are several: {}", known()),
    };
    Ok((name.to_owned(), read(source)?))
}

fn read(source: &str) -> Result<Vec<u8>> {
    if source.starts_with("http://") {
        let reply = ureq::get(source).call().and_then(|mut reply| reply.body_mut().read_to_vec());
        return reply.with_context(|| source.to_owned());
    }
    std::fs::read(Path::new(source)).with_context(|| format!("cannot read {source}"))
}
