//! What is looked for, a file for each subject. Every rule is in [`crate::finding::table`].

pub mod capabilities;
mod configuration;
mod edits;
mod egress;
mod endpoints;
mod former_order;
mod metadata_places;
mod routes;
mod subject;
mod tls;
mod transport;

use crate::finding::Finding;
use crate::reading::Set;

/// All that is found of the files as a whole.
pub(crate) fn check_set(_set: &Set<'_>) -> Vec<Finding> {
    Vec::new()
}

pub(crate) use configuration::check as check_filter;
