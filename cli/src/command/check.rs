use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use attachectl::report::Format;
use attachectl::{Asking, Network, check, check_online};
use clap::{Args, ValueEnum};

/// Reads configurations and what is around them as the filter and Envoy do, and says what will go wrong: where, what
/// will happen, and what to do.
///
/// All files together are one configuration, so give a bootstrap with its resources, and a manifest with those beside
/// it. Exits 0 where there is no error, 1 where there is one, and 2 when a file cannot be read.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Plugin configurations, Envoy bootstraps and resources, or manifests, in YAML or JSON; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Exit 1 where there is a warning, too.
    #[arg(long)]
    strict: bool,
    /// Print the routes of each configuration, too, in the order in which they match, with what each demands.
    #[arg(long, conflicts_with = "output")]
    explain_routes: bool,
    /// Ask what the configurations name, too: metadata, keys, and one token for each client, which is not shown.
    ///
    /// From this machine and not from Envoy: names, routes, firewalls and trusted certificates may be others there.
    /// Client secrets come from the environment. Nothing is asked twice, and no redirect is followed.
    #[arg(long)]
    online: bool,
    /// Verify servers by the certificates in this PEM file, in place of those that the system trusts.
    #[arg(long, value_name = "FILE", requires = "online")]
    ca: Option<PathBuf>,
    /// Ask through this HTTP proxy. Without it none is used, whatever the environment says.
    #[arg(long, value_name = "URL", requires = "online")]
    proxy: Option<String>,
    /// Ask this host, too, where a metadata document names it for keys or tokens and no file does. Can be repeated.
    #[arg(long, value_name = "HOST", requires = "online")]
    allow_host: Vec<String>,
}

/// The forms of the output.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs: one JSON object.
    Json,
    /// SARIF 2.1.0, which code hosts show beside the lines of a change.
    Sarif,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode> {
        let report = if self.online {
            let mut progress = |what: &str| eprintln!("asking: {what}");
            let asking = Asking {
                ca: self.ca.as_deref(),
                proxy: self.proxy.as_deref(),
                allowed_hosts: &self.allow_host,
            };
            check_online(&self.files, &mut Network::new(asking, &mut progress)?)
        } else {
            check(&self.files)
        };
        let format = match self.output {
            Output::Text => Format::Text,
            Output::Json => Format::Json,
            Output::Sarif => Format::Sarif,
        };
        print!("{}", format.write(&report));
        if self.explain_routes {
            print!("{}", report.routes());
        }
        Ok(ExitCode::from(report.exit_code(self.strict)))
    }
}
