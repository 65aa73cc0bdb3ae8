//! The dashboard as Grafana reads it: its variables, and the queries of its panels, in which they are replaced.

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::file;
use super::prometheus::Prometheus;

/// A row with its panels.
pub(crate) struct Row {
    pub(crate) title: String,
    queries: Vec<Query>,
}

/// A query of a panel.
struct Query {
    /// The panel's title.
    title: String,
    expression: String,
    /// Which labels the legend shows.
    legend: Vec<String>,
    is_instant: bool,
}

/// All rows.
pub(crate) fn rows() -> Result<Vec<Row>> {
    let dashboard = read()?;
    let mut rows: Vec<Row> = Vec::new();
    for panel in dashboard["panels"].as_array().context("no panels")? {
        let title = panel["title"].as_str().context("a panel without a title")?.to_owned();
        if panel["type"] == "row" {
            rows.push(Row { title, queries: Vec::new() });
            continue;
        }
        let row = rows.last_mut().context("a panel before the first row")?;
        let targets = panel["targets"].as_array().with_context(|| format!("{title} has no queries"))?;
        for target in targets {
            let expression = target["expr"].as_str().context("no expression")?.to_owned();
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            let legend = legend.split("{{").skip(1).filter_map(|part| part.split("}}").next());
            row.queries.push(Query {
                title: title.clone(),
                expression,
                legend: legend.map(|label| label.trim().to_owned()).collect(),
                is_instant: target["instant"] == true,
            });
        }
    }
    Ok(rows)
}

/// Each variable that is a query finds values.
pub(crate) fn variables(prometheus: &Prometheus) -> Result<String> {
    let dashboard = read()?;
    let mut without = Vec::new();
    for variable in dashboard["templating"]["list"].as_array().context("no variables")? {
        if variable["type"] != "query" {
            continue;
        }
        let query = variable["query"]["query"].as_str().context("a variable without a query")?;
        let arguments = query.strip_prefix("label_values(").and_then(|query| query.strip_suffix(')'));
        let (selector, label) =
            arguments.and_then(|arguments| arguments.rsplit_once(", ")).context("label_values")?;
        if prometheus.label_values(&replaced(selector, "0s")?, label)?.is_empty() {
            without.push(variable["name"].to_string());
        }
    }
    Ok(if without.is_empty() { "all".to_owned() } else { format!("not {}", without.join(", ")) })
}

impl Row {
    /// The titles of the panels whose queries have no data, or whose legends show a label that no series has.
    pub(crate) fn without_data(&self, prometheus: &Prometheus) -> Result<String> {
        if self.queries.is_empty() {
            bail!("the row has no panels");
        }
        let mut wrong = Vec::new();
        for query in &self.queries {
            let expression = replaced(&query.expression, &format!("{}s", prometheus.age()?))?;
            let found = if query.is_instant {
                prometheus.instant(&expression)
            } else {
                prometheus.range(&expression)
            };
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    wrong.push(format!("{}: {error}", query.title));
                    continue;
                }
            };
            if !found.iter().any(has_value) {
                wrong.push(format!("{}: {expression}", query.title));
            }
            for label in &query.legend {
                if !found.iter().any(|series| series["metric"].get(label).is_some()) {
                    wrong.push(format!("{}: no label {label}", query.title));
                }
            }
        }
        Ok(if wrong.is_empty() { "none".to_owned() } else { wrong.join("; ") })
    }
}

/// Whether a series has a number that can be drawn.
fn has_value(series: &Value) -> bool {
    let samples = series["values"].as_array().cloned().unwrap_or_else(|| vec![series["value"].clone()]);
    let numbers = samples.iter().filter_map(|sample| sample[1].as_str()?.parse::<f64>().ok());
    numbers.into_iter().any(f64::is_finite)
}

/// An expression with Grafana's values in place of the variables: all that is there, over this range, scraped each
/// second.
fn replaced(expression: &str, range: &str) -> Result<String> {
    // Grafana takes four scrapes for a rate.
    let mut text = expression.replace("$__rate_interval", "4s").replace("$__range", range);
    for variable in ["job", "instance", "route", "issuer", "client"] {
        text = text.replace(&format!("\"${variable}\""), "\".*\"");
    }
    if text.contains('$') {
        bail!("a variable that Grafana does not know here: {text}");
    }
    Ok(text)
}

fn read() -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(file("dashboard.json"))?)?)
}
