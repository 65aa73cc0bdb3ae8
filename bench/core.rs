//! What the core's pieces cost, in instructions: the same on a busy machine as on a quiet one, so that a regression
//! shows in review. `make microbench` runs it and rewrites bench/instructions.txt.
//!
//! The engine of the requests says yes or no at once: signatures are measured by themselves, at the end.

#![allow(
    missing_docs,
    unused_qualifications,
    reason = "gungraun's macros make public modules and full paths"
)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::hint::black_box;

use attache::base::{
    Command, Headers, HttpReply, Jitter, Observation, Outcome, Random, RequestHead, StreamId, Timestamp,
    encode_pairs,
};
use attache::config::{self, Config, Environment};
use attache::filter::Filter;
use attache::jose::{
    Algorithm, Crypto, Engine, Key, KeySet, RustCrypto, SignatureError, SigningError, SigningKey, TokenParts,
    TokenWriter, Unsigned,
};
use attache::policy::{RequestAuthority, RequestPath, RouteId};
use attache::sharing::{Context, QueueId, SharedState, Version};
use gungraun::{library_benchmark, library_benchmark_group, main};
use serde_json::{Value, json};

/// A filter, and requests as the host hands them over.
struct Bench {
    /// Boxed: a benchmark is moved into what is measured, and is not to be measured itself.
    filter: Box<Filter>,
    jitter: Jitter,
    engine: Yes,
    requests: Vec<Vec<u8>>,
    /// Where they go, and what that cluster's metadata says.
    cluster: Option<(&'static str, &'static str)>,
}

impl Bench {
    /// A filter of this many routes whose requests carry tokens with these numbers.
    fn new(routes: usize, tokens: std::ops::Range<usize>, exp: u64, headers: &[(&str, &str)]) -> Self {
        let requests = tokens.map(|number| {
            let authorization = format!("Bearer {}", token(number, exp));
            let own = [
                (":authority", "orders.example"),
                (":path", "/orders/7"),
                (":method", "GET"),
                (":scheme", "http"),
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-proto", "http"),
                ("x-request-id", "3f0a0dd8-6a8a-4a4d-9ac3-2f8d8a0e8a1d"),
                ("authorization", &authorization),
            ];
            encode_pairs(own.into_iter().chain(headers.iter().copied()))
        });
        Self {
            requests: requests.collect(),
            filter: at_start(|context| Box::new(Filter::new(&compile(&document(routes)), [7; 16], context))),
            jitter: Jitter::new([7; 16]),
            engine: Yes(true),
            cluster: None,
        }
    }

    /// A filter that holds the token of a client, and a request to that client's destination.
    fn outbound() -> Self {
        let mut filter =
            at_start(|context| Box::new(Filter::new(&compile(&outbound_document()), [7; 16], context)));
        let mut commands = Vec::new();
        at_start(|context| filter.handle_tick(context, &mut commands));
        let Some(Command::Call { id, .. }) = commands.pop() else { panic!("no token is asked for") };
        let headers = [(":status", "200"), ("content-type", "application/json")];
        let reply = HttpReply::Response {
            status: 200,
            headers: Headers::from_pairs(encode_pairs(headers.into_iter())).unwrap(),
            body: Ok(json!({ "access_token": token(0, LATER), "token_type": "Bearer", "expires_in": 300 })
                .to_string()
                .into_bytes()),
        };
        at_start(|context| filter.handle_reply(id, reply, context, &mut commands));
        let request = [
            (":authority", "orders.example"),
            (":path", "/orders/7"),
            (":method", "GET"),
            (":scheme", "http"),
            ("x-forwarded-proto", "http"),
            ("x-request-id", "3f0a0dd8-6a8a-4a4d-9ac3-2f8d8a0e8a1d"),
        ];
        Self {
            filter,
            jitter: Jitter::new([7; 16]),
            engine: Yes(true),
            requests: vec![encode_pairs(request.into_iter())],
            cluster: Some(("api", "asserted")),
        }
    }

    /// Every token has been seen, and has been met again.
    fn warm(mut self) -> Self {
        self.run();
        self.run();
        self
    }

    fn refusing(mut self) -> Self {
        self.engine = Yes(false);
        self
    }

    /// Handles every request.
    fn run(&mut self) -> usize {
        let mut forwarded = 0;
        for pairs in &self.requests {
            let head = RequestHead {
                headers: Headers::from_pairs(pairs.clone()).unwrap(),
                cluster: self.cluster.map(|(name, _)| name.into()),
                cluster_tls: self.cluster.map(|(_, tls)| tls.into()),
                ..RequestHead::default()
            };
            let mut observations = Vec::new();
            let mut context = context(&self.engine, &mut self.jitter, &mut observations);
            let outcome = self.filter.handle_request(StreamId(1), head, &mut context);
            forwarded += usize::from(matches!(black_box(outcome), Some(Outcome::Forward { .. })));
        }
        forwarded
    }
}

fn hot() -> Bench {
    Bench::new(10, 0..1, LATER, &[]).warm()
}

/// Each route has a tree: a client, a claim and a scope.
fn hot_with_tree() -> Bench {
    let mut bench = hot();
    let document = growing(10);
    bench.filter = at_start(|context| Box::new(Filter::new(&compile(&document), [7; 16], context)));
    bench.warm()
}

fn hot_with_30_headers() -> Bench {
    let names: Vec<String> = (0..22).map(|number| format!("x-some-header-{number}")).collect();
    let headers: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), "text/html, application/json;q=0.9")).collect();
    Bench::new(10, 0..1, LATER, &headers).warm()
}

/// The cache is full: each new token takes another's place.
fn cold() -> Bench {
    let mut bench = Bench::new(10, 0..10_000, LATER, &[]).warm();
    bench.requests = Bench::new(10, 10_000..10_001, LATER, &[]).requests;
    bench
}

fn forged() -> Bench {
    Bench::new(10, 0..1, LATER, &[]).refusing().warm()
}

fn expired() -> Bench {
    Bench::new(10, 0..1, EARLIER, &[]).warm()
}

fn public() -> Bench {
    let mut bench = hot();
    bench.requests = vec![encode_pairs([(":path", "/healthz"), (":method", "GET")].into_iter())];
    bench.warm()
}

/// The token is there, so no request waits.
fn outbound() -> Bench {
    let bench = Bench::outbound().warm();
    assert!(bench.filter.carries_token(StreamId(1)));
    bench
}

#[library_benchmark]
#[bench::seen(hot())]
#[bench::seen_with_tree(hot_with_tree())]
#[bench::seen_with_30_headers(hot_with_30_headers())]
#[bench::new(cold())]
#[bench::forged(forged())]
#[bench::expired(expired())]
#[bench::public(public())]
#[bench::outbound_injected(outbound())]
fn request(mut bench: Bench) -> (usize, Bench) {
    (bench.run(), bench)
}

#[library_benchmark]
#[bench::token(token(0, LATER))]
fn parse(text: String) -> (usize, String) {
    let parts = TokenParts::decode(&text).unwrap();
    (black_box(parts.read().unwrap()).claims().len(), text)
}

#[library_benchmark]
#[bench::among_10(compile(&document(10)))]
#[bench::among_10_000(compile(&document(10_000)))]
fn route(config: Config) -> (RouteId, Config) {
    let path = RequestPath::parse(b"/r00003/items/17").unwrap();
    (config.inbound.as_ref().unwrap().routes.find(None, &path, b"GET"), config)
}

#[library_benchmark]
#[bench::among_10(compile(&growing(10)))]
#[bench::among_10_000(compile(&growing(10_000)))]
fn wildcard(config: Config) -> (RouteId, Config) {
    let path = RequestPath::parse(b"/r00003/items/17").unwrap();
    let authority = RequestAuthority::parse(b"api.h00003.example").unwrap();
    (config.inbound.as_ref().unwrap().routes.find(Some(&authority), &path, b"GET"), config)
}

#[library_benchmark]
#[bench::of_1_000_routes(document(1_000).to_string())]
#[bench::with_100_requirements(growing(1_000).to_string())]
#[bench::with_1_000_requirements(growing(10_000).to_string())]
fn configuration(text: String) -> (Config, String) {
    (config::parse(text.as_bytes(), &Nothing).unwrap_or_else(|errors| panic!("{errors}")), text)
}

fn signed(algorithm: &str) -> (String, KeySet) {
    let samples: Vec<Value> = serde_json::from_str(include_str!("../tests/conformance/tokens.json")).unwrap();
    let sample = samples.iter().find(|sample| sample["alg"] == algorithm).unwrap();
    let keys = json!({ "keys": [sample["jwk"]] }).to_string();
    (sample["token"].as_str().unwrap().to_owned(), KeySet::parse_inline(keys.as_bytes()).unwrap().set)
}

#[library_benchmark]
#[bench::rs256(signed("RS256"))]
#[bench::ps256(signed("PS256"))]
#[bench::es256(signed("ES256"))]
#[bench::eddsa(signed("EdDSA"))]
fn portable((token, keys): (String, KeySet)) -> bool {
    let parts = TokenParts::decode(&token).unwrap();
    parts.read().unwrap().verify(keys.iter().next().unwrap(), &RustCrypto).is_ok()
}

library_benchmark_group!(name = core; benchmarks = request, parse, route, wildcard, configuration, portable);
main!(library_benchmark_groups = core);

/// As many routes as asked for, and two that are always there.
fn document(routes: usize) -> Value {
    let mut list: Vec<Value> = (0..routes)
        .map(|number| {
            json!({
                "name": format!("route-{number}"),
                "match": { "path": format!("/r{number:05}/items/{{id}}"), "methods": ["GET"] },
                "require": { "scopes": ["orders:read"] },
            })
        })
        .collect();
    list.push(json!({
        "name": "orders", "match": { "prefix": "/orders" }, "require": { "scopes": ["orders:read"] },
    }));
    list.push(json!({ "name": "health", "match": { "path": "/healthz" }, "public": {} }));
    let samples: Vec<Value> = serde_json::from_str(include_str!("../tests/conformance/tokens.json")).unwrap();
    let mut jwk = samples.iter().find(|sample| sample["alg"] == "RS256").unwrap()["jwk"].clone();
    jwk["kid"] = "key-1".into();
    json!({ "inbound": {
        "issuers": [{
            "name": "corp",
            "issuer": ISSUER,
            "audiences": ["https://orders.example"],
            "keys": { "inline": { "keys": [jwk] } },
        }],
        "routes": list,
        "default": "deny",
    } })
}

/// So many routes, each of a host with a wildcard, and a requirement with a name for ten of them. The routes that are
/// always there have a tree too.
fn growing(routes: usize) -> Value {
    let mut document = document(routes);
    let requirement = |number: usize| {
        let tree = json!({ "any": [
            { "clients": [format!("other-{number}")] },
            { "claims": [{ "claim": "jti", "prefix": format!("other-{number}") }] },
            { "claims": [{ "claim": "aud", "equals": "https://orders.example" }], "scopes": ["orders:read"] },
        ] });
        (format!("requirement-{number}"), tree)
    };
    let requirements = routes.div_ceil(10);
    document["inbound"]["requirements"] = Value::Object((0..requirements).map(requirement).collect());
    for number in 0..routes {
        let route = &mut document["inbound"]["routes"][number];
        route["match"]["authorities"] = json!([format!("*.h{number:05}.example")]);
        route["require"] = json!(format!("requirement-{}", number % requirements));
    }
    document["inbound"]["routes"][routes]["require"] = json!("requirement-0");
    document
}

/// A client, and where its token goes.
fn outbound_document() -> Value {
    json!({ "outbound": {
        "position": "downstream",
        "clients": [{
            "name": "orders",
            "token_endpoint": { "uri": "https://idp.example/token", "cluster": "idp" },
            "authentication": { "set_by_cluster": {} },
        }],
        "destinations": [{
            "match": { "authorities": ["orders.example"], "clusters": ["api"] },
            "client": "orders",
        }],
        "unmatched": "deny",
    } })
}

fn compile(document: &Value) -> Config {
    config::parse(document.to_string().as_bytes(), &Nothing).unwrap_or_else(|errors| panic!("{errors}"))
}

/// An access token as issuers make them, one of fifty clients'. Its signature is numbers.
fn token(number: usize, exp: u64) -> String {
    let client = format!("client-{:02}", number % 50);
    let claims = json!({
        "iss": ISSUER, "sub": client, "client_id": client, "aud": "https://orders.example",
        "scope": "orders:read inventory:read", "iat": exp - 600, "exp": exp, "jti": format!("{number:032x}"),
    });
    let mut signature = [0x5a; 256];
    let scattered = u64::try_from(number).unwrap().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    signature[248..].copy_from_slice(&scattered.to_le_bytes());
    let writer =
        TokenWriter { algorithm: "RS256", typ: Some("at+jwt"), kid: Some("key-1"), thumbprint: None };
    writer.write(claims, |_| Ok::<_, Unsigned>(signature.to_vec())).unwrap()
}

struct Yes(bool);

impl Crypto for Yes {
    fn verify(&self, _: Algorithm, _: &Key, _: &[u8], _: &[u8]) -> Result<(), SignatureError> {
        if self.0 { Ok(()) } else { Err(SignatureError::Mismatch) }
    }

    fn engine(&self, _: Algorithm) -> Engine {
        Engine::Envoy
    }

    fn sign(&self, _: Algorithm, _: &SigningKey, _: &[u8], _: &dyn Random) -> Result<Vec<u8>, SigningError> {
        Err(SigningError::Host)
    }
}

struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

impl Random for Nothing {
    fn fill(&self, _: &mut [u8]) {}
}

struct NoSharedState;

impl SharedState for NoSharedState {
    fn get(&self, _: &str) -> Option<(Vec<u8>, Version)> {
        None
    }
    fn set(&self, _: &str, _: &[u8], _: Option<Version>) -> bool {
        false
    }
    fn open_queue(&self, _: &str) -> Option<QueueId> {
        None
    }
    fn wake(&self, _: QueueId) {}
    fn drain(&self, _: QueueId) {}
}

fn context<'a>(
    engine: &'a Yes,
    jitter: &'a mut Jitter,
    observations: &'a mut Vec<Observation>,
) -> Context<'a> {
    Context {
        now: NOW,
        stopwatch: &(),
        crypto: engine,
        random: &Nothing,
        shared: &NoSharedState,
        jitter,
        observations,
    }
}

/// Hands an event in before anything is measured.
fn at_start<T>(event: impl FnOnce(&mut Context<'_>) -> T) -> T {
    event(&mut context(&Yes(true), &mut Jitter::new([7; 16]), &mut Vec::new()))
}

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LATER: u64 = 1_800_000_500;
const EARLIER: u64 = 1_799_999_000;
const ISSUER: &str = "https://issuer.example";
