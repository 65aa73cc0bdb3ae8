//! The same records by `deploy/observability/envoy-grpc-als.yaml`, to a gRPC access log service that writes each entry
//! into a file.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;

use anyhow::{Context, Result};
use attache_harness::issuer::{Algorithm, Issuer, IssuerOptions};
use attache_harness::upstream::Upstream;
use attache_harness::wait::wait_for;
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::load::Load;
use super::proxy::{Gateway, ISSUER, LISTENER};
use super::{PATIENCE, PLACE, REQUESTS, free_port};
use crate::program::Program;
use crate::report::Report;
use crate::world::{World, installed};

pub(super) fn rows(world: &World, report: &mut Report) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let directory = world.directory("statistics-grpc")?;
    let mut command = Command::new(installed("accesslog")?);
    let mut service = Program::start("accesslog", &directory, command.arg(address.to_string()))?;
    service.wait_until("the access log service", PATIENCE, || TcpStream::connect(address).ok())?;
    let upstream = Upstream::start()?;
    let issuer = Issuer::start(IssuerOptions {
        identifier: Some(ISSUER.to_owned()),
        algorithms: vec![Algorithm::Es256],
        ..IssuerOptions::default()
    })?;
    let gateway = Gateway {
        issuer: &issuer,
        upstream: &upstream,
        log: "envoy-grpc-als.yaml",
        service: address,
        changes: json!({ "buffer_flush_interval": "0.2s" }),
    };
    let gateway = gateway.start()?;
    let load = Load::new(&issuer)?;
    load.send(&gateway.url(LISTENER)?, REQUESTS)?;
    let entries = wait_for("the entries", PATIENCE, || {
        let log = service.log();
        let lines: Vec<&str> = log.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        Ok((lines.len() >= REQUESTS).then(|| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()))
    })?;
    let got = counts(&entries).map(|counts| {
        let all =
            if counts == load.counts(REQUESTS) { "each as it was sent" } else { &format!("{counts:?}") };
        format!("{} entries, {all}", entries.len())
    });
    report.row(PLACE, "a gRPC access log service", REQUESTS, "300 entries, each as it was sent", got);
    Ok(())
}

/// The entries by the labels that the plane would have counted them by.
fn counts(entries: &[String]) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for entry in entries {
        let entry: Value = serde_json::from_str(entry).context("a line of JSON")?;
        let entry = &entry["entry"];
        let state = &entry["commonProperties"]["filterStateObjects"];
        let field = |name: &str| -> Result<String> {
            let object = &state[format!("wasm.attache.audit.{name}")];
            let value = object["value"].as_str().unwrap_or_default();
            let is_bytes = object["@type"].as_str().is_some_and(|kind| kind.ends_with(".BytesValue"));
            let bytes = if is_bytes { Base64::decode_vec(value)? } else { value.as_bytes().to_vec() };
            let text = String::from_utf8(bytes)?;
            Ok(if text.is_empty() { "none".to_owned() } else { text })
        };
        let method =
            entry["request"]["requestMethod"].as_str().filter(|method| ["GET", "POST"].contains(method));
        let method = method.unwrap_or("other");
        let class = entry["response"]["responseCode"].as_u64().context("a status")? / 100;
        let labels = format!("{} {} {} {method} {class}xx", field("client")?, field("api")?, field("route")?);
        *counts.entry(labels).or_default() += 1;
    }
    Ok(counts)
}
