//! An Envoy that requests leave through: an authorization server, an API behind it that asks whether a token is live, and clusters
//! by the names that destinations have.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attache_harness::http::Request;
use attache_harness::issuer::{Algorithm, Client, Issuer, IssuerOptions};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::proxy::{Document, Listener, Proxy, Setup, join, upstream_filter};
use crate::secrets::remember;

/// The client that most tests act as.
pub(crate) const CLIENT: &str = "orders-service";
/// Its secret, with what is easily lost in encodings.
pub(crate) const SECRET: &str = "s3cret+with/odd: chars%&=";
/// The host that the workload calls.
pub(crate) const HOST: &str = "billing.internal";

/// An authorization server with that client.
pub(crate) fn server() -> Issuer {
    remember(SECRET);
    Issuer::start(IssuerOptions {
        identifier: Some("https://idp.example".to_owned()),
        algorithms: vec![Algorithm::Es256],
        clients: vec![Client::new(CLIENT).secret(SECRET).scopes(&["invoices:read", "invoices:write"])],
        ..IssuerOptions::default()
    })
    .unwrap()
}

/// What a configuration says of that client; `more` joins in.
pub(crate) fn client(more: Value) -> Value {
    let mut client = json!({
        "name": "billing",
        "token_endpoint": { "uri": "https://idp.example/token", "cluster": "idp" },
        "client_id": CLIENT,
        "authentication": { "client_secret_basic": { "secret": { "env": "BILLING_SECRET" } } },
    });
    join(&mut client, more);
    client
}

/// Where its token goes; `more` joins in.
pub(crate) fn destination(more: Value) -> Value {
    let mut destination =
        json!({ "match": { "authorities": [HOST], "clusters": ["billing"] }, "client": "billing" });
    join(&mut destination, more);
    destination
}

/// A document with these; `more` joins in, at the top.
pub(crate) fn document(position: &str, clients: &[Value], destinations: &[Value], more: Value) -> Value {
    let mut document = json!({
        "outbound": {
            "position": position,
            "clients": clients,
            "destinations": destinations,
            "unmatched": "pass",
        },
        "sharing": { "process": { "sealing_secret": { "env": "SEALING_SECRET" } } },
    });
    join(&mut document, more);
    document
}

/// Of a client and of the block `outbound`: no request gives up before a test says so.
pub(crate) fn patient() -> (Value, Value) {
    let client = json!({ "token_endpoint": { "timeout": "60s" } });
    (client, json!({ "outbound": { "waiting": { "deadline": "60s" } } }))
}

/// As long as a request of such a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What a cluster says to which tokens may go.
pub(crate) fn asserted() -> Value {
    json!({ "metadata": { "filter_metadata": { "attache": { "tls": "asserted" } } } })
}

/// The variables that the documents name.
pub(crate) fn setup() -> Setup {
    let sealing = Base64UrlUnpadded::encode_string(&[7; 32]);
    remember(&sealing);
    Setup::new()
        .with_issuer("idp", server())
        .environment("BILLING_SECRET", SECRET)
        .environment("SEALING_SECRET", &sealing)
}

/// A listener with this document, in front of routes by host: `HOST` goes to the cluster `billing`, all others to `upstream`.
pub(crate) fn downstream(name: &str, document: Value) -> Listener {
    Listener::new(name, Document::Struct(document)).manager(hosts(json!({})))
}

/// The same routes without a filter, and more of the one to `billing`.
pub(crate) fn hosts(more: Value) -> Value {
    let mut route = json!({ "match": { "prefix": "/" }, "route": { "cluster": "billing" } });
    join(&mut route, more);
    let all = |cluster: &str| json!({ "match": { "prefix": "/" }, "route": { "cluster": cluster } });
    json!({ "route_config": { "name": "egress", "virtual_hosts": [
        { "name": "billing", "domains": [HOST], "routes": [route] },
        { "name": "others", "domains": ["*"], "routes": [all("upstream")] },
    ] } })
}

/// A cluster with the filter in it, and room for replays.
pub(crate) fn upstream(name: &str, document: Value) -> Value {
    let mut cluster = upstream_filter(name, &Document::Struct(document));
    join(&mut cluster, asserted());
    join(&mut cluster, json!({ "circuit_breakers": { "thresholds": [{ "max_retries": 1024 }] } }));
    cluster
}

/// A request to `HOST`.
pub(crate) fn call(proxy: &Proxy, listener: &str, path: &str) -> Request {
    proxy.get(listener, path).header("host", HOST)
}

/// One client, one destination, the filter in the listener `egress`.
pub(crate) fn in_listener(client_more: Value, more: Value) -> Setup {
    let document = document("downstream", &[client(client_more)], &[destination(json!({}))], more);
    setup().cluster("billing", asserted()).listener(downstream("egress", document))
}

/// One client, one destination, the filter in the cluster `billing`; the listener is `egress`, and retries what is answered 401.
pub(crate) fn in_cluster(client_more: Value, more: Value) -> Setup {
    let document = document("upstream", &[client(client_more)], &[destination(json!({}))], more);
    setup()
        .cluster("billing", upstream("egress", document))
        .listener(bare("egress").manager(hosts(replaying())))
}

/// A listener without a filter.
pub(crate) fn bare(name: &str) -> Listener {
    Listener::new(name, Document::Text(String::new())).without_filter()
}

/// What a route has that sends a request again when it is answered 401.
pub(crate) fn replaying() -> Value {
    json!({ "route": { "retry_policy": {
        "retry_on": "retriable-status-codes", "retriable_status_codes": [401], "num_retries": 1 } } })
}

/// Waits until a token of that age has existed: a 401 purges none that is younger than `purge_interval`.
pub(crate) fn grow_old(since: Instant, age: Duration) {
    crate::proxy::eventually("a token to be old enough", || (since.elapsed() > age).then_some(()));
}

/// What has come of the requests of a load so far.
#[derive(Debug, Default)]
pub(crate) struct Load(Mutex<Vec<Came>>);

/// What came of one request.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    /// When the answer was complete.
    pub(crate) at: Instant,
    /// Its status; 0: there was none.
    pub(crate) status: u16,
    /// Its `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u64>,
}

impl Load {
    /// How many answers had this status.
    pub(crate) fn count(&self, status: u16) -> usize {
        self.all().iter().filter(|came| came.status == status).count()
    }

    pub(crate) fn all(&self) -> Vec<Came> {
        self.0.lock().unwrap().clone()
    }
}

/// Sends requests, each on a connection of its own, some hundreds a second, while something happens.
pub(crate) fn under_load<T>(
    request: impl Fn() -> Request + Sync,
    happens: impl FnOnce(&Load) -> T,
) -> (Vec<Came>, T) {
    let (load, stop) = (Load::default(), AtomicBool::new(false));
    let happened = std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let answer = request().timeout(Duration::from_secs(30)).send();
                    let retry_after =
                        answer.as_ref().ok().and_then(|answer| answer.header("retry-after")?.parse().ok());
                    let status = answer.map_or(0, |answer| answer.status);
                    load.0.lock().unwrap().push(Came { at: Instant::now(), status, retry_after });
                    std::thread::park_timeout(PACE);
                }
            });
        }
        let happened = catch_unwind(AssertUnwindSafe(|| happens(&load)));
        stop.store(true, Ordering::Relaxed);
        happened
    });
    (load.0.into_inner().unwrap(), happened.unwrap_or_else(|panic| resume_unwind(panic)))
}

/// Fails unless every request was answered 200.
#[track_caller]
pub(crate) fn assert_all_good(came: &[Came]) {
    let bad: Vec<_> = came.iter().filter(|came| came.status != 200).collect();
    assert!(!came.is_empty() && bad.is_empty(), "{} of {}: {:?}", bad.len(), came.len(), bad.first());
}

/// Enough to meet each of four workers all the time.
const SENDERS: usize = 4;
/// The upstream remembers ten thousand requests: half a minute of a load.
const PACE: Duration = Duration::from_millis(12);
