use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use attache::config::Config;
use attachectl::document::Document;
use clap::Args;

/// Compiles configurations as the filter does, and prints every problem with its path.
///
/// Exits 0 when there is none, 1 when there are some, and 2 when a file cannot be read.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Plugin configurations, Envoy bootstraps or manifests, in YAML or JSON; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut problems = 0_usize;
        let mut unread = false;
        for file in &self.files {
            let documents = Document::read_all(file).unwrap_or_else(|error| {
                println!("{error:#}");
                unread = true;
                Vec::new()
            });
            for document in documents {
                let place =
                    if document.place.is_empty() { String::new() } else { format!(" ({})", document.place) };
                match document.compile() {
                    Ok(config) => {
                        let contradictions = document.contradictions(&config);
                        problems = problems.saturating_add(contradictions.len());
                        for contradiction in &contradictions {
                            println!("{}{place}: {contradiction}", file.display());
                        }
                        if contradictions.is_empty() {
                            println!("{}{place}: ok, {}", file.display(), summary(&config));
                        }
                        for notice in document.notices(&config) {
                            println!("{}{place}: note: {notice}", file.display());
                        }
                    }
                    Err(errors) => {
                        problems = problems.saturating_add(errors.0.len());
                        for problem in &errors.0 {
                            println!("{}{place}: {problem}", file.display());
                        }
                    }
                }
            }
        }
        if problems > 0 {
            println!("{problems} problems");
        }
        Ok(match (unread, problems) {
            (true, _) => ExitCode::from(2),
            (false, 0) => ExitCode::SUCCESS,
            (false, _) => ExitCode::FAILURE,
        })
    }
}

fn summary(config: &Config) -> String {
    let inbound = config.inbound.as_ref().map(|inbound| {
        let routes = inbound.routes.routes().len().saturating_sub(1);
        format!("{} issuers, {routes} routes", inbound.issuers.len())
    });
    let outbound = config.outbound.as_ref().map(|outbound| {
        format!("{} clients, {} destinations", outbound.clients.len(), outbound.destinations.all().len())
    });
    inbound.into_iter().chain(outbound).collect::<Vec<_>>().join(", ")
}
