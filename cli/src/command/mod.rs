//! The subcommands, one file each.

mod bootstrap;
mod check;
mod demo;
mod explain;
mod init;
mod issuer;
mod signal;
mod token;
mod up;
mod upstream;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start an issuer, an upstream and Envoy with the filter; walk through the main job; end everything.
    Demo(demo::Demo),
    /// Start the same and leave it running, with commands to try.
    Up(up::Up),
    /// Hold a configuration against the filter's own compiler.
    Check(check::Check),
    /// Tell why a request is forwarded or refused.
    Explain(explain::Explain),
    /// Write an Envoy bootstrap to start from, check it, and say how to start it.
    Init(init::Init),
    /// Get a token from an issuer.
    Token(token::Token),
    /// Run the test issuer. It mints any token for any client: not for production.
    Issuer(issuer::Issuer),
    /// Run the echo upstream.
    Upstream(upstream::Upstream),
    /// Print an Envoy bootstrap with other addresses, as JSON.
    Bootstrap(bootstrap::Bootstrap),
}

impl Command {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Demo(demo) => demo.run(),
            Self::Up(up) => up.run(),
            Self::Check(check) => check.run(),
            Self::Explain(explain) => explain.run(),
            Self::Init(init) => init.run(),
            Self::Token(token) => token.run(),
            Self::Issuer(issuer) => issuer.run(),
            Self::Upstream(upstream) => upstream.run(),
            Self::Bootstrap(bootstrap) => bootstrap.run(),
        }
    }
}
