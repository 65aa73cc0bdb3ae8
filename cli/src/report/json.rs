use serde_json::{Value, json};

use super::verdict::Report;
use crate::finding::{Finding, Location, Severity};

/// One object: findings, filters and sums.
pub(super) fn write(report: &Report) -> String {
    let findings: Vec<_> = report.findings.iter().map(finding).collect();
    let filters = report.filters.iter().map(|filter| {
        json!({ "name": filter.name, "summary": filter.summary, "location": location(&filter.location) })
    });
    let document = json!({
        "findings": findings,
        "filters": filters.collect::<Vec<_>>(),
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "unread": report.has_unread,
    });
    format!("{document:#}\n")
}

fn finding(finding: &Finding) -> Value {
    let related: Vec<_> = finding.related.iter().map(location).collect();
    json!({
        "rule": finding.rule.name,
        "severity": finding.rule.severity.word(),
        "message": finding.message,
        "advice": finding.advice,
        "location": location(&finding.location),
        "related": related,
        "allowed": finding.allowed,
    })
}

fn location(location: &Location) -> Value {
    json!({ "file": location.file, "document": location.document, "path": location.path, "line": location.line })
}
