use serde_json::{Value, json};

use super::endpoint::{Endpoint, Exchange};
use super::verdict::Report;
use crate::finding::{Finding, Location, Severity};

/// One object: findings, filters and sums.
pub(super) fn write(report: &Report) -> String {
    let findings: Vec<_> = report.findings.iter().map(finding).collect();
    let filters = report.filters.iter().map(|filter| {
        json!({ "name": filter.name, "summary": filter.summary, "location": location(&filter.location) })
    });
    let mut document = json!({
        "findings": findings,
        "filters": filters.collect::<Vec<_>>(),
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "unread": report.has_unread,
    });
    if let (Some(endpoints), Some(members)) = (&report.endpoints, document.as_object_mut()) {
        members.insert("endpoints".to_owned(), endpoints.iter().map(endpoint).collect());
    }
    format!("{document:#}\n")
}

fn endpoint(endpoint: &Endpoint) -> Value {
    json!({
        "purpose": endpoint.purpose,
        "url": endpoint.url,
        "location": location(&endpoint.location),
        "exchange": endpoint.exchange.as_ref().map(exchange),
        "verdict": endpoint.verdict.word(),
        "reason": endpoint.reason,
        "details": endpoint.details,
    })
}

fn exchange(exchange: &Exchange) -> Value {
    let tls = exchange.tls.as_ref().map(|tls| {
        let certificate = tls.certificate.as_ref().map(|certificate| {
            json!({
                "subject": certificate.subject,
                "issuer": certificate.issuer,
                "expires": certificate.expires,
            })
        });
        json!({ "version": tls.version, "certificate": certificate })
    });
    let answer = exchange.answer.as_ref().map(|answer| {
        json!({ "status": answer.status, "content_type": answer.content_type, "bytes": answer.bytes })
    });
    json!({
        "addresses": exchange.addresses,
        "tls": tls,
        "milliseconds": u64::try_from(exchange.took.as_millis()).unwrap_or(u64::MAX),
        "limit_milliseconds": u64::try_from(exchange.limit.as_millis()).unwrap_or(u64::MAX),
        "answer": answer,
        "earlier": exchange.is_earlier,
    })
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
