//! Hosts whose requests reach a destination's cluster and match no destination.

use attache::config::destination_patterns;
use attache::outbound::{self, Position, Unmatched};
use attache::policy::{Authority, RequestAuthority};

use super::routes::{clusters_of, each_route};
use super::subject::Subject;
use crate::finding::{Finding, table};
use crate::reading::Place;

/// Each domain of a virtual host, and each host that a route writes, that no destination of the route's cluster lists.
/// Domains with a wildcard may be any host: the log tells of those that come.
pub(crate) fn check(subject: &Subject<'_, '_>, outbound: &outbound::Settings) -> Vec<Finding> {
    let patterns = destination_patterns(subject.document.value());
    let destinations: Vec<(&outbound::Destination, &[Authority])> = outbound
        .destinations
        .all()
        .iter()
        .zip(&patterns)
        .map(|(destination, pattern)| (destination, pattern.authorities.as_slice()))
        .collect();
    let leads = |cluster: &str| {
        destinations.iter().any(|(one, _)| one.clusters.iter().any(|name| **name == *cluster))
    };
    let is_listed = |cluster: &str, host: &str| {
        let Ok(authority) = RequestAuthority::parse(host.as_bytes()) else { return true };
        let of_cluster =
            destinations.iter().filter(|(one, _)| one.clusters.iter().any(|name| **name == *cluster));
        of_cluster
            .into_iter()
            .any(|(_, list)| list.is_empty() || list.iter().any(|one| one.matches(&authority)))
    };
    let fate = match outbound.unmatched {
        Unmatched::Pass => "go on without a token",
        Unmatched::Deny => "are denied",
    };
    let mut found = Vec::new();
    let mut look = |host: &Place<'_>, route: &Place<'_>| {
        let Some(action) = route.member("route") else { return };
        let names = clusters_of(&action).names;
        let clusters = names.iter().filter_map(Place::as_str).filter(|name| leads(name));
        // In a cluster the filter sees the host that the route has written.
        let written =
            action.member("host_rewrite_literal").filter(|_| outbound.position == Position::Upstream);
        let rewrites = ["auto_host_rewrite", "host_rewrite_header", "host_rewrite_path_regex"];
        let is_unknown = written.is_none()
            && outbound.position == Position::Upstream
            && rewrites.iter().any(|name| action.member(name).is_some());
        if is_unknown {
            return;
        }
        let hosts: Vec<Place<'_>> = written.map_or_else(|| host.list("domains").collect(), |one| vec![one]);
        for cluster in clusters {
            for place in &hosts {
                let Some(name) = place.as_str().filter(|name| !name.contains('*')) else { continue };
                if !is_listed(cluster, name) {
                    found.push(
                        place
                            .finding(
                                table::DESTINATION_UNMATCHED,
                                format!(
                                    "requests to {name} reach cluster {cluster}, and no destination of it lists this \
                                     host: they {fate}"
                                ),
                                "add it to `authorities` of the destination, if these requests are to get a token",
                            )
                            .beside(route.location()),
                    );
                }
            }
        }
    };
    match outbound.position {
        Position::Downstream => {
            if let Some(manager) = subject.set.manager(subject.filter) {
                each_route(&subject.set.tables(manager).read, &mut look);
            }
        }
        Position::Upstream => {
            for manager in subject.set.managers_beside(subject.filter) {
                each_route(&subject.set.tables(manager).read, &mut look);
            }
        }
    }
    found
}
