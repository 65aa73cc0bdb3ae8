//! `attachectl top`.

mod live;
mod reading;
mod screen;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use attachectl::top::Admin;
use clap::Args;
use reading::Reading;

use super::signal::Signals;

/// Shows what an Envoy with the filter is doing: decisions per second, keys and their age, tokens and their expiry,
/// circuit breakers, VMs.
///
/// On a terminal it goes on until `q` or Ctrl-C; what an operator should look at stands out. Elsewhere it reads the
/// page twice, prints one plain table with the rates in between, and ends. The admin page shows much of a
/// configuration: keep it on the host, and reach it by a tunnel.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Envoy's admin page.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9901")]
    admin: String,
    /// How often the page is read, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

impl Top {
    pub(super) fn run(self) -> Result<ExitCode> {
        let admin = Admin::new(&self.admin)?;
        let interval = Duration::from_secs(self.interval);
        let signals = Signals::new()?;
        if std::io::stdout().is_terminal() {
            return live::run(&admin, interval, &signals);
        }
        let hint = || {
            format!(
                "cannot read Envoy's statistics at {}: is its admin page there (`admin` in the bootstrap), and \
                 reachable from here?",
                admin.shown()
            )
        };
        let before = Reading::take(&admin).with_context(hint)?;
        if signals.wait_for(interval) {
            return Ok(ExitCode::from(130));
        }
        let now = Reading::take(&admin).with_context(hint)?;
        println!("{}, {} s", admin.shown(), self.interval);
        print!("{}", now.view(Some(&before)).text());
        Ok(ExitCode::SUCCESS)
    }
}
