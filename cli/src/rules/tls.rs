//! Whether what has to be secret or genuine travels over TLS that checks the server.

use std::collections::{BTreeMap, BTreeSet};

use super::endpoints::{Endpoint, destinations, endpoints};
use super::subject::Subject;
use super::transport::{Transport, Verification, is_on_this_host, transport_of};
use crate::finding::{Finding, Location, Rule, table};
use crate::reading::Place;

/// What is found of the clusters that a filter calls and sends tokens to.
pub(crate) fn check(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut by_cluster: BTreeMap<&str, Vec<Endpoint<'_>>> = BTreeMap::new();
    for endpoint in endpoints(&subject.filter.config) {
        by_cluster.entry(endpoint.cluster).or_default().push(endpoint);
    }
    for (name, endpoints) in by_cluster {
        let cluster = subject.set.cluster(subject.filter, name);
        match cluster.map(|cluster| (cluster, transport_of(&cluster.place))) {
            Some((cluster, Transport::Plain)) => found.extend(plaintext(&cluster.place, &endpoints)),
            Some((cluster, Transport::Tls(contexts))) => {
                let places: Vec<_> = endpoints.iter().map(|endpoint| endpoint.place.location()).collect();
                found.extend(unverified(subject, &cluster.place, &contexts, &places));
            }
            Some((cluster, Transport::Other)) => {
                let places = endpoints.iter().map(|endpoint| endpoint.place.location());
                found.push(not_known(&cluster.place, places));
            }
            None => found.extend(endpoints.iter().filter(|one| one.uri.starts_with("http://")).map(http)),
        }
    }
    found.extend(outbound(subject));
    found
}

/// Findings of a cluster without TLS: once for each weight, however many endpoints are behind it.
fn plaintext(cluster: &Place<'_>, endpoints: &[Endpoint<'_>]) -> Vec<Finding> {
    let (meant, others): (Vec<_>, Vec<_>) =
        endpoints.iter().partition(|one| one.is_optional && one.uri.starts_with("http://"));
    let mut found: Vec<_> = meant.into_iter().map(http).collect();
    if let Some(first) = others.iter().find(|one| one.purpose.risk().contains("secret")).or(others.first()) {
        let socket = cluster.member("transport_socket");
        let location = socket.map_or_else(|| cluster.location(), |socket| socket.location());
        let (rule, what) = if is_on_this_host(cluster) {
            (table::ENDPOINT_LOOPBACK, "connects to this host without TLS: wherever else it leads,")
        } else {
            (table::ENDPOINT_PLAINTEXT, "has no TLS:")
        };
        let mut finding = Finding::new(
            rule,
            location,
            format!(
                "{} of {} are fetched from {} through cluster {}, which {what} {}",
                first.purpose.word(),
                first.of,
                first.shown(),
                first.cluster,
                first.purpose.risk()
            ),
            "give the cluster a `transport_socket` with an UpstreamTlsContext, `sni` and a trusted CA",
        );
        for endpoint in others {
            finding = finding.beside(endpoint.place.location());
        }
        found.push(finding);
    }
    found
}

fn http(endpoint: &Endpoint<'_>) -> Finding {
    let message = format!(
        "{} of {} are fetched from {}, without TLS: {}",
        endpoint.purpose.word(),
        endpoint.of,
        endpoint.shown(),
        endpoint.purpose.risk()
    );
    endpoint.place.finding(
        table::ENDPOINT_HTTP,
        message,
        "use https, and a cluster with a TLS transport socket",
    )
}

/// Findings of TLS that does not check the server.
fn unverified(
    subject: &Subject<'_, '_>,
    cluster: &Place<'_>,
    contexts: &[Place<'_>],
    users: &[Location],
) -> Vec<Finding> {
    let secrets = subject.secrets();
    let mut found = Vec::new();
    let name = cluster.text("name");
    for context in contexts {
        let verification = Verification::of(context, cluster, &secrets);
        let mut add = |rule: &'static Rule, message: String, advice: &str| {
            let finding = context.finding(rule, message, advice);
            found.push(users.iter().fold(finding, |finding, user| finding.beside(user.clone())));
        };
        if !verification.is_known {
            add(
                table::TLS_NOT_KNOWN,
                format!(
                    "a validator that is not known here verifies the server of cluster {name}: this was not checked"
                ),
                "see that it checks the CA and the server's name, and allow it by a comment",
            );
        } else if !verification.has_authority {
            add(
                table::TLS_UNVERIFIED,
                format!(
                    "TLS of cluster {name} accepts every certificate: any server on the way can pretend to be the \
                    one that is meant"
                ),
                "add `common_tls_context.validation_context` with `trusted_ca` (or `system_root_certs: {}`) and \
                 `match_typed_subject_alt_names`",
            );
        } else if !verification.has_name {
            add(
                table::TLS_NAME_UNVERIFIED,
                format!(
                    "TLS of cluster {name} accepts the certificate of any server that the CA has signed one for, \
                    whatever its name"
                ),
                "add `match_typed_subject_alt_names` with the server's name, or `auto_sni_san_validation: true`",
            );
        }
        if !verification.has_server_name {
            add(
                table::TLS_SNI_MISSING,
                format!(
                    "TLS of cluster {name} names no server (SNI): a server with several names may answer for another \
                    one, or not at all"
                ),
                "add `sni: HOST`, or `auto_host_sni: true`",
            );
        }
    }
    found
}

/// A transport socket that may have TLS, or not.
fn not_known(cluster: &Place<'_>, users: impl Iterator<Item = Location>) -> Finding {
    let socket = cluster.member("transport_socket").or_else(|| cluster.member("transport_socket_matches"));
    let message = format!(
        "cluster {} has a transport socket that is not known here: whether it has TLS, and what that verifies, was not \
        checked",
        cluster.text("name")
    );
    let advice = "see that it has TLS which checks the server's CA and name, and allow it by a comment";
    let finding = socket.as_ref().unwrap_or(cluster).finding(table::TLS_NOT_KNOWN, message, advice);
    users.fold(finding, Finding::beside)
}

/// Findings of the clusters that tokens go to.
fn outbound(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let config = &subject.filter.config;
    let waived =
        config.member("outbound").into_iter().flat_map(|outbound| outbound.list("plaintext_clusters"));
    let waived: BTreeSet<&str> = waived.filter_map(|cluster| cluster.as_str()).collect();
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for place in destinations(config) {
        let Some(name) = place.as_str().filter(|name| seen.insert(*name)) else { continue };
        let Some(cluster) = subject.set.cluster(subject.filter, name) else { continue };
        let cluster = &cluster.place;
        let assertion = cluster.at(&["metadata", "filter_metadata", "attache", "tls"]);
        let assertion = assertion.filter(|tls| tls.as_str() == Some("asserted"));
        match (assertion, transport_of(cluster)) {
            (Some(assertion), Transport::Plain) => found.push(
                assertion
                    .finding(
                        table::TLS_ASSERTED_WITHOUT_SOCKET,
                        format!("the metadata of cluster {name} asserts TLS, and it has no TLS transport socket: \
                        tokens would go out in plain text"),
                        "add the transport socket, or remove the assertion",
                    )
                    .beside(place.location()),
            ),
            (Some(_), Transport::Tls(contexts)) => {
                found.extend(unverified(subject, cluster, &contexts, &[place.location()]));
            }
            (None, _) if !waived.contains(name) => found.push(
                cluster
                    .finding(
                        table::DESTINATION_TLS_UNDECLARED,
                        format!("cluster {name} neither asserts TLS nor is it in `plaintext_clusters`: every request \
                        that should get a token gets 503"),
                        "add `metadata: { filter_metadata: { attache: { tls: asserted } } }` beside its TLS \
                        transport socket, or name it in `plaintext_clusters`",
                    )
                    .beside(place.location()),
            ),
            (Some(_), Transport::Other) => {
                found.push(not_known(cluster, core::iter::once(place.location())));
            }
            (None, _) => {}
        }
    }
    found
}
