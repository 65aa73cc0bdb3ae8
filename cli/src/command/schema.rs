use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

/// `attachectl schema`.
#[derive(Debug, Args)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self {} = self;
        print!("{}", include_str!("../../../docs/attache.schema.json"));
        Ok(ExitCode::SUCCESS)
    }
}
