//! Requirements on Envoy's routes that no request would meet: metadata that Envoy does not show, that the configuration
//! does not read, or that another spelling of a request gets around.

use attache::config::{Config, Value};
use attache::inbound::MetadataUse;

use crate::members::member;

/// Metadata under `attache` that would be lost. `manager` is the one that the filter is in.
pub(crate) fn contradictions(config: &Config, manager: &Value) -> Vec<String> {
    let Some(table) = member(manager, "route_config") else { return Vec::new() };
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
    if has_ours(table) {
        found.push(
            "route_config.metadata: Envoy shows no filter what stands on a whole table of routes, so this demands nothing: write it on \
             its virtual hosts or routes"
                .to_owned(),
        );
    }
    let hosts = list(table, "virtual_hosts").iter().enumerate().filter(|(_, host)| has_ours(host));
    found.extend(hosts.filter(|_| !reads).map(|(index, _)| {
        format!(
            "route_config.virtual_hosts[{index}].metadata: a virtual host is looked at only with `route_metadata: read`, so this demands \
             nothing: write that, or `ignore`"
        )
    }));
    found
}

/// Metadata that is read, and that Envoy finds for one spelling of a request and not for another.
pub(crate) fn notes(config: &Config, manager: &Value) -> Vec<String> {
    let reads_inbound =
        config.inbound.as_ref().is_some_and(|inbound| inbound.route_metadata == MetadataUse::Read);
    let reads_outbound = config.outbound.as_ref().is_some_and(|outbound| outbound.reads_route_metadata);
    let Some(table) = member(manager, "route_config").filter(|_| reads_inbound || reads_outbound) else {
        return Vec::new();
    };
    let is_set = |value: &Value, name: &str| {
        member(value, name).is_some_and(|set| !matches!(set, Value::Bool(false) | Value::Null))
    };
    let looks_at_ports =
        !is_set(manager, "strip_any_host_port") && !is_set(table, "ignore_port_in_host_matching");
    let mut found = Vec::new();
    for (index, host) in list(table, "virtual_hosts").iter().enumerate() {
        let place = format!("route_config.virtual_hosts[{index}]");
        let routes = list(host, "routes");
        let demands = has_ours(host) || routes.iter().any(has_ours);
        let domains: Vec<&str> = list(host, "domains").iter().filter_map(Value::as_str).collect();
        let lacks_port =
            |domain: &&&str| !domain.contains(['*', ':']) && !domains.contains(&&*format!("{domain}:*"));
        if let Some(domain) = domains.iter().find(lacks_port).filter(|_| demands && looks_at_ports) {
            found.push(format!(
                "{place}.domains: a request for `{domain}:8080` goes to another virtual host and escapes from what this one demands: \
                 add \"{domain}:*\", or set strip_any_host_port"
            ));
        }
        let paths: Vec<&str> =
            routes.iter().filter_map(|route| member(route, "match").map(|one| text(one, "path"))).collect();
        for (number, route) in routes.iter().enumerate().filter(|(_, route)| has_ours(route)) {
            let path = member(route, "match").map(|one| text(one, "path")).unwrap_or_default();
            let twin = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
            if path.len() > 1 && !paths.contains(&&*twin) {
                found.push(format!(
                    "{place}.routes[{number}].match.path: `{twin}` is another path to Envoy and the same one to many servers: a request \
                     for it escapes from what this route demands. Use path_separated_prefix, or add a route for it"
                ));
            }
        }
    }
    found
}

fn has_ours(value: &Value) -> bool {
    let metadata = member(value, "metadata").and_then(|metadata| member(metadata, "filter_metadata"));
    metadata.is_some_and(|metadata| member(metadata, "attache").is_some())
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    member(value, name).and_then(Value::as_list).unwrap_or_default()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    member(value, name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]
mod tests {
    use crate::document::Document;

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
        let documents = Document::parse_all(&text).unwrap();
        let config = documents[0].compile().unwrap();
        (documents[0].contradictions(&config), documents[0].notes(&config))
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
            assert!(problems[0].starts_with("route_config.metadata: Envoy shows no filter"), "{problems:?}");
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
            problems[0].starts_with("route_config.virtual_hosts[0].metadata: a virtual host"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_virtual_host_or_a_path_with_another_spelling_is_noted() {
        let by_path = format!("{{ match: {{ path: /orders }}, {OURS} }}");
        let (_, notes) = check(READ, &host("api.example", "", &by_path));
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(
            notes[0].starts_with("route_config.virtual_hosts[0].domains: a request for `api.example:8080`")
        );
        assert!(
            notes[1].starts_with("route_config.virtual_hosts[0].routes[0].match.path: `/orders/` is another")
        );
        let both = format!("{by_path}, {{ match: {{ path: /orders/ }}, {OURS} }}");
        assert!(check(READ, &host("api.example, 'api.example:*'", "", &both)).1.is_empty());
        assert!(check("", &host("api.example", "", &by_path)).1.is_empty());
        let ignoring = format!("ignore_port_in_host_matching: true, {}", host("api.example", "", &both));
        assert!(check(READ, &ignoring).1.is_empty());
    }
}
