//! The demo's two Envoys, from `envoy.yaml` and `sidecar.yaml`, and what callers do to them. The first one's listener
//! comes from a file, as if from a control plane, the streams of one route end with their token, and another one names
//! its client.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use attache_harness::bootstrap::Bootstrap;
use attache_harness::envoy::{Envoy, EnvoyOptions};
use attache_harness::http::Request;
use attache_harness::issuer::{
    Algorithm, DEMO_CLIENT, DEMO_IDENTIFIER, Endpoint, Fault, Issuer, IssuerOptions, Signer, TokenSpec,
};
use attache_harness::upstream::Upstream;
use serde_json::{Value, json};

use crate::world::{checkout, module};

/// All that the demo needs. Ends when dropped.
pub(crate) struct Demo {
    envoy: Envoy,
    /// The listener of that one.
    listener: Value,
    sidecar: Envoy,
    issuer: Issuer,
    _upstream: Upstream,
    proxy: SocketAddr,
    inbound: SocketAddr,
    outbound: SocketAddr,
}

impl Demo {
    pub(crate) fn start() -> Result<Self> {
        let issuer = Issuer::start(IssuerOptions {
            identifier: Some(DEMO_IDENTIFIER.into()),
            algorithms: vec![Algorithm::Rs256],
            lifetime: LIFETIME,
            ..IssuerOptions::default()
        })?;
        let upstream = Upstream::start()?;
        let mut bootstrap = Bootstrap::read(&checkout("envoy.yaml"))?;
        let mut policy = bootstrap.plugin_configuration()?;
        let routes = policy["inbound"]["routes"].as_array_mut().context("routes")?;
        for route in routes {
            match route["name"].as_str() {
                Some("list-orders") => route["streams"] = json!({ "end": "at_expiry" }),
                Some("read-order") => route["require"]["clients"] = json!([DEMO_CLIENT]),
                _ => {}
            }
        }
        bootstrap.set_plugin_configuration(&policy);
        let bootstrap = prepared(bootstrap, &[("idp", issuer.addr()), ("upstream", upstream.addr())])?;
        let (bootstrap, listener) = by_lds(bootstrap)?;
        let envoy = Envoy::start(EnvoyOptions {
            bootstrap: bootstrap.to_string(),
            files: vec![(LDS.to_owned(), resources(std::slice::from_ref(&listener)))],
            // What is removed is soon gone.
            arguments: vec!["--drain-time-s".into(), "1".into()],
            ..EnvoyOptions::default()
        })?;
        let proxy = envoy.listener("proxy")?;
        let clusters = [
            ("orders", proxy),
            ("service", upstream.addr()),
            ("idp", issuer.addr()),
            ("idp-keys", issuer.addr()),
        ];
        let sidecar = prepared(Bootstrap::read(&checkout("sidecar.yaml"))?, &clusters)?;
        let sidecar = Envoy::start(EnvoyOptions {
            bootstrap: sidecar.to_json(),
            // Paths of the file are the checkout's.
            directory: Some(checkout("")),
            ..EnvoyOptions::default()
        })?;
        let (inbound, outbound) = (sidecar.listener("inbound")?, sidecar.listener("outbound")?);
        Ok(Self { envoy, listener, sidecar, issuer, _upstream: upstream, proxy, inbound, outbound })
    }

    /// Where Prometheus finds the metrics.
    pub(crate) fn admins(&self) -> [SocketAddr; 2] {
        [self.envoy.admin(), self.sidecar.admin()]
    }

    /// Sends all kinds of requests until `wait` comes back. Says how many.
    pub(crate) fn load(&self, wait: impl FnOnce() -> Result<()>) -> Result<usize> {
        let (is_over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        let mint = |spec: TokenSpec| self.issuer.mint(&spec);
        // The issuer's clock skew is 30 s: a stream with this token ends in 4 s.
        let short = mint(TokenSpec::scoped("orders:read").expires_in(-26))?;
        let _open = [self.open(&mint(TokenSpec::scoped("orders:read"))?)?, self.open(&short)?];
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (is_over, count) = (&is_over, &count);
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        // A request that fails is seen in the metrics, or in none.
                        let sent = self.round(thread).unwrap_or_default();
                        count.fetch_add(sent, Ordering::Relaxed);
                    }
                });
            }
            let waited = wait();
            is_over.store(true, Ordering::Relaxed);
            waited
        })?;
        Ok(count.into_inner())
    }

    /// One of each kind. Says how many.
    fn round(&self, thread: usize) -> Result<usize> {
        let scoped = |scopes: &str| TokenSpec::scoped(scopes).claim("thread", thread);
        let read = self.issuer.mint(&scoped("orders:read"))?;
        let tokens = [
            read.clone(),
            self.issuer.mint(&scoped("orders:read").expired())?,
            self.issuer.mint(&scoped("orders:read").signer(Signer::Forger))?,
            self.issuer.mint(&scoped("orders:read").claim("aud", "https://else.example"))?,
        ];
        let mut requests: Vec<Request> =
            tokens.iter().map(|token| self.get(self.proxy, "/orders").bearer(token)).collect();
        for path in ["/orders", "/orders/42", "/healthz", "/nowhere", "/admin", "/reports/1", "/inventory/7"]
        {
            requests.push(self.get(self.proxy, path).bearer(&read));
        }
        requests.push(self.get(self.proxy, "/orders"));
        requests.push(self.get(self.inbound, "/checkout").bearer(&read));
        for host in ["orders.internal", "orders.internal", "elsewhere.internal"] {
            requests.push(self.get(self.outbound, "/orders").header("host", host));
        }
        let sent = requests.len();
        requests.into_iter().try_for_each(|request| request.send().map(drop))?;
        Ok(sent)
    }

    /// A request whose body does not come: a stream that stays open.
    fn open(&self, token: &str) -> Result<TcpStream> {
        let mut socket = TcpStream::connect(self.proxy)?;
        let head = "GET /orders HTTP/1.1\r\nhost: orders.example\r\ncontent-length: 10\r\n";
        socket.write_all(format!("{head}authorization: Bearer {token}\r\n\r\n").as_bytes())?;
        Ok(socket)
    }

    /// The token endpoint fails. The sidecar's token soon needs a renewal.
    pub(crate) fn fail_token_endpoint(&self) {
        self.issuer.fault_at(Endpoint::Token, Fault::Status(503));
    }

    /// The JWKS fails, and then tokens are signed by a key that is not known yet. Gives one of them.
    pub(crate) fn fail_keys(&self) -> Result<String> {
        self.issuer.fault_at(Endpoint::Jwks, Fault::Status(503));
        self.issuer.rotate()?;
        self.issuer.mint(&TokenSpec::scoped("orders:read"))
    }

    /// The key of the sidecar's token is withdrawn, and the next token takes a while.
    pub(crate) fn replace_token(&self) -> Result<()> {
        self.issuer.fault_next(Endpoint::Token, Fault::Delay(Duration::from_millis(700)), 1);
        self.issuer.rotate()?;
        self.issuer.withdraw_old();
        Ok(())
    }

    /// The proxy is given a listener whose filter has a configuration that it rejects.
    pub(crate) fn offer_bad_configuration(&self) -> Result<()> {
        let filters = "/filter_chains/0/filters/0/typed_config/http_filters";
        let mut listener = self.listener.clone();
        let filter = listener.pointer_mut(&format!("{filters}/0/typed_config/config/configuration"));
        filter.context("the filter's configuration")?["value"] = json!({ "inbound": {} });
        self.envoy.replace_file(LDS, &resources(&[listener]))
    }

    /// The proxy loses its listener, and the filter with it.
    pub(crate) fn remove_filter(&self) -> Result<()> {
        self.envoy.replace_file(LDS, &resources(&[]))
    }

    /// The service calls another one, and what comes of it is for the metrics.
    pub(crate) fn call(&self) {
        let call = self.get(self.outbound, "/orders").header("host", "orders.internal");
        let _ = call.timeout(Duration::from_secs(2)).send();
    }

    /// Another client calls with this token.
    pub(crate) fn call_with(&self, token: &str) {
        let _ = self.get(self.proxy, "/orders").bearer(token).timeout(Duration::from_secs(2)).send();
    }

    fn get(&self, listener: SocketAddr, path: &str) -> Request {
        Request::get(format!("http://{listener}{path}"))
    }
}

/// A bootstrap with free ports, the module under test, and these servers.
fn prepared(mut bootstrap: Bootstrap, clusters: &[(&str, SocketAddr)]) -> Result<Bootstrap> {
    bootstrap.use_free_ports()?;
    bootstrap.set_wasm(&module())?;
    for (name, addr) in clusters {
        bootstrap.set_cluster(name, &addr.ip().to_string(), addr.port())?;
    }
    Ok(bootstrap)
}

/// The bootstrap without its listener, which it reads from a file, and that listener.
fn by_lds(mut bootstrap: Bootstrap) -> Result<(Value, Value)> {
    let bootstrap = bootstrap.value_mut();
    let mut listener = bootstrap["static_resources"]["listeners"][0].take();
    listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
    bootstrap["static_resources"].as_object_mut().context("static_resources")?.remove("listeners");
    let file = json!({ "path": format!("{{{{dir}}}}/{LDS}") });
    bootstrap["dynamic_resources"] =
        json!({ "lds_config": { "path_config_source": file, "resource_api_version": "V3" } });
    Ok((bootstrap.take(), listener))
}

fn resources(listeners: &[Value]) -> Vec<u8> {
    json!({ "resources": listeners }).to_string().into_bytes()
}

/// What Envoy reads its listeners from.
const LDS: &str = "lds.json";
const THREADS: usize = 2;
/// Of the sidecar's tokens: much shorter than others, so that an outage is soon felt, and alerts that have no cause are
/// soon seen.
const LIFETIME: Duration = Duration::from_secs(20);
