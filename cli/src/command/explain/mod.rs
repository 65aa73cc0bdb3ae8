//! `attachectl explain`: a request, and what each half makes of it.

mod inbound;
mod outbound;
mod record;
mod request;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

/// Walks a request through the filter's checks: what each saw, and what comes of it. With --audit, says why a request of
/// an access log got what it got.
///
/// This is the filter alone: what Envoy does before it (normalized paths, removed headers, its own refusals) is not
/// modelled, and scopes on Envoy's route are given by --route-scopes. Exits 0 when the request is forwarded and 1 when
/// it is not. Prints claims of the token, and nothing that could be used in its place; of a token request, everything
/// but secrets.
///
/// With --audit, exits 0 when records and configuration fit, and 1 when some do not.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    request: request::Request,
    #[command(flatten)]
    inbound: inbound::Inbound,
    #[command(flatten)]
    outbound: outbound::Outbound,
    #[command(flatten)]
    records: record::Records,
}

impl Explain {
    pub(super) fn run(self) -> Result<ExitCode> {
        if self.records.are_meant() {
            return self.records.explain(&self.request);
        }
        let explanation = if self.outbound.is_meant() {
            self.outbound.explain(&self.request)?
        } else {
            self.inbound.explain(&self.request)?
        };
        print!("{}", explanation.text);
        Ok(if explanation.is_forwarded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
