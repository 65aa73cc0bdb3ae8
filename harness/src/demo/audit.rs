//! What the proxies' access logs have recorded of the walk's requests.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Row;

/// The records of one step's last request: one of each proxy that it came through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The step.
    pub step: String,
    /// How many requests it sent.
    pub requests: usize,
    /// For each proxy, what its record says, as `name=value`; empty while the log has not been written.
    pub records: Vec<String>,
}

/// Finds the records of these steps in the lines that the proxies have written so far; lines that are no records are
/// passed over.
pub fn recorded(logs: &str, rows: &[Row]) -> Vec<Recorded> {
    let mut records = BTreeMap::<String, Vec<String>>::new();
    for line in logs.lines() {
        let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
        let Some(id) = record.get("request_id").and_then(Value::as_str) else { continue };
        records.entry(id.to_owned()).or_default().push(shown(&record));
    }
    let sent = rows.iter().filter_map(|row| Some((row, row.requests.last()?)));
    sent.map(|(row, last)| Recorded {
        step: row.step.clone(),
        requests: row.requests.len(),
        records: records.get(last).cloned().unwrap_or_default(),
    })
    .collect()
}

fn shown(record: &Value) -> String {
    let text = |field: &str| match record.get(field)? {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Some(other.to_string())
        }
    };
    let shown = FIELDS.iter().filter_map(|field| Some(format!("{field}={}", text(field)?)));
    shown.collect::<Vec<_>>().join(" ")
}

/// Those that a person looks at first.
const FIELDS: [&str; 12] = [
    "status",
    "outcome",
    "reason",
    "route",
    "requirement",
    "issuer",
    "client",
    "scopes_missing",
    "work",
    "outbound_outcome",
    "outbound_client",
    "outbound_retried",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_the_records_of_its_last_request_and_none_before_they_are_written() {
        let row = |step: &str, requests: &[&str]| Row {
            step: step.into(),
            expected: "200".into(),
            got: "200".into(),
            requests: requests.iter().map(|id| (*id).into()).collect(),
        };
        let rows = [row("one", &["demo-1", "demo-2"]), row("none", &[]), row("other", &["demo-3"])];
        let logs = concat!(
            "not a record\n",
            r#"{"request_id":"demo-1","status":200,"outcome":"deny"}"#,
            "\n",
            r#"{"request_id":"demo-2","status":200,"outcome":"permit","client":"","route":null}"#,
            "\n",
        );
        let told = recorded(logs, &rows);
        let told: Vec<_> =
            told.iter().map(|one| (one.step.as_str(), one.requests, one.records.join("; "))).collect();
        assert_eq!(told, [("one", 2, "status=200 outcome=permit".to_owned()), ("other", 1, String::new())]);
    }
}
