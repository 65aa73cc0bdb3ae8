//! The hosts that files name for what a metadata document names.

use super::network::host_of;
use super::subject::Subject;
use crate::reading::Place;
use crate::rules::{Transport, transport_of};

/// The hosts that the files name for an endpoint of an issuer's, called through this cluster: the issuer's own, and
/// those of the cluster, if it is there.
pub(super) fn named(subject: &Subject<'_, '_>, issuer: &str, cluster: &str) -> Vec<String> {
    let mut hosts: Vec<String> = host_of(issuer).into_iter().collect();
    // Istio's clusters have the host in their name: `outbound|443||idp.example`.
    hosts.extend(
        cluster.strip_prefix("outbound|").and_then(|rest| rest.rsplit('|').next()).map(str::to_owned),
    );
    if let Some(cluster) = subject.set.cluster(subject.filter, cluster) {
        hosts.extend(addresses(&cluster.place).into_iter().map(str::to_owned));
        if let Transport::Tls(contexts) = transport_of(&cluster.place) {
            hosts.extend(contexts.iter().flat_map(names).map(str::to_owned));
        }
    }
    hosts.retain(|host| !host.is_empty());
    hosts
}

/// The addresses of a cluster.
fn addresses<'a>(cluster: &Place<'a>) -> Vec<&'a str> {
    let localities =
        cluster.member("load_assignment").into_iter().flat_map(|assignment| assignment.list("endpoints"));
    let endpoints = localities.flat_map(|locality| locality.list("lb_endpoints"));
    endpoints
        .filter_map(|endpoint| Some(endpoint.at(&["endpoint", "address", "socket_address"])?.text("address")))
        .collect()
}

/// The names by which a TLS context knows the server: its SNI, and the exact names that its certificate may have.
fn names<'a>(context: &Place<'a>) -> Vec<&'a str> {
    let common = context.member("common_tls_context");
    let contexts = [
        common.as_ref().and_then(|common| common.member("validation_context")),
        common
            .as_ref()
            .and_then(|common| common.at(&["combined_validation_context", "default_validation_context"])),
    ];
    let mut names = vec![context.text("sni")];
    for validation in contexts.iter().flatten() {
        let typed = validation.list("match_typed_subject_alt_names");
        names.extend(typed.filter_map(|one| Some(one.member("matcher")?.text("exact"))));
        names.extend(validation.list("match_subject_alt_names").map(|one| one.text("exact")));
    }
    names
}
