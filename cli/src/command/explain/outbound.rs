//! `attachectl explain --outbound`.

use anyhow::{Context, Result};
use attachectl::explanation::{Explanation, OutboundQuestion, asserts_tls};
use clap::Args;

use super::request::{Half, Request, document};

/// What there is to know of a request that goes out, and of the answer to a token request.
#[derive(Debug, Args)]
#[command(next_help_heading = "Requests that go out")]
pub(super) struct Outbound {
    /// Explain a request that goes out: whose token it gets, what the token request looks like, how long the token
    /// counts.
    #[arg(long, requires = "cluster")]
    outbound: bool,
    /// The cluster that Envoy has chosen.
    #[arg(long, value_name = "NAME", requires = "outbound")]
    cluster: Option<String>,
    /// The metadata of the cluster says `tls: asserted`; not needed where the file holds the cluster.
    #[arg(long, requires = "outbound")]
    tls_asserted: bool,
    /// The name of Envoy's route.
    #[arg(long, value_name = "NAME", requires = "outbound")]
    route_name: Option<String>,
    /// The client that the metadata of Envoy's route names.
    #[arg(long, value_name = "NAME", requires = "outbound")]
    route_client: Option<String>,
    /// The `expires_in` that the token endpoint answers.
    #[arg(long, value_name = "SECONDS", requires = "outbound")]
    expires_in: Option<u64>,
    /// The `exp` of the token, if it is a JWT: seconds since 1970.
    #[arg(long, value_name = "SECONDS", requires = "outbound")]
    exp: Option<u64>,
}

impl Outbound {
    /// Whether it is this half that is to be explained.
    pub(super) fn is_meant(&self) -> bool {
        self.outbound
    }

    pub(super) fn explain(&self, request: &Request) -> Result<Explanation> {
        let (config, value) = request.config(Half::Outbound)?;
        let outbound = config.outbound.as_deref().context("the configuration has no block `outbound`")?;
        let cluster = self.cluster.clone().unwrap_or_default();
        let names: Vec<&str> = outbound.clients.iter().map(|client| &*client.name).collect();
        let metadata = request.metadata().iter().map(|given| document("--metadata", given, &names, "client"));
        let question = OutboundQuestion {
            headers: request.headers("GET")?,
            asserts_tls: self.tls_asserted || asserts_tls(request.file(), &cluster) == Some(true),
            cluster,
            route_name: self.route_name.clone(),
            route_client: self.route_client.clone(),
            metadata: metadata.collect::<Result<_>>()?,
            expires_in: self.expires_in,
            exp: self.exp,
            now: request.now()?,
        };
        Ok(question.ask(&config, &value))
    }
}
