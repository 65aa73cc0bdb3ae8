//! A real Prometheus, with the shipped configuration, and what it is asked.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{cell::RefCell, fs};

use anyhow::{Context, Result, bail};
use attache_harness::http::Request;
use serde_json::{Value, json};

use super::{file, program};
use crate::program::Program;

/// It ends when dropped.
pub(crate) struct Prometheus {
    program: RefCell<Program>,
    url: String,
    /// When it was started, as Unix time.
    begun: f64,
}

/// A rule as Prometheus sees it.
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) health: String,
}

impl Prometheus {
    /// Starts it; it scrapes these addresses each second.
    pub(crate) fn start(directory: &Path, targets: &[SocketAddr]) -> Result<Self> {
        let mut configuration: Value = serde_saphyr::from_str(&fs::read_to_string(file("prometheus.yaml"))?)?;
        for interval in ["scrape_interval", "evaluation_interval"] {
            configuration["global"][interval] = "1s".into();
        }
        configuration["rule_files"] = json!([file("alerts.yaml")]);
        configuration["scrape_configs"][0]["static_configs"] = json!([{ "targets": targets }]);
        let path = directory.join("prometheus.json");
        fs::write(&path, configuration.to_string())?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = Command::new(program("prometheus"));
        command.arg(format!("--config.file={}", path.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
        command.arg(format!("--web.listen-address={listen}")).current_dir(directory);
        let mut program = Program::start("prometheus", directory, &mut command)?;
        let url = format!("http://{listen}");
        program.wait_until("Prometheus", PATIENCE, || {
            let ready = Request::get(format!("{url}/-/ready")).send().ok()?;
            (ready.status == 200).then_some(())
        })?;
        let begun = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        Ok(Self { program: RefCell::new(program), url, begun })
    }

    /// Waits until it has so many scrapes of each target.
    pub(crate) fn has_scraped(&self, times: usize) -> Result<()> {
        self.wait_for(&format!("min(sum_over_time(up[1h])) >= {times}"))
    }

    /// Waits until a query finds something.
    pub(crate) fn wait_for(&self, query: &str) -> Result<()> {
        self.program.borrow_mut().wait_until(query, PATIENCE, || {
            let found = self.instant(query).ok()?;
            (!found.is_empty()).then_some(())
        })
    }

    /// The series of a query at this moment.
    pub(crate) fn instant(&self, query: &str) -> Result<Vec<Value>> {
        self.ask("query", &[("query", query)])
    }

    /// The series of a query in steps of a second since the start.
    pub(crate) fn range(&self, query: &str) -> Result<Vec<Value>> {
        let (start, end) = (self.begun.to_string(), self.now()?.to_string());
        self.ask("query_range", &[("query", query), ("start", &start), ("end", &end), ("step", "1")])
    }

    /// For how many seconds it has run.
    pub(crate) fn age(&self) -> Result<f64> {
        Ok((self.now()? - self.begun).ceil())
    }

    /// The values of a label of the series that a selector names.
    pub(crate) fn label_values(&self, selector: &str, label: &str) -> Result<Vec<String>> {
        let selector: String = form_urlencoded::byte_serialize(selector.as_bytes()).collect();
        let answer =
            Request::get(format!("{}/api/v1/label/{label}/values?match[]={selector}", self.url)).send()?;
        Ok(serde_json::from_value(data(&answer.json()?)?.clone())?)
    }

    /// All rules.
    pub(crate) fn rules(&self) -> Result<Vec<Rule>> {
        let answer = Request::get(format!("{}/api/v1/rules", self.url)).send()?.json()?;
        let groups = data(&answer)?["groups"].as_array().context("no groups")?;
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(rules.map(|rule| Rule { name: text(&rule["name"]), health: text(&rule["health"]) }).collect())
    }

    /// The names of the alerts that are pending or firing.
    pub(crate) fn active(&self) -> Result<BTreeSet<String>> {
        self.alerts(|_| true)
    }

    /// The names of the alerts that are firing.
    pub(crate) fn firing(&self) -> Result<BTreeSet<String>> {
        self.alerts(|state| state == "firing")
    }

    fn alerts(&self, is_meant: impl Fn(&str) -> bool) -> Result<BTreeSet<String>> {
        let answer = Request::get(format!("{}/api/v1/alerts", self.url)).send()?.json()?;
        let alerts = data(&answer)?["alerts"].as_array().context("no alerts")?;
        let meant = alerts.iter().filter(|alert| alert["state"].as_str().is_some_and(&is_meant));
        Ok(meant.filter_map(|alert| alert["labels"]["alertname"].as_str()).map(str::to_owned).collect())
    }

    fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Result<Vec<Value>> {
        let answer = Request::post(format!("{}/api/v1/{path}", self.url)).form(fields).send()?.json()?;
        Ok(data(&answer)?["result"].as_array().context("no result")?.clone())
    }

    fn now(&self) -> Result<f64> {
        Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
    }
}

fn data(answer: &Value) -> Result<&Value> {
    if answer["status"] != "success" {
        bail!("Prometheus: {}", answer["error"]);
    }
    Ok(&answer["data"])
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

const PATIENCE: Duration = Duration::from_secs(60);
