//! The subcommands, one file each.

mod bootstrap;
mod check;
mod demo;
mod explain;
mod import;
mod init;
mod issuer;
mod schema;
mod signal;
mod token;
mod top;
mod up;
mod upstream;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// What to do. The texts are attributes, because a comment here would take the place of the longer one of the command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(
        about = "Start an issuer, an upstream and Envoy with the filter; walk through the main job; end everything"
    )]
    Demo(demo::Demo),
    #[command(about = "Start the same and leave it running, with commands to try")]
    Up(up::Up),
    #[command(about = "Hold a configuration against the filter's own compiler")]
    Check(check::Check),
    #[command(about = "Tell why a request is forwarded or refused")]
    Explain(explain::Explain),
    #[command(about = "Show what an Envoy with the filter is doing")]
    Top(top::Top),
    #[command(about = "Write an Envoy bootstrap to start from, check it, and say how to start it")]
    Init(init::Init),
    #[command(about = "Write routes and requirements from what another gateway has")]
    Import(import::Import),
    #[command(about = "Print the JSON Schema of configurations, for editors")]
    Schema(schema::Schema),
    #[command(about = "Get a token from an issuer")]
    Token(token::Token),
    #[command(about = "Run the test issuer. It mints any token for any client: not for production")]
    Issuer(issuer::Issuer),
    #[command(about = "Run the echo upstream")]
    Upstream(upstream::Upstream),
    #[command(about = "Print an Envoy bootstrap with other addresses, as JSON")]
    Bootstrap(bootstrap::Bootstrap),
}

impl Command {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Demo(demo) => demo.run(),
            Self::Up(up) => up.run(),
            Self::Check(check) => check.run(),
            Self::Explain(explain) => explain.run(),
            Self::Top(top) => top.run(),
            Self::Init(init) => init.run(),
            Self::Import(import) => import.run(),
            Self::Schema(schema) => schema.run(),
            Self::Token(token) => token.run(),
            Self::Issuer(issuer) => issuer.run(),
            Self::Upstream(upstream) => upstream.run(),
            Self::Bootstrap(bootstrap) => bootstrap.run(),
        }
    }
}
