//! The official MCP client and server, with the filter between them: from the 401 to a token, a tool, a step-up, and a
//! tool that is refused. The server knows nothing of tokens.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use attache_harness::http::Request;
use attache_harness::issuer::{Algorithm, Client, Issuer, IssuerOptions};
use serde_json::{Value, json};

use crate::proxy::{Document, Listener, Proxy, Setup, checkout, inbound, jwks, route};
use crate::secrets::{remember, remember_token};

const SECRET: &str = "a-secret-of-an-agent-in-a-test";

/// Node with a script of `tests/mcp`.
fn node(script: &str) -> Command {
    let directory = checkout().join("tests/mcp");
    assert!(
        directory.join("node_modules/@modelcontextprotocol/server").is_dir(),
        "the MCP packages are not installed: run `make test`, or `npm ci --prefix tests/mcp`"
    );
    let mut command = Command::new("node");
    command.arg(script).current_dir(directory).stderr(Stdio::inherit());
    command
}

/// The server. It ends with its standard input: with this process at the latest.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let mut process = node("server.js")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js 20 or newer");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let place: Value = serde_json::from_str(&line).unwrap();
        let port = place["port"].as_u64().unwrap().try_into().unwrap();
        Self { process, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An agent that may delete, and one that may not.
fn issuer() -> Issuer {
    remember(SECRET);
    let client = |id: &str, scopes: &[&str]| Client::new(id).secret(SECRET).scopes(scopes);
    let issuer = Issuer::start(IssuerOptions {
        algorithms: vec![Algorithm::Es256],
        clients: vec![
            client("admin", &["mcp:use", "orders:read", "orders:admin"]),
            client("reader", &["mcp:use", "orders:read"]),
        ],
        ..IssuerOptions::default()
    })
    .unwrap();
    // The client reads no metadata without these, although this grant needs neither.
    let place = format!("{}/.well-known/oauth-authorization-server", issuer.url());
    let mut metadata = Request::get(place).send().unwrap().json().unwrap();
    metadata["authorization_endpoint"] = json!(format!("{}/authorize", issuer.url()));
    metadata["response_types_supported"] = json!([]);
    issuer.replace_metadata(Some(metadata.to_string().into_bytes()));
    issuer
}

/// Where the proxy listens has to be known before: clients find the issuer by the resource's own address. An address of
/// its own, so that no connection of another test takes the port.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.79.1:0").unwrap().local_addr().unwrap()
}

fn proxy(server: &Server) -> (Proxy, String) {
    let addr = free();
    let url = format!("http://{addr}/mcp");
    let issuer = issuer();
    let message = |name: &str, mcp: Value, scope: &str| {
        let mut route = route(name, "/mcp", json!({ "require": { "scopes": [scope] } }));
        route["match"]["mcp"] = mcp;
        route
    };
    let routes = [
        route("mcp", "/mcp", json!({ "require": { "scopes": ["mcp:use"] } })),
        message("tools", json!({ "methods": ["tools/call"] }), "orders:read"),
        message("delete", json!({ "methods": ["tools/call"], "names": ["orders.delete"] }), "orders:admin"),
    ];
    let trusted = json!({
        "name": "corp", "issuer": issuer.identifier(), "audiences": [url], "keys": { "jwks": jwks("corp", json!({})) },
    });
    let more = json!({ "resource": { "identifier": url }, "denials": { "body": "json_rpc" } });
    let listener = Listener::new("mcp", Document::Struct(inbound(&[trusted], &routes, more)))
        .plugin(json!({ "allow_on_headers_stop_iteration": true }))
        .routes(&[json!({ "match": { "prefix": "/" }, "route": { "cluster": "tools" } })])
        .at(addr);
    let place = json!({ "socket_address": { "address": "127.0.0.1", "port_value": server.port } });
    let tools = json!({ "load_assignment": {
        "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": place } }] }] } });
    (Setup::new().with_issuer("corp", issuer).cluster("tools", tools).listener(listener).start(), url)
}

/// What the client tells.
fn ask(proxy: &Proxy, url: &str, client: &str, mode: &str) -> Value {
    let issuer = proxy.issuer("corp");
    let question = json!({
        "url": url, "issuer": issuer.identifier(), "client": client, "secret": SECRET, "mode": mode,
    });
    let output = node("client.js").arg(question.to_string()).stdin(Stdio::null()).output().unwrap();
    issuer.issued_tokens().iter().for_each(|token| remember_token(token));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told.get("error"), None, "{told}");
    told
}

#[test]
fn a_client_of_either_era_finds_its_token_calls_tools_and_steps_up() {
    let server = Server::start();
    let (proxy, url) = proxy(&server);
    for (mode, version) in [("", "2025-11-25"), ("auto", "2026-07-28")] {
        let admin = ask(&proxy, &url, "admin", mode);
        assert_eq!(admin["version"], version);
        assert_eq!(admin["tools"], json!(["orders.delete", "orders.list"]));
        for tool in ["orders.delete", "orders.list"] {
            assert_eq!(admin[tool], format!("done: {tool}"), "{admin}");
        }
        // The 401 leads to a token, and each tool's 403 to a wider one; both by the metadata that they name.
        let seen = admin["seen"].as_array().unwrap();
        let count =
            |path: &str, status: u16| seen.iter().filter(|one| one[1] == path && one[2] == status).count();
        assert_eq!(count("/mcp", 401), 1, "{admin}");
        assert_eq!(count("/.well-known/oauth-protected-resource/mcp", 200), 3, "{admin}");
        assert_eq!(count("/token", 200), 3, "{admin}");
        assert_eq!(count("/mcp", 403), 2, "{admin}");

        let reader = ask(&proxy, &url, "reader", mode);
        assert_eq!(reader["orders.list"], "done: orders.list", "{reader}");
        let refused = reader["orders.delete"].as_str().unwrap();
        assert!(!refused.contains("done"), "{reader}");
    }
    let asked: Vec<_> = proxy.issuer("corp").token_log();
    assert!(asked.len() >= 8, "{asked:?}");
}
