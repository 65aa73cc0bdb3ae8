//! The pieces of Envoy's configuration that README and `docs/` show: Envoy takes each of them, in the place for which
//! the page gives it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use attache_harness::bootstrap::Bootstrap;
use attache_harness::envoy::{Envoy, EnvoyOptions};
use attache_harness::http::Request;
use serde_json::{Value, json};

use crate::proxy::{checkout, module, shipped};

/// A YAML block of a page.
struct Block {
    page: String,
    value: Value,
}

/// The pages that operators read. Those of docs/keycloak.md need a Keycloak: tests/mesh runs them.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(checkout().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let docs = docs.filter(|path| !path.ends_with("keycloak.md"));
    ["README.md", "SECURITY.md", "deploy/istio/README.md"]
        .into_iter()
        .map(|name| checkout().join(name))
        .chain(docs)
        .collect()
}

fn blocks() -> Vec<Block> {
    let blocks = pages().into_iter().flat_map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let parts: Vec<String> = text.split("```yaml\n").skip(1).map(str::to_owned).collect();
        parts.into_iter().map(move |part| {
            let (yaml, _) = part.split_once("```").unwrap();
            let page = path.display().to_string();
            let value =
                serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{page}: {error}\n{yaml}"));
            Block { page, value }
        })
    });
    blocks.collect()
}

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// Puts a piece where it belongs. Says what it is; `None` where no place is known for it.
fn place(bootstrap: &mut Bootstrap, value: &Value) -> Option<&'static str> {
    let (key, piece) = value.as_object()?.iter().next()?;
    match key.as_str() {
        // The filter's own configuration: another test compiles it.
        "audit" | "inbound" | "outbound" => Some("configuration"),
        // Pods and workloads: Envoy sees nothing of them.
        "containers" | "metadata" | "spec" => Some("Kubernetes"),
        "stats_config" => {
            bootstrap.value_mut()["stats_config"] = piece.clone();
            Some("stats_config")
        }
        "http_filters" => {
            let filters = bootstrap.at(&format!("{MANAGER}/http_filters")).unwrap().as_array_mut().unwrap();
            let router = filters.pop().unwrap();
            *filters = piece.as_array().unwrap().iter().cloned().chain([router]).collect();
            Some("http_filters")
        }
        "routes" => {
            let host = format!("{MANAGER}/route_config/virtual_hosts/0/routes");
            let routes = bootstrap.at(&host).unwrap().as_array_mut().unwrap();
            routes.splice(0..0, piece.as_array().unwrap().iter().cloned());
            Some("routes")
        }
        "retry_policy" => {
            let route = format!("{MANAGER}/route_config/virtual_hosts/0/routes/0/route");
            bootstrap.at(&route).unwrap()["retry_policy"] = piece.clone();
            Some("retry_policy")
        }
        "clusters" => {
            let clusters = bootstrap.at("/static_resources/clusters").unwrap().as_array_mut().unwrap();
            for cluster in piece.as_array().unwrap() {
                let members = cluster.as_object().unwrap().clone();
                let known = clusters.iter_mut().find(|known| known["name"] == cluster["name"]);
                known
                    .unwrap_or_else(|| panic!("no cluster {cluster}"))
                    .as_object_mut()
                    .unwrap()
                    .extend(members);
            }
            Some("clusters")
        }
        "vm_config" => {
            let members = piece.as_object().unwrap();
            bootstrap
                .plugins(&mut |plugin| plugin["vm_config"].as_object_mut().unwrap().extend(members.clone()));
            Some("vm_config")
        }
        "allow_on_headers_stop_iteration" => {
            bootstrap.plugins(&mut |plugin| drop(plugin.insert(key.clone(), piece.clone())));
            Some("allow_on_headers_stop_iteration")
        }
        "capability_restriction_config" => {
            bootstrap.plugins(&mut |plugin| drop(plugin.insert(key.clone(), piece.clone())));
            Some("capability_restriction_config")
        }
        _ => None,
    }
}

/// All pieces together, so that one start tells: Envoy rejects what it does not know, and the filter restricted to the
/// listed capabilities still starts.
#[test]
fn envoy_takes_every_piece_that_the_pages_show() {
    let mut bootstrap = shipped();
    let blocks = blocks();
    // Where filters are written, what is written about them comes after.
    let (filters, others): (Vec<_>, Vec<_>) =
        blocks.iter().partition(|block| block.value.get("http_filters").is_some());
    let mut kinds = BTreeSet::new();
    for block in filters.into_iter().chain(others) {
        let kind = place(&mut bootstrap, &block.value);
        kinds.insert(
            kind.unwrap_or_else(|| panic!("{}: where does this belong? {}", block.page, block.value)),
        );
    }
    let expected = [
        "Kubernetes",
        "allow_on_headers_stop_iteration",
        "capability_restriction_config",
        "clusters",
        "configuration",
        "http_filters",
        "retry_policy",
        "routes",
        "stats_config",
        "vm_config",
    ];
    assert_eq!(kinds, BTreeSet::from(expected), "are the pages still read?");
    // The clusters that pieces name.
    let clusters = bootstrap.at("/static_resources/clusters").unwrap().as_array_mut().unwrap();
    let named = ["inventory", "billing"].map(|name| json!({ "name": name, "type": "STATIC" }));
    clusters.extend(named);
    bootstrap.use_free_ports().unwrap();
    bootstrap.set_wasm(&module()).unwrap();
    let environment = ["HS_KEY", "ATTACHE_SEAL"].map(|name| (name.to_owned(), "x".repeat(43)));
    let envoy = Envoy::start(EnvoyOptions {
        // Paths of a page are the checkout's.
        directory: Some(checkout().to_owned()),
        bootstrap: bootstrap.to_json(),
        environment: environment.into(),
        ..EnvoyOptions::default()
    })
    .unwrap();
    // README's policy is in force.
    let answer = Request::get(envoy.url("proxy").unwrap() + "/orders").send().unwrap();
    assert_eq!(answer.status, 401, "{}", envoy.logs());
}
