//! Envoy Gateway's own access log, by `deploy/observability/envoy-gateway`: its records are at the plane.

use std::fs;

use anyhow::{Context, Result, ensure};
use attache_harness::wait::wait_for;
use serde_json::{Value, json};

use super::{CONTROL_PLANE, Mesh, PATIENCE, until};
use crate::client::Call;
use crate::report::{Place, Report};
use crate::statistics::station::Station;
use crate::world::checkout;

pub(super) fn run(mesh: &Mesh<'_>, report: &mut Report) -> Result<()> {
    let station = Station::start(mesh.world, "envoy-gateway-collector")?;
    let token = mesh.keycloak.token("orders:read")?;
    let (refused, good) = (Call::get(ORDERS), Call::get(ORDERS).bearer(&token));
    mesh.control_plane.apply("collector", &COLLECTOR.replace("PORT", &station.port.to_string()))?;
    mesh.change(
        "envoyextensionpolicy",
        &[
            ("      inbound:\n", "      audit: { fields: all }\n      inbound:\n"),
            ("        - name: list-orders\n", "        - name: list-orders\n          api: orders\n"),
        ],
    )?;
    let class = mesh.control_plane.manifest("gatewayclass")?;
    let spec = "kind: EnvoyProxy\nmetadata:\n  name: attache\n  namespace: envoy-gateway-system\nspec:\n";
    ensure!(class.matches(spec).count() == 1, "another EnvoyProxy");
    let class = class.replace(spec, &format!("{spec}  telemetry: {}\n", telemetry()?));
    mesh.control_plane.apply("gatewayclass", &class)?;
    let got = logged(&station, &good).and_then(|()| {
        station.forget();
        ensure!(until(&refused, "401 Bearer orders:read")?.starts_with("401"), "a request without a token");
        ensure!(until(&good, "200")? == "200", "a request with a token");
        station.told(2)
    });
    report.row(PLACE, "records by EnvoyProxy, at the plane", 2, RECORDS, got);
    Ok(())
}

/// Sends requests until there is a record of one with what the filter decided, and waits for those before it.
fn logged(station: &Station, good: &Call) -> Result<()> {
    wait_for("a record with an API", PATIENCE, || {
        ensure!(until(good, "200")? == "200", "a request with a token");
        Ok(station.has("orders-service orders").then_some(()))
    })?;
    station.is_quiet()
}

/// What the manifest adds, to the Backend of these tests in place of a Service.
fn telemetry() -> Result<Value> {
    let text = fs::read_to_string(checkout("deploy/observability/envoy-gateway/envoyproxy.yaml"))?;
    let mut manifest: Value = serde_saphyr::from_str(&text)?;
    let backend = manifest
        .pointer_mut("/spec/telemetry/accessLog/settings/0/sinks/0/openTelemetry/backendRefs/0")
        .and_then(Value::as_object_mut)
        .context("no backend of the log")?;
    backend.insert("group".into(), json!("gateway.envoyproxy.io"));
    backend.insert("kind".into(), json!("Backend"));
    Ok(manifest["spec"]["telemetry"].clone())
}

const PLACE: Place = Place { control_plane: CONTROL_PLANE, position: "gateway, inbound" };
const ORDERS: &str = "https://orders.example:10443/orders";
const RECORDS: &str = "1 none orders list-orders GET 4xx, 1 orders-service orders list-orders GET 2xx";
const COLLECTOR: &str = r#"
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: { name: collector, namespace: observability }
spec: { endpoints: [{ ip: { address: 127.0.0.1, port: PORT } }] }
"#;
