//! What other hosts can reach, and should not.

use super::routes::{clusters_of, each_route};
use super::subject::Subject;
use super::transport::is_local;
use crate::finding::{Finding, table};
use crate::reading::{Manager, Place, Seat, Set};

/// Admin interfaces that other hosts reach.
pub(crate) fn admins(set: &Set<'_>) -> Vec<Finding> {
    let addresses = set.bootstraps.iter().filter_map(|bootstrap| bootstrap.place.at(&["admin", "address"]));
    let exposed = addresses.filter(is_exposed);
    let finding = |address: Place<'_>| {
        address.finding(
            table::ADMIN_EXPOSED,
            "other hosts reach Envoy's admin interface, which has no authentication: they can read the \
            configuration and stop Envoy",
            "listen on 127.0.0.1, or allow this by a comment where a network policy closes the port",
        )
    };
    exposed.map(finding).collect()
}

/// Listeners that add tokens to the requests of other hosts: by a filter of their own, or by that of a cluster which
/// their routes lead to.
pub(crate) fn egress(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let (set, filter) = (subject.set, subject.filter);
    let Some(outbound) = filter.config.member("outbound") else { return Vec::new() };
    let cluster = match filter.seat {
        Seat::Cluster { cluster, .. } => cluster.and_then(|place| set.clusters.get(place)),
        Seat::Listener { .. } | Seat::Unknown => None,
    };
    let own = set.manager(filter);
    let leading = set
        .managers_beside(filter)
        .filter(|manager| cluster.is_some_and(|cluster| leads_to(set, manager, cluster.name())));
    // Callers of the others have to bring a token of their own.
    let open = own.into_iter().chain(leading).filter(|manager| !has_rules(set, manager));
    let mut found = Vec::new();
    for listener in open.filter_map(|manager| manager.listener.as_ref()) {
        let others = listener.list("additional_addresses").filter_map(|one| one.member("address"));
        let addresses = listener.member("address").into_iter().chain(others);
        found.extend(addresses.filter(is_exposed).map(|address| {
            let message = "other hosts reach this listener, and the filter adds tokens to their requests as well: \
                           they act in the client's name";
            let advice =
                "listen on 127.0.0.1, or allow this by a comment where other hosts are meant to use it";
            address.finding(table::EGRESS_EXPOSED, message, advice).beside(outbound.location())
        }));
    }
    found
}

fn leads_to<'a>(set: &Set<'a>, manager: &Manager<'a>, cluster: &str) -> bool {
    let mut leads = false;
    each_route(&set.tables(manager).read, |_, route| {
        let clusters = route.member("route").map(|action| clusters_of(&action));
        leads |= clusters.is_some_and(|clusters| {
            clusters.is_any || clusters.names.iter().any(|name| name.as_str() == Some(cluster))
        });
    });
    leads
}

/// Whether a filter with rules for inbound requests is in a manager.
fn has_rules<'a>(set: &Set<'a>, manager: &Manager<'a>) -> bool {
    let is_it = |other: &Manager<'a>| core::ptr::eq(other, manager);
    let mut filters = set.filters.iter().filter(|filter| set.manager(filter).is_some_and(is_it));
    filters.any(|filter| filter.config.member("inbound").is_some())
}

/// Listeners inside Envoy have no address that a host could reach.
fn is_exposed(address: &Place<'_>) -> bool {
    address.member("envoy_internal_address").is_none() && !is_local(address)
}
