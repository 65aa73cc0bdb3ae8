use core::fmt::Write as _;

use super::verdict::Report;
use crate::finding::{Location, Severity};

/// Two or three lines for each finding that counts, a line for each filter, and the sum.
pub(super) fn write(report: &Report) -> String {
    let mut text = String::new();
    for finding in report.findings.iter().filter(|finding| finding.is_active()) {
        let (place, rule) = (place(&finding.location), finding.rule);
        let _ = writeln!(text, "{place}: {}: {} [{}]", rule.severity.word(), finding.message, rule.name);
        if !finding.location.path.is_empty() {
            let _ = writeln!(text, "    at {}", finding.location.path);
        }
        for related in &finding.related {
            let _ = writeln!(text, "    see {}", joined(related));
        }
        if !finding.advice.is_empty() {
            let _ = writeln!(text, "    → {}", finding.advice);
        }
    }
    for filter in &report.filters {
        let has_error = report.findings.iter().any(|finding| {
            let severity = finding.rule.severity;
            finding.is_active()
                && severity == Severity::Error
                && finding.location.file == filter.location.file
        });
        let name = if filter.name.is_empty() { String::new() } else { format!(" ({})", filter.name) };
        let verdict = if has_error { "read" } else { "ok" };
        let _ = writeln!(text, "{}{name}: {verdict}, {}", place(&filter.location), filter.summary);
    }
    let allowed = report.findings.iter().filter(|finding| !finding.is_active()).count();
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    if errors > 0 || warnings > 0 || allowed > 0 {
        let _ = writeln!(
            text,
            "{}, {}, {allowed} allowed",
            counted(errors, "error"),
            counted(warnings, "warning")
        );
    }
    text
}

/// `file:line`, which terminals and editors open.
fn place(location: &Location) -> String {
    location.line.map_or_else(|| location.file.clone(), |line| format!("{}:{line}", location.file))
}

fn joined(location: &Location) -> String {
    format!("{} {}", place(location), location.path)
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
