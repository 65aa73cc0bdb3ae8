//! Manifests of Kubernetes: those that configure a filter, and those that say what its clusters are.

use super::filter::{Filter, Host, Seat};
use super::place::Place;
use super::set::{Cluster, Manifest, Set};
use super::walk;
use crate::finding::table;

pub(super) fn is_manifest(place: &Place<'_>) -> bool {
    let is_typed = !place.text("kind").is_empty() && place.member("apiVersion").is_some();
    is_typed || MANIFESTS.contains(&place.text("kind")) || is_patch(place)
}

/// A patch of a workload says nothing of its kind.
fn is_patch(place: &Place<'_>) -> bool {
    place.node().members().len() == 1 && place.at(&["spec", "template"]).is_some()
}

pub(super) fn read<'a>(place: &Place<'a>, set: &mut Set<'a>) {
    let kind = place.text("kind");
    let spec = place.member("spec");
    match kind {
        "WasmPlugin" => plugin(spec, place, "pluginConfig", Host::Istio, set),
        "TrafficExtension" => {
            let wasm = spec.and_then(|spec| spec.member("wasm"));
            plugin(wasm, place, "pluginConfig", Host::Istio, set);
        }
        "EnvoyExtensionPolicy" => {
            for wasm in spec.iter().flat_map(|spec| spec.list("wasm")) {
                plugin(Some(wasm), place, "config", Host::EnvoyGateway, set);
            }
        }
        "EnvoyFilter" => {
            for patch in spec.iter().flat_map(|spec| spec.list("configPatches")) {
                let Some(value) = patch.at(&["patch", "value"]) else { continue };
                walk::part(&value, patch.text("applyTo"), set);
                if patch.text("applyTo") == "CLUSTER" && value.member("name").is_some() {
                    set.add_cluster(Cluster { place: value, bootstrap: None });
                }
            }
        }
        "List" => place.list("items").for_each(|item| read(&item, set)),
        "ConfigMap" => set.findings.push(place.finding(
            table::RESOURCE_UNKNOWN,
            format!("the ConfigMap {} is passed over: what its texts hold is not read", name(place)),
            "give the file that it is made from",
        )),
        _ if is_patch(place) => {}
        _ if !MANIFESTS.contains(&kind) => {
            let is_near = |known: &&&str| strsim::damerau_levenshtein(known, kind) <= MAX_SLIPS;
            let near = MANIFESTS.iter().find(is_near);
            set.findings.push(place.finding(
                table::RESOURCE_UNKNOWN,
                format!("the {kind} {} is passed over: no resource of this kind is known here", name(place)),
                near.map_or_else(|| "leave it out".to_owned(), |near| format!("did you mean {near}?")),
            ));
        }
        _ => {}
    }
    set.manifests.push(Manifest { kind, place: place.clone() });
}

/// A filter of a manifest; other modules' are passed over.
fn plugin<'a>(plugin: Option<Place<'a>>, manifest: &Place<'a>, field: &str, host: Host, set: &mut Set<'a>) {
    let Some(plugin) = plugin else { return };
    let config = plugin.member(field);
    let is_ours = |config: &Place<'_>| walk::is_configuration(config.node());
    let Some(config) = config.filter(is_ours) else {
        set.findings.push(plugin.finding(
            table::OTHER_MODULE,
            format!(
                "the module of {} has no block `inbound` or `outbound`: it is taken for another one",
                name(manifest)
            ),
            "",
        ));
        return;
    };
    if host == Host::Istio {
        selection(&plugin, manifest, config.member("inbound").is_some(), set);
    }
    let seat = Seat::Listener { entry: None, manager: None };
    set.filters.push(Filter { plugin, config, host, seat, bootstrap: None, extension: "" });
}

/// What Istio does not give to a filter.
fn selection<'a>(plugin: &Place<'a>, manifest: &Place<'a>, has_inbound: bool, set: &mut Set<'a>) {
    if let Some(kind) = plugin.member("type").filter(|kind| kind.is_value("NETWORK", 2)) {
        set.findings.push(kind.finding(
            table::FILTER_MISPLACED,
            "a network filter gets no requests: nothing would be checked, and no token added",
            "remove `type`, or write HTTP",
        ));
    }
    // A TrafficExtension has it beside the module.
    let spec = manifest.member("spec");
    let traffic = plugin.member("match").or_else(|| spec.as_ref()?.member("match"));
    let Some(traffic) = traffic.filter(|_| has_inbound) else { return };
    let takes_all = |one: Place<'_>| {
        let is_outbound = one.member("mode").is_some_and(|mode| mode.is_value("CLIENT", 1));
        !is_outbound && one.list("ports").next().is_none()
    };
    if traffic.is_filled() && !traffic.items().any(takes_all) {
        set.findings.push(traffic.finding(
            table::FILTER_CONDITIONAL,
            "the filter gets only a part of the inbound requests: those that `match` leaves out are open",
            "remove `match`, or write `mode: SERVER` without `ports`",
        ));
    }
}

/// The name of a manifest.
fn name<'a>(place: &Place<'a>) -> &'a str {
    place.member("metadata").map_or("without a name", |metadata| metadata.text("name"))
}

/// The kinds that stand beside a filter; those that say nothing of it are passed over in silence.
const MANIFESTS: [&str; 33] = [
    "WasmPlugin",
    "TrafficExtension",
    "EnvoyFilter",
    "EnvoyExtensionPolicy",
    "List",
    "ConfigMap",
    // Istio's.
    "ServiceEntry",
    "DestinationRule",
    "VirtualService",
    "Sidecar",
    "AuthorizationPolicy",
    "PeerAuthentication",
    "RequestAuthentication",
    "Telemetry",
    "ProxyConfig",
    "WorkloadEntry",
    // Envoy Gateway's.
    "Gateway",
    "GatewayClass",
    "HTTPRoute",
    "GRPCRoute",
    "Backend",
    "BackendTLSPolicy",
    "BackendTrafficPolicy",
    "ClientTrafficPolicy",
    "SecurityPolicy",
    "EnvoyProxy",
    "EnvoyPatchPolicy",
    "ReferenceGrant",
    // The workload.
    "Deployment",
    "Service",
    "NetworkPolicy",
    "Secret",
    "Namespace",
];
const MAX_SLIPS: usize = 2;
