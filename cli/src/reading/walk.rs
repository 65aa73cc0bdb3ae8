//! Finds what matters in resources of Envoy, wherever it stands: managers, clusters, tables of routes and filters.

use super::filter::{Filter, Host, Seat};
use super::node::{Content, Node};
use super::place::Place;
use super::set::{Bootstrap, Cluster, Discovered, Manager, Set};
use crate::finding::table;

/// What is around a value.
#[derive(Clone, Debug, Default)]
struct Around<'a> {
    bootstrap: Option<usize>,
    listener: Option<Place<'a>>,
    manager: Option<usize>,
    cluster: Option<usize>,
    /// The nearest entry of a list `http_filters`.
    entry: Option<Place<'a>>,
    /// The name of the resource that Envoy gets a filter by, where it comes by itself.
    extension: &'a str,
}

/// Reads a document that is no manifest. Returns whether it is anything of ours or of Envoy's.
pub(super) fn document<'a>(place: &Place<'a>, set: &mut Set<'a>) -> bool {
    if is_configuration(place.node()) {
        let (plugin, config) = (place.clone(), place.clone());
        set.filters.push(Filter {
            plugin,
            config,
            host: Host::Unknown,
            seat: Seat::Unknown,
            bootstrap: None,
            extension: "",
        });
        return true;
    }
    let is_bootstrap = BOOTSTRAP.iter().any(|name| place.member(name).is_some());
    let mut around = Around::default();
    if is_bootstrap {
        let dynamic = place.member("dynamic_resources");
        let has_dynamic_clusters = dynamic.is_some_and(|dynamic| dynamic.member("cds_config").is_some());
        around.bootstrap = Some(set.bootstraps.len());
        set.bootstraps.push(Bootstrap { place: place.clone(), has_dynamic_clusters });
    }
    let before = (set.filters.len(), set.managers.len(), set.clusters.len(), set.tables.len());
    let types = walk(place, around, set);
    let after = (set.filters.len(), set.managers.len(), set.clusters.len(), set.tables.len());
    is_bootstrap || types || before != after
}

/// Reads a part of a manifest that is Envoy's own: the value of a patch, whose type `applyTo` says in place of a
/// `@type`.
pub(super) fn part<'a>(place: &Place<'a>, apply_to: &str, set: &mut Set<'a>) {
    let entry = (apply_to == "HTTP_FILTER").then(|| place.clone());
    let extension = if apply_to == "EXTENSION_CONFIG" { place.text("name") } else { "" };
    walk(place, Around { entry, extension, ..Around::default() }, set);
}

/// Returns whether there is a type of Envoy's anywhere.
fn walk<'a>(place: &Place<'a>, mut around: Around<'a>, set: &mut Set<'a>) -> bool {
    let kind = place.text("@type");
    let mut is_known = is_envoys(kind);
    let name = kind.rsplit('/').next().unwrap_or_default();
    if !kind.is_empty() && !is_known {
        set.findings.push(place.finding(
            table::TYPE_UNKNOWN,
            format!("`{name}` is not a type of Envoy's: what is below it was not read"),
            nearest_type(name).map_or_else(String::new, |near| format!("did you mean {near}?")),
        ));
        return false;
    }
    match name {
        // What a type that Envoy is not built with looks like: its own name is inside.
        "udpa.type.v1.TypedStruct" | "xds.type.v3.TypedStruct" => {
            let inner = place.text("type_url");
            if inner.ends_with(WASM_FILTER)
                && let Some(value) = place.member("value")
            {
                filter(&value, &around, set);
                return true;
            }
        }
        WASM_FILTER => {
            filter(place, &around, set);
            return true;
        }
        _ if name.ends_with("HttpConnectionManager") || is_manager(place) => {
            around.manager = Some(set.managers.len());
            let (bootstrap, listener) = (around.bootstrap, around.listener.clone());
            set.managers.push(Manager { place: place.clone(), bootstrap, listener });
        }
        "envoy.config.cluster.v3.Cluster" => around.cluster = Some(cluster(place, &around, set)),
        "envoy.config.core.v3.TypedExtensionConfig" => around.extension = place.text("name"),
        NETWORK_FILTER | WASM_SERVICE if holds_ours(place) => set.findings.push(place.finding(
            table::FILTER_MISPLACED,
            format!("{name} gets no requests: nothing would be checked, and no token added"),
            format!("put it into `http_filters` as {WASM_FILTER}"),
        )),
        "envoy.config.listener.v3.Listener" => around.listener = Some(place.clone()),
        "envoy.config.route.v3.RouteConfiguration" => set.tables.push(place.clone()),
        _ => {}
    }
    for (name, value) in place.members() {
        let mut items = Vec::new();
        if place.path().ends_with("static_resources") || place.path().is_empty() {
            match name {
                "clusters" => items.extend(value.items().map(|item| {
                    let cluster = Some(cluster(&item, &around, set));
                    (item, Around { cluster, ..around.clone() })
                })),
                "listeners" => items.extend(value.items().map(|item| {
                    let listener = Some(item.clone());
                    (item, Around { listener, ..around.clone() })
                })),
                _ => {}
            }
        }
        if matches!(name, "http_filters" | "httpFilters") {
            items.extend(value.items().map(|item| {
                let entry = Some(item.clone());
                (item, Around { entry, ..around.clone() })
            }));
        }
        if items.is_empty() {
            is_known |= walk(&value, around.clone(), set);
        }
        for (item, around) in items {
            discovered(&item, &around, set);
            is_known |= walk(&item, around, set);
        }
    }
    for item in place.items() {
        is_known |= walk(&item, around.clone(), set);
    }
    is_known
}

fn cluster<'a>(place: &Place<'a>, around: &Around<'a>, set: &mut Set<'a>) -> usize {
    set.add_cluster(Cluster { place: place.clone(), bootstrap: around.bootstrap })
}

/// A filter that Envoy gets elsewhere.
fn discovered<'a>(entry: &Place<'a>, around: &Around<'a>, set: &mut Set<'a>) {
    let Some(discovery) = entry.member("config_discovery") else { return };
    let is_wasm = |name: Place<'a>| name.as_str().is_some_and(|name| name.ends_with(WASM_FILTER));
    if discovery.list("type_urls").any(is_wasm) {
        let (seat, bootstrap) = (seat(around), around.bootstrap);
        set.discovered.push(Discovered { name: entry.text("name"), place: discovery, seat, bootstrap });
    }
}

fn filter<'a>(wasm: &Place<'a>, around: &Around<'a>, set: &mut Set<'a>) {
    let Some(plugin) = wasm.member("config") else { return };
    let configuration = plugin.member("configuration");
    let config = configuration.as_ref().and_then(|any| any.member("value"));
    let ours = config.as_ref().is_some_and(|config| is_configuration(config.node()));
    let names = ["name", "root_id"].map(|name| plugin.text(name)).map(str::to_ascii_lowercase);
    let code = plugin.at(&["vm_config", "code", "local"]).map_or("", |local| local.text("filename"));
    let is_named = names.iter().map(String::as_str).chain([code]).any(|name| name.contains("attache"));
    if !ours && !is_named {
        let name = plugin.text("name");
        set.findings.push(plugin.finding(
            table::OTHER_MODULE,
            format!("the wasm filter `{name}` has no block `inbound` or `outbound`: it is taken for another module"),
            "",
        ));
        return;
    }
    let Some(config) = config.filter(|config| !matches!(config.node().content, Content::Null)) else {
        set.findings.push(plugin.finding(
            table::CONFIGURATION_INVALID,
            "the filter has no configuration: it would refuse every request",
            "write `configuration` with a `google.protobuf.Struct` or `StringValue`",
        ));
        return;
    };
    let (seat, bootstrap, extension) = (seat(around), around.bootstrap, around.extension);
    set.filters.push(Filter { plugin, config, host: Host::Envoy, seat, bootstrap, extension });
}

fn seat<'a>(around: &Around<'a>) -> Seat<'a> {
    match (around.cluster, around.entry.clone()) {
        (cluster @ Some(_), Some(entry)) => Seat::Cluster { entry, cluster },
        (None, Some(entry)) if is_upstream(&entry) => Seat::Cluster { entry, cluster: None },
        (_, Some(entry)) => Seat::Listener { entry: Some(entry), manager: around.manager },
        (_, None) => Seat::Unknown,
    }
}

fn holds_ours(place: &Place<'_>) -> bool {
    let value = place.at(&["config", "configuration", "value"]);
    value.is_some_and(|value| is_configuration(value.node()))
}

/// Whether an entry of `http_filters` belongs to a cluster's options.
fn is_upstream(entry: &Place<'_>) -> bool {
    entry.path().contains("envoy.extensions.upstreams.http.v3.HttpProtocolOptions")
}

/// Whether a value is the filter's own document, or was meant to be one.
pub(super) fn is_configuration(node: &Node) -> bool {
    node.members().iter().any(|member| matches!(&*member.name, "inbound" | "outbound"))
}

fn is_manager(place: &Place<'_>) -> bool {
    let has_routes = ["route_config", "rds", "scoped_routes"].iter().any(|name| place.member(name).is_some());
    place.member("http_filters").is_some() && has_routes
}

/// Whether a type is one of those that Envoy has; the many that cannot hold a filter are not told apart.
fn is_envoys(kind: &str) -> bool {
    let name = kind.rsplit('/').next().unwrap_or_default();
    let has_package = PACKAGES.iter().any(|package| name.starts_with(package));
    has_package && (name == WASM_FILTER || nearest_type(name).is_none())
}

/// The type that was meant, if this is nearly one that matters here.
fn nearest_type(name: &str) -> Option<&'static str> {
    let is_near = |known: &&&str| **known != name && strsim::damerau_levenshtein(known, name) <= MAX_SLIPS;
    if TYPES.contains(&name) { None } else { TYPES.iter().find(is_near).copied() }
}

const WASM_FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
const NETWORK_FILTER: &str = "envoy.extensions.filters.network.wasm.v3.Wasm";
const WASM_SERVICE: &str = "envoy.extensions.wasm.v3.WasmService";
/// The types that this tool has to know to find a filter and what is around it.
const TYPES: [&str; 9] = [
    WASM_FILTER,
    // So that nothing takes it for a misspelt one of HTTP.
    NETWORK_FILTER,
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "envoy.config.cluster.v3.Cluster",
    "envoy.config.listener.v3.Listener",
    "envoy.config.route.v3.RouteConfiguration",
];
const PACKAGES: [&str; 7] = ["envoy.", "google.", "xds.", "udpa.", "opencensus.", "istio.", "io.istio."];
/// Members that only a bootstrap has.
const BOOTSTRAP: [&str; 5] = ["static_resources", "dynamic_resources", "admin", "node", "stats_config"];
/// As many letters as a hand gets wrong in one name.
const MAX_SLIPS: usize = 2;
