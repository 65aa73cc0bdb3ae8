//! What is around a filter that opens a way past it, or makes it blind: routes, other filters, clusters.

use std::collections::BTreeSet;

use super::endpoints::{Purpose, destinations, endpoints};
use super::routes::{clusters_of, each_route};
use super::subject::Subject;
use super::transport::{Transport, http_options, transport_of};
use crate::finding::{Finding, table};
use crate::reading::Place;

/// What is found around a filter.
pub(crate) fn check(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let mut found = normalization(subject);
    found.extend(early_mutations(subject));
    found.extend(other_filters(subject));
    found.extend(reachable_credentials(subject));
    found.extend(chosen_addresses(subject));
    found.extend(missing_credentials(subject));
    found.extend(unsealed(subject));
    found
}

/// Whether requirements of inbound requests depend on Envoy's own routes.
fn reads_routes(subject: &Subject<'_, '_>) -> bool {
    subject.filter.config.member("inbound").is_some_and(|inbound| inbound.text("route_metadata") == "read")
}

fn normalization(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let manager = subject.set.manager(subject.filter).filter(|_| reads_routes(subject));
    let place =
        manager.map(|manager| &manager.place).filter(|place| place.flag("normalize_path") != Some(true));
    let finding = place.map(|place| {
        Finding::new(
            table::NORMALIZE_PATH_OFF,
            place.location_of("normalize_path"),
            "Envoy does not normalize paths, and scopes depend on the route that it finds by them: requests with \
            another spelling are refused (400)",
            "write `normalize_path: true`",
        )
    });
    finding.into_iter().collect()
}

fn early_mutations(subject: &Subject<'_, '_>) -> Option<Finding> {
    let manager = subject.set.manager(subject.filter).filter(|_| reads_routes(subject))?;
    let claims = subject.filter.config.at(&["inbound", "forward_claims"])?;
    let extensions = manager.place.list("early_header_mutation_extensions");
    let mutations =
        extensions.filter_map(|one| one.member("typed_config")).flat_map(|one| one.list("mutations"));
    let removed: BTreeSet<String> = mutations.map(|one| one.text("remove").to_ascii_lowercase()).collect();
    let headers = claims.items().map(|claim| claim.text("header").to_ascii_lowercase());
    let kept: Vec<String> = headers.filter(|header| !removed.contains(header)).collect();
    if kept.is_empty() {
        return None;
    }
    let finding = Finding::new(
        table::EARLY_MUTATION_MISSING,
        manager.place.location_of("early_header_mutation_extensions"),
        format!(
            "Envoy does not remove {} before it chooses a route: a request that brings one is refused (400)",
            kept.join(" and ")
        ),
        "remove each header of `forward_claims` in `early_header_mutation_extensions`, as envoy.yaml does",
    );
    Some(finding.beside(claims.location()))
}

/// Other filters that can change a header on which a route matches.
fn other_filters(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let reads_outbound = subject
        .filter
        .config
        .member("outbound")
        .is_some_and(|outbound| outbound.text("position") == "downstream");
    let manager = subject.set.manager(subject.filter).filter(|_| reads_routes(subject) || reads_outbound);
    let Some(manager) = manager else { return Vec::new() };
    let mut depends = false;
    each_route(&subject.set.tables(manager).read, |_, route| {
        let matches = route.member("match").is_some_and(|one| one.list("headers").next().is_some());
        depends |= matches || route.at(&["route", "cluster_header"]).is_some();
    });
    let own = subject.filter.entry().map(Place::path);
    let filters = manager.place.list("http_filters").filter(|filter| depends && Some(filter.path()) != own);
    let found = filters.filter_map(|filter| {
        let kind = filter.member("typed_config")?.text("@type").to_owned();
        EDITORS.iter().any(|editor| kind.contains(editor)).then(|| {
            filter.finding(
                table::OTHER_FILTER_EDITS,
                format!("{} can change a header, and a route depends on one: Envoy would choose the route again, and \
                the request would take another one than it was judged by", filter.text("name")),
                "do not match routes on headers that it may change, and allow this by name",
            )
        })
    });
    found.collect()
}

/// Routes by which a caller could use the credential that a cluster adds.
fn reachable_credentials(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let endpoints = endpoints(&subject.filter.config).into_iter();
    for endpoint in endpoints.filter(|one| matches!(one.purpose, Purpose::Tokens(_))) {
        let name = endpoint.cluster;
        let cluster = subject.set.cluster(subject.filter, name).filter(|_| seen.insert(name));
        let Some(cluster) = cluster.filter(|cluster| injector(&cluster.place).is_some()) else { continue };
        for manager in subject.set.managers_beside(subject.filter) {
            each_route(&subject.set.tables(manager).read, |_, route| {
                let Some(action) = route.member("route") else { return };
                let clusters = clusters_of(&action);
                let named = clusters.names.into_iter().find(|one| one.as_str() == Some(name));
                if let Some(place) = named.or_else(|| clusters.is_any.then_some(action)) {
                    found.push(
                        place
                            .finding(
                                table::CREDENTIAL_REACHABLE,
                                format!("a caller gets through this route to cluster {name}, which adds the client's \
                                credential to every request: the caller can get tokens in the client's name"),
                                "use a cluster of its own for the filter's token requests, which no route leads to",
                            )
                            .beside(cluster.place.location()),
                    );
                }
            });
        }
    }
    found
}

/// The filter of a cluster that adds a credential.
fn injector<'a>(cluster: &Place<'a>) -> Option<Place<'a>> {
    http_options(cluster)?.list("http_filters").find(|filter| {
        filter
            .member("typed_config")
            .is_some_and(|config| config.text("@type").contains("credential_injector"))
    })
}

/// Destinations whose address the caller chooses.
fn chosen_addresses(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for place in destinations(&subject.filter.config) {
        let cluster = place.as_str().and_then(|name| subject.set.cluster(subject.filter, name));
        let flag = cluster.and_then(|cluster| {
            let config = cluster.place.member("original_dst_lb_config")?;
            config.member("use_http_header").filter(|_| config.flag("use_http_header") == Some(true))
        });
        found.extend(flag.map(|flag| {
            flag.finding(
                table::ADDRESS_FROM_HEADER,
                "the caller chooses by a header where the request goes, and with it the token",
                "remove `use_http_header`, or take the cluster out of the destinations",
            )
            .beside(place.location())
        }));
    }
    found
}

/// Clients whose credential the cluster should bring, and does not.
fn missing_credentials(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for endpoint in endpoints(&subject.filter.config) {
        let Purpose::Tokens(authentication) = endpoint.purpose else { continue };
        let Some(cluster) = subject.set.cluster(subject.filter, endpoint.cluster) else { continue };
        let lacks = match authentication {
            "set_by_cluster" => {
                let filters =
                    http_options(&cluster.place).into_iter().flat_map(|options| options.list("http_filters"));
                (filters.count() < 2).then_some((
                    "no HTTP filter that adds a credential",
                    "add envoy.filters.http.credential_injector to its `http_filters`",
                ))
            }
            "tls_client_auth" => match transport_of(&cluster.place) {
                Transport::Tls(contexts) => contexts.iter().any(lacks_certificate).then_some((
                    "no certificate of its own",
                    "add `tls_certificates` or `tls_certificate_sds_secret_configs` to its TLS context",
                )),
                Transport::Plain => Some((
                    "no TLS, and so no certificate",
                    "add a TLS transport socket with `tls_certificates`",
                )),
                Transport::Other => None,
            },
            _ => None,
        };
        found.extend(lacks.map(|(what, advice)| {
            let message = format!(
                "cluster {} of {} has {what}: its token requests go out without one and are refused",
                endpoint.cluster, endpoint.of
            );
            cluster
                .place
                .finding(table::CREDENTIAL_MISSING, message, advice)
                .beside(endpoint.place.location())
        }));
    }
    found
}

fn lacks_certificate(context: &Place<'_>) -> bool {
    let common = context.member("common_tls_context");
    !common.is_some_and(|common| {
        common
            .members()
            .any(|(name, _)| name.starts_with("tls_certificate") || name.starts_with("tlsCertificate"))
    })
}

/// Tokens that each worker gets for itself.
fn unsealed(subject: &Subject<'_, '_>) -> Option<Finding> {
    let config = &subject.filter.config;
    let outbound = config.member("outbound")?;
    let sharing = config.member("sharing");
    let says_so = sharing.as_ref().is_some_and(|sharing| {
        sharing.as_str() == Some("none")
            || sharing.member("process").is_some_and(|process| !process.node().members().is_empty())
    });
    let place = sharing.unwrap_or(outbound);
    (!says_so).then(|| {
        place.finding(
            table::TOKENS_NOT_SHARED,
            "each worker gets tokens for itself: as many token requests as Envoy has workers, and as many tokens",
            "set `sharing.process.sealing_secret`, or `sharing: none` where one worker runs or that is meant",
        )
    })
}

/// Filters that can change a request's headers and have Envoy choose its route again.
const EDITORS: [&str; 9] = [
    "filters.http.lua",
    "filters.http.ext_proc",
    "filters.http.ext_authz",
    "filters.http.jwt_authn",
    "filters.http.header_mutation",
    "filters.http.golang",
    "filters.http.dynamic_modules",
    "filters.http.oauth2",
    "filters.http.wasm",
];
