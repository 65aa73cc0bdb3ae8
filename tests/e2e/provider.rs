//! `oidc-provider` in a process of its own. It ends when its standard input does: with this process at the latest.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use attache_harness::http::Request;
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::proxy::checkout;
use crate::secrets::{remember, remember_token};

/// A running provider. Its clients' names are in `tests/oidc-provider/server.js`.
pub(crate) struct Provider {
    process: Child,
    places: Value,
    /// What it prints, line by line. Locked from a command to its answer.
    answers: Mutex<mpsc::Receiver<String>>,
}

impl Provider {
    pub(crate) fn start() -> Self {
        let directory = checkout().join("tests/oidc-provider");
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
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            for line in lines {
                let _ = sender.send(line);
            }
        });
        let mut provider = Self { process, places: Value::Null, answers: Mutex::new(answers) };
        provider.places = answer(&provider.answers.lock().unwrap());
        let clients = provider.places["clients"].as_object().unwrap();
        for client in clients.values() {
            client["client_secret"].as_str().into_iter().for_each(remember);
            let key = client["key"].as_str().into_iter().flat_map(str::lines);
            key.filter(|line| !line.starts_with('-') && line.len() >= 16).for_each(remember);
        }
        provider
    }

    /// A member of what it says at its start, such as `issuer` or `tls_token_endpoint`.
    pub(crate) fn place(&self, name: &str) -> String {
        text(&self.places, name)
    }

    /// Where it speaks HTTP.
    pub(crate) fn addr(&self) -> SocketAddr {
        addr(&self.place("token_endpoint"))
    }

    /// Where it speaks TLS, and asks for a certificate.
    pub(crate) fn tls_addr(&self) -> SocketAddr {
        addr(&self.place("tls_token_endpoint"))
    }

    /// The secret of a client at the start.
    pub(crate) fn secret(&self, client: &str) -> String {
        text(&self.places["clients"][client], "client_secret")
    }

    /// The private key of a client, in PKCS #8.
    pub(crate) fn pem(&self, client: &str) -> String {
        text(&self.places["clients"][client], "key")
    }

    /// The `kid` of that key.
    pub(crate) fn kid(&self, client: &str) -> String {
        text(&self.places["clients"][client], "kid")
    }

    /// The certificate of a client.
    pub(crate) fn certificate(&self, client: &str) -> String {
        text(&self.places["clients"][client], "certificate")
    }

    /// Gives a client another secret; the old one stops working at once.
    pub(crate) fn set_secret(&self, client: &str, secret: &str) {
        remember(secret);
        self.command(&json!({ "command": "set_secret", "client_id": client, "secret": secret }));
    }

    /// Forgets a client.
    pub(crate) fn remove_client(&self, client: &str) {
        self.command(&json!({ "command": "remove_client", "client_id": client }));
    }

    /// How often a client has asked for a token, by result: `ok`, or the error's code.
    pub(crate) fn requests_of(&self, client: &str) -> BTreeMap<String, u64> {
        let mut answer = self.command(&json!({ "command": "requests" }));
        serde_json::from_value(answer["requests"][client].take()).unwrap_or_default()
    }

    /// A token for `orders-service`, signed so.
    pub(crate) fn token(&self, algorithm: &str, scope: &str) -> String {
        let secret = self.secret("orders-service");
        let token = self.ask("orders-service", &secret, algorithm, scope);
        token.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A token for a client that authenticates with `client_secret_basic`, or the error's code.
    pub(crate) fn ask(
        &self,
        client: &str,
        secret: &str,
        algorithm: &str,
        scope: &str,
    ) -> Result<String, String> {
        let credentials = format!("{client}:{secret}");
        let resource = format!("{}?alg={algorithm}", self.place("resource"));
        let answer = Request::post(self.place("token_endpoint"))
            .header("authorization", format!("Basic {}", Base64::encode_string(credentials.as_bytes())))
            .form(&[("grant_type", "client_credentials"), ("scope", scope), ("resource", &resource)])
            .send()
            .unwrap();
        let body = answer.json().unwrap();
        if answer.status != 200 {
            return Err(text(&body, "error"));
        }
        let token = text(&body, "access_token");
        remember_token(&token);
        Ok(token)
    }

    fn command(&self, command: &Value) -> Value {
        let answers = self.answers.lock().unwrap();
        let mut input = self.process.stdin.as_ref().unwrap();
        writeln!(input, "{command}").unwrap();
        let answer = answer(&answers);
        assert!(answer.get("error").is_none(), "{command}: {answer}");
        answer
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn answer(answers: &mpsc::Receiver<String>) -> Value {
    let line = answers.recv_timeout(PATIENCE).expect("a line from oidc-provider");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

fn text(object: &Value, member: &str) -> String {
    object[member].as_str().unwrap_or_else(|| panic!("no {member} in {object}")).to_owned()
}

fn addr(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once("://").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

/// Node starts and makes RSA keys.
const PATIENCE: Duration = Duration::from_secs(60);
