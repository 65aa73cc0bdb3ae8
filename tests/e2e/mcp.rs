//! Messages of MCP in real Envoy: how a body is held back, and what becomes of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use attache_harness::http::{Request, Response};
use attache_harness::issuer::{Algorithm, Fault};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::proxy::{
    Document, Listener, Setup, Shared, Visit, at_once, echo, eventually, inbound, issuer, route, trust,
    verdict, visit,
};
use crate::raw;
use crate::secrets::scoped;

static PROXY: Shared = Shared::new(|| {
    let shows = json!({ "allow_on_headers_stop_iteration": true });
    Setup::new()
        .issuer("corp")
        .listener(Listener::new("mcp", document("corp", json!({}), json!({}))).plugin(shows))
        // Without the setting: what asks for no body needs none.
        .listener(Listener::new(
            "by-headers",
            document("corp", json!({}), json!({ "mcp": { "verify_body": false, "older_versions": "deny" } })),
        ))
        .listener(Listener::new("hidden", document("corp", json!({}), json!({}))))
        .start()
});

fn document(issuer: &str, trusted: Value, mut more: Value) -> Document {
    let require = |scope: &str| json!({ "require": { "scopes": [scope] } });
    let message = |name: &str, mcp: Value, scope: &str| {
        let mut route = route(name, "/mcp", require(scope));
        route["match"]["mcp"] = mcp;
        route
    };
    let calls = |names: &[&str]| json!({ "methods": ["tools/call"], "names": names });
    let routes = [
        route("mcp", "/mcp", require("mcp:use")),
        message("tools", json!({ "methods": ["tools/call"] }), "tools:call"),
        message("delete", calls(&["orders.delete"]), "orders:admin"),
        route("plain", "/plain", require("mcp:use")),
    ];
    more["denials"] = json!({ "body": "problem_json" });
    more["forward_claims"] = json!([{ "claim": "sub", "header": "x-subject" }]);
    Document::Struct(inbound(&[trust(issuer, trusted)], &routes, more))
}

fn tool(name: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name } }).to_string()
}

fn post(proxy: &Visit, listener: &str, token: &str, body: impl Into<Vec<u8>>) -> Response {
    let request = Request::post(proxy.url(listener, "/mcp")).bearer(token);
    request.header("content-type", "application/json").body(body).send().unwrap()
}

/// The head of a POST over HTTP/1.1, without the empty line at its end.
fn head(token: &str, more: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: a.example\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n{more}"
    )
}

#[test]
fn a_message_is_held_back_until_its_body_has_come_and_reaches_the_server_as_it_was() {
    let proxy = visit(&PROXY);
    let least = scoped(proxy.issuer("corp"), "tools:call");
    let body = tool("orders.list");
    let seen = echo(&post(&proxy, "mcp", &least, body.as_str()));
    assert_eq!((seen.body_length, &*seen.body_sha256), (body.len(), &*hex(&body)));
    assert_eq!(seen.header_values("x-subject").count(), 1, "the claim's header is set");
    let refused = post(&proxy, "mcp", &least, tool("orders.delete"));
    assert_eq!(verdict(&refused), (403, "scope_insufficient".into()));
    assert!(refused.header("www-authenticate").unwrap().contains("scope=\"orders:admin\""));
    let malformed = post(&proxy, "mcp", &least, "{");
    assert_eq!(verdict(&malformed), (400, "mcp_body_invalid".into()));
    // Neither GET nor a path without such rules waits for anything.
    let base = scoped(proxy.issuer("corp"), "mcp:use");
    echo(&proxy.get("mcp", "/mcp").bearer(&base).send().unwrap());
    let plain = Request::post(proxy.url("mcp", "/plain")).bearer(&base).body(vec![b'x'; 300_000]);
    assert_eq!(echo(&plain.send().unwrap()).body_length, 300_000);
}

#[test]
fn a_body_may_come_in_pieces_of_any_size() {
    let proxy = visit(&PROXY);
    let addr = proxy.addr("mcp");
    let both = scoped(proxy.issuer("corp"), "tools:call");
    for (name, status) in [("orders.list", 200), ("orders.delete", 403)] {
        let body = tool(name);
        let chunks: String = body.chars().map(|letter| format!("1\r\n{letter}\r\n")).collect();
        let chunked = format!("{}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n", head(&both, ""));
        assert_eq!(raw::exchange(addr, chunked.as_bytes()).status, status, "{name}, chunked");
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "{}content-length: {}\r\n\r\n", head(&both, ""), body.len()).unwrap();
        for byte in body.as_bytes() {
            stream.write_all(&[*byte]).unwrap();
        }
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes(), "{name}, byte by byte");
    }
    // Two on one connection, of which the first is refused.
    let one = |name: &str| {
        let body = tool(name);
        format!("{}content-length: {}\r\n\r\n{body}", head(&both, ""), body.len())
    };
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(format!("{}{}", one("orders.list"), one("orders.delete")).as_bytes()).unwrap();
    let mut answers = String::new();
    eventually("both answers", || {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).unwrap();
        answers.push_str(&String::from_utf8_lossy(&part[..count]));
        (answers.matches("HTTP/1.1 ").count() == 2).then_some(())
    });
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "403"]);
}

/// What ends a body with trailers is judged as any other.
#[test]
fn a_body_that_ends_with_trailers_over_http_2_is_judged() {
    let proxy = visit(&PROXY);
    let least = scoped(proxy.issuer("corp"), "tools:call");
    for (name, status) in [("orders.list", 200), ("orders.delete", 403)] {
        for has_trailers in [false, true] {
            assert_eq!(over_http_2(proxy.addr("mcp"), &least, &tool(name), has_trailers), status, "{name}");
        }
    }
}

fn over_http_2(addr: SocketAddr, token: &str, body: &str, has_trailers: bool) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let trailers = has_trailers.then(|| {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-checksum", "1".parse().unwrap());
            Ok(trailers)
        });
        let body = Full::new(Bytes::from(body.to_owned())).with_trailers(std::future::ready(trailers));
        let request = hyper::Request::post(format!("http://{addr}/mcp"));
        let request = request
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"));
        sender.send_request(request.body(body).unwrap()).await.unwrap().status().as_u16()
    })
}

#[test]
fn a_body_beyond_the_bound_is_answered_before_it_has_come() {
    let proxy = visit(&PROXY);
    let addr = proxy.addr("mcp");
    let least = scoped(proxy.issuer("corp"), "mcp:use");
    let body = |bytes: usize| format!("{{\"method\":\"tools/list\",\"x\":\"{}\"}}", "x".repeat(bytes - 30));
    assert_eq!(body(65_536).len(), 65_536);
    echo(&post(&proxy, "mcp", &least, body(65_536)));
    assert_eq!(verdict(&post(&proxy, "mcp", &least, body(65_537))), (413, "body_too_large".into()));
    // What does not say its length is answered when it is too long.
    let mut endless = format!("{}transfer-encoding: chunked\r\n\r\n", head(&least, ""));
    for _ in 0..5 {
        endless.push_str(&format!("4000\r\n{}\r\n", "x".repeat(0x4000)));
    }
    assert_eq!(raw::exchange(addr, endless.as_bytes()).status, 413);
    // A client that goes away leaves nothing behind.
    for _ in 0..3 {
        let mut stream = TcpStream::connect(addr).unwrap();
        write!(stream, "{}content-length: 100\r\n\r\n{{", head(&least, "")).unwrap();
    }
    eventually("the requests to be over", || (proxy.active("mcp") == 0).then_some(()));
    echo(&post(&proxy, "mcp", &least, r#"{"method":"tools/list"}"#));
}

/// The body comes before the keys do, and its rule is remembered.
#[test]
fn a_message_waits_for_keys_with_its_body() {
    let silent = issuer("quiet", &[Algorithm::Es256]);
    silent.fault(Fault::Status(500));
    let more = json!({ "waiting": { "deadline": "30s" } });
    let shows = json!({ "allow_on_headers_stop_iteration": true });
    let listener = Listener::new("waits", document("quiet", json!({}), more)).plugin(shows);
    let proxy = Setup::new().with_issuer("quiet", silent).listener(listener).start();
    let good = scoped(proxy.issuer("quiet"), "orders:admin");
    let narrow = scoped(proxy.issuer("quiet"), "tools:call");
    let request = |n: usize| {
        let request = Request::post(proxy.url("waits", "/mcp")).header("content-type", "application/json");
        let request = request.bearer(if n.is_multiple_of(2) { &good } else { &narrow });
        request.body(tool("orders.delete")).timeout(Duration::from_secs(60))
    };
    std::thread::scope(|scope| {
        let answers = scope.spawn(|| at_once((0..10).map(request).collect()));
        eventually("all to wait", || (proxy.active("waits") == 10).then_some(()));
        proxy.issuer("quiet").heal();
        for (n, answer) in answers.join().unwrap().iter().enumerate() {
            if n.is_multiple_of(2) {
                let seen = echo(answer);
                assert_eq!(seen.body_sha256, hex(&tool("orders.delete")));
                assert_eq!(seen.header_values("x-subject").count(), 1);
            } else {
                assert_eq!(verdict(answer), (403, "scope_insufficient".into()));
            }
        }
    });
}

/// Two versions of one message: what the headers say, and a body that says something else.
#[test]
fn headers_are_held_against_the_body() {
    let proxy = visit(&PROXY);
    let least = scoped(proxy.issuer("corp"), "mcp:use");
    let new = |listener: &str, method: &str, name: Option<&str>, body: &str| {
        let request = Request::post(proxy.url(listener, "/mcp")).bearer(&least);
        let request =
            request.header("content-type", "application/json").header("MCP-Protocol-Version", "2026-07-28");
        let request = request.header("Mcp-Method", method);
        let request = name.into_iter().fold(request, |request, name| request.header("Mcp-Name", name));
        verdict(&request.body(body).send().unwrap())
    };
    let list = r#"{"method":"tools/list"}"#;
    let delete = tool("orders.delete");
    assert_eq!(new("mcp", "tools/list", None, list), (200, "forwarded".into()));
    assert_eq!(new("mcp", "tools/list", None, &delete), (400, "mcp_header_mismatch".into()));
    assert_eq!(new("mcp", "tools/call", Some("orders.delete"), &delete), (403, "scope_insufficient".into()));
    assert_eq!(new("mcp", "tools/call", None, &delete), (400, "mcp_headers_invalid".into()));
    // Where the server does that, nothing is held back, and Envoy needs no setting.
    assert_eq!(new("by-headers", "tools/list", None, "anything"), (200, "forwarded".into()));
    let coded = "=?base64?b3JkZXJzLmRlbGV0ZQ==?=";
    assert_eq!(new("by-headers", "tools/call", Some(coded), "x"), (403, "scope_insufficient".into()));
    assert_eq!(verdict(&post(&proxy, "by-headers", &least, list)), (400, "mcp_version".into()));
}

/// Closed, not open: without the setting no body comes, and no message passes.
#[test]
fn without_the_setting_a_message_never_reaches_the_server_and_the_log_says_why() {
    let proxy = visit(&PROXY);
    let least = scoped(proxy.issuer("corp"), "mcp:use");
    let body = r#"{"method":"tools/list"}"#;
    let request =
        format!("{}content-length: {}\r\n\r\n{body}", head(&least, "x-mark: hidden\r\n"), body.len());
    let answer = raw::exchange_within(proxy.addr("hidden"), request.as_bytes(), Duration::from_secs(2));
    assert_eq!(answer.status, 0, "it waits");
    eventually("the log line", || {
        proxy.envoy().logs().contains("set `allow_on_headers_stop_iteration: true`").then_some(())
    });
    echo(&proxy.get("hidden", "/mcp").bearer(&least).send().unwrap());
}

fn hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
