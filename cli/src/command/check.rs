use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
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
        for file in &self.files {
            for document in Document::read_all(file)? {
                let place =
                    if document.place.is_empty() { String::new() } else { format!(" ({})", document.place) };
                match document.compile() {
                    Ok(config) => {
                        let routes = config.inbound.routes.routes().len().saturating_sub(1);
                        let issuers = config.inbound.issuers.len();
                        println!("{}{place}: ok, {issuers} issuers, {routes} routes", file.display());
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
        if problems == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        println!("{problems} problems");
        Ok(ExitCode::FAILURE)
    }
}
