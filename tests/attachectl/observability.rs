//! `deploy/observability`: each alert is tested and has a runbook, and alerts and dashboard name only metrics that there
//! are. tests/mesh runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::documents::root;

struct Alert {
    name: String,
    rule: Value,
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn alerts() -> Vec<Alert> {
    let file = yaml(ALERTS);
    let groups = file["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let alerts =
        rules.map(|rule| Alert { name: rule["alert"].as_str().unwrap().to_owned(), rule: rule.clone() });
    let alerts: Vec<_> = alerts.collect();
    assert!(alerts.len() >= 20, "{} alerts: is the file still read?", alerts.len());
    alerts
}

/// The sections of docs/runbooks.md that are about an alert.
fn sections() -> BTreeMap<String, String> {
    let page = read("docs/runbooks.md");
    let sections = page.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
    let of_alerts = sections.filter(|(title, _)| title.starts_with("Attache"));
    of_alerts.map(|(title, text)| (title.to_owned(), text.to_owned())).collect()
}

#[test]
fn every_alert_fires_in_one_test_and_is_silent_in_another() {
    let tests = yaml("deploy/observability/alerts.test.yaml");
    assert_eq!(tests["rule_files"][0], "alerts.yaml");
    let alerts = alerts();
    let names: BTreeSet<&str> = alerts.iter().map(|alert| &*alert.name).collect();
    assert_eq!(names.len(), alerts.len(), "two alerts have one name");
    let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for test in tests["tests"].as_array().unwrap() {
        let name = test["name"].as_str().expect("each test has a name");
        let (alert, how) = name.split_once(": ").unwrap_or_else(|| panic!("{name}: <alert>: <how>"));
        let evaluations = test["alert_rule_test"].as_array().unwrap();
        assert!(
            evaluations.iter().all(|evaluation| evaluation["alertname"] == alert),
            "{name}: another alert"
        );
        let fires =
            evaluations.iter().any(|evaluation| !evaluation["exp_alerts"].as_array().unwrap().is_empty());
        assert_eq!(fires, how.starts_with("fires"), "{name}");
        assert_eq!(!fires, how.starts_with("is silent"), "{name}");
        if fires {
            firing.insert(alert)
        } else {
            silent.insert(alert)
        };
    }
    assert_eq!(firing, names, "alerts that fire in a test");
    assert_eq!(silent, names, "alerts that are silent in a test");
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts = alerts();
    let sections = sections();
    let names: Vec<&str> = alerts.iter().map(|alert| &*alert.name).collect();
    assert_eq!(sections.keys().map(String::as_str).collect::<BTreeSet<_>>(), names.iter().copied().collect());
    let page = read("docs/runbooks.md");
    for Alert { name, rule } in &alerts {
        let anchor = name.to_lowercase();
        let url = format!("https://docs.example.com/runbooks.md#{anchor}");
        assert_eq!(rule["annotations"]["runbook_url"], url.as_str(), "{name}");
        assert!(page.contains(&format!("[{name}](#{anchor})")), "{name}: not in the list of the page");
        for part in ["What it means", "What to look at", "What to do"] {
            assert!(sections[name].contains(&format!("**{part}.** ")), "{name}: {part}?");
        }
        assert!(rule["annotations"]["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{name}");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity}");
    }
}

/// A query for a metric that there is not has no series, and nobody notices.
#[test]
fn alerts_dashboard_and_runbooks_name_metrics_that_there_are() {
    let page = read("docs/metrics.md");
    let alerts =
        alerts().into_iter().map(|alert| (alert.name, alert.rule["expr"].as_str().unwrap().to_owned()));
    let dashboard: Value = serde_json::from_str(&read("deploy/observability/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
    });
    let runbooks = ("docs/runbooks.md".to_owned(), read("docs/runbooks.md"));
    let mut seen = BTreeSet::new();
    for (place, text) in alerts.chain(panels).chain([runbooks]) {
        let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        for word in words.filter(|word| word.starts_with("attache_") && *word != "attache_") {
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            assert!(page.contains(&format!("`{name}`")), "{place}: docs/metrics.md has no `{name}`");
            seen.insert(name.to_owned());
        }
    }
    // Each metric of the page is worth a panel or an alert.
    let listed =
        page.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|line| line.split_once('`'));
    let listed: BTreeSet<_> =
        listed.map(|(name, _)| name.to_owned()).filter(|name| name.starts_with("attache_")).collect();
    let unused: Vec<_> = listed.difference(&seen).collect();
    assert!(unused.is_empty(), "in docs/metrics.md, and in no alert, panel or runbook: {unused:?}");
}

const ALERTS: &str = "deploy/observability/alerts.yaml";
