//! What an Envoy bootstrap does with requests that carry our tokens, beyond what the filter can see.

use std::collections::BTreeSet;

use attache::config::Value;
use attache::outbound::{self, Position};

use crate::members::{list, member, text};

/// Each place that would send a token by mistake, or that contradicts what the configuration rests on.
/// `manager` is the one that the filter is in, `managers` are all of the file.
pub(crate) fn contradictions(
    outbound: &outbound::Settings,
    manager: Option<&Value>,
    managers: &[Value],
    clusters: &[Value],
) -> Vec<String> {
    let destinations: BTreeSet<&str> = outbound
        .destinations
        .all()
        .iter()
        .flat_map(|destination| &destination.clusters)
        .map(|cluster| &**cluster)
        .collect();
    let mut found = Vec::new();
    match outbound.position {
        Position::Downstream => manager.into_iter().for_each(|manager| {
            each_route(manager, &destinations, |place, host, route| {
                // The filter runs before the copy is made.
                let has_mirror = [host, route].iter().any(|one| !list(one, "request_mirror_policies").is_empty());
                let by_table = member(manager, "route_config").is_some_and(|table| !list(table, "request_mirror_policies").is_empty());
                if has_mirror || by_table {
                    found.push(format!(
                        "{place}: the mirror would get the token as well: take request_mirror_policies away, or put the \
                         filter into the cluster with `position: upstream`"
                    ));
                }
            });
        }),
        Position::Upstream => managers.iter().for_each(|manager| {
            each_route(manager, &destinations, |place, _, route| {
                // Headers of an attempt stay for the request that follows a redirect.
                if member(route, "internal_redirect_policy").is_some_and(|policy| !has_list_of_routes(policy)) {
                    found.push(format!(
                        "{place}: a redirect that Envoy follows would take the token along: take internal_redirect_policy \
                         away, or list the routes that may be followed (allow_listed_routes)"
                    ));
                }
            });
        }),
    }
    for cluster in clusters {
        let name = text(cluster, "name");
        let has_tls =
            ["transport_socket", "transport_socket_matches"].iter().any(|one| member(cluster, one).is_some());
        if destinations.contains(name) && is_asserted(cluster) && !has_tls {
            found.push(format!("cluster {name}: its metadata asserts TLS, and it has no transport socket"));
        }
    }
    found
}

/// Calls `look` with the place, the virtual host and the action of each route that leads to a destination.
fn each_route(manager: &Value, destinations: &BTreeSet<&str>, mut look: impl FnMut(&str, &Value, &Value)) {
    let Some(table) = member(manager, "route_config") else { return };
    for (host_index, host) in list(table, "virtual_hosts").iter().enumerate() {
        for (index, route) in list(host, "routes").iter().enumerate() {
            let Some(action) = member(route, "route") else { continue };
            let weighted =
                member(action, "weighted_clusters").map_or(&[][..], |weighted| list(weighted, "clusters"));
            let mut clusters =
                weighted.iter().map(|cluster| text(cluster, "name")).chain([text(action, "cluster")]);
            // A cluster that a header names may be any.
            let is_any = ["cluster_header", "cluster_specifier_plugin", "inline_cluster_specifier_plugin"]
                .iter()
                .any(|one| member(action, one).is_some());
            if is_any || clusters.any(|cluster| destinations.contains(cluster)) {
                let place = format!("route_config.virtual_hosts[{host_index}].routes[{index}]");
                look(&place, host, action);
            }
        }
    }
}

/// Whether redirects are followed to listed routes only.
fn has_list_of_routes(policy: &Value) -> bool {
    let kind = |predicate: &Value| {
        let config = member(predicate, "typed_config");
        config.is_some_and(|config| text(config, "@type").contains("AllowListedRoutesConfig"))
    };
    list(policy, "predicates").iter().any(kind)
}

fn is_asserted(cluster: &Value) -> bool {
    let metadata = member(cluster, "metadata").and_then(|metadata| member(metadata, "filter_metadata"));
    let ours = metadata.and_then(|metadata| member(metadata, "attache"));
    ours.is_some_and(|ours| text(ours, "tls") == "asserted")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]
mod tests {
    use crate::document::Document;

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
        let documents = Document::parse_all(&text).unwrap();
        documents[0].contradictions(&documents[0].compile().unwrap())
    }

    const MIRROR: &str = "request_mirror_policies: [{ cluster: shadow }]";

    #[test]
    fn a_mirror_of_a_route_that_gets_a_token_is_refused_downstream_and_wherever_it_is_configured() {
        let there = format!("cluster: billing, {MIRROR}");
        let problems = bootstrap("downstream", &there, "", "type: STATIC");
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with("route_config.virtual_hosts[0].routes[0]: the mirror"),
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
