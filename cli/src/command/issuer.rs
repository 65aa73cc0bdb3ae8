use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use attache_harness::issuer::{
    Algorithm, Client, DEMO_AUDIENCE, DEMO_CLIENT, DEMO_IDENTIFIER, DEMO_SCOPES, DEMO_SECRET,
    Issuer as Running, IssuerOptions,
};
use clap::Args;

use super::signal::Signals;

/// A test issuer with one client.
#[derive(Debug, Args)]
pub(crate) struct Issuer {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// The `iss` of its tokens.
    #[arg(long, value_name = "URL", default_value = DEMO_IDENTIFIER)]
    identifier: String,
    /// The `aud` of its tokens.
    #[arg(long, default_value = DEMO_AUDIENCE)]
    audience: String,
    /// How long its tokens live, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    lifetime: u64,
    /// One key for each; the first signs.
    #[arg(long, value_name = "ALG", default_value = "RS256", value_delimiter = ',')]
    algorithms: Vec<Algorithm>,
    /// The client's id.
    #[arg(long, value_name = "ID", default_value = DEMO_CLIENT)]
    client_id: String,
    /// The client's secret.
    #[arg(long, value_name = "SECRET", env = "ATTACHE_CLIENT_SECRET", default_value = DEMO_SECRET, hide_env_values = true)]
    client_secret: String,
    /// The scopes that the client may have.
    #[arg(long, value_delimiter = ',', default_values = DEMO_SCOPES)]
    scopes: Vec<String>,
}

impl Issuer {
    pub(super) fn run(self) -> Result<ExitCode> {
        let signals = Signals::new()?;
        let issuer = Running::start(IssuerOptions {
            listen: self.listen,
            identifier: Some(self.identifier),
            audience: self.audience,
            lifetime: Duration::from_secs(self.lifetime),
            algorithms: self.algorithms,
            clients: vec![Client {
                scopes: self.scopes,
                ..Client::new(self.client_id).secret(self.client_secret)
            }],
            ..IssuerOptions::default()
        })?;
        println!("issuer {} listens on {}", issuer.identifier(), issuer.url());
        signals.wait();
        Ok(ExitCode::SUCCESS)
    }
}
