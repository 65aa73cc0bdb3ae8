//! What is looked for, a file for each subject. Every rule is in [`crate::finding::table`].

mod bootstraps;
pub mod capabilities;
mod configuration;
mod edits;
mod egress;
mod endpoints;
mod envoy_gateway;
mod exposure;
mod former_order;
mod istio;
mod metadata_places;
mod names;
mod routes;
mod seat;
mod subject;
mod surroundings;
mod tls;
mod transport;
mod unmatched;

use crate::finding::Finding;
use crate::reading::Set;

pub(crate) use configuration::check as check_filter;
pub(crate) use transport::{Transport, transport_of};

/// All that is found of the files as a whole.
pub(crate) fn check_set(set: &Set<'_>) -> Vec<Finding> {
    let mut found = bootstraps::check(set);
    found.extend(exposure::admins(set));
    found.extend(names::routes(set));
    found.extend(names::duplicates(set));
    found
}
