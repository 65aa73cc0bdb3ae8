//! A real Envoy with the filter in it, issuers beside it and an echo behind it. However it is used, at the end it proves from
//! Envoy's own counters and log that no VM trapped, and that the log tells no token, claim value or secret.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use attache_harness::CHECKOUT;
use attache_harness::bootstrap::Bootstrap;
use attache_harness::envoy::{Ended, Envoy, EnvoyOptions};
use attache_harness::http::{Request, Response};
use attache_harness::issuer::{Algorithm, Issuer, IssuerOptions};
use attache_harness::prometheus::{self, Sample};
use attache_harness::upstream::{Echo, Upstream};
use attache_harness::wait::wait_for;
use base64ct::Encoding;
use serde_json::{Map, Value, json};

use crate::secrets;

/// A running Envoy. Proves that it is sound when it is dropped.
pub(crate) struct Proxy {
    envoy: Envoy,
    upstream: Upstream,
    issuers: BTreeMap<String, Issuer>,
    listeners: BTreeMap<String, SocketAddr>,
    traps: bool,
}

/// An Envoy that the tests of a module share.
pub(crate) type Shared = LazyLock<Proxy>;

/// A test's stay at a shared Envoy, which proves that it is sound when the test ends.
pub(crate) struct Visit(&'static Proxy);

/// An Envoy in the making.
pub(crate) struct Setup {
    issuers: BTreeMap<String, Issuer>,
    /// More clusters that end at the upstream.
    clusters: Vec<(String, Value)>,
    /// What the issuers' clusters have besides.
    issuer_clusters: BTreeMap<String, Value>,
    listeners: Vec<Value>,
    files: Vec<(String, Vec<u8>)>,
    environment: Map<String, Value>,
    /// Another module than the one under test.
    module: Option<Value>,
    workers: u32,
    /// The file that the listeners come from, where they may change.
    lds: Option<String>,
    arguments: Vec<String>,
    traps: bool,
}

/// A listener with the filter in it. Envoy's own guards are off: the filter has to do without.
pub(crate) struct Listener {
    name: String,
    address: Value,
    plugin: Value,
    /// Filters behind it.
    followers: Vec<Value>,
    routes: Vec<Value>,
    manager: Value,
}

/// How the filter gets its configuration.
pub(crate) enum Document {
    /// A protobuf `Struct`.
    Struct(Value),
    /// Text in a `StringValue`.
    Text(String),
}

/// Enters a shared Envoy.
pub(crate) fn visit(shared: &'static Shared) -> Visit {
    // Every test says what is missing, not only the one that starts Envoy.
    let _ = (binary(), module());
    Visit(shared)
}

/// An issuer whose `iss` is `https://<name>.example`.
pub(crate) fn issuer(name: &str, algorithms: &[Algorithm]) -> Issuer {
    issuer_at(name, algorithms, IssuerOptions::default().listen)
}

/// The same at this address.
pub(crate) fn issuer_at(name: &str, algorithms: &[Algorithm], listen: SocketAddr) -> Issuer {
    Issuer::start(IssuerOptions {
        listen,
        identifier: Some(format!("https://{name}.example")),
        algorithms: algorithms.to_vec(),
        kid_prefix: name.to_owned(),
        ..IssuerOptions::default()
    })
    .unwrap()
}

/// What a configuration says of that issuer; `more` joins in.
pub(crate) fn trust(name: &str, more: Value) -> Value {
    let mut issuer = json!({
        "name": name,
        "issuer": format!("https://{name}.example"),
        "audiences": ["https://orders.example"],
        "keys": { "jwks": jwks(name, json!({})) },
    });
    join(&mut issuer, more);
    issuer
}

/// The same with keys from elsewhere.
pub(crate) fn trust_with(name: &str, keys: Value) -> Value {
    let mut issuer = trust(name, json!({}));
    issuer["keys"] = keys;
    issuer
}

/// Where that issuer's keys come from.
pub(crate) fn jwks(name: &str, more: Value) -> Value {
    let mut jwks = json!({ "uri": format!("https://{name}.example/jwks"), "cluster": name });
    join(&mut jwks, more);
    jwks
}

/// A route of one exact path.
pub(crate) fn route(name: &str, path: &str, rule: Value) -> Value {
    let mut route = json!({ "name": name, "match": { "path": path } });
    join(&mut route, rule);
    route
}

/// A document in which every path wants `orders:read` from one of these issuers; `more` joins in, at the top.
pub(crate) fn reading(name: &str, issuers: &[Value], more: Value) -> Value {
    let names: Vec<&Value> = issuers.iter().map(|issuer| &issuer["name"]).collect();
    let all = json!({
        "name": name,
        "match": { "prefix": "/" },
        "require": { "issuers": names, "scopes": ["orders:read"] },
    });
    let mut document = inbound(issuers, &[all], json!({ "denials": { "body": "problem_json" } }));
    join(&mut document, more);
    document
}

/// A document with these issuers and routes, and nothing for others; `more` joins in.
pub(crate) fn inbound(issuers: &[Value], routes: &[Value], more: Value) -> Value {
    // The access log shows permits too.
    let mut inbound = json!({ "issuers": issuers, "default": "deny", "filter_state": "all" });
    if !routes.is_empty() {
        inbound["routes"] = routes.into();
    }
    join(&mut inbound, more);
    json!({ "inbound": inbound })
}

/// Waits for a condition, at most as long as anything here may take.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    let mut ask = ask;
    wait_for(what, PATIENCE, || Ok(ask())).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Puts members into an object; an object inside it is joined too.
pub(crate) fn join(object: &mut Value, more: Value) {
    match (object, more) {
        (Value::Object(members), Value::Object(more)) => {
            for (name, value) in more {
                join(members.entry(name).or_insert(Value::Null), value);
            }
        }
        (place, more) => *place = more,
    }
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self {
            issuers: BTreeMap::new(),
            clusters: Vec::new(),
            issuer_clusters: BTreeMap::new(),
            listeners: Vec::new(),
            files: Vec::new(),
            environment: Map::new(),
            module: None,
            workers: WORKERS,
            lds: None,
            arguments: Vec::new(),
            traps: false,
        }
    }

    /// Starts an issuer with one quick key, in a cluster of its name.
    pub(crate) fn issuer(self, name: &str) -> Self {
        self.with_issuer(name, issuer(name, &[Algorithm::Es256]))
    }

    /// Puts an issuer in a cluster of this name.
    pub(crate) fn with_issuer(mut self, name: &str, issuer: Issuer) -> Self {
        self.issuers.insert(name.to_owned(), issuer);
        self
    }

    /// More of the cluster of an issuer.
    pub(crate) fn issuer_cluster(mut self, name: &str, more: Value) -> Self {
        self.issuer_clusters.insert(name.to_owned(), more);
        self
    }

    /// Where an issuer listens.
    #[allow(dead_code, reason = "tests/e2e_chaos has no gates")]
    pub(crate) fn issuer_addr(&self, name: &str) -> SocketAddr {
        self.issuers[name].addr()
    }

    /// One more cluster that ends at the upstream; `more` joins in.
    pub(crate) fn cluster(mut self, name: &str, more: Value) -> Self {
        self.clusters.push((name.to_owned(), more));
        self
    }

    /// A file in Envoy's own directory, `{{dir}}`.
    pub(crate) fn file(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), contents.into()));
        self
    }

    /// A variable of the VM's environment.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener.build());
        self
    }

    /// A module that traps on demand, in place of the one under test.
    pub(crate) fn trapping_module(mut self, module: Vec<u8>) -> Self {
        self.module = Some(json!({ "filename": format!("{{{{dir}}}}/{TRAPPING}") }));
        self.traps = true;
        self.file(TRAPPING, module)
    }

    /// Another number of workers.
    pub(crate) fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// Lets the listeners come from an LDS file in Envoy's own directory.
    #[allow(dead_code, reason = "for tests/e2e_chaos")]
    pub(crate) fn lds(mut self, file: &str) -> Self {
        self.lds = Some(file.to_owned());
        self
    }

    /// More arguments for Envoy.
    #[allow(dead_code, reason = "for tests/e2e_chaos")]
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Starts it when its issuers are as they are to be at the first request.
    pub(crate) fn start_with(self, prepare: impl FnOnce(&BTreeMap<String, Issuer>)) -> Proxy {
        prepare(&self.issuers);
        self.start()
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(self) -> Proxy {
        self.start_among(&[])
    }

    /// Starts it with one more cluster, for an issuer that is not there yet.
    pub(crate) fn start_without(self, name: &str, addr: SocketAddr) -> Proxy {
        self.start_among(&[cluster(name, addr)])
    }

    fn start_among(self, clusters: &[Value]) -> Proxy {
        let upstream = Upstream::start().unwrap();
        let traps = self.traps;
        let (options, issuers) = self.options(upstream.addr(), clusters);
        let envoy = Envoy::start(options).unwrap_or_else(|error| panic!("{error:#}"));
        let mut proxy = Proxy::new(envoy, upstream, issuers);
        proxy.traps = traps;
        proxy
    }

    /// Starts it and expects that Envoy refuses.
    pub(crate) fn start_refused(self) -> Ended {
        let upstream = Upstream::start().unwrap();
        let (options, _issuers) = self.options(upstream.addr(), &[]);
        Envoy::expect_refused(options).unwrap_or_else(|error| panic!("{error:#}"))
    }

    fn options(
        mut self,
        upstream: SocketAddr,
        clusters: &[Value],
    ) -> (EnvoyOptions, BTreeMap<String, Issuer>) {
        let mut all = vec![cluster("upstream", upstream), http2(cluster("upstream-h2", upstream))];
        all.extend(self.issuers.iter().map(|(name, issuer)| {
            let mut cluster = cluster(name, issuer.addr());
            join(&mut cluster, self.issuer_clusters.get(name).cloned().unwrap_or_else(|| json!({})));
            cluster
        }));
        all.extend(self.clusters.into_iter().map(|(name, more)| {
            let mut cluster = cluster(&name, upstream);
            join(&mut cluster, more);
            cluster
        }));
        all.extend_from_slice(clusters);
        let mut bootstrap = json!({
            "node": { "id": "e2e", "cluster": "e2e" },
            "admin": { "address": any_port() },
            // Labels come out as in the file that we ship.
            "stats_config": shipped().value_mut()["stats_config"],
            "static_resources": { "clusters": all },
        });
        if let Some(file) = &self.lds {
            bootstrap["dynamic_resources"] = json!({ "lds_config": watched(file) });
        } else {
            bootstrap["static_resources"]["listeners"] = self.listeners.into();
        }
        let code = json!({ "local": self.module.take().unwrap_or_else(|| json!({ "filename": module() })) });
        complete(&mut bootstrap, &code, &self.environment);
        for (name, contents) in self.files.iter_mut().filter(|(name, _)| name.ends_with(".json")) {
            let mut document: Value =
                serde_json::from_slice(contents).unwrap_or_else(|error| panic!("{name}: {error}"));
            complete(&mut document, &code, &self.environment);
            *contents = document.to_string().into_bytes();
        }
        let options = EnvoyOptions {
            binary: Some(binary()),
            bootstrap: bootstrap.to_string(),
            files: self.files,
            concurrency: self.workers,
            arguments: self.arguments,
            component_log_level: Some(LOG_LEVEL.to_owned()),
            patience: PATIENCE,
            ..EnvoyOptions::default()
        };
        (options, self.issuers)
    }
}

impl Listener {
    /// A listener whose filter has this configuration, in front of a route for everything.
    pub(crate) fn new(name: &str, document: Document) -> Self {
        Self {
            name: name.to_owned(),
            address: any_port(),
            plugin: json!({ "@type": WASM, "config": plugin(name, &document) }),
            followers: Vec::new(),
            routes: vec![json!({ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } })],
            manager: json!({}),
        }
    }

    /// A listener whose filter comes from an ECDS file in Envoy's own directory.
    pub(crate) fn ecds(name: &str, file: &str) -> Self {
        let mut listener = Self::new(name, Document::Text(String::new()));
        listener.plugin = json!({
            "config_source": watched(file),
            "type_urls": [WASM],
        });
        listener
    }

    /// More of the plugin.
    pub(crate) fn plugin(mut self, more: Value) -> Self {
        join(&mut self.plugin["config"], more);
        self
    }

    /// No filter at all: it is in a cluster.
    pub(crate) fn without_filter(mut self) -> Self {
        self.plugin = Value::Null;
        self
    }

    /// Where it listens, in place of a free port.
    #[allow(dead_code, reason = "for tests/e2e_chaos")]
    pub(crate) fn at(mut self, addr: SocketAddr) -> Self {
        self.address = socket_address(addr);
        self
    }

    /// Envoy's routes, in place of the one for everything.
    pub(crate) fn routes(mut self, routes: &[Value]) -> Self {
        self.routes = routes.to_vec();
        self
    }

    /// Filters behind it.
    #[allow(dead_code, reason = "tests/e2e_chaos has none")]
    pub(crate) fn followed_by(mut self, filters: Vec<Value>) -> Self {
        self.followers = filters;
        self
    }

    /// More of the connection manager.
    pub(crate) fn manager(mut self, more: Value) -> Self {
        join(&mut self.manager, more);
        self
    }

    /// The filter alone, to stand behind another.
    #[allow(dead_code, reason = "tests/e2e_chaos has none")]
    pub(crate) fn filter(&self) -> Value {
        let mut filter = json!({ "name": self.name });
        let member = if self.plugin.get("@type").is_some() { "typed_config" } else { "config_discovery" };
        filter[member] = self.plugin.clone();
        filter
    }

    fn build(self) -> Value {
        let (name, filter, has_filter) = (&self.name, self.filter(), !self.plugin.is_null());
        let router = json!({ "name": "router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } });
        let filters = has_filter.then_some(filter).into_iter().chain(self.followers).chain([router]);
        let filters: Vec<Value> = filters.collect();
        let mut manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "codec_type": "AUTO",
            "normalize_path": false,
            "merge_slashes": false,
            "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
            "common_http_protocol_options": { "headers_with_underscores_action": "ALLOW" },
            "access_log": [{
                "name": "stdout",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
                    "log_format": { "json_format": {
                        "mark": "%REQ(X-MARK)%",
                        "route": "%ROUTE_NAME%",
                        "status": "%RESPONSE_CODE%",
                        "details": "%RESPONSE_CODE_DETAILS%",
                        "decision": "%FILTER_STATE(wasm.attache.decision:PLAIN)%",
                    } },
                },
            }],
            "http_filters": filters,
            "route_config": { "name": name, "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": self.routes }] },
        });
        join(&mut manager, self.manager);
        json!({
            "name": name,
            "address": self.address,
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }] }],
        })
    }
}

impl Proxy {
    /// Runs a whole bootstrap on free ports, with the module under test. Clusters are led to the issuers of their names.
    pub(crate) fn run(bootstrap: Bootstrap, upstream: Upstream, issuers: BTreeMap<String, Issuer>) -> Self {
        Self::run_in(bootstrap, upstream, issuers, &[])
    }

    /// The same with variables of Envoy's environment.
    pub(crate) fn run_in(
        mut bootstrap: Bootstrap,
        upstream: Upstream,
        issuers: BTreeMap<String, Issuer>,
        environment: &[(&str, &str)],
    ) -> Self {
        bootstrap.use_free_ports().unwrap();
        bootstrap.set_wasm(&module()).unwrap();
        if bootstrap.cluster("upstream").is_ok() {
            bootstrap.set_cluster("upstream", "127.0.0.1", upstream.addr().port()).unwrap();
        }
        for (name, issuer) in issuers.iter().filter(|(name, _)| name.as_str() != UNLED) {
            bootstrap.set_cluster(name, "127.0.0.1", issuer.addr().port()).unwrap();
        }
        let options = EnvoyOptions {
            binary: Some(binary()),
            bootstrap: bootstrap.to_json(),
            concurrency: WORKERS,
            component_log_level: Some(LOG_LEVEL.to_owned()),
            // Paths of a shipped file are the checkout's.
            directory: Some(checkout().to_owned()),
            patience: PATIENCE,
            environment: environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            ..EnvoyOptions::default()
        };
        Self::new(Envoy::start(options).unwrap_or_else(|error| panic!("{error:#}")), upstream, issuers)
    }

    fn new(envoy: Envoy, upstream: Upstream, issuers: BTreeMap<String, Issuer>) -> Self {
        let status = envoy.admin_get("/listeners?format=json").unwrap().json().unwrap();
        let names = status["listener_statuses"].as_array().unwrap().iter();
        let listeners = names
            .map(|listener| listener["name"].as_str().unwrap().to_owned())
            .map(|name| (name.clone(), envoy.listener(&name).unwrap()))
            .collect();
        Self { envoy, upstream, issuers, listeners, traps: false }
    }

    pub(crate) fn envoy(&self) -> &Envoy {
        &self.envoy
    }

    /// The echo behind it.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(crate) fn issuer(&self, name: &str) -> &Issuer {
        &self.issuers[name]
    }

    /// Where a listener listens.
    pub(crate) fn addr(&self, listener: &str) -> SocketAddr {
        *self.listeners.get(listener).unwrap_or_else(|| panic!("no listener {listener}"))
    }

    pub(crate) fn url(&self, listener: &str, path: &str) -> String {
        format!("http://{}{path}", self.addr(listener))
    }

    pub(crate) fn get(&self, listener: &str, path: &str) -> Request {
        Request::get(self.url(listener, path))
    }

    /// The sum of a metric's samples with these labels.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        prometheus::sum(&self.samples(), name, labels) as u64
    }

    /// Waits until a metric has this value: the filter hands its counts over on its tick.
    #[track_caller]
    pub(crate) fn expect_metric(&self, name: &str, labels: &[(&str, &str)], value: u64) {
        let mut last = 0;
        let reached = wait_for("", COUNTING, || {
            last = self.metric(name, labels);
            Ok((last == value).then_some(()))
        });
        assert!(reached.is_ok(), "{name} {labels:?}: expected {value}, got {last}");
    }

    /// How many fetches of an issuer's keys have ended so, in the whole process.
    pub(crate) fn fetched(&self, issuer: &str, result: &str) -> u64 {
        self.metric("attache_key_fetches_total", &[("issuer", issuer), ("result", result)])
    }

    /// Waits until so many fetches of an issuer's keys have ended so.
    #[track_caller]
    pub(crate) fn expect_fetched(&self, issuer: &str, result: &str, count: u64) {
        self.expect_metric("attache_key_fetches_total", &[("issuer", issuer), ("result", result)], count);
    }

    /// How often a VM has taken an issuer's document over from another.
    pub(crate) fn taken(&self, issuer: &str) -> u64 {
        self.metric("attache_shared_documents_total", &[("issuer", issuer), ("result", "adopted")])
    }

    /// How many requests are on their way through a listener.
    pub(crate) fn active(&self, listener: &str) -> u64 {
        self.envoy.stat(&format!("http.{listener}.downstream_rq_active")).unwrap()
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.envoy.samples().unwrap()
    }

    /// The access log's entry of the request with this `x-mark`.
    #[track_caller]
    pub(crate) fn logged(&self, mark: &str) -> Value {
        eventually("the access log's entry", || {
            let output = self.envoy.output();
            let entries = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            entries.into_iter().find(|entry| entry["mark"] == mark)
        })
    }

    /// Fails if a VM trapped, or a log tells what it must not.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        match trap(&self.envoy) {
            Some(trap) if !self.traps => panic!("a VM trapped: {trap}"),
            None if self.traps => panic!("no VM trapped"),
            Some(_) | None => {}
        }
        for issuer in self.issuers.values() {
            issuer.issued_tokens().iter().for_each(|token| secrets::remember_token(token));
        }
        secrets::assert_none_in("Envoy's log", &self.envoy.logs());
        let log = secrets::without_recorded_names(&self.envoy.output());
        secrets::assert_none_in("the access log", &log);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_sound();
        }
    }
}

impl Deref for Visit {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_sound();
        }
    }
}

/// How Envoy's counters or its log tell that a VM trapped.
fn trap(envoy: &Envoy) -> Option<String> {
    let stats = envoy.stats().unwrap();
    // Of a filter in a cluster, some versions of Envoy count below the cluster's name.
    let is_of_wasm = |name: &str| name.starts_with("wasm.") || name.contains(".wasm.");
    let mut reloads =
        stats.iter().filter(|(name, _)| is_of_wasm(name) && name.contains("vm_reload")).peekable();
    assert!(reloads.peek().is_some(), "Envoy does not count reloads");
    if let Some((name, count)) = reloads.find(|(_, count)| **count > 0) {
        return Some(format!("{name}: {count}"));
    }
    // What Envoy says of a configuration that is refused is as grave, and no trap.
    let log = envoy.logs();
    let mut lines = log.lines().filter(|line| !line.ends_with("failed to load"));
    let is_sign = |line: &&str| TRAPPED.iter().any(|sign| line.contains(sign));
    lines.find(is_sign).map(str::to_owned)
}

/// What the upstream got.
#[track_caller]
pub(crate) fn echo(response: &Response) -> Echo {
    assert_eq!(response.status, 200, "{}", response.text());
    Echo::parse(&response.body).unwrap()
}

/// The status of an answer and the `reason` of its problem document.
pub(crate) fn verdict(response: &Response) -> (u16, String) {
    let problem = response.json().unwrap_or_default();
    (response.status, problem["reason"].as_str().unwrap_or("forwarded").to_owned())
}

/// Sends all requests at once, each on a connection of its own.
pub(crate) fn at_once(requests: Vec<Request>) -> Vec<Response> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = requests.into_iter().map(|request| scope.spawn(|| request.send())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
    })
}

/// Where the files that we ship are.
pub(crate) fn checkout() -> &'static Path {
    Path::new(CHECKOUT)
}

/// The bootstrap that we ship.
pub(crate) fn shipped() -> Bootstrap {
    Bootstrap::read(&checkout().join("envoy.yaml")).unwrap()
}

/// The filter with this configuration, as a cluster has it among its HTTP filters.
pub(crate) fn upstream_filter(name: &str, document: &Document) -> Value {
    let filter = json!({ "name": name, "typed_config": { "@type": WASM, "config": plugin(name, document) } });
    http_filters(vec![filter])
}

/// A cluster's HTTP filters, and the one that sends.
pub(crate) fn http_filters(mut filters: Vec<Value>) -> Value {
    filters.push(json!({ "name": "envoy.filters.http.upstream_codec", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec" } }));
    json!({ "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http_protocol_options": {} },
            "http_filters": filters,
        },
    } })
}

/// An ECDS response with this configuration for the listener's filter.
pub(crate) fn ecds_file(name: &str, version: &str, document: &Document) -> Value {
    json!({ "version_info": version, "resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": { "@type": WASM, "config": plugin(name, document) },
    }] })
}

/// An LDS response with these listeners.
#[allow(dead_code, reason = "for tests/e2e_chaos")]
pub(crate) fn lds_file(version: &str, listeners: Vec<Listener>) -> Value {
    let resources = listeners.into_iter().map(|listener| {
        let mut listener = listener.build();
        listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
        listener
    });
    json!({ "version_info": version, "resources": resources.collect::<Vec<_>>() })
}

/// The configuration of the filter in an ECDS response.
pub(crate) fn plugin_of(ecds: &mut Value) -> &mut Value {
    &mut ecds["resources"][0]["typed_config"]["config"]
}

/// Completes a configuration that is replaced while Envoy runs.
pub(crate) fn completed(document: Value) -> Vec<u8> {
    completed_with(document, &Map::new())
}

/// The same, with these variables in the VM's environment.
pub(crate) fn completed_with(mut document: Value, environment: &Map<String, Value>) -> Vec<u8> {
    complete(&mut document, &json!({ "local": { "filename": module() } }), environment);
    document.to_string().into_bytes()
}

fn plugin(name: &str, document: &Document) -> Value {
    let configuration = match document {
        Document::Struct(document) => json!({ "@type": STRUCT, "value": document }),
        Document::Text(text) => json!({ "@type": STRING, "value": text }),
    };
    json!({
        "name": name,
        "root_id": "attache",
        "failure_policy": "FAIL_RELOAD",
        "vm_config": { "vm_id": "attache", "runtime": "envoy.wasm.runtime.v8" },
        "configuration": configuration,
    })
}

/// Gives every plugin its code and environment.
fn complete(value: &mut Value, code: &Value, environment: &Map<String, Value>) {
    match value {
        Value::Object(members) => {
            if let Some(vm) = members.get_mut("vm_config") {
                vm["code"] = code.clone();
                if !environment.is_empty() {
                    vm["environment_variables"] = json!({ "key_values": environment });
                }
            }
            members.values_mut().for_each(|member| complete(member, code, environment));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| complete(item, code, environment)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn cluster(name: &str, addr: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": {
            "address": socket_address(addr) } }] }] },
    })
}

fn http2(mut cluster: Value) -> Value {
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    cluster
}

fn any_port() -> Value {
    socket_address(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn socket_address(addr: SocketAddr) -> Value {
    json!({ "socket_address": { "address": addr.ip().to_string(), "port_value": addr.port() } })
}

/// A file in Envoy's own directory that may change.
fn watched(file: &str) -> Value {
    json!({ "path_config_source": {
        "path": format!("{{{{dir}}}}/{file}"),
        "watched_directory": { "path": "{{dir}}" },
    }, "resource_api_version": "V3" })
}

pub(crate) fn binary() -> PathBuf {
    from_environment("ATTACHE_ENVOY", "an Envoy")
}

pub(crate) fn module() -> PathBuf {
    from_environment("ATTACHE_WASM", "the built module")
}

fn from_environment(name: &str, what: &str) -> PathBuf {
    let path = std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} must name {what}: run `make test`, which sets it"));
    std::fs::canonicalize(&path)
        .unwrap_or_else(|error| panic!("{name}={}: {error}: run `make test`", path.display()))
}

/// All that the filter says, and nothing that Envoy itself says of requests.
const LOG_LEVEL: &str = "wasm:debug";
const TRAPPED: [&str; 5] =
    ["[critical]", "Function: proxy_on", "in-VM backtrace", "RuntimeError", "Failed to reload"];
/// The issuer that no cluster is led to: something stands before it.
pub(crate) const UNLED: &str = "behind";
/// More than one, so that no test passes only because all requests meet one VM.
pub(crate) const WORKERS: u32 = 2;
/// One on each worker, and one on the main thread, which sees no requests.
pub(crate) const VMS: u64 = WORKERS as u64 + 1;
const TRAPPING: &str = "trapping.wasm";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";
const STRING: &str = "type.googleapis.com/google.protobuf.StringValue";
/// A slow machine, busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
const COUNTING: Duration = Duration::from_secs(10);

/// The harness would notice: a module of a few bytes that traps at each request's headers.
#[test]
fn a_trap_does_not_go_unnoticed() {
    let section = |id: u8, body: &[u8]| [&[id, body.len() as u8], body].concat();
    let export =
        |name: &str, kind: u8, index: u8| [&[name.len() as u8], name.as_bytes(), &[kind, index]].concat();
    let exports = [
        vec![4],
        export("memory", 2, 0),
        export("proxy_abi_version_0_2_1", 0, 0),
        export("proxy_on_memory_allocate", 0, 1),
        export("proxy_on_request_headers", 0, 2),
    ];
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        // () → (), i32 → i32, (i32, i32, i32) → i32
        section(1, b"\x03\x60\0\0\x60\x01\x7f\x01\x7f\x60\x03\x7f\x7f\x7f\x01\x7f"),
        section(3, &[3, 0, 1, 2]),
        section(5, &[1, 0, 1]),
        section(7, &exports.concat()),
        // nothing; the address 1024; unreachable
        section(10, &[3, 2, 0, 0x0b, 5, 0, 0x41, 0x80, 0x08, 0x0b, 3, 0, 0x00, 0x0b]),
    ];
    let mut setup = Setup::new().listener(Listener::new("trapping", Document::Text(String::new())));
    setup.module = Some(json!({ "inline_bytes": base64ct::Base64::encode_string(&module.concat()) }));
    let upstream = Upstream::start().unwrap();
    let (options, _issuers) = setup.options(upstream.addr(), &[]);
    let envoy = Envoy::start(options).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(trap(&envoy), None, "no request yet");
    let url = envoy.url("trapping").unwrap();
    assert_eq!(Request::get(&url).send().unwrap().status, 503);
    assert!(trap(&envoy).is_some());
    // And by the counters alone, once Envoy has loaded it again.
    eventually("a reload", || {
        Request::get(&url).send().unwrap();
        trap(&envoy).filter(|trap| trap.contains("vm_reload"))
    });
}
