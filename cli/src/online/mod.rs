//! `attachectl check --online`: asks what a configuration names, and has the filter's own code say what it makes of the
//! answers. From this machine and not from Envoy, so names, ways and trust may be others.
//!
//! The stores of the filter say what to ask and read what comes ([`issuers`], [`clients`]); [`network`] carries it, as
//! Envoy would: no redirect followed, time and size bounded. Nothing is asked twice, so no failed attempt is repeated.
//! No secret, assertion or token is kept or shown.

mod clients;
mod host;
mod hosts;
mod issuers;
mod network;
mod outcome;
mod seen;
mod subject;
mod tls;

use crate::explanation::Inbound;
use crate::finding::Finding;
use crate::reading::Set;
use crate::report::Endpoint;
use subject::Subject;

pub use network::{Asking, Network};

/// Asks all endpoints of all filters: issuers first, so that tokens can be held against their keys.
pub(crate) fn examine(set: &Set<'_>, network: &mut Network<'_>) -> (Vec<Endpoint>, Vec<Finding>) {
    let mut endpoints = Vec::new();
    let mut findings = Vec::new();
    let subjects: Vec<_> = set.filters.iter().filter_map(|filter| Subject::new(set, filter)).collect();
    let mut halves: Vec<Option<Inbound>> = Vec::new();
    for subject in &subjects {
        halves.push(issuers::examine(subject, network, &mut endpoints, &mut findings));
    }
    for (subject, own) in subjects.iter().zip(&halves) {
        let inbound = own.as_ref().or_else(|| halves.iter().flatten().next());
        clients::examine(subject, inbound, network, &mut endpoints, &mut findings);
    }
    (endpoints, findings)
}
