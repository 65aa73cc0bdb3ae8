use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use attache_harness::upstream::Upstream as Running;
use clap::Args;

use super::signal::Signals;

/// An echo upstream.
#[derive(Debug, Args)]
pub(crate) struct Upstream {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
}

impl Upstream {
    pub(super) fn run(self) -> Result<ExitCode> {
        let signals = Signals::new()?;
        let upstream = Running::listen(self.listen)?;
        println!("upstream listens on http://{}", upstream.addr());
        signals.wait();
        Ok(ExitCode::SUCCESS)
    }
}
