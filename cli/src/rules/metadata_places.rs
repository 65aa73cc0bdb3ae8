//! Requirements on Envoy's routes that no request would meet: metadata that Envoy does not show, that the configuration
//! does not read, or that another spelling of a request gets around.

use attache::config::Config;
use attache::inbound::MetadataUse;

use super::routes::routes_of;
use super::subject::Subject;
use crate::finding::{Finding, table};
use crate::reading::{Content, Place};

/// Metadata under `attache` that would be lost, and such that Envoy finds for one spelling of a request and not for
/// another.
pub(crate) fn check(subject: &Subject<'_, '_>, config: &Config) -> Vec<Finding> {
    let Some(manager) = subject.set.manager(subject.filter) else { return Vec::new() };
    let tables = subject.set.tables(manager).read;
    let mut found: Vec<_> = tables.iter().flat_map(|table| lost(config, table)).collect();
    let reads_inbound =
        config.inbound.as_ref().is_some_and(|inbound| inbound.route_metadata == MetadataUse::Read);
    let reads_outbound = config.outbound.as_ref().is_some_and(|outbound| outbound.reads_route_metadata);
    if reads_inbound || reads_outbound {
        found.extend(tables.iter().flat_map(|table| escapes(&manager.place, table)));
    }
    found
}

fn lost(config: &Config, routes: &Place<'_>) -> Vec<Finding> {
    let reads_outbound = config.outbound.as_ref().is_some_and(|outbound| outbound.reads_route_metadata);
    let reads = match config.inbound.as_ref().map(|inbound| inbound.route_metadata) {
        Some(MetadataUse::Ignore) => return Vec::new(),
        Some(MetadataUse::Read) => true,
        Some(MetadataUse::Deny) => false,
        // Another filter's, as like as not.
        None if !reads_outbound => return Vec::new(),
        None => true,
    };
    let mut found = Vec::new();
    found.extend(ours(routes).map(|metadata| {
        metadata.finding(
            table::METADATA_LOST,
            "Envoy shows no filter what stands on a whole table of routes, so this demands nothing",
            "write it on its virtual hosts or routes",
        )
    }));
    let hosts = routes.list("virtual_hosts").filter(|_| !reads);
    found.extend(hosts.filter_map(|host| ours(&host)).map(|metadata| {
        metadata.finding(
            table::METADATA_LOST,
            "a virtual host is looked at only with `route_metadata: read`, so this demands nothing",
            "write `route_metadata: read`, or `ignore`",
        )
    }));
    found
}

fn escapes(manager: &Place<'_>, table: &Place<'_>) -> Vec<Finding> {
    let is_set = |place: &Place<'_>, name: &str| {
        place
            .member(name)
            .is_some_and(|set| !matches!(set.node().content, Content::Bool(false) | Content::Null))
    };
    let looks_at_ports =
        !is_set(manager, "strip_any_host_port") && !is_set(table, "ignore_port_in_host_matching");
    let mut found = Vec::new();
    for host in table.list("virtual_hosts") {
        let routes = routes_of(&host).read;
        let demands = ours(&host).is_some() || routes.iter().any(|route| ours(route).is_some());
        let domains: Vec<_> = host.list("domains").collect();
        let names: Vec<&str> = domains.iter().filter_map(Place::as_str).collect();
        let lacks_port = |domain: &&Place<'_>| {
            let domain = domain.as_str().unwrap_or_default();
            !domain.contains(['*', ':']) && !names.contains(&&*format!("{domain}:*"))
        };
        if let Some(place) = domains.iter().find(lacks_port).filter(|_| demands && looks_at_ports) {
            let domain = place.as_str().unwrap_or_default();
            found.push(place.finding(
                table::METADATA_ESCAPED,
                format!(
                    "a request for `{domain}:8080` goes to another virtual host and escapes from what this one demands"
                ),
                format!("add \"{domain}:*\", or set strip_any_host_port"),
            ));
        }
        let path = ["match", "path"];
        let paths: Vec<&str> = routes.iter().filter_map(|route| route.at(&path)?.as_str()).collect();
        let with_metadata = routes.iter().filter(|route| ours(route).is_some());
        for place in with_metadata.filter_map(|route| route.at(&path)) {
            let path = place.as_str().unwrap_or_default();
            let twin = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
            if path.len() > 1 && !paths.contains(&&*twin) {
                found.push(place.finding(
                    table::METADATA_ESCAPED,
                    format!(
                        "`{twin}` is another path to Envoy and the same one to many servers: a request for it \
                        escapes from what \
                         this route demands"
                    ),
                    "use path_separated_prefix, or add a route for it",
                ));
            }
        }
    }
    found
}

fn ours<'a>(place: &Place<'a>) -> Option<Place<'a>> {
    place.at(&["metadata", "filter_metadata", "attache"])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]
mod tests {
    use crate::check::check_text;
    use crate::finding::table;

    /// What `check` says of a bootstrap whose filter is told this of metadata: problems, and notes.
    fn check(word: &str, table: &str) -> (Vec<String>, Vec<String>) {
        let text = format!(
            r#"
listeners:
- typed_config:
    http_filters:
    - typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
        config:
          name: attache
          configuration:
            value:
              inbound:
                issuers:
                - {{ name: corp, issuer: "https://idp.example", audiences: any, keys: {{ jwks: {{ uri: "https://idp.example/", cluster: idp }} }} }}
                default: deny
                {word}
    route_config: {{ {table} }}
"#
        );
        let findings = check_text("-", &text).findings;
        let told = |rule| {
            let findings = findings.iter().filter(|finding| finding.rule == rule);
            findings.map(|finding| format!("{}: {}", finding.location.path, finding.message)).collect()
        };
        (told(table::METADATA_LOST), told(table::METADATA_ESCAPED))
    }

    const OURS: &str = "metadata: { filter_metadata: { attache: { scopes: [a] } } }";
    const READ: &str = "route_metadata: read";

    fn host(domains: &str, metadata: &str, routes: &str) -> String {
        format!("virtual_hosts: [{{ domains: [{domains}], {metadata} routes: [{routes}] }}]")
    }

    #[test]
    fn metadata_of_a_table_of_routes_is_refused_wherever_metadata_counts() {
        let table = format!("{OURS}, {}", host("'*'", "", ""));
        for word in [READ, ""] {
            let (problems, _) = check(word, &table);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(
                problems[0].contains("route_config.metadata.filter_metadata.attache: Envoy shows no filter"),
                "{problems:?}"
            );
        }
        assert!(check("route_metadata: ignore", &table).0.is_empty());
    }

    #[test]
    fn metadata_of_a_virtual_host_is_refused_where_it_is_not_read() {
        let table = host("'*'", &format!("{OURS},"), "");
        assert!(check(READ, &table).0.is_empty());
        assert!(check("route_metadata: ignore", &table).0.is_empty());
        let (problems, _) = check("", &table);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].contains("virtual_hosts[0].metadata.filter_metadata.attache: a virtual host"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_virtual_host_or_a_path_with_another_spelling_is_noted() {
        let by_path = format!("{{ match: {{ path: /orders }}, {OURS} }}");
        let (_, notes) = check(READ, &host("api.example", "", &by_path));
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("virtual_hosts[0].domains[0]: a request for `api.example:8080`"));
        assert!(notes[1].contains("virtual_hosts[0].routes[0].match.path: `/orders/` is another"));
        let both = format!("{by_path}, {{ match: {{ path: /orders/ }}, {OURS} }}");
        assert!(check(READ, &host("api.example, 'api.example:*'", "", &both)).1.is_empty());
        assert!(check("", &host("api.example", "", &by_path)).1.is_empty());
        let ignoring = format!("ignore_port_in_host_matching: true, {}", host("api.example", "", &both));
        assert!(check(READ, &ignoring).1.is_empty());
    }
}
