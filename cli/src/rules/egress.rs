//! What an Envoy bootstrap does with requests that carry our tokens, beyond what the filter can see.

use std::collections::BTreeSet;

use attache::outbound::{self, Position};

use super::routes::{clusters_of, each_route};
use super::subject::Subject;
use crate::finding::{Finding, table};
use crate::reading::Place;

/// Each place that would send a token by mistake.
pub(crate) fn check(subject: &Subject<'_, '_>, outbound: &outbound::Settings) -> Vec<Finding> {
    let destinations = destinations(outbound);
    let leads_there = |route: &Place<'_>| {
        let Some(action) = route.member("route") else { return false };
        let clusters = clusters_of(&action);
        // A cluster that a header names may be any.
        clusters.is_any
            || clusters
                .names
                .iter()
                .any(|cluster| destinations.contains(cluster.as_str().unwrap_or_default()))
    };
    let mut found = Vec::new();
    match outbound.position {
        Position::Downstream => {
            let manager = subject.set.manager(subject.filter);
            let tables = manager.map(|manager| subject.set.tables(manager).read).unwrap_or_default();
            let mut look = |table: &Place<'_>, host: &Place<'_>, route: &Place<'_>| {
                let action = route.member("route");
                // The filter runs before the copy is made.
                let places = [Some(table), Some(host), action.as_ref()].into_iter().flatten();
                let mirrors = places.filter_map(|place| place.member("request_mirror_policies"));
                let mut mirrors = mirrors.filter(|mirrors| !mirrors.node().items().is_empty());
                if let Some(mirrors) = mirrors.next().filter(|_| leads_there(route)) {
                    found.push(mirrors.finding(
                        table::TOKEN_MIRRORED,
                        "the mirror would get the token as well",
                        "take request_mirror_policies away, or put the filter into the cluster with `position: \
                        upstream`",
                    ).beside(route.location()));
                }
            };
            for table in &tables {
                each_route(core::slice::from_ref(table), |host, route| look(table, host, route));
            }
        }
        Position::Upstream => {
            for manager in subject.set.managers_beside(subject.filter) {
                each_route(&subject.set.tables(manager).read, |_, route| {
                    // Headers of an attempt stay for the request that follows a redirect.
                    let policy = route.at(&["route", "internal_redirect_policy"]);
                    let policy = policy.filter(|policy| !has_list_of_routes(policy) && leads_there(route));
                    found.extend(policy.map(|policy| {
                        policy.finding(
                            table::TOKEN_REDIRECTED,
                            "a redirect that Envoy follows would take the token along",
                            "take internal_redirect_policy away, or list the routes that may be followed \
                            (allow_listed_routes)",
                        )
                    }));
                });
            }
        }
    }
    found
}

/// The clusters that tokens go to.
fn destinations(outbound: &outbound::Settings) -> BTreeSet<&str> {
    let clusters = outbound.destinations.all().iter().flat_map(|destination| &destination.clusters);
    clusters.map(|cluster| &**cluster).collect()
}

/// Whether redirects are followed to listed routes only.
fn has_list_of_routes(policy: &Place<'_>) -> bool {
    let kind = |predicate: Place<'_>| {
        let config = predicate.member("typed_config");
        config.is_some_and(|config| config.text("@type").contains("AllowListedRoutesConfig"))
    };
    policy.list("predicates").any(kind)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]
mod tests {
    use crate::check::check_text;
    use crate::finding::table;

    fn bootstrap(position: &str, route: &str, host: &str, cluster: &str) -> Vec<String> {
        let text = format!(
            r#"
static_resources:
  listeners:
  - filter_chains:
    - filters:
      - typed_config:
          http_filters:
          - typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: egress
                configuration:
                  value:
                    outbound:
                      position: {position}
                      clients:
                      - name: billing
                        token_endpoint: {{ uri: "https://idp.example/token", cluster: idp }}
                        client_id: orders
                        authentication: {{ tls_client_auth: {{}} }}
                      destinations:
                      - match: {{ authorities: [billing.internal], clusters: [billing] }}
                        client: billing
                      unmatched: pass
          route_config:
            virtual_hosts:
            - domains: ["*"]
              {host}
              routes:
              - match: {{ prefix: / }}
                route: {{ {route} }}
  clusters:
  - {{ name: billing, {cluster} }}
"#
        );
        let rules = [table::TOKEN_MIRRORED, table::TOKEN_REDIRECTED, table::TLS_ASSERTED_WITHOUT_SOCKET];
        let findings =
            check_text("-", &text).findings.into_iter().filter(|finding| rules.contains(&finding.rule));
        findings.map(|finding| format!("{}: {}", finding.location.path, finding.message)).collect()
    }

    const MIRROR: &str = "request_mirror_policies: [{ cluster: shadow }]";

    #[test]
    fn a_mirror_of_a_route_that_gets_a_token_is_refused_downstream_and_wherever_it_is_configured() {
        let there = format!("cluster: billing, {MIRROR}");
        let problems = bootstrap("downstream", &there, "", "type: STATIC");
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].contains(
                "route_config.virtual_hosts[0].routes[0].route.request_mirror_policies: the mirror"
            ),
            "{problems:?}"
        );
        assert_eq!(bootstrap("downstream", "cluster: billing", MIRROR, "type: STATIC").len(), 1);
        let weighted =
            format!("weighted_clusters: {{ clusters: [{{ name: a }}, {{ name: billing }}] }}, {MIRROR}");
        assert_eq!(bootstrap("downstream", &weighted, "", "type: STATIC").len(), 1);
        let by_header = format!("cluster_header: x-to, {MIRROR}");
        assert_eq!(bootstrap("downstream", &by_header, "", "type: STATIC").len(), 1);
    }

    #[test]
    fn mirrors_of_what_gets_no_token_and_filters_in_the_cluster_are_fine() {
        let elsewhere = format!("cluster: other, {MIRROR}");
        assert!(bootstrap("downstream", &elsewhere, "", "type: STATIC").is_empty());
        assert!(bootstrap("downstream", "cluster: billing", "", "type: STATIC").is_empty());
        let there = format!("cluster: billing, {MIRROR}");
        assert!(bootstrap("upstream", &there, "", "type: STATIC").is_empty());
    }

    #[test]
    fn redirects_that_envoy_follows_anywhere_are_refused_where_the_filter_is_in_the_cluster() {
        let anywhere = "cluster: billing, internal_redirect_policy: { max_internal_redirects: 1 }";
        let problems = bootstrap("upstream", anywhere, "", "type: STATIC");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("would take the token along"), "{problems:?}");
        assert!(bootstrap("downstream", anywhere, "", "type: STATIC").is_empty());
        let listed = r#"cluster: billing, internal_redirect_policy: { predicates: [{ name: listed, typed_config: { "@type": type.googleapis.com/envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig } }] }"#;
        assert!(bootstrap("upstream", listed, "", "type: STATIC").is_empty());
    }

    #[test]
    fn tls_that_is_asserted_of_a_cluster_without_it_is_refused() {
        let asserted = "metadata: { filter_metadata: { attache: { tls: asserted } } }";
        assert_eq!(bootstrap("downstream", "cluster: billing", "", asserted).len(), 1);
        let with_socket = format!("{asserted}, transport_socket: {{ name: tls }}");
        assert!(bootstrap("downstream", "cluster: billing", "", &with_socket).is_empty());
    }
}
