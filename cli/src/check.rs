//! `attachectl check` as a function: from files to a report.

use std::collections::BTreeMap;
use std::path::Path;

use crate::finding::{Finding, Location, Severity, table};
use crate::online::{self, Network};
use crate::reading::{Allowed, Body, File, read, read_file, resolve};
use crate::report::{Checked, Report};
use crate::rules;

/// Reads files as one configuration, and says all that is found of it; `-` is standard input.
pub fn check<P: AsRef<Path>>(paths: &[P]) -> Report {
    check_files(&paths.iter().map(|path| read_file(path.as_ref())).collect::<Vec<_>>(), None)
}

/// The same, and asks the endpoints that the configurations name, from this machine: metadata, keys and a token for
/// each client. [`Report::endpoints`] has what they answer.
pub fn check_online<P: AsRef<Path>>(paths: &[P], network: &mut Network<'_>) -> Report {
    check_files(&paths.iter().map(|path| read_file(path.as_ref())).collect::<Vec<_>>(), Some(network))
}

/// The same of a text, under a name.
pub fn check_text(name: &str, text: &str) -> Report {
    check_files(&[File::of_text(name, text)], None)
}

fn check_files(files: &[File], network: Option<&mut Network<'_>>) -> Report {
    let set = read(files);
    let mut findings = set.findings.clone();
    let mut filters = Vec::new();
    for filter in &set.filters {
        let (found, summary) = rules::check_filter(&set, filter);
        findings.extend(found);
        let name = filter.name().to_owned();
        filters.extend(summary.map(|summary| Checked {
            location: filter.location(),
            name,
            summary: summary.text,
            routes: summary.routes,
        }));
    }
    findings.extend(rules::check_set(&set));
    let endpoints = network.map(|network| {
        let (endpoints, found) = online::examine(&set, network);
        findings.extend(found);
        endpoints
    });
    let has_unread = files.iter().any(|file| matches!(file.body, Body::Unreadable(_)));
    if set.filters.is_empty() && !has_unread {
        let location = Location::of_file(files.first().map_or("-", |file| &file.name));
        let message = "no configuration of Attaché here: nothing was checked";
        let advice = "expected `inbound: …` or `outbound: …`, an Envoy bootstrap or resource with a wasm filter, a \
        WasmPlugin, a \
                      TrafficExtension, an EnvoyFilter or an EnvoyExtensionPolicy";
        findings.push(Finding::new(table::NOTHING_CHECKED, location, message, advice));
    }
    let mut findings = merged(findings);
    allow(files, &mut findings);
    findings.sort_by(|one, other| {
        let place = |finding: &Finding| files.iter().position(|file| file.name == finding.location.file);
        (place(one), &one.location.document, one.location.line, &one.location.path).cmp(&(
            place(other),
            &other.location.document,
            other.location.line,
            &other.location.path,
        ))
    });
    Report { findings, filters, has_unread, endpoints }
}

/// What several filters find alike is said once, with the places of all.
fn merged(findings: Vec<Finding>) -> Vec<Finding> {
    let mut all: Vec<Finding> = Vec::new();
    let mut places = BTreeMap::new();
    for finding in findings {
        let key = (finding.rule.name, finding.location.clone(), finding.message.clone());
        let place = *places.entry(key).or_insert(all.len());
        match all.get_mut(place) {
            Some(one) => {
                let new = finding.related.into_iter().filter(|place| !one.related.contains(place));
                let new: Vec<_> = new.collect();
                one.related.extend(new);
            }
            None => all.push(finding),
        }
    }
    all
}

/// Applies the comments of the files that allow something, and adds what is wrong with these.
fn allow(files: &[File], findings: &mut Vec<Finding>) {
    let mut all = Vec::new();
    let mut faulty = Vec::new();
    for file in files {
        let Body::Read { documents, allowances } = &file.body else { continue };
        let (allowed, malformed) = resolve(&file.name, documents, allowances);
        all.extend(allowed);
        faulty.extend(malformed);
    }
    for finding in findings.iter_mut().filter(|finding| finding.rule.severity > Severity::Note) {
        let mut reason = |place: &Location| {
            let mut reasons = all.iter_mut().map(|allowed| allowed.covers(finding.rule.name, place));
            // Each is asked, so that each knows that it is used.
            reasons.by_ref().fold(None, Option::or)
        };
        let own = reason(&finding.location);
        let related: Vec<_> = finding.related.iter().map(reason).collect();
        finding.allowed = own.or_else(|| joined(related));
    }
    findings.extend(faulty);
    findings.extend(all.iter().filter_map(Allowed::unused));
}

/// All reasons, if there is one for each place: what is meant for one user of a cluster is not meant for the others.
fn joined(reasons: Vec<Option<String>>) -> Option<String> {
    let mut all: Vec<String> = Vec::new();
    for reason in reasons {
        let reason = reason?;
        if !all.contains(&reason) {
            all.push(reason);
        }
    }
    (!all.is_empty()).then(|| all.join("; "))
}
