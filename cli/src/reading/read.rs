use super::file::{Body, File};
use super::place::Place;
use super::set::Set;
use super::{kubernetes, walk};
use crate::finding::table;

/// Reads what the documents of files are.
pub(crate) fn read(files: &[File]) -> Set<'_> {
    let mut set = Set::default();
    for file in files {
        if let Body::Unreadable(finding) = &file.body {
            set.findings.push((**finding).clone());
        }
        for (index, node) in file.documents().iter().enumerate() {
            document(&Place::root(file, index, node), &mut set);
        }
    }
    set.place_discovered();
    set
}

fn document<'a>(place: &Place<'a>, set: &mut Set<'a>) {
    if kubernetes::is_manifest(place) {
        return kubernetes::read(place, set);
    }
    if !walk::document(place, set) {
        let members = place.members().map(|(name, _)| name).take(MAX_NAMED).collect::<Vec<_>>().join(", ");
        let what = if members.is_empty() { "it is empty".to_owned() } else { format!("it has {members}") };
        set.findings.push(place.finding(
            table::RESOURCE_UNKNOWN,
            format!("the document is passed over: {what}, and no part of it configures Envoy or the filter"),
            "expected `inbound: …` or `outbound: …`, an Envoy bootstrap or resource, or a manifest of Istio or Envoy \
            Gateway",
        ));
    }
}

/// As many as tell a reader what was meant.
const MAX_NAMED: usize = 4;
