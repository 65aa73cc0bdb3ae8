use attache_harness::issuer::{Algorithm, DEMO_IDENTIFIER, Issuer, IssuerOptions};
use serde_json::{Value, json};

use crate::proxy::{
    Document, Listener, Setup, VMS, checkout, completed, ecds_file, echo, eventually, inbound, route, trust,
};
use crate::secrets::scoped;

/// The filter as Istio's agent hands a WasmPlugin `attache` of the namespace `orders` to Envoy, with `pluginName: attache` and
/// `failStrategy: FAIL_RELOAD`: JSON text, no `vm_id`, and of the environment nothing that begins with `ISTIO_META`.
fn as_istio(name: &str, version: &str, scope: &str) -> Value {
    let document = inbound(
        &[trust("corp", json!({}))],
        &[route("istio", "/orders", json!({ "require": { "scopes": [scope] } }))],
        json!({ "forward_claims": [{ "claim": "sub", "header": "x-sub" }] }),
    );
    let mut file = ecds_file(name, version, &Document::Text(document.to_string()));
    let config = &mut file["resources"][0]["typed_config"]["config"];
    config["name"] = name.rsplit('/').next().unwrap().into();
    config["root_id"] = "attache".into();
    config["vm_config"] = json!({ "runtime": "envoy.wasm.runtime.v8", "environment_variables": {} });
    assert_eq!(config["failure_policy"], "FAIL_RELOAD");
    file
}

/// What Istio calls it: from 1.30 on, where a WasmPlugin becomes a TrafficExtension, and before.
const NAMES: [&str; 2] = [
    "extensions.istio.io/trafficextension/orders.attache~istio-translated-wasmplugin",
    "extensions.istio.io/wasmplugin/orders.attache",
];

#[test]
fn the_filter_works_as_istio_delivers_it() {
    NAMES.iter().for_each(|name| works(name));
}

fn works(name: &str) {
    let proxy = Setup::new()
        .issuer("corp")
        .file("istio.json", as_istio(name, "1", "orders:read").to_string())
        .listener(Listener::ecds(name, "istio.json"))
        .start();
    let get = |scopes: &str| {
        proxy.get(name, "/orders").bearer(&scoped(proxy.issuer("corp"), scopes)).send().unwrap()
    };
    assert_eq!(echo(&get("orders:read")).header("x-sub"), Some("orders-service"));
    assert_eq!(get("orders:write").status, 403);
    assert_eq!(proxy.get(name, "/orders").send().unwrap().status, 401);
    // Another module of the proxy could have written what the threads show each other: each fetches for itself.
    eventually("keys in every VM", || (proxy.issuer("corp").jwks_requests() == VMS).then_some(()));
    let line = "threads share no documents and no tokens: there is neither a `vm_id` nor a sealing secret";
    assert!(proxy.envoy().logs().contains(line));
    // A new resource version, as after `kubectl apply`.
    proxy.envoy().replace_file("istio.json", &completed(as_istio(name, "2", "orders:write"))).unwrap();
    eventually("the update", || (get("orders:write").status == 200).then_some(()));
    eventually("the update on every worker", || {
        (0..10).all(|_| get("orders:read").status == 403 && get("orders:write").status == 200).then_some(())
    });
    proxy.expect_metric("attache_keys", &[("issuer", "corp")], 1);
}

/// The manifests that we ship, with their configuration as the control planes send it: JSON text.
#[test]
fn the_shipped_manifests_enforce_the_demos_policy() {
    let manifest = |file: &str| {
        let path = checkout().join("deploy").join(file);
        attache_harness::bootstrap::Bootstrap::read(&path).unwrap().value_mut().clone()
    };
    let istio = manifest("istio/wasmplugin.yaml");
    assert_eq!(istio["spec"]["failStrategy"], "FAIL_RELOAD");
    let gateway = manifest("envoy-gateway/envoyextensionpolicy.yaml");
    assert_eq!(gateway["spec"]["wasm"][0]["failOpen"], false);
    for (name, document) in
        [("istio", &istio["spec"]["pluginConfig"]), ("gateway", &gateway["spec"]["wasm"][0]["config"])]
    {
        let cluster =
            document["inbound"]["issuers"][0]["keys"]["jwks"]["cluster"].as_str().unwrap().to_owned();
        let issuer = Issuer::start(IssuerOptions {
            identifier: Some(DEMO_IDENTIFIER.into()),
            algorithms: vec![Algorithm::Rs256],
            ..IssuerOptions::default()
        });
        let proxy = Setup::new()
            .with_issuer(&cluster, issuer.unwrap())
            .file("ecds.json", ecds_file(name, "1", &Document::Text(document.to_string())).to_string())
            .listener(Listener::ecds(name, "ecds.json"))
            .start();
        let read = scoped(proxy.issuer(&cluster), "orders:read");
        echo(&proxy.get(name, "/orders").bearer(&read).send().unwrap());
        for (path, token, status) in [
            ("/orders", None, 401),
            ("/orders", Some(scoped(proxy.issuer(&cluster), "orders:write")), 403),
            ("/elsewhere", Some(read.clone()), 403),
        ] {
            let mut request = proxy.get(name, path);
            if let Some(token) = token {
                request = request.bearer(&token);
            }
            assert_eq!(request.send().unwrap().status, status, "{name} {path}");
        }
    }
}
