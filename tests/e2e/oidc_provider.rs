use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use attachectl::http::Request;
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::proxy::{Document, Listener, Proxy, Setup, echo, inbound, route, verdict};
use crate::secrets::{remember, remember_token};

#[test]
fn a_real_client_credentials_token_passes_with_its_scopes_and_no_further() {
    let provider = Provider::start();
    let proxy = proxy(&provider);
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let read = provider.token(algorithm, "orders:read");
        let get = || proxy.get("oidc", "/orders").bearer(&read);
        let seen = echo(&get().send().unwrap());
        assert_eq!(seen.header("x-client"), Some("orders-service"), "{algorithm}");
        let refused = Request::post(proxy.url("oidc", "/orders")).bearer(&read).send().unwrap();
        assert_eq!(verdict(&refused), (403, "scope_insufficient".into()), "{algorithm}");
        assert!(refused.header("www-authenticate").unwrap().contains("scope=\"orders:write\""));
        let write = provider.token(algorithm, "orders:write");
        let permitted = Request::post(proxy.url("oidc", "/orders")).bearer(&write).send().unwrap();
        assert_eq!(permitted.status, 200, "{algorithm}");
        // One letter of the signature.
        let (head, tail) = read.split_at(read.len() - 20);
        let tampered = format!("{head}{}{}", if tail.starts_with('A') { "B" } else { "A" }, &tail[1..]);
        let answer = proxy.get("oidc", "/orders").bearer(&tampered).send().unwrap();
        assert_eq!(verdict(&answer), (401, "signature_invalid".into()), "{algorithm}");
    }
    assert_eq!(proxy.get("oidc", "/orders").send().unwrap().status, 401);
    proxy.expect_metric("attache_keys", &[("issuer", "oidc")], 3);
}

#[test]
fn its_token_is_refused_where_another_audience_is_meant() {
    let provider = Provider::start();
    let proxy = proxy(&provider);
    let token = provider.token("ES256", "orders:read");
    let answer = proxy.get("oidc-elsewhere", "/orders").bearer(&token).send().unwrap();
    assert_eq!(verdict(&answer), (401, "wrong_audience".into()));
}

fn proxy(provider: &Provider) -> Proxy {
    let issuer = |audience: &str| {
        json!({
            "name": "oidc",
            "issuer": provider.place("issuer"),
            "audiences": [audience],
            "type": "at+jwt",
            "keys": { "jwks": { "uri": provider.place("jwks_uri"), "cluster": "oidc" } },
        })
    };
    let mut write = route("write", "/orders", json!({ "require": { "scopes": ["orders:write"] } }));
    write["match"]["methods"] = json!(["POST"]);
    let mut read = route("read", "/orders", json!({ "require": { "scopes": ["orders:read"] } }));
    read["match"]["methods"] = json!(["GET"]);
    let listener = |name: &str, audience: &str| {
        let more = json!({
            "refusals": { "body": "problem_json" },
            "forward_claims": [{ "claim": "client_id", "header": "x-client" }],
        });
        Listener::new(
            name,
            Document::Struct(inbound(&[issuer(audience)], &[read.clone(), write.clone()], more)),
        )
    };
    let addr = provider.place("issuer").strip_prefix("http://").unwrap().parse().unwrap();
    Setup::new()
        .listener(listener("oidc", &provider.place("resource")))
        .listener(listener("oidc-elsewhere", "https://elsewhere.example"))
        .start_without("oidc", addr)
}

/// `oidc-provider` in a process of its own. It ends when its standard input does: with this process at the latest.
struct Provider {
    process: Child,
    places: Value,
}

impl Provider {
    fn start() -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc-provider");
        assert!(
            directory.join("node_modules/oidc-provider").is_dir(),
            "oidc-provider is not installed: run `make test`, or `npm ci --prefix tests/oidc-provider`"
        );
        let mut process = Command::new("node")
            .arg("server.js")
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Node.js 20 or newer as `node`: `make test` says how to get it");
        let output = process.stdout.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(output).read_line(&mut line);
            let _ = sender.send(line);
        });
        let mut provider = Self { process, places: Value::Null };
        let line = receiver.recv_timeout(PATIENCE).expect("oidc-provider to say where it is");
        provider.places = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        remember(&provider.place("client_secret"));
        provider
    }

    fn place(&self, name: &str) -> String {
        self.places[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.places)).to_owned()
    }

    fn token(&self, algorithm: &str, scope: &str) -> String {
        let credentials = format!("{}:{}", self.place("client_id"), self.place("client_secret"));
        let resource = format!("{}?alg={algorithm}", self.place("resource"));
        let answer = Request::post(self.place("token_endpoint"))
            .header("authorization", format!("Basic {}", Base64::encode_string(credentials.as_bytes())))
            .form(&[("grant_type", "client_credentials"), ("scope", scope), ("resource", &resource)])
            .send()
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let token = answer.json().unwrap()["access_token"].as_str().unwrap().to_owned();
        remember_token(&token);
        token
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Node starts and makes an RSA key.
const PATIENCE: Duration = Duration::from_secs(60);
