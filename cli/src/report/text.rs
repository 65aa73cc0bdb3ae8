use core::fmt::Arguments;

use super::endpoint::{Endpoint, Exchange};
use super::verdict::Report;
use crate::finding::{Location, Severity};
use crate::printing::escaped;

/// Two or three lines for each finding that counts, a line for each filter, and the sum.
pub(super) fn write(report: &Report) -> String {
    let mut text = String::new();
    if let Some(endpoints) = &report.endpoints {
        text.push_str(FROM_HERE);
        endpoints.iter().for_each(|endpoint| block(&mut text, endpoint));
        text.push('\n');
    }
    for finding in report.findings.iter().filter(|finding| finding.is_active()) {
        let (place, rule) = (place(&finding.location), finding.rule);
        put(
            &mut text,
            format_args!("{place}: {}: {} [{}]", rule.severity.word(), finding.message, rule.name),
        );
        if !finding.location.path.is_empty() {
            put(&mut text, format_args!("    at {}", finding.location.path));
        }
        for related in &finding.related {
            put(&mut text, format_args!("    see {}", joined(related)));
        }
        if !finding.advice.is_empty() {
            put(&mut text, format_args!("    → {}", finding.advice));
        }
    }
    for filter in &report.filters {
        let errors = report
            .findings
            .iter()
            .filter(|finding| finding.is_active() && finding.rule.severity == Severity::Error);
        let mut places = errors.flat_map(|error| error.related.iter().chain([&error.location]));
        let has_error = places.any(|place| place.file == filter.location.file);
        let name = if filter.name.is_empty() { String::new() } else { format!(" ({})", filter.name) };
        let verdict = if has_error { "read" } else { "ok" };
        put(&mut text, format_args!("{}{name}: {verdict}, {}", place(&filter.location), filter.summary));
    }
    let allowed = report.findings.iter().filter(|finding| !finding.is_active()).count();
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    if errors > 0 || warnings > 0 || allowed > 0 {
        let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
        put(&mut text, format_args!("{errors}, {warnings}, {allowed} allowed"));
    }
    text
}

impl Report {
    /// The routes of each filter in the order in which they match, with what each demands.
    pub fn routes(&self) -> String {
        let mut text = String::new();
        for filter in &self.filters {
            let Some(routes) = &filter.routes else { continue };
            let name = if filter.name.is_empty() { String::new() } else { format!(" ({})", filter.name) };
            let place = place(&filter.location);
            put(&mut text, format_args!("{place}{name}: the routes, in the order in which they match"));
            routes.lines().for_each(|line| put(&mut text, format_args!("{line}")));
        }
        text
    }
}

/// An endpoint: where it is, what happened, and what is made of it.
fn block(text: &mut String, endpoint: &Endpoint) {
    text.push('\n');
    put(text, format_args!("{}", endpoint.purpose));
    let mut line = |name: &str, value: &str| {
        put(text, format_args!("  {name:<NAME$} {value}"));
    };
    if let Some(url) = &endpoint.url {
        line("URL", url);
    }
    if let Some(exchange) = &endpoint.exchange {
        wire(exchange, &mut line);
    }
    line("verdict", &format!("{} {}", endpoint.verdict.sign(), endpoint.reason));
    for detail in &endpoint.details {
        put(text, format_args!("    {detail}"));
    }
}

fn wire(exchange: &Exchange, line: &mut impl FnMut(&str, &str)) {
    let addresses = exchange.addresses.join(" ");
    line("address", if addresses.is_empty() { "none" } else { &addresses });
    match &exchange.tls {
        None => line("TLS", "none"),
        Some(tls) => {
            line("TLS", tls.version.as_deref().unwrap_or("not agreed on"));
            if let Some(certificate) = &tls.certificate {
                line("", &format!("certificate of {}", certificate.subject));
                line("", &format!("signed by {}, until {}", certificate.issuer, certificate.expires));
            }
        }
    }
    let time = format!("{} ms, of at most {} ms", exchange.took.as_millis(), exchange.limit.as_millis());
    line("time", if exchange.is_earlier { "asked once, further up" } else { &time });
    match &exchange.answer {
        None => line("answer", "none"),
        Some(answer) => {
            let text = format!("{}, {}, {} bytes", answer.status, answer.content_type, answer.bytes);
            line("answer", &text);
        }
    }
}

/// A line. Names and messages hold the text of others, so it stays one.
fn put(text: &mut String, line: Arguments<'_>) {
    text.push_str(&escaped(&line.to_string()));
    text.push('\n');
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

/// What all answers are to be read with.
const FROM_HERE: &str = "asked from this machine and not from Envoy: its names, routes, firewalls and trusted \
                         certificates may be others\n";
/// The widest name in a block.
const NAME: usize = 8;
