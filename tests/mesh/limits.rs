//! Limits per verified client over two Envoys, counted by a rate limit service on Kuadrant's engine with a real Redis:
//! `deploy/neighbours/ratelimit.yaml` as it is, and each part of it slow or down.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use attache_harness::envoy::{Envoy, EnvoyOptions};
use attache_harness::http::Request;
use attache_harness::issuer::{Algorithm, Issuer, IssuerOptions, TokenSpec};
use attache_harness::upstream::Upstream;
use attache_harness::wait::wait_for;
use serde_json::{Value, json};

use crate::program::Program;
use crate::report::{Place, Report};
use crate::world::{World, checkout, installed, module};

/// Two Envoys, and all that they need.
struct Fleet {
    envoys: [Envoy; 2],
    issuer: Issuer,
    _upstream: Upstream,
    redis: Redis,
    limiter: Limiter,
}

struct Redis {
    program: Program,
    port: u16,
    directory: PathBuf,
}

struct Limiter {
    program: Program,
    listen: SocketAddr,
    redis: u16,
    directory: PathBuf,
}

pub(crate) fn run(world: &World, report: &mut Report) -> Result<()> {
    let mut fleet = Fleet::start(world)?;
    counts(&fleet, report);
    faults(&mut fleet, report)
}

/// Each client has as many requests as the limit says, whichever Envoy gets them.
fn counts(fleet: &Fleet, report: &mut Report) {
    let a = fleet.client("client-a");
    let statuses = (0..6).map(|request| fleet.status(request % 2, CLOSED, "/orders", Some(&a)));
    let got = statuses.collect::<Result<Vec<_>>>().map(|statuses| format!("{statuses:?}"));
    report.row(PLACE, "a client, through both in turn", 6, "[200, 200, 200, 200, 429, 429]", got);

    let (busy, together) = (fleet.client("client-c"), 40);
    let statuses = std::thread::scope(|scope| {
        let ask = |request: usize| fleet.status(request % 2, CLOSED, "/orders", Some(&busy));
        let threads: Vec<_> = (0..together).map(|request| scope.spawn(move || ask(request))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<Vec<_>>>()
    });
    // The engine asks Redis before it counts: those under way together may be more than the limit, and no later one is.
    let late = (0..2).map(|envoy| fleet.status(envoy, CLOSED, "/orders", Some(&busy)));
    let got = statuses.and_then(|statuses| {
        let late = late.collect::<Result<Vec<_>>>()?;
        let passed = statuses.iter().filter(|status| **status == 200).count();
        let is_as_counted = passed >= 4 && statuses.iter().all(|status| [200, 429].contains(status));
        let first = if is_as_counted { AS_COUNTED.to_owned() } else { format!("{statuses:?}") };
        Ok(format!("{first}; {late:?}"))
    });
    let expected = format!("{AS_COUNTED}; [429, 429]");
    report.row(PLACE, "a client with many at once, and then", together + 2, &expected, got);

    let other = fleet.client("client-b");
    let others = [Some(other.as_str()), None].map(|token| {
        let path = if token.is_some() { "/orders" } else { "/healthz" };
        fleet.status(0, CLOSED, path, token)
    });
    let got = others.into_iter().collect::<Result<Vec<_>>>().map(|statuses| format!("{statuses:?}"));
    report.row(PLACE, "another client, and one without a token", 2, "[200, 200]", got);

    let renewed = fleet.status(1, CLOSED, "/orders", Some(&fleet.client("client-a")));
    report.row(
        PLACE,
        "the first client, with a new token",
        1,
        "429",
        renewed.map(|status| status.to_string()),
    );

    let refused = (0..8).map(|request| fleet.status(request % 2, CLOSED, "/orders", None));
    let got = refused.collect::<Result<Vec<_>>>().map(|statuses| format!("{statuses:?}"));
    let expected = format!("{:?}", [401; 8]);
    report.row(PLACE, "requests that are denied before: counted for nobody", 8, &expected, got);
    let anonymous = fleet.status(1, CLOSED, "/healthz", None);
    report.row(PLACE, "and then one without a token", 1, "200", anonymous.map(|status| status.to_string()));
}

/// The service is slow, then down; Redis is down; all is well again.
fn faults(fleet: &mut Fleet, report: &mut Report) -> Result<()> {
    fleet.limiter.program.signal("STOP");
    fleet.row(report, "the service does not answer");
    fleet.limiter.program.signal("CONT");
    fleet.recover(report, "the service answers again")?;

    fleet.limiter.program.kill();
    fleet.row(report, "the service is down");
    fleet.limiter.restart()?;
    fleet.recover(report, "the service is there again")?;

    fleet.redis.program.kill();
    fleet.row(report, "Redis is down");
    fleet.redis.restart()?;
    fleet.recover(report, "Redis is there again")
}

impl Fleet {
    fn start(world: &World) -> Result<Self> {
        let directory = world.directory("limits")?;
        let redis = Redis::start(&directory, free_port()?)?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let limiter = Limiter::start(&directory, listen, redis.port)?;
        let upstream = Upstream::start()?;
        let issuer = Issuer::start(IssuerOptions {
            identifier: Some(ISSUER.to_owned()),
            algorithms: vec![Algorithm::Es256],
            ..IssuerOptions::default()
        })?;
        let envoy = || -> Result<Envoy> {
            let bootstrap = bootstrap(&issuer, &upstream, listen)?;
            Envoy::start(EnvoyOptions { bootstrap: bootstrap.to_string(), ..EnvoyOptions::default() })
        };
        let envoys = [envoy()?, envoy()?];
        Ok(Self { envoys, issuer, _upstream: upstream, redis, limiter })
    }

    fn client(&self, name: &str) -> String {
        let spec = TokenSpec::scoped("orders:read").claim("client_id", name).claim("sub", name);
        self.issuer.mint(&spec).expect("the issuer mints")
    }

    fn status(&self, envoy: usize, listener: &str, path: &str, token: Option<&str>) -> Result<u16> {
        let request = Request::get(format!("{}{path}", self.envoys[envoy].url(listener)?));
        let request = match token {
            Some(token) => request.bearer(token),
            None => request,
        };
        Ok(request.send()?.status)
    }

    /// What a client gets that is within its limit, by either setting of `failure_mode_deny`.
    fn row(&self, report: &mut Report, scenario: &str) {
        for (listener, setting, expected) in
            [(CLOSED, "failure_mode_deny", "[500, 500]"), (OPEN, "failure_mode_deny: false", "[200, 200]")]
        {
            let token = self.client(&format!("patient of {scenario}"));
            let statuses = (0..2).map(|envoy| self.status(envoy, listener, "/orders", Some(&token)));
            let got = statuses.collect::<Result<Vec<_>>>().map(|statuses| format!("{statuses:?}"));
            report.row(PLACE, &format!("{scenario}, with {setting}"), 2, expected, got);
        }
    }

    /// Waits until limits hold again, and counts them through both.
    fn recover(&self, report: &mut Report, scenario: &str) -> Result<()> {
        let patient = self.client("patient");
        wait_for("the service to count again", PATIENCE, || {
            let statuses = (0..2).map(|envoy| self.status(envoy, CLOSED, "/orders", Some(&patient)));
            let statuses = statuses.collect::<Result<Vec<_>>>()?;
            Ok(statuses.iter().all(|status| *status != 500).then_some(()))
        })?;
        let token = self.client(&format!("client of {scenario}"));
        let statuses = (0..6).map(|request| self.status(request % 2, CLOSED, "/orders", Some(&token)));
        let got = statuses.collect::<Result<Vec<_>>>().map(|statuses| format!("{statuses:?}"));
        report.row(PLACE, scenario, 6, "[200, 200, 200, 200, 429, 429]", got);
        Ok(())
    }
}

impl Redis {
    fn start(directory: &Path, port: u16) -> Result<Self> {
        let root = checkout(".tools/mesh/redis");
        let mut command = Command::new(root.join("usr/bin/redis-server"));
        let libraries = fs::read_dir(root.join("usr/lib"))?.map(|entry| entry.map(|entry| entry.path()));
        let libraries = libraries.collect::<Result<Vec<_>, _>>()?;
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries)?);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
        command.arg(port.to_string()).current_dir(directory);
        let mut program = Program::start("redis", directory, &mut command)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        program.wait_until("Redis", PATIENCE, || TcpStream::connect(address).ok())?;
        Ok(Self { program, port, directory: directory.to_owned() })
    }

    fn restart(&mut self) -> Result<()> {
        *self = Self::start(&self.directory, self.port)?;
        Ok(())
    }
}

impl Limiter {
    fn start(directory: &Path, listen: SocketAddr, redis: u16) -> Result<Self> {
        let mut command = Command::new(installed("limiter")?);
        // Nothing comes back while the rows are made.
        command.args([&listen.to_string(), &format!("redis://127.0.0.1:{redis}"), "orders", "4", "3600"]);
        let mut program = Program::start("limiter", directory, &mut command)?;
        program.wait_until("the rate limit service", PATIENCE, || TcpStream::connect(listen).ok())?;
        Ok(Self { program, listen, redis, directory: directory.to_owned() })
    }

    fn restart(&mut self) -> Result<()> {
        *self = Self::start(&self.directory, self.listen, self.redis)?;
        Ok(())
    }
}

/// An Envoy with a listener for each setting of `failure_mode_deny`.
fn bootstrap(issuer: &Issuer, upstream: &Upstream, limiter: SocketAddr) -> Result<Value> {
    let text = fs::read_to_string(checkout("deploy/neighbours/ratelimit.yaml"))?;
    let shipped: Value = serde_saphyr::from_str(&text).context("deploy/neighbours/ratelimit.yaml")?;
    let mut service = shipped["clusters"][0].clone();
    service["type"] = "STATIC".into();
    service["load_assignment"] = endpoint("limiter", limiter);
    let cluster = |name: &str, address: SocketAddr| {
        let endpoint = endpoint(name, address);
        json!({ "name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": endpoint })
    };
    let mut filter = shipped["http_filters"][0].clone();
    // A busy machine is no slow service.
    filter["typed_config"]["timeout"] = "2s".into();
    let mut open = filter.clone();
    open["typed_config"]["failure_mode_deny"] = false.into();
    Ok(json!({
        "node": { "id": "limits", "cluster": "limits" },
        "admin": { "address": socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))) },
        "static_resources": {
            "clusters": [cluster("upstream", upstream.addr()), cluster("corp", issuer.addr()), service],
            "listeners": [listener(CLOSED, &filter), listener(OPEN, &open)],
        },
    }))
}

fn listener(name: &str, limits: &Value) -> Value {
    let policy = json!({ "inbound": {
        "issuers": [{
            "name": "corp", "issuer": ISSUER, "audiences": "any",
            "keys": { "jwks": { "uri": format!("{ISSUER}/jwks"), "cluster": "corp" } },
        }],
        "filter_state": { "facts": ["principal"] },
        "routes": [
            { "name": "orders", "match": { "path": "/orders" }, "require": { "scopes": ["orders:read"] } },
            { "name": "health", "match": { "path": "/healthz" }, "public": {} },
        ],
        "default": "deny",
    }});
    let attache = json!({ "name": "attache", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": name,
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": policy.to_string(),
            },
            "vm_config": {
                "vm_id": "attache", "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": module() } },
            },
            "failure_policy": "FAIL_RELOAD",
        },
    }});
    let router = json!({ "name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } });
    let all = json!({ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } });
    json!({
        "name": name,
        "address": socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": name,
                "http_filters": [attache, limits, router],
                "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [all] }] },
            },
        }]}],
    })
}

fn endpoint(name: &str, address: SocketAddr) -> Value {
    let endpoint = json!({ "endpoint": { "address": socket(address) } });
    json!({ "cluster_name": name, "endpoints": [{ "lb_endpoints": [endpoint] }] })
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

const ISSUER: &str = "https://corp.example";
/// Of many at once.
const AS_COUNTED: &str = "the limit or more pass, the others get 429";
const PLACE: Place = Place { control_plane: "none", position: "two Envoys" };
/// The listener with the filter as it is shipped.
const CLOSED: &str = "closed";
/// The one whose requests go on without the service.
const OPEN: &str = "open";
const PATIENCE: Duration = Duration::from_secs(60);
