use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use attache_harness::token::{Authentication, TokenRequest, discover};
use clap::{Args, ValueEnum};

/// A client-credentials request; the token goes to standard output.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// The issuer's URL; its metadata names the token endpoint.
    #[arg(long, value_name = "URL", required_unless_present = "token_endpoint")]
    issuer: Option<String>,
    /// The token endpoint, for an issuer without metadata.
    #[arg(long, value_name = "URL")]
    token_endpoint: Option<String>,
    /// The client's id.
    #[arg(long, value_name = "ID", env = "ATTACHE_CLIENT_ID")]
    client_id: String,
    /// The client's secret; better in the environment than on the command line.
    #[arg(long, value_name = "SECRET", env = "ATTACHE_CLIENT_SECRET", hide_env_values = true)]
    client_secret: String,
    /// How the client authenticates.
    #[arg(long, value_enum, default_value = "client_secret_basic")]
    authentication: Method,
    /// The scopes, separated by spaces.
    #[arg(long)]
    scope: Option<String>,
    /// The resource (RFC 8707).
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
    /// The audience, which some issuers want in place of a resource.
    #[arg(long)]
    audience: Option<String>,
}

/// How a client authenticates.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Method {
    /// In the authorization header.
    ClientSecretBasic,
    /// In the form.
    ClientSecretPost,
}

impl Token {
    pub(super) fn run(self) -> Result<ExitCode> {
        let endpoint = match (self.token_endpoint, self.issuer) {
            (Some(endpoint), _) => endpoint,
            (None, Some(issuer)) => discover(require_http(&issuer)?)?,
            (None, None) => bail!("give --issuer or --token-endpoint"),
        };
        let request = TokenRequest {
            endpoint: require_http(&endpoint)?.to_owned(),
            client_id: self.client_id,
            client_secret: self.client_secret,
            authentication: match self.authentication {
                Method::ClientSecretBasic => Authentication::ClientSecretBasic,
                Method::ClientSecretPost => Authentication::ClientSecretPost,
            },
            scope: self.scope,
            resource: self.resource,
            audience: self.audience,
        };
        println!("{}", request.send().context("no token")?.access_token);
        Ok(ExitCode::SUCCESS)
    }
}

fn require_http(url: &str) -> Result<&str> {
    if url.starts_with("https://") {
        bail!(
            "{url}: attachectl speaks no TLS yet; use `curl -u ID:SECRET -d grant_type=client_credentials {url}`"
        );
    }
    Ok(url)
}
