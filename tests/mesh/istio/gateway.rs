//! The filter at a gateway, by the page of `deploy/istio`.

use anyhow::Result;
use attache_harness::upstream::Upstream;

use super::cluster::{Cluster, WORKLOAD};
use super::inbound::{status, without_tokens};
use crate::policy;
use crate::report::{Place, Report};
use crate::walkthrough::Page;
use crate::world::World;

pub(crate) fn run(world: &World, report: &mut Report) -> Result<()> {
    let (_, keycloak, _workload) = (world.registry()?, world.keycloak()?, Upstream::listen(WORKLOAD)?);
    let mut cluster = Cluster::start(world, "istio-gateway")?;
    // The service behind it, without a filter of its own.
    cluster.control_plane.apply("service", include_str!("service.yaml"))?;
    cluster.variable("CERTIFICATE", &world.certificate("server.crt"));
    cluster.variable("KEY", &world.certificate("server.key"));
    let commands = Page::read("deploy/istio/README.md")?.take("At a gateway", 0)?;
    let got = cluster.run(&commands).map(|output| status(&output));
    report.row(PLACE, "the walk-through", 1, "401", got);
    policy::report_all(
        report,
        PLACE,
        "the requests above",
        policy::walk("https://orders.example", keycloak)?,
    );
    report.row(
        PLACE,
        "tokens in the proxy's log",
        0,
        "none",
        without_tokens(&cluster.agent("orders-gateway")?.log()),
    );
    Ok(())
}

const PLACE: Place = Place { control_plane: "Istio", position: "gateway" };
