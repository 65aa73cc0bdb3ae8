//! The page `/stats?format=json`. It has the names as the filter writes them, whether or not the bootstrap's
//! `stats_tags` make labels of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The statistics that are looked at.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The filter's: by metric, and by its labels.
    filter: BTreeMap<String, BTreeMap<Labels, u64>>,
    /// Envoy's, by name.
    envoy: BTreeMap<String, u64>,
    /// How long decisions take, by the label `path`: what half of them, and 99 of 100, take at most, in microseconds.
    times: BTreeMap<String, [f64; 2]>,
}

/// Why a page is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not what Envoy answers.
    #[error("the answer is not the statistics of an Envoy")]
    Format,
    /// It is larger than what is looked at.
    #[error("the answer has more than {MAX_STATS} statistics")]
    TooMany,
}

/// The labels of a metric, in the order in which the filter writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Labels(Vec<(String, String)>);

#[derive(Deserialize)]
struct Page {
    stats: Vec<Value>,
}

impl Stats {
    /// Reads a page.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let page: Page = serde_json::from_slice(body).map_err(|_| Unreadable::Format)?;
        if page.stats.len() > MAX_STATS {
            return Err(Unreadable::TooMany);
        }
        let mut stats = Self::default();
        for stat in &page.stats {
            let (Some(name), Some(value)) =
                (stat.get("name").and_then(Value::as_str), stat.get("value").and_then(Value::as_u64))
            else {
                stats.add_times(stat);
                continue;
            };
            stats.add(name, value);
        }
        Ok(stats)
    }

    /// Reads the histogram of decisions, if it is here.
    fn add_times(&mut self, stat: &Value) {
        let list = |value: &'_ Value, name: &str| {
            value.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let Some(histograms) = stat.get("histograms") else { return };
        let supported = list(histograms, "supported_quantiles");
        let place = |quantile: f64| supported.iter().position(|one| one.as_f64() == Some(quantile));
        let (Some(half), Some(most)) = (place(50.0), place(99.0)) else { return };
        for histogram in list(histograms, "computed_quantiles") {
            let name = histogram.get("name").and_then(Value::as_str).unwrap_or_default();
            let Some((_, name)) = name.split_once("wasmcustom.") else { continue };
            let Some(path) = name.strip_suffix(";.;attache_decision_microseconds") else { continue };
            let values = list(&histogram, "values");
            let time = |place: usize| values.get(place)?.get("cumulative")?.as_f64();
            if let (Some(path), Some(half), Some(most)) =
                (path.strip_prefix("path=.="), time(half), time(most))
            {
                self.times.insert(path.to_owned(), [half, most]);
            }
        }
    }

    /// What half of the decisions, and 99 of 100, take at most, in microseconds, by the label `path`.
    pub(super) fn times(&self) -> impl Iterator<Item = (&str, [f64; 2])> {
        self.times.iter().map(|(path, times)| (path.as_str(), *times))
    }

    fn add(&mut self, name: &str, value: u64) {
        let Some((before, name)) = name.split_once("wasmcustom.") else {
            self.envoy.insert(name.to_owned(), value);
            return;
        };
        let mut parts: Vec<&str> = name.split(";.;").collect();
        let Some(metric) = parts.pop().and_then(|metric| metric.strip_prefix("attache_")) else { return };
        let labels = parts.into_iter().filter_map(|part| part.split_once("=.="));
        let mut labels: Vec<(String, String)> =
            labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        // A filter in a cluster counts for itself.
        if let Some(cluster) = before.strip_prefix("cluster.").and_then(|name| name.strip_suffix('.')) {
            labels.push(("cluster".to_owned(), cluster.to_owned()));
        }
        // Counters of versions before this one had no such end.
        let metric = metric.strip_suffix("_total").unwrap_or(metric);
        let series = self.filter.entry(metric.to_owned()).or_default();
        let sum = series.entry(Labels(labels)).or_default();
        *sum = sum.saturating_add(value);
    }

    /// The series of a metric, named without `attache_` and `_total`.
    pub(super) fn of(&self, metric: &str) -> impl Iterator<Item = (&Labels, u64)> {
        self.filter.get(metric).into_iter().flatten().map(|(labels, value)| (labels, *value))
    }

    /// One of them.
    pub(super) fn value(&self, metric: &str, labels: &Labels) -> Option<u64> {
        self.filter.get(metric)?.get(labels).copied()
    }

    /// The sum of those with this label, or of all.
    pub(super) fn sum(&self, metric: &str, label: Option<(&str, &str)>) -> u64 {
        let is_meant = |labels: &Labels| label.is_none_or(|(name, value)| labels.get(name) == value);
        self.of(metric)
            .filter(|(labels, _)| is_meant(labels))
            .fold(0, |sum, (_, value)| sum.saturating_add(value))
    }

    /// One of Envoy's.
    pub(super) fn envoy(&self, name: &str) -> Option<u64> {
        self.envoy.get(name).copied()
    }

    /// The sum of Envoy's whose name is of wasm and ends so.
    pub(super) fn wasm(&self, end: &str) -> u64 {
        let named = self.envoy.iter().filter(|(name, _)| name.contains("wasm.") && name.ends_with(end));
        named.fold(0, |sum, (_, value)| sum.saturating_add(*value))
    }

    /// Whether the filter has a metric here.
    pub(super) fn has_filter(&self) -> bool {
        !self.filter.is_empty()
    }
}

impl Labels {
    /// The value of a label; empty where it has none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }

    /// The same label of another metric, and nothing else.
    pub(super) fn only(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(label, _)| names.contains(&label.as_str())).cloned().collect())
    }
}

/// Several filters with all their series, and their clusters'.
const MAX_STATS: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_filter_writes_them() {
        let page = br#"{"stats":[
            {"name":"server.uptime","value":7},
            {"name":"wasm.attache.vm_reload_success","value":2},
            {"name":"wasmcustom.route=.=a;.;issuer=.=b;.;attache_decisions_total","value":3},
            {"name":"wasmcustom.route=.=a;.;issuer=.=b;.;attache_decisions","value":4},
            {"name":"cluster.c.wasmcustom.client=.=x;.;attache_injections_total","value":5},
            {"name":"wasmcustom.other_module","value":6},
            {"name":"text","value":"t"},
            {"histograms":{}}]}"#;
        let stats = Stats::parse(page).unwrap();
        assert_eq!(stats.envoy("server.uptime"), Some(7));
        assert_eq!(stats.wasm(".vm_reload_success"), 2);
        assert_eq!(stats.sum("decisions", Some(("route", "a"))), 7);
        let (labels, value) = stats.of("injections").next().unwrap();
        assert_eq!(
            (labels.get("client"), labels.get("cluster"), labels.get("none"), value),
            ("x", "c", "", 5)
        );
        assert_eq!(stats.filter.len(), 2);
    }

    #[test]
    fn the_histogram_of_decisions_is_read_and_no_other() {
        let values = r#"[{"cumulative":1,"interval":null},{"cumulative":27.5},{"cumulative":145}]"#;
        let page = |supported: &str, name: &str, values: &str| {
            let one = format!(r#"{{"name":"{name}","values":{values}}}"#);
            let page = format!(
                r#"{{"stats":[{{"histograms":{{"supported_quantiles":{supported},"computed_quantiles":[{one}]}}}}]}}"#
            );
            let stats = Stats::parse(page.as_bytes()).unwrap();
            stats.times().map(|(path, times)| (path.to_owned(), times)).collect::<Vec<_>>()
        };
        let name = "wasmcustom.path=.=known;.;attache_decision_microseconds";
        assert_eq!(page("[0,50,99]", name, values), [("known".to_owned(), [27.5, 145.0])]);
        assert!(page("[0,25,90]", name, values).is_empty());
        assert!(page("[0,50,99]", name, r#"[null,{"cumulative":null},{}]"#).is_empty());
        assert!(page("[0,50,99]", "server.initialization_time_ms", values).is_empty());
        assert!(page("{}", name, "1").is_empty());
    }

    #[test]
    fn what_is_no_page_is_told() {
        for page in ["", "[]", "{}", "<html>", r#"{"stats":{}}"#] {
            assert!(matches!(Stats::parse(page.as_bytes()), Err(Unreadable::Format)), "{page}");
        }
        let page = |count: usize| format!("{{\"stats\":[{}]}}", vec!["0"; count].join(","));
        assert!(Stats::parse(page(MAX_STATS).as_bytes()).is_ok());
        assert!(matches!(Stats::parse(page(MAX_STATS + 1).as_bytes()), Err(Unreadable::TooMany)));
    }
}
