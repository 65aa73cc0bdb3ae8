//! SARIF 2.1.0 (OASIS): what code hosts show beside the lines of a change.

use serde_json::{Value, json};

use super::verdict::Report;
use crate::finding::{Finding, Location, Rule, table};

/// One run, with all rules.
pub(super) fn write(report: &Report) -> String {
    let results: Vec<_> = report.findings.iter().map(result).collect();
    let rules: Vec<_> = table::ALL.iter().copied().map(rule).collect();
    let driver = json!({
        "name": "attachectl",
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    });
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": driver }, "columnKind": "unicodeCodePoints", "results": results }],
    });
    format!("{document:#}\n")
}

fn rule(rule: &Rule) -> Value {
    json!({
        "id": rule.name,
        "shortDescription": { "text": rule.finds },
        "help": { "text": rule.cure },
        "defaultConfiguration": { "level": rule.severity.word() },
    })
}

fn result(finding: &Finding) -> Value {
    let advice =
        if finding.advice.is_empty() { String::new() } else { format!(" What to do: {}.", finding.advice) };
    let mut result = json!({
        "ruleId": finding.rule.name,
        "ruleIndex": table::ALL.iter().position(|rule| *rule == finding.rule),
        "level": finding.rule.severity.word(),
        "message": { "text": format!("{}.{advice}", finding.message) },
        "locations": [location(&finding.location)],
    });
    let mut set = |name: &str, value: Value| {
        result.as_object_mut().map(|members| members.insert(name.to_owned(), value))
    };
    if !finding.related.is_empty() {
        set("relatedLocations", finding.related.iter().map(location).collect());
    }
    if let Some(reason) = &finding.allowed {
        set("suppressions", json!([{ "kind": "inSource", "justification": reason }]));
    }
    result
}

fn location(location: &Location) -> Value {
    let uri = location.file.replace('\\', "/").replace(' ', "%20");
    let mut found = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri },
            // A finding of a whole file stands at its beginning.
            "region": { "startLine": location.line.unwrap_or(1) },
        },
    });
    if !location.path.is_empty() {
        let logical = json!([{ "fullyQualifiedName": location.path }]);
        found.as_object_mut().map(|members| members.insert("logicalLocations".to_owned(), logical));
    }
    found
}
