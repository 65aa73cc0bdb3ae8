//! Answers a POST of signatures with the verdict of each engine: Envoy's, as the filter would use it, and the
//! portable one; and a POST of private keys with what it signs with them.
//!
//! A test's counterpart, never shipped. It trusts its caller, so it may panic.

#![cfg(target_os = "wasi")]

use attache::base::{Random, Secret};
use attache::host::EnvoyCrypto;
use attache::jose::{Algorithm, Crypto, KeySet, RustCrypto, SigningKey};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use serde::{Deserialize, Serialize};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Oracle))
    }
}

struct Oracle;

impl Context for Oracle {}

impl HttpContext for Oracle {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        Action::Pause
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if end_of_stream {
            let body = self.get_http_request_body(0, size).unwrap();
            let answer = match serde_json::from_slice(&body).unwrap() {
                Request::Verify(questions) => serde_json::to_vec(&answer(&questions)).unwrap(),
                Request::Sign(keys) => serde_json::to_vec(&sign(&keys)).unwrap(),
            };
            self.send_http_response(200, vec![("content-type", "application/json")], Some(&answer));
        }
        Action::Pause
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Verify(Vec<Question>),
    Sign(Vec<serde_json::Value>),
}

#[derive(Deserialize)]
struct Question {
    alg: String,
    jwk: serde_json::Value,
    message: String,
    signature: String,
}

#[derive(Serialize)]
struct Answer {
    /// What Envoy's engine passed the probe for.
    offloaded: Vec<&'static str>,
    verdicts: Vec<Verdict>,
}

#[derive(Serialize)]
struct Verdict {
    envoy: bool,
    portable: bool,
}

fn answer(questions: &[Question]) -> Answer {
    let crypto = EnvoyCrypto::new();
    let offloaded = crypto.offloaded().iter().map(Algorithm::name).collect();
    Answer { offloaded, verdicts: questions.iter().map(|question| verdict(question, &crypto)).collect() }
}

fn verdict(question: &Question, crypto: &EnvoyCrypto) -> Verdict {
    let document = serde_json::json!({ "keys": [question.jwk] }).to_string();
    let set = KeySet::parse_inline(document.as_bytes()).unwrap().set;
    let algorithm = Algorithm::parse(&question.alg).unwrap();
    let Some(key) = set.candidates(algorithm, None).next() else {
        return Verdict { envoy: false, portable: false };
    };
    let message = Base64UrlUnpadded::decode_vec(&question.message).unwrap();
    let signature = Base64UrlUnpadded::decode_vec(&question.signature).unwrap();
    Verdict {
        envoy: crypto.verify(algorithm, key, &message, &signature).is_ok(),
        portable: RustCrypto.verify(algorithm, key, &message, &signature).is_ok(),
    }
}

#[derive(Serialize)]
struct Signed {
    /// What Envoy's engine says that it signs.
    offloaded: Vec<&'static str>,
    /// The algorithms whose signature verifies, for each key. The portable engine is not allowed to use RSA.
    signed: Vec<Vec<&'static str>>,
}

fn sign(keys: &[serde_json::Value]) -> Signed {
    let crypto = EnvoyCrypto::new();
    let offloaded = crypto.signs().iter().map(Algorithm::name).collect();
    Signed { offloaded, signed: keys.iter().map(|key| signed(key, &crypto)).collect() }
}

fn signed(key: &serde_json::Value, crypto: &EnvoyCrypto) -> Vec<&'static str> {
    let key = SigningKey::parse(&Secret::new(key.to_string())).unwrap();
    let signs = |algorithm: &Algorithm| {
        let signature = crypto.sign(*algorithm, &key, b"message", &Ones);
        signature.is_ok_and(|made| RustCrypto.verify(*algorithm, key.public(), b"message", &made).is_ok())
    };
    key.algorithms().iter().filter(signs).map(Algorithm::name).collect()
}

/// Where a salt or a mask is drawn, any will do.
struct Ones;

impl Random for Ones {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(1);
    }
}
