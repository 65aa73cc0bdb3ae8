//! The messages of an MCP endpoint: one path, and a rule for each tool.

use attache::base::HttpReply;
use attache::config::NoticeTopic;
use base64ct::Encoding as _;
use serde_json::{Value, json};

use crate::proxy::{Answer, Proxy, Request, Signer, Time as _, config, good, jwks};

const PATH: &str = "/mcp";
const NEW: &str = "2026-07-28";

fn routes() -> Value {
    let mcp =
        |methods: Value, names: Value| json!({ "path": PATH, "mcp": { "methods": methods, "names": names } });
    json!([
        { "name": "mcp", "match": { "path": PATH }, "require": { "scopes": ["mcp:use"] } },
        { "name": "tools", "match": { "path": PATH, "mcp": { "methods": ["tools/call"] } },
            "require": { "scopes": ["tools:call"] } },
        { "name": "delete", "match": mcp(json!(["tools/call"]), json!(["orders.delete", "caf\u{e9}"])),
            "require": { "scopes": ["orders:admin"] } },
        { "name": "secret", "match": mcp(json!(["resources/read"]), json!(["file:///secret"])), "deny": {} },
        { "name": "ping", "match": { "path": PATH, "mcp": { "methods": ["ping"] } }, "public": {} },
    ])
}

fn proxy(patch: Value) -> (Proxy, Signer) {
    let mut inbound = json!({ "routes": routes(), "resource": { "identifier": "https://api.example/mcp" } });
    crate::proxy::merge(&mut inbound, patch);
    let key = Signer::new("k1");
    (Proxy::ready(&config(inbound), &[&key]), key)
}

fn token(key: &Signer, scope: &str) -> String {
    key.token().claim("scope", scope).sign()
}

/// A message of an older version.
fn message(body: impl Into<Vec<u8>>) -> Request {
    Request::new("POST", PATH).header("content-type", "application/json").body(body)
}

fn called(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

fn tool(name: &str) -> String {
    called("tools/call", &json!({ "name": name, "arguments": { "name": "x", "id": 7 } }))
}

/// A message of the version whose headers say what it asks for.
fn new_message(method: &str, name: Option<&str>, body: impl Into<Vec<u8>>) -> Request {
    let request = message(body).header("mcp-protocol-version", NEW).header("mcp-method", method);
    match name {
        Some(name) => request.header("mcp-name", name),
        None => request,
    }
}

#[track_caller]
fn challenge(answer: &Answer) -> String {
    let refused = answer.clone().refused();
    let headers = refused.response.headers;
    headers.into_iter().find(|(name, _)| *name == "www-authenticate").map(|(_, value)| value).unwrap()
}

/// Each row in both ways to say it: by headers that the body confirms, and by the body alone.
#[test]
fn each_tool_asks_for_scopes_of_its_own_in_both_versions() {
    let (mut proxy, key) = proxy(json!({}));
    let list = called("tools/list", &json!({}));
    let secret = called("resources/read", &json!({ "uri": "file:///secret" }));
    let open = called("resources/read", &json!({ "uri": "file:///open" }));
    let ping = called("ping", &json!({}));
    let (delete, other, cafe) = (tool("orders.delete"), tool("orders.list"), tool("caf\u{e9}"));
    let rows = [
        ("tools/list", None, &list, "mcp:use", "forwarded"),
        ("tools/list", None, &list, "orders:admin tools:call", "403 scope_insufficient"),
        ("tools/call", Some("orders.delete"), &delete, "orders:admin", "forwarded"),
        ("tools/call", Some("orders.delete"), &delete, "mcp:use tools:call", "403 scope_insufficient"),
        ("tools/call", Some("orders.list"), &other, "tools:call", "forwarded"),
        ("tools/call", Some("orders.list"), &other, "mcp:use orders:admin", "403 scope_insufficient"),
        ("tools/call", Some("=?base64?Y2Fmw6k=?="), &cafe, "orders:admin", "forwarded"),
        ("tools/call", Some("=?base64?Y2Fmw6k=?="), &cafe, "tools:call", "403 scope_insufficient"),
        ("resources/read", Some("file:///secret"), &secret, "mcp:use", "403 route_denied"),
        ("resources/read", Some("file:///open"), &open, "mcp:use", "forwarded"),
        ("ping", None, &ping, "", "forwarded"),
    ];
    for (method, name, body, scope, expected) in rows {
        let token = token(&key, scope);
        let by_body = message(body.as_str()).bearer(&token);
        assert_eq!(proxy.request(by_body).tells(), expected, "{method} {name:?} {scope}");
        let by_headers = new_message(method, name, body.as_str()).bearer(&token);
        assert_eq!(proxy.request(by_headers).tells(), expected, "{method} {name:?} {scope}");
    }
    assert_eq!(proxy.request(message(ping)).tells(), "forwarded", "a public message needs no token");
}

#[test]
fn a_challenge_names_the_scopes_of_the_tool_at_once() {
    let (mut proxy, key) = proxy(json!({}));
    let scope = "scope=\"orders:admin\"";
    let without = proxy.request(message(tool("orders.delete")));
    assert_eq!(without.tells(), "401 credential_missing");
    assert!(challenge(&without).contains(scope));
    let without = proxy.request(new_message("tools/call", Some("orders.delete"), tool("orders.delete")));
    assert!(challenge(&without).contains(scope));
    let with_less = proxy.request(message(tool("orders.delete")).bearer(&token(&key, "mcp:use")));
    assert!(challenge(&with_less).contains(scope) && challenge(&with_less).contains("insufficient_scope"));
}

/// What a client asks for at first, it does not need for tools that it may never call.
#[test]
fn the_resource_lists_the_scopes_of_the_path_and_not_those_of_its_tools() {
    let (mut proxy, _) = proxy(json!({}));
    let answer = proxy.request(Request::get("/.well-known/oauth-protected-resource/mcp")).refused();
    let document: Value = serde_json::from_str(&answer.response.body).unwrap();
    assert_eq!(document["scopes_supported"], json!(["mcp:use"]));
}

#[test]
fn another_spelling_of_a_name_has_the_rule_of_all_others() {
    let (mut proxy, key) = proxy(json!({}));
    let least = token(&key, "mcp:use");
    for name in [
        "orders.Delete",
        "orders.delete ",
        " orders.delete",
        "cafe\u{301}",
        "CAF\u{c9}",
        "orders\u{2024}delete",
    ] {
        let answer = proxy.request(message(tool(name)).bearer(&least));
        assert_eq!(answer.tells(), "403 scope_insufficient", "{name}");
        assert!(challenge(&answer).contains("tools:call"), "{name}");
    }
    // Escapes are none: JSON has them.
    let escaped =
        tool("orders.delete").replace("orders.delete", r"orders\u002edelete").replace("tools/", r"tools\/");
    let answer = proxy.request(message(escaped).bearer(&least));
    assert!(challenge(&answer).contains("orders:admin"));
}

fn resources(patch: Value) -> (Proxy, Signer) {
    let named = ["resources/read", "resources/subscribe", "resources/unsubscribe"];
    let mut routes = routes();
    routes[3]["match"]["mcp"] =
        json!({ "methods": named, "names": ["file:///secret", "https://a.example/"] });
    let mut inbound = json!({ "routes": routes });
    crate::proxy::merge(&mut inbound, patch);
    proxy(inbound)
}

/// Servers look a resource up by what their URL reader makes of its URI, or by the file that it is the path of.
#[test]
fn no_other_spelling_of_a_resource_has_another_rule() {
    let (mut proxy, key) = resources(json!({}));
    let least = token(&key, "mcp:use");
    for method in ["resources/read", "resources/subscribe", "resources/unsubscribe"] {
        for (uri, expected) in [
            ("file:///secret", "403 route_denied"),
            ("https://a.example/", "403 route_denied"),
            ("file:///other", "forwarded"),
            ("notes://Any/{x}", "400 mcp_uri_ambiguous"),
            ("notes://Any/x?y=%2F#z", "forwarded"),
            ("FILE:///secret", "400 mcp_uri_ambiguous"),
            ("file:///./secret", "400 mcp_uri_ambiguous"),
            (" file:///secret", "400 mcp_uri_ambiguous"),
            ("file://localhost/secret", "400 mcp_uri_ambiguous"),
            ("file:/secret", "400 mcp_uri_ambiguous"),
            ("file:\\\\\\secret", "400 mcp_uri_ambiguous"),
            ("file:///%73ecret", "400 mcp_uri_ambiguous"),
            ("file:///x/%2E%2E/secret", "400 mcp_uri_ambiguous"),
            ("file:///x/..%2Fsecret", "400 mcp_uri_ambiguous"),
            ("file:////secret", "400 mcp_uri_ambiguous"),
            ("file:///secret/", "400 mcp_uri_ambiguous"),
            ("file:///secret?x", "400 mcp_uri_ambiguous"),
            ("file:///secret#x", "400 mcp_uri_ambiguous"),
            ("https://a.example", "400 mcp_uri_ambiguous"),
            ("https://A.example/", "400 mcp_uri_ambiguous"),
            ("https://a.example:443/", "400 mcp_uri_ambiguous"),
            ("secret", "400 mcp_uri_ambiguous"),
            ("", "400 mcp_uri_ambiguous"),
        ] {
            let body = called(method, &json!({ "uri": uri }));
            let by_body = message(body.as_str()).bearer(&least);
            assert_eq!(proxy.request(by_body).tells(), expected, "{method} {uri:?}");
            let batch = message(format!("[{body},{body}]")).bearer(&least);
            assert_eq!(proxy.request(batch).tells(), expected, "{method} {uri:?}");
            let coded = base64ct::Base64::encode_string(uri.as_bytes());
            let by_headers = new_message(method, Some(&format!("=?base64?{coded}?=")), body.as_str());
            if !uri.is_empty() {
                assert_eq!(proxy.request(by_headers.bearer(&least)).tells(), expected, "{method} {uri:?}");
            }
        }
        // A control character is refused wherever a message says what it asks for.
        for uri in ["file:///sec\tret", "file:///secret\0"] {
            let body = called(method, &json!({ "uri": uri }));
            let by_body = proxy.request(message(body.as_str()).bearer(&least));
            assert_eq!(by_body.tells(), "400 mcp_body_invalid", "{method} {uri:?}");
            let coded = base64ct::Base64::encode_string(uri.as_bytes());
            let by_headers = new_message(method, Some(&format!("=?base64?{coded}?=")), body.as_str());
            let by_headers = proxy.request(by_headers.bearer(&least));
            assert!(by_headers.tells().starts_with("400 mcp_"), "{method} {uri:?}: {}", by_headers.tells());
        }
        let nameless = proxy.request(message(called(method, &json!({}))).bearer(&least));
        assert_eq!(nameless.tells(), "400 mcp_body_invalid", "{method}");
    }
    // Where no route names a resource, no rule can be escaped.
    let mut routes = routes();
    routes.as_array_mut().unwrap().remove(3);
    let (mut proxy, key) = self::proxy(json!({ "routes": routes }));
    let any = message(called("resources/read", &json!({ "uri": "n\u{e4}mlich alles" })));
    assert_eq!(proxy.request(any.bearer(&token(&key, "mcp:use"))).tells(), "forwarded");
}

/// The protocol's headers name tools, prompts and resources to read, and not those to subscribe to.
#[test]
fn a_subscription_is_judged_by_its_uri_whatever_its_headers_leave_out() {
    let (mut proxy, key) = resources(json!({}));
    let least = token(&key, "mcp:use");
    let subscribe = |uri: &str| called("resources/subscribe", &json!({ "uri": uri }));
    for (name, uri, expected) in [
        (None, "file:///secret", "403 route_denied"),
        (None, "file:///other", "forwarded"),
        (Some("file:///other"), "file:///secret", "400 mcp_header_mismatch"),
        (Some(""), "file:///secret", "400 mcp_headers_invalid"),
    ] {
        let request = new_message("resources/subscribe", name, subscribe(uri));
        assert_eq!(proxy.request(request.bearer(&least)).tells(), expected, "{name:?} {uri}");
    }
    let (mut proxy, _) = resources(json!({ "mcp": { "verify_body": false } }));
    for (name, expected) in [
        (None, "400 mcp_headers_invalid"),
        (Some("file:///secret"), "403 route_denied"),
        (Some("file:///%73ecret"), "400 mcp_uri_ambiguous"),
        (Some("file:///other"), "forwarded"),
    ] {
        let request = new_message("resources/subscribe", name, "{").bearer(&least);
        assert_eq!(proxy.request(request).tells(), expected, "{name:?}");
    }
}

#[test]
fn a_resource_is_named_in_normal_form_or_not_at_all() {
    let mut routes = routes();
    let names = ["file:///%7Euser", "FILE:///a", "reports", "file:///a%2Fb", "file:///a/"];
    routes[3]["match"]["mcp"]["names"] = json!(names);
    let error = crate::proxy::compile(&config(json!({ "routes": routes }))).unwrap_err();
    let problem = "a resource is named by its URI, in normal form: see docs/mcp.md";
    let expected = [0, 1, 2].map(|index| format!("inbound.routes[3].match.mcp.names[{index}]: {problem}"));
    assert_eq!(error.0.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
}

#[test]
fn other_methods_of_http_have_the_rule_of_the_path() {
    let (mut proxy, key) = proxy(json!({}));
    for method in ["GET", "DELETE", "PUT", "OPTIONS"] {
        for (scope, expected) in [("mcp:use", "forwarded"), ("tools:call", "403 scope_insufficient")] {
            let request = Request::new(method, PATH).bearer(&token(&key, scope));
            assert_eq!(proxy.request(request).tells(), expected, "{method}");
            let request = Request::new(method, PATH).body(tool("orders.delete")).bearer(&token(&key, scope));
            assert_eq!(proxy.request(request).tells(), expected, "{method}");
        }
    }
    let overridden =
        Request::get(PATH).header("x-http-method-override", "POST").bearer(&token(&key, "mcp:use"));
    assert_eq!(proxy.request(overridden).tells(), "400 method_overridden");
    // Another spelling of the path is the same path.
    for path in ["/mcp/", "/mcp?x=1", "/%6dcp"] {
        let request = message(tool("orders.delete")).without(":path").header(":path", path);
        let answer = proxy.request(request.bearer(&token(&key, "mcp:use")));
        assert_eq!(answer.tells(), "403 scope_insufficient", "{path}");
    }
}

/// A client that says a new version to a server that knows none: it would do what the body says.
#[test]
fn headers_that_say_something_else_than_the_body_are_refused() {
    let (mut proxy, key) = proxy(json!({}));
    let least = token(&key, "mcp:use tools:call");
    let (list, delete) = (called("tools/list", &json!({})), tool("orders.delete"));
    for request in [
        new_message("tools/list", None, delete.as_str()),
        new_message("tools/list", None, format!("[{list}]")),
        new_message("tools/call", Some("orders.list"), delete.as_str()),
        new_message("tools/call", Some("orders.list"), list.as_str()),
        new_message("tools/list", None, r#"{"id":1,"result":{}}"#),
        new_message("tools/call", Some("orders.delete "), delete.as_str()),
    ] {
        assert_eq!(proxy.request(request.bearer(&least)).tells(), "400 mcp_header_mismatch");
    }
}

#[test]
fn headers_that_are_missing_repeated_or_malformed_are_refused() {
    let (mut proxy, key) = proxy(json!({}));
    let all = token(&key, "mcp:use tools:call orders:admin");
    let delete = || message(tool("orders.delete")).bearer(&all).header("mcp-protocol-version", NEW);
    let method = |request: Request| request.header("mcp-method", "tools/call");
    let name = |request: Request| request.header("mcp-name", "orders.delete");
    for request in [
        delete(),
        method(delete()),
        name(delete()),
        name(method(method(delete()))),
        name(name(method(delete()))),
        method(delete()).header("mcp-name", ""),
        method(delete()).header("mcp-name", "=?base64?b3JkZXJzLmRlbGV0ZQ?="),
        method(delete()).header("mcp-name", "=?BASE64?b3JkZXJzLmRlbGV0ZQ==?="),
        method(delete()).header("mcp-name", b"\xff"),
        name(delete().header("mcp-method", "tools/call, tools/list")),
        name(method(delete())).header("mcp-protocol-version", NEW),
        name(method(delete())).header("mcp-protocol-version", "2025-11-25"),
    ] {
        assert_eq!(proxy.request(request).tells(), "400 mcp_headers_invalid");
    }
    for lookalike in ["mcp_name", "Mcp.Name", "mcp_method", "mcp_protocol_version"] {
        let request = name(method(delete())).header(lookalike, "x");
        assert_eq!(proxy.request(request).tells(), "400 header_lookalike", "{lookalike}");
    }
    let named_away = name(method(delete())).header("connection", "mcp-name");
    assert_eq!(proxy.request(named_away).tells(), "400 header_hop_by_hop");
    assert_eq!(proxy.request(name(method(delete()))).tells(), "forwarded");
}

/// What no server takes for one is judged by what servers read.
#[test]
fn a_version_that_is_older_missing_or_malformed_is_judged_by_the_body() {
    let (mut proxy, key) = proxy(json!({}));
    let least = token(&key, "mcp:use");
    for version in ["2025-11-25", "2024-11-05", "", "new", "2026-7-28", "2026-07-28x"] {
        let request = message(tool("orders.delete")).header("mcp-protocol-version", version);
        let request = request.header("mcp-method", "tools/list").bearer(&least);
        assert_eq!(proxy.request(request).tells(), "403 scope_insufficient", "{version}");
    }
    // A later version is taken for the one that is known.
    let later = message(tool("orders.delete")).header("mcp-protocol-version", "2031-01-01").bearer(&least);
    assert_eq!(proxy.request(later).tells(), "400 mcp_headers_invalid");
}

#[test]
fn a_body_that_two_servers_could_read_in_two_ways_is_refused() {
    let (mut proxy, key) = proxy(json!({}));
    let all = token(&key, "mcp:use tools:call orders:admin");
    let list = called("tools/list", &json!({}));
    for body in [
        String::new(),
        "{".to_owned(),
        format!("{list}{list}"),
        format!("\u{feff}{list}"),
        r#"{"method":"tools/list","method":"tools/call","params":{"name":"orders.delete"}}"#.to_owned(),
        r#"{"method":"tools/list","METHOD":"tools/call","params":{"name":"orders.delete"}}"#.to_owned(),
        r#"{"method":["tools/list"]}"#.to_owned(),
        r#"{"method":"tools/call","params":{"name":["orders.delete"]}}"#.to_owned(),
        r#"{"method":"tools/call","params":["orders.delete"]}"#.to_owned(),
        "[]".to_owned(),
        "[".repeat(50_000),
        "\"tools/list\"".to_owned(),
    ] {
        let answer = proxy.request(message(body.as_str()).bearer(&all));
        let shown: String = body.chars().take(100).collect();
        assert_eq!(answer.tells(), "400 mcp_body_invalid", "{shown}");
    }
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-type", "application/json; charset=utf-16"),
        ("content-encoding", "gzip"),
        ("content-encoding", "x"),
    ] {
        let request = message(list.as_str()).without(name).header(name, value).bearer(&all);
        assert_eq!(proxy.request(request).tells(), "400 mcp_body_invalid", "{name}: {value}");
    }
    let without = Request::new("POST", PATH).bearer(&all);
    assert_eq!(proxy.request(without).tells(), "400 mcp_body_invalid");
    // Answers and numbers of all kinds are none of it.
    for body in [r#"{"jsonrpc":"2.0","id":[1],"result":1e5}"#, r#"{"id":-1.5,"error":{}}"#] {
        let answer = proxy.request(message(body).bearer(&token(&key, "mcp:use")));
        assert_eq!(answer.tells(), "forwarded", "{body}");
    }
}

#[test]
fn a_batch_passes_where_all_its_messages_have_one_rule() {
    let (mut proxy, key) = proxy(json!({}));
    let least = token(&key, "mcp:use");
    let list = called("tools/list", &json!({}));
    let prompts = called("prompts/list", &json!({}));
    for (body, expected) in [
        (format!("[{list},{prompts}]"), "forwarded"),
        (format!("[{list},{}]", tool("orders.delete")), "400 mcp_body_invalid"),
        (format!("[{},{list}]", tool("orders.delete")), "400 mcp_body_invalid"),
        (format!("[{},{}]", tool("orders.delete"), tool("caf\u{e9}")), "403 scope_insufficient"),
        (format!("[{list},1]"), "400 mcp_body_invalid"),
        (format!("[[{list}]]"), "400 mcp_body_invalid"),
    ] {
        assert_eq!(proxy.request(message(body.as_str()).bearer(&least)).tells(), expected, "{body}");
    }
}

#[test]
fn a_body_is_read_up_to_its_bound() {
    let (mut proxy, key) = proxy(json!({ "mcp": { "max_body": 2048 } }));
    let least = token(&key, "mcp:use");
    let body = |bytes: usize| {
        let empty = called("tools/list", &json!({ "x": "" }));
        called("tools/list", &json!({ "x": "x".repeat(bytes - empty.len()) }))
    };
    assert_eq!(proxy.request(message(body(2048)).bearer(&least)).tells(), "forwarded");
    let larger = message(body(2049)).bearer(&least);
    assert_eq!(proxy.request(larger.clone()).tells(), "413 body_too_large");
    // Where the length is said, nothing of it is read.
    let said = message(body(2049)).without("body").header("content-length", "2049").bearer(&least);
    assert_eq!(proxy.request(said).tells(), "413 body_too_large");
    let unsaid = Request::new("POST", PATH).header("content-type", "application/json").with_body();
    assert_eq!(proxy.request(unsaid).tells(), "needs a body of 2048 bytes");
    // Other paths' bodies are nobody's business.
    let other = Request::new("POST", "/health").body(vec![b'x'; 4096]);
    assert_eq!(proxy.request(other).tells(), "403 route_unknown");
}

/// What is held of a body costs memory: it is for callers who may be clients.
#[test]
fn no_body_is_held_for_a_caller_without_a_token_that_could_be_good() {
    let protected = |patch: Value| {
        let mut routes = routes();
        routes.as_array_mut().unwrap().retain(|route| route["name"] != "ping");
        for (index, fields) in patch.as_object().into_iter().flatten() {
            crate::proxy::merge(&mut routes[index.parse::<usize>().unwrap()], fields.clone());
        }
        proxy(json!({ "routes": routes }))
    };
    let (mut closed, key) = protected(json!({}));
    let old = || Request::new("POST", PATH).header("content-type", "application/json").with_body();
    let new = || {
        let request = old().header("mcp-protocol-version", NEW);
        request.header("mcp-method", "tools/call").header("mcp-name", "orders.delete")
    };
    // The tool's scopes are named where the headers name the tool.
    for (request, scope) in [(old(), "scope=\"mcp:use\""), (new(), "scope=\"orders:admin\"")] {
        let answer = closed.request(request);
        assert_eq!(answer.tells(), "401 credential_missing");
        assert!(challenge(&answer).contains(scope), "{}", challenge(&answer));
    }
    let other = Signer::new("k1");
    for (token, expected) in [
        ("garbage".to_owned(), "401 token_parts"),
        ("a b".to_owned(), "400 credential_malformed"),
        ("a.b.c".to_owned(), "401 token_encoding"),
        (key.token().claim("iss", "https://else.example").sign(), "401 issuer_unknown"),
        (key.token().claim("exp", 1).sign(), "401 expired"),
        (key.token().claim("aud", "else").sign(), "401 wrong_audience"),
        (token(&key, "orders:admin"), "needs a body of 65536 bytes"),
        // Whose it is, its signature says, on the route that the body names.
        (token(&other, "orders:admin"), "needs a body of 65536 bytes"),
    ] {
        for request in [old(), new()] {
            assert_eq!(closed.request(request.bearer(&token)).tells(), expected, "{token}");
        }
    }
    let twice = new().bearer(&token(&key, "x")).bearer(&token(&key, "x"));
    assert_eq!(closed.request(twice).tells(), "400 credential_repeated");
    // A token that is known already needs no second look.
    let known = token(&key, "tools:call");
    assert_eq!(closed.request(message(tool("orders.list")).bearer(&known)).tells(), "forwarded");
    assert_eq!(closed.request(old().bearer(&known)).tells(), "needs a body of 65536 bytes");
    // Where one message may go without a token, each body is read that says which.
    for patch in [
        json!({ "1": { "require": null, "public": {} } }),
        json!({ "0": { "require": null, "public": {} } }),
        json!({ "2": { "require": null, "optional": { "scopes": ["x"] } } }),
    ] {
        let (mut open, _) = protected(patch);
        assert_eq!(open.request(old()).tells(), "needs a body of 65536 bytes");
        assert_eq!(open.request(old().bearer("garbage")).tells(), "needs a body of 65536 bytes");
    }
    let on_trial = json!({ "mode": "report_only" });
    let (mut tried, _) = protected(json!({ "0": on_trial, "1": on_trial, "2": on_trial, "3": on_trial }));
    assert_eq!(tried.request(old()).tells(), "forwarded, would be credential_missing");
}

/// A server that holds the headers against the body itself: nothing is read, and older versions can be shut out.
#[test]
fn where_the_server_checks_its_headers_no_body_is_read() {
    let (mut proxy, key) = proxy(json!({ "mcp": { "verify_body": false, "older_versions": "deny" } }));
    let least = token(&key, "mcp:use");
    let list = new_message("tools/list", None, "{").bearer(&least);
    assert_eq!(proxy.request(list).tells(), "forwarded");
    let delete = new_message("tools/call", Some("orders.delete"), "{").bearer(&least);
    assert_eq!(proxy.request(delete).tells(), "403 scope_insufficient");
    for request in [message(called("tools/list", &json!({}))), Request::new("POST", PATH)] {
        assert_eq!(proxy.request(request.bearer(&least)).tells(), "400 mcp_version");
    }
    assert_eq!(proxy.request(Request::get(PATH).bearer(&least)).tells(), "forwarded");
    // Where older ones pass, their bodies are read all the same.
    let (mut proxy, _) = self::proxy(json!({ "mcp": { "verify_body": false } }));
    let delete = message(tool("orders.delete")).bearer(&least);
    assert_eq!(proxy.request(delete).tells(), "403 scope_insufficient");
}

#[test]
fn a_message_that_waits_for_keys_keeps_its_rule() {
    let mut proxy = Proxy::new(&config(json!({ "routes": routes() })));
    let key = Signer::new("k1");
    proxy.silence("idp");
    proxy.tick();
    let mut waits =
        |name: &str, scope: &str| proxy.request(message(tool(name)).bearer(&token(&key, scope))).waiting();
    let (good_one, bad_one) = (waits("orders.delete", "orders:admin"), waits("orders.delete", "tools:call"));
    let gone = waits("orders.list", "tools:call");
    proxy.end(gone);
    proxy.reply(good(&jwks(&[&key])));
    proxy.advance(1.secs());
    assert_eq!(proxy.answer(good_one).tells(), "forwarded");
    assert_eq!(proxy.answer(bad_one).tells(), "403 scope_insufficient");
    assert_eq!(proxy.answer(gone).tells(), "waiting");
    assert_eq!(proxy.waiting(), 0);
}

#[test]
fn a_message_whose_keys_do_not_come_is_given_up_on_its_own_route() {
    let mut proxy = Proxy::new(&config(json!({ "routes": routes() })));
    let key = Signer::new("k1");
    proxy.serve("idp", HttpReply::Reset);
    let stream = proxy.request(message(tool("orders.delete")).bearer(&token(&key, "orders:admin")));
    let stream = stream.waiting();
    proxy.advance(10.secs());
    let refused = proxy.answer(stream).refused();
    assert!(refused.annotation.contains("reason=keys_unavailable route=delete"), "{}", refused.annotation);
}

/// A message that cannot be read may be any: it is let through only where all of them would be.
#[test]
fn what_cannot_be_read_passes_only_where_every_route_is_on_trial() {
    let on_trial = |names: &[&str]| {
        let mut routes = routes();
        for route in routes.as_array_mut().unwrap() {
            if names.contains(&route["name"].as_str().unwrap()) {
                route["mode"] = json!("report_only");
            }
        }
        routes.as_array_mut().unwrap().retain(|route| route["name"] != "ping");
        routes
    };
    let (mut some, key) = proxy(json!({ "routes": on_trial(&["mcp", "tools"]) }));
    let none = token(&key, "");
    let tells = |proxy: &mut Proxy, body: &str| proxy.request(message(body).bearer(&none)).tells();
    assert_eq!(tells(&mut some, "{"), "400 mcp_body_invalid");
    assert_eq!(tells(&mut some, &tool("orders.list")), "forwarded, would be scope_insufficient");
    assert_eq!(tells(&mut some, &tool("orders.delete")), "403 scope_insufficient");
    let ambiguous = message(tool("orders.delete")).without(":path").header(":path", "/mcp;x").bearer(&none);
    assert_ne!(some.request(ambiguous).tells(), "forwarded");
    let (mut all, _) = proxy(json!({ "routes": on_trial(&["mcp", "tools", "delete", "secret"]) }));
    assert_eq!(tells(&mut all, "{"), "forwarded, would be mcp_body_invalid");
    assert_eq!(tells(&mut all, &tool("orders.delete")), "forwarded, would be scope_insufficient");
}

#[test]
fn a_message_is_counted_for_its_route() {
    let (mut proxy, key) = proxy(json!({}));
    let answer = proxy.request(message(tool("orders.delete")).bearer(&token(&key, "mcp:use"))).refused();
    assert!(answer.annotation.contains("route=delete"), "{}", answer.annotation);
    let answer = proxy.request(message("{")).refused();
    assert!(answer.annotation.contains("route=mcp"), "{}", answer.annotation);
}

/// The filter would judge one name and send another.
#[test]
fn no_header_by_which_messages_are_judged_is_one_that_we_set() {
    let own = |header: &str| {
        json!({
            "forward_claims": [{ "claim": "sub", "header": header }],
            "forward_payload": { "header": "x-payload" },
            "report_header": "x-report",
        })
    };
    for header in ["mcp-name", "mcp-method", "mcp-protocol-version"] {
        for (path, place) in [
            ("forward_claims[0].header", "/forward_claims/0/header"),
            ("forward_payload.header", "/forward_payload/header"),
            ("report_header", "/report_header"),
        ] {
            let mut inbound = own("x-sub");
            *inbound.pointer_mut(place).unwrap() = json!(header);
            crate::proxy::compile(&config(inbound.clone())).unwrap();
            inbound["routes"] = routes();
            let error = crate::proxy::compile(&config(inbound)).unwrap_err();
            let problem = "messages of MCP are judged by this header: choose another";
            assert_eq!(error.to_string().trim(), format!("inbound.{path}: {problem}"), "{header}");
        }
    }
}

#[test]
fn routes_of_messages_that_make_no_sense_are_refused_at_load() {
    let base = json!({ "name": "mcp", "match": { "path": PATH }, "require": { "scopes": ["mcp:use"] } });
    let route = |pattern: Value| {
        let mut route = json!({ "name": "tool", "match": { "path": PATH }, "require": { "scopes": ["x"] } });
        crate::proxy::merge(&mut route["match"], pattern);
        route
    };
    let problems = |routes: Value, patch: Value| {
        let mut inbound = json!({ "routes": routes });
        crate::proxy::merge(&mut inbound, patch);
        let error = crate::proxy::compile(&config(inbound)).unwrap_err();
        error.0.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let calls = |names: Value| json!({ "mcp": { "methods": ["tools/call"], "names": names } });
    let of = |pattern: Value| problems(json!([base, route(pattern)]), json!({}));
    assert_eq!(
        of(json!({ "mcp": { "methods": ["tools/list"], "names": ["a"] } })),
        [
            "inbound.routes[1].match.mcp.names: only tools/call, prompts/get, resources/read, resources/subscribe and resources/unsubscribe have names"
        ]
    );
    assert_eq!(
        of(json!({ "methods": ["GET"], "mcp": { "methods": ["tools/call"] } })),
        ["inbound.routes[1].match.mcp: messages come by POST alone: leave `methods` out"]
    );
    assert_eq!(of(json!({ "mcp": {} })), ["inbound.routes[1].match.mcp: missing field `methods`"]);
    let no_base =
        "no route without `mcp` has the same path and authorities: add one, for all that no such route names";
    for pattern in [
        json!({ "authorities": ["a.example"], "mcp": { "methods": ["tools/call"] } }),
        json!({ "path": "/mcp/", "mcp": { "methods": ["tools/call"] } }),
        json!({ "case_sensitive": false, "mcp": { "methods": ["tools/call"] } }),
    ] {
        assert_eq!(of(pattern), [format!("inbound.routes[1].match: {no_base}")]);
    }
    let two = |first: Value, second: Value| {
        let mut second = route(second);
        second["name"] = json!("another");
        problems(json!([route(first), second, base]), json!({}))
    };
    assert_eq!(
        two(calls(json!(["a", "b"])), calls(json!(["b"]))),
        ["inbound.routes[1].match.mcp: names a message that inbound.routes[0] names already"]
            .map(|text| text.replace("inbound.routes[0]", "routes[0]"))
    );
    let block = json!({ "mcp": { "max_body": 4096 } });
    assert_eq!(
        problems(json!([base]), block.clone()),
        ["inbound.mcp: no route has `mcp` in its match: leave this out"]
    );
    let tool = route(json!({ "mcp": { "methods": ["tools/call"] } }));
    let none_read = json!({ "mcp": { "max_body": 4096, "verify_body": false, "older_versions": "deny" } });
    assert_eq!(
        problems(json!([base, tool]), none_read),
        ["inbound.mcp.max_body: no body is read: leave it out"]
    );
    let mut allowing = tool;
    allowing["allow_in_path"] = json!(["empty_segment"]);
    assert_eq!(
        problems(json!([base, allowing]), json!({})),
        [
            "inbound.routes[1].allow_in_path: what the path may have, the route without `mcp` says: leave it out"
        ]
    );
}

/// The authority comes first, and so a host of its own has no rules of another one's.
#[test]
fn the_operator_is_told_of_a_route_that_takes_messages_from_their_rules() {
    let told = |base: Value, more: Value| {
        let mut routes = routes();
        for route in routes.as_array_mut().unwrap() {
            crate::proxy::merge(&mut route["match"], base.clone());
        }
        let mut route =
            json!({ "name": "more", "match": { "path": PATH }, "require": { "scopes": ["mcp:use"] } });
        crate::proxy::merge(&mut route["match"], more);
        routes.as_array_mut().unwrap().push(route);
        let config = crate::proxy::compile(&config(json!({ "routes": routes }))).unwrap();
        config.notices().iter().any(|notice| notice.topic == NoticeTopic::Messages)
    };
    let hosts = |names: &[&str]| json!({ "authorities": names });
    for (base, more, expected) in [
        (json!({}), hosts(&["api.example"]), true),
        (json!({}), json!({ "path": "/mcp/" }), true),
        (hosts(&["*.example"]), hosts(&["api.example:8443"]), true),
        (hosts(&["*.example"]), hosts(&["*.api.example"]), true),
        (hosts(&["api.example"]), hosts(&["api.example:8443"]), true),
        (hosts(&["b.example", "c.example"]), json!({ "authorities": ["c.example"], "path": "/mcp/" }), true),
        // It takes none from it.
        (hosts(&["api.example"]), json!({}), false),
        (hosts(&["api.example"]), hosts(&["mcp.example"]), false),
        (hosts(&["api.example:8443"]), hosts(&["api.example"]), false),
        (hosts(&["*.example"]), hosts(&["*.test", "api.test"]), false),
        (json!({}), json!({ "path": "/other" }), false),
        (json!({}), json!({ "authorities": ["api.example"], "methods": ["GET"] }), false),
    ] {
        assert_eq!(told(base.clone(), more.clone()), expected, "{base} {more}");
    }
}
