//! Clusters by their names: those that are not there, and the ones that were meant.

use core::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::endpoints::{destinations, endpoints};
use super::routes::{clusters_of, each_route};
use super::subject::Subject;
use crate::finding::{Finding, table};
use crate::reading::{Host, Place, Set};

/// Each place where a configuration names a cluster, with what it is for.
pub(crate) fn named<'a>(config: &Place<'a>) -> Vec<(Place<'a>, String)> {
    let endpoints = endpoints(config).into_iter();
    let servers = endpoints.map(|one| (one.place, format!("{} of {}", one.purpose.word(), one.of)));
    // A cluster for metadata and keys stands there once.
    let mut by_path: BTreeMap<String, (Place<'a>, String)> = BTreeMap::new();
    for (place, what) in servers {
        let (_, all) = by_path.entry(place.path().to_owned()).or_insert_with(|| (place, String::new()));
        *all = if all.is_empty() { what } else { format!("{all} and {what}") };
    }
    let mut found: Vec<_> = by_path.into_values().collect();
    found.extend(destinations(config).into_iter().map(|place| (place, "a destination".to_owned())));
    found
}

/// What is found of the clusters that a configuration of Envoy names.
pub(crate) fn check(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let (set, filter) = (subject.set, subject.filter);
    if filter.host != Host::Envoy {
        return Vec::new();
    }
    let known = Names::new(set.clusters_of(filter).map(|cluster| cluster.name()));
    let bootstrap = filter.bootstrap.and_then(|place| set.bootstraps.get(place));
    let knows_all = bootstrap.is_some_and(|bootstrap| !bootstrap.has_dynamic_clusters);
    let mut found = Vec::new();
    for (place, what) in named(&filter.config) {
        let name = place.as_str().unwrap_or_default();
        if known.contains(name) {
            continue;
        }
        let nearest = known.nearest(name);
        let meant = nearest.map_or_else(
            || "add the cluster, or name one that is there".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        if knows_all {
            let message = format!(
                "there is no cluster {name} for {what}: {}",
                if what == "a destination" {
                    "no request would ever get this token"
                } else {
                    "every request that needs them gets 503"
                }
            );
            found.push(place.finding(table::CLUSTER_UNKNOWN, message, meant));
        } else if nearest.is_some() {
            let message = format!("no file has a cluster {name} for {what}, and one has almost this name");
            found.push(place.finding(table::CLUSTER_DOUBTFUL, message, meant));
        }
    }
    found
}

/// Routes to clusters that a bootstrap does not have: Envoy does not start with them.
pub(crate) fn routes(set: &Set<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for manager in &set.managers {
        let bootstrap = manager.bootstrap.and_then(|place| set.bootstraps.get(place));
        if bootstrap.is_none_or(|bootstrap| bootstrap.has_dynamic_clusters) {
            continue;
        }
        let clusters =
            set.clusters.iter().filter(|one| one.bootstrap.is_none() || one.bootstrap == manager.bootstrap);
        let known = Names::new(clusters.map(|cluster| cluster.name()));
        each_route(manager.place.member("route_config").as_slice(), |_, route| {
            let Some(action) = route.member("route") else { return };
            for place in clusters_of(&action).names {
                let name = place.as_str().unwrap_or_default();
                if !known.contains(name) {
                    let meant = known.nearest(name);
                    found.push(place.finding(
                        table::CLUSTER_UNKNOWN,
                        format!("there is no cluster {name} for this route: Envoy does not start"),
                        meant.map_or_else(
                            || "add the cluster".to_owned(),
                            |near| format!("did you mean {near}?"),
                        ),
                    ));
                }
            }
        });
    }
    found
}

/// Clusters of one name in a bootstrap: Envoy does not start with them.
pub(crate) fn duplicates(set: &Set<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for bootstrap in &set.bootstraps {
        let mut first = BTreeMap::new();
        let resources = bootstrap.place.member("static_resources");
        for cluster in resources.iter().flat_map(|resources| resources.list("clusters")) {
            let name = cluster.text("name");
            match first.get(name) {
                Some(first) => found.push(
                    cluster
                        .finding(
                            table::CLUSTER_DUPLICATE,
                            format!("a cluster {name} is there already: Envoy does not start"),
                            "give one of them another name",
                        )
                        .beside(Place::location(first)),
                ),
                None => {
                    first.insert(name, cluster);
                }
            }
        }
    }
    found
}

/// Names that are there.
pub(crate) struct Names<'n> {
    known: BTreeSet<&'n str>,
    /// How many names may still be held against them.
    budget: Cell<usize>,
}

impl<'n> Names<'n> {
    /// Of these.
    pub(crate) fn new(known: impl Iterator<Item = &'n str>) -> Self {
        Self { known: known.collect(), budget: Cell::new(MAX_COMPARED) }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// The name that was meant, as like as not. Where thousands are wrong, only the first ones are told.
    pub(crate) fn nearest(&self, name: &str) -> Option<&'n str> {
        self.budget.set(self.budget.get().checked_sub(self.known.len())?);
        let likeness = |known: &str| strsim::normalized_damerau_levenshtein(known, name);
        let known = self.known.iter().map(|known| (*known, likeness(known)));
        let nearest = known.max_by(|(_, one), (_, other)| one.total_cmp(other));
        nearest.filter(|(_, likeness)| *likeness >= LIKE).map(|(near, _)| near)
    }
}

/// A third of the letters may be other ones.
const LIKE: f64 = 0.66;
/// As many as take a tenth of a second.
const MAX_COMPARED: usize = 100_000;
