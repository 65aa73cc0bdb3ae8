//! Clusters by their names: those that are not there, and the ones that were meant.

use super::endpoints::{destinations, endpoints};
use super::routes::{clusters_of, each_route};
use super::subject::Subject;
use crate::finding::{Finding, table};
use crate::reading::{Host, Place, Set};

/// Each place where a configuration names a cluster, with what it is for.
pub(crate) fn named<'a>(config: &Place<'a>) -> Vec<(Place<'a>, String)> {
    let endpoints = endpoints(config).into_iter();
    let servers = endpoints.map(|one| (one.place, format!("{} of {}", one.purpose.word(), one.of)));
    let mut found: Vec<(Place<'a>, String)> = Vec::new();
    for (place, what) in servers {
        // A cluster for metadata and keys stands there once.
        match found.iter_mut().find(|(other, _)| other.path() == place.path()) {
            Some((_, all)) => *all = format!("{all} and {what}"),
            None => found.push((place, what)),
        }
    }
    found.extend(destinations(config).into_iter().map(|place| (place, "a destination".to_owned())));
    found
}

/// What is found of the clusters that a configuration of Envoy names.
pub(crate) fn check(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let (set, filter) = (subject.set, subject.filter);
    if filter.host != Host::Envoy {
        return Vec::new();
    }
    let known: Vec<&str> = set.clusters_of(filter).map(|cluster| cluster.name()).collect();
    let bootstrap = filter.bootstrap.and_then(|place| set.bootstraps.get(place));
    let knows_all = bootstrap.is_some_and(|bootstrap| !bootstrap.has_dynamic_clusters);
    let mut found = Vec::new();
    for (place, what) in named(&filter.config) {
        let name = place.as_str().unwrap_or_default();
        if known.contains(&name) {
            continue;
        }
        let nearest = nearest(name, &known);
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
        let known: Vec<&str> = clusters.map(|cluster| cluster.name()).collect();
        each_route(manager.place.member("route_config").as_ref(), |_, route| {
            let Some(action) = route.member("route") else { return };
            for place in clusters_of(&action).names {
                let name = place.as_str().unwrap_or_default();
                if !known.contains(&name) {
                    let meant = nearest(name, &known);
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

/// The name that was meant, as like as not.
pub(crate) fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(known, name);
    let nearest = known.iter().copied().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    nearest.filter(|near| likeness(near) >= LIKE)
}

/// A third of the letters may be other ones.
const LIKE: f64 = 0.66;
