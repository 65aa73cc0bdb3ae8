//! Istio's own access log, by `deploy/observability/istio`: its records are at the plane.

use std::fs;

use anyhow::{Result, ensure};
use attache_harness::http::Request;
use attache_harness::upstream::Upstream;
use attache_harness::wait::wait_for;

use super::agent::{Agent, Kind, Pod};
use super::cluster::{PATIENCE, SIDECAR, WORKLOAD};
use super::control_plane::{ControlPlane, deployed};
use crate::report::{Place, Report};
use crate::statistics::station::Station;
use crate::world::World;

pub(crate) fn rows(world: &World, report: &mut Report) -> Result<()> {
    let (_, keycloak, _workload) = (world.registry()?, world.keycloak()?, Upstream::listen(WORKLOAD)?);
    let station = Station::start(world, "istio-records-collector")?;
    let manifests = world.directory(GROUP)?.join("manifests");
    fs::create_dir_all(&manifests)?;
    fs::write(manifests.join("mesh.conf"), deployed("observability/istio/mesh-config.yaml")?)?;
    // What the sidecar may call.
    let orders =
        include_str!("orders.yaml").replace("[./issuer.example]", "[./issuer.example, observability/*]");
    let (issuer, telemetry) =
        (deployed("istio/issuer.yaml")?, deployed("observability/istio/telemetry.yaml")?);
    let collector = COLLECTOR.replace("PORT", &station.port.to_string());
    let plugin = audited(&deployed("istio/wasmplugin.yaml")?)?;
    let manifests = [
        ("orders", orders.as_str()),
        ("issuer", &issuer),
        ("telemetry", &telemetry),
        ("collector", &collector),
        ("wasmplugin", &plugin),
        ("kubernetes/accounts", include_str!("accounts.yaml")),
    ];
    let _control_plane = ControlPlane::start(world, GROUP, &manifests)?;
    let agent = Agent::start(world, GROUP, &Pod::new("orders", Kind::Sidecar))?;
    agent.listens(SIDECAR)?;
    let (get, token) = (Request::get(BASE), keycloak.token("orders:read")?);
    wait_for("the filter to have keys", PATIENCE, || {
        let answer = get.clone().bearer(&token).send();
        Ok(answer.is_ok_and(|answer| answer.status == 200).then_some(()))
    })?;
    // Those before it may not all have been logged with what the filter decided.
    wait_for("the first records", PATIENCE, || Ok((station.counted() > 0).then_some(())))?;
    station.is_quiet()?;
    station.forget();
    for n in 0..REQUESTS {
        let (get, expected) = if n % 2 == 0 { (get.clone().bearer(&token), 200) } else { (get.clone(), 401) };
        let status = get.send()?.status;
        ensure!(status == expected, "{status} in place of {expected}");
    }
    report.row(PLACE, "records by Telemetry, at the plane", REQUESTS, RECORDS, station.told(REQUESTS as u64));
    Ok(())
}

/// The manifest's policy with records, and an API's label on a route.
fn audited(manifest: &str) -> Result<String> {
    let mut text = manifest.to_owned();
    for (line, added) in [
        ("    inbound:\n", "    audit: { fields: all }\n    inbound:\n"),
        ("      - name: list-orders\n", "      - name: list-orders\n        api: orders\n"),
    ] {
        ensure!(text.matches(line).count() == 1, "a manifest without {line:?}");
        text = text.replacen(line, added, 1);
    }
    Ok(text)
}

const GROUP: &str = "istio-records";
const PLACE: Place = Place { control_plane: "Istio", position: "sidecar, inbound" };
const BASE: &str = "http://orders.orders/orders";
const REQUESTS: usize = 6;
const RECORDS: &str = "3 none orders list-orders GET 4xx, 3 orders-service orders list-orders GET 2xx";
const COLLECTOR: &str = r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: collector, namespace: observability }
spec:
  hosts: [collector.observability.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 4317, name: grpc, protocol: GRPC, targetPort: PORT }]
  endpoints: [{ address: 127.0.0.1 }]
---
# No certification authority runs here.
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: collector, namespace: observability }
spec:
  host: collector.observability.svc.cluster.local
  trafficPolicy: { tls: { mode: DISABLE } }
"#;
