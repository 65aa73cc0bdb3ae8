//! `attachectl explain --audit`.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use attache::config::{Config, Value};
use attachectl::explanation::{Fault, Record};
use attachectl::printing::escaped;
use clap::Args;

use super::request::{Half, Request};

/// What has been logged of requests.
#[derive(Debug, Args)]
#[command(next_help_heading = "Requests of an access log")]
pub(super) struct Records {
    /// Explain records: a file with a JSON object in each line, or `-` for standard input. docs/audit.md says how Envoy
    /// writes them; logs with `wasm.attache.decision` as `decision` are read, too.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["path", "outbound", "token", "body", "header", "at"])]
    audit: Option<PathBuf>,
    /// Only the record of this request: its `x-request-id`.
    #[arg(long, value_name = "ID", requires = "audit")]
    request_id: Option<String>,
}

/// What records are held against, read when the first one needs it.
struct Configurations<'a> {
    request: &'a Request,
    inbound: Option<(Config, Value)>,
    outbound: Option<(Config, Value)>,
}

impl Records {
    /// Whether it is records that are to be explained.
    pub(super) fn are_meant(&self) -> bool {
        self.audit.is_some()
    }

    pub(super) fn explain(&self, request: &Request) -> Result<ExitCode> {
        let path = self.audit.as_deref().unwrap_or(Path::new("-"));
        let file = path.display().to_string();
        let file = escaped(&file);
        let mut lines: Box<dyn BufRead> = if path == Path::new("-") {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(BufReader::new(File::open(path).with_context(|| format!("cannot read {file}"))?))
        };
        let mut configurations = Configurations { request, inbound: None, outbound: None };
        let (mut told, mut fit, mut unread) = (0_usize, true, 0_usize);
        for number in 1_u64.. {
            let Some(line) = read_line(&mut lines).with_context(|| format!("cannot read {file}"))? else {
                break;
            };
            let line = match line {
                Line::Text(line) if line.trim().is_empty() => continue,
                Line::Text(line) => Record::parse(&line),
                Line::TooLong => Err(Fault::TooLong),
            };
            let record = match line {
                Ok(record) => record,
                Err(fault) => {
                    unread = unread.saturating_add(1);
                    if unread <= MAX_FAULTS && self.request_id.is_none() {
                        eprintln!("{file}:{number}: {fault}");
                    }
                    continue;
                }
            };
            if self.request_id.is_some() && record.text("request_id") != self.request_id.as_deref() {
                continue;
            }
            if told >= MAX_RECORDS {
                eprintln!("{file}: there are more than {MAX_RECORDS} records; choose one with --request-id");
                break;
            }
            let explanation = configurations.explain(&record).with_context(|| format!("{file}:{number}"))?;
            let separator = if told > 0 { "\n" } else { "" };
            fit &= explanation.is_forwarded;
            told = told.saturating_add(1);
            match write!(std::io::stdout().lock(), "{separator}{}", explanation.text) {
                // Who reads this has read enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                written => written.context("cannot write to standard output")?,
            }
        }
        if unread > 0 {
            eprintln!("{file}: {unread} lines are no records");
        }
        match (told, &self.request_id) {
            (0, Some(id)) => bail!(
                "{file}: no record has the request id {:?}: is `request_id` logged, and is this the log of the proxy \
                 that answered?",
                escaped(id)
            ),
            (0, None) => bail!("{file}: no record here: expected a JSON object in each line"),
            (_, _) => Ok(if fit { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        }
    }
}

impl Configurations<'_> {
    fn explain(&mut self, record: &Record) -> Result<attachectl::explanation::Explanation> {
        if record.has_inbound() && self.inbound.is_none() {
            self.inbound = Some(self.request.config(Half::Inbound)?);
        }
        if record.has_outbound() && self.outbound.is_none() {
            self.outbound = Some(self.request.config(Half::Outbound)?);
        }
        let inbound = self.inbound.as_ref().filter(|_| record.has_inbound());
        let outbound = self.outbound.as_ref().filter(|_| record.has_outbound());
        Ok(record.explain(
            inbound.map(|(config, value)| (config, value)),
            outbound.map(|(config, value)| (config, value)),
        ))
    }
}

enum Line {
    Text(String),
    TooLong,
}

/// The next line; `None` at the end. What is too long is skipped without being kept.
fn read_line(mut lines: &mut dyn BufRead) -> std::io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
    (&mut lines).take(limit).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() < MAX_LINE_BYTES || bytes.ends_with(b"\n") {
        return Ok(Some(Line::Text(String::from_utf8_lossy(&bytes).into_owned())));
    }
    loop {
        let buffer = lines.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (used, is_last) = match end {
            Some(place) => (place.saturating_add(1), true),
            None => (buffer.len(), buffer.is_empty()),
        };
        lines.consume(used);
        if is_last {
            return Ok(Some(Line::TooLong));
        }
    }
}

/// A little more than a record may have.
const MAX_LINE_BYTES: usize = 256 * 1024 + 2;
/// What a person reads.
const MAX_RECORDS: usize = 1_000;
/// How many lines that are no records are told one by one.
const MAX_FAULTS: usize = 10;
