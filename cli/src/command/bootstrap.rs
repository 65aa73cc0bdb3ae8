use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use attache_harness::bootstrap::Bootstrap as Document;
use clap::Args;

/// A bootstrap, and what to change in it.
#[derive(Debug, Args)]
pub(crate) struct Bootstrap {
    /// The bootstrap.
    #[arg(long, value_name = "PATH", default_value = "envoy.yaml")]
    config: PathBuf,
    /// The IP address for the admin and all listeners; the ports stay.
    #[arg(long, value_name = "IP")]
    listen: Option<IpAddr>,
    /// The filter's path.
    #[arg(long, value_name = "PATH")]
    wasm: Option<PathBuf>,
    /// Where a cluster is; may be repeated.
    #[arg(long = "cluster", value_name = "NAME=HOST:PORT", value_parser = cluster)]
    clusters: Vec<(String, String, u16)>,
}

impl Bootstrap {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut document = Document::read(&self.config)?;
        if let Some(ip) = self.listen {
            document.set_admin(SocketAddr::new(ip, document.admin()?.port()))?;
            for name in document.listeners() {
                document.set_listener(&name, SocketAddr::new(ip, document.listener(&name)?.port()))?;
            }
        }
        if let Some(wasm) = &self.wasm {
            document.set_wasm(wasm)?;
        }
        for (name, host, port) in &self.clusters {
            document.set_cluster(name, host, *port)?;
        }
        println!("{}", document.to_json());
        Ok(ExitCode::SUCCESS)
    }
}

fn cluster(text: &str) -> Result<(String, String, u16)> {
    let parts = text.split_once('=').and_then(|(name, place)| Some((name, place.rsplit_once(':')?)));
    let (name, (host, port)) = parts.context("write it as NAME=HOST:PORT")?;
    Ok((name.to_owned(), host.to_owned(), port.parse().context("the port is no number")?))
}
