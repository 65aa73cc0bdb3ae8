//! Envoy's admin page.

use core::time::Duration;

use anyhow::{Context as _, Result, bail};
use ureq::Agent;

use super::stats::Stats;
use crate::printing::{escaped, shown_url};

/// Where it is, and how it is asked.
#[derive(Clone, Debug)]
pub struct Admin {
    url: String,
    agent: Agent,
}

impl Admin {
    /// `http://HOST:PORT`, or without the scheme.
    ///
    /// # Errors
    /// It is no such address.
    pub fn new(url: &str) -> Result<Self> {
        let url = match url.split_once("://") {
            None => format!("http://{}", url.trim_end_matches('/')),
            Some(("http", rest)) => format!("http://{}", rest.trim_end_matches('/')),
            Some((scheme, _)) => {
                bail!(
                    "--admin wants http://HOST:PORT, and not {}: Envoy's admin page has no TLS",
                    escaped(scheme)
                )
            }
        };
        if url.parse::<ureq::http::Uri>().ok().and_then(|url| url.host().map(str::len)).unwrap_or_default()
            == 0
        {
            bail!("--admin wants http://HOST:PORT: {} is no address", escaped(&shown_url(&url)));
        }
        let config = Agent::config_builder().timeout_global(Some(MAX_TIME)).max_redirects(0).proxy(None);
        Ok(Self { url, agent: Agent::new_with_config(config.build()) })
    }

    /// The address, as it may be shown.
    pub fn shown(&self) -> String {
        escaped(&shown_url(&self.url)).into_owned()
    }

    /// Reads the statistics.
    ///
    /// # Errors
    /// The page cannot be reached or read.
    pub fn read(&self) -> Result<Stats> {
        let url = format!("{}/stats?format=json&filter={FILTER}", self.url);
        let mut reply = self.agent.get(&url).call()?;
        let body =
            reply.body_mut().with_config().limit(MAX_BODY).read_to_vec().context("reading the answer")?;
        Ok(Stats::parse(&body)?)
    }
}

/// The statistics that are looked at: `attache|wasm|^server\.(live|state|uptime|concurrency)$`, percent-encoded.
const FILTER: &str = "attache%7Cwasm%7C%5Eserver%5C.%28live%7Cstate%7Cuptime%7Cconcurrency%29%24";
/// An admin page on this host answers in milliseconds.
const MAX_TIME: Duration = Duration::from_secs(5);
/// What the most statistics that are looked at take.
const MAX_BODY: u64 = 64 * 1024 * 1024;
