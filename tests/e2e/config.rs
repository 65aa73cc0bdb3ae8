use std::collections::BTreeSet;

use attache::config::{self, Environment};
use attache_harness::http::Response;
use attache_harness::issuer::{Algorithm, TokenSpec};
use serde_json::{Value, json};

use crate::proxy::{
    Document, Listener, Proxy, Setup, completed, ecds_file, eventually, inbound, issuer, join, jwks, route,
    trust, trust_with,
};
use crate::secrets::{scoped, token};
use crate::world;

pub(crate) fn listeners() -> Vec<Listener> {
    let document = everything();
    vec![
        Listener::new("config-struct", Document::Struct(document.clone())),
        Listener::new("config-text", Document::Text(document.to_string())),
    ]
}

/// A document that says something about everything.
fn everything() -> Value {
    let routes = [
        route(
            "everything-read",
            "/orders/{id}",
            json!({ "require": { "issuers": ["corp"], "scopes": ["orders:read"] } }),
        ),
        route(
            "everything-any",
            "/any",
            json!({ "require": { "issuers": ["corp", "second"], "any_scope": ["a", "b"] } }),
        ),
        route("everything-files", "/files", json!({ "public": {}, "allow_in_path": ["semicolon"] })),
        route(
            "everything-report",
            "/report",
            json!({ "require": { "issuers": ["corp"], "authenticated": {} }, "mode": "report_only" }),
        ),
        route("everything-closed", "/closed", json!({ "deny": {} })),
    ];
    let corp = json!({
        "algorithms": ["ES256", "RS256"],
        "type": "at+jwt",
        "max_lifetime": "1h",
        "clock_skew": "10s",
        "scopes_from": ["scope", ["realm_access", "roles"]],
        "keys": { "jwks": {
            "timeout": "2s",
            "refresh": "5m",
            "min_refresh": "10s",
            "unknown_key_interval": "250ms",
            "max_staleness": "2h",
            "empty_set": "accept",
        } },
    });
    let written: Value = serde_json::from_slice(&issuer("written", &[Algorithm::EdDsa]).jwks()).unwrap();
    let second = json!([{ "jwks": jwks("second", json!({})) }, { "inline": written }]);
    let more = json!({
        "version": 2_147_483_647,
        "token": { "sources": [{ "header": { "name": "x-token" } }, { "query": { "name": "t" } }], "after_verification": "strip" },
        "forward_claims": [{ "claim": "sub", "header": "x-sub" }, { "claim": ["realm_access", "tenant"], "header": "x-tenant" }],
        "resource": { "identifier": "https://orders.example/v1", "documentation": "https://docs.example" },
        "denials": { "realm": "every thing", "body": "problem_json", "detail": "full" },
        "cors_preflight": "forward",
        "route_metadata": "ignore",
        "waiting": { "requests": 10, "deadline": "2s" },
        "token_cache": { "entries": 16, "bytes": 65_536 },
        "default": { "require": { "issuers": ["second"], "scopes": ["everything"] } },
    });
    let mut document = inbound(&[trust("corp", corp), trust_with("second", second)], &routes, more);
    document["sharing"] = json!("process");
    document
}

#[test]
fn json_text_and_a_struct_mean_the_same() {
    let world = world::visit();
    let corp = world.issuer("corp");
    let spec = |scope: &str| TokenSpec::scoped(scope).algorithm(Algorithm::Es256);
    let read =
        token(corp, &spec("orders:read").claim("realm_access", json!({ "tenant": "north", "roles": ["b"] })));
    let eddsa = token(corp, &spec("orders:read").algorithm(Algorithm::EdDsa));
    let long = token(corp, &spec("orders:read").expires_in(3700));
    let other = scoped(world.issuer("second"), "everything");
    let requests: Vec<(&str, &str, Option<&str>, u16)> = vec![
        ("GET", "/orders/7", Some(&read), 200),
        ("GET", "/orders/7", None, 401),
        ("GET", "/orders/7", Some(&eddsa), 401),
        ("GET", "/orders/7", Some(&long), 401),
        ("GET", "/orders/7", Some(&other), 401),
        ("GET", "/any", Some(&read), 200),
        ("GET", "/any", Some(&other), 403),
        ("GET", "/files;a=b", None, 400),
        ("GET", "/files", None, 200),
        ("GET", "/files/..", None, 400),
        ("GET", "/report", None, 200),
        ("GET", "/closed", Some(&read), 403),
        ("GET", "/elsewhere", Some(&other), 200),
        ("GET", "/elsewhere", Some(&read), 401),
        ("OPTIONS", "/orders/7", None, 200),
        ("GET", "/.well-known/oauth-protected-resource/v1", None, 200),
    ];
    for (method, path, token, status) in requests {
        let ask = |listener: &str| {
            let mut request = attache_harness::http::Request::new(method, world.url(listener, path))
                .header("origin", "https://app.example")
                .header("access-control-request-method", "GET")
                .header("host", "orders.example");
            if let Some(token) = token {
                request = request.header("x-token", token);
            }
            essence(&request.send().unwrap())
        };
        let (by_struct, by_text) = (ask("config-struct"), ask("config-text"));
        assert_eq!(by_struct, by_text, "{method} {path}");
        assert_eq!(by_struct.0, status, "{method} {path} {by_struct:?}");
    }
}

/// What does not differ from request to request.
fn essence(response: &Response) -> (u16, Vec<(String, String)>, Value) {
    let changes = ["date", "x-envoy-upstream-service-time", "content-length"];
    let headers = response.headers.iter().filter(|(name, _)| !changes.contains(&name.as_str()));
    let mut body = response.json().unwrap_or_default();
    if let Some(headers) = body["headers"].as_array_mut() {
        headers.retain(|header| header[0] != "x-request-id");
    }
    if let Some(problem) = body.as_object_mut() {
        problem.remove("request_id");
    }
    (response.status, headers.cloned().collect(), body)
}

/// Documents that are refused, each with paths that must be named; the filter, run here, says what else there is to say.
fn refused() -> Vec<(&'static str, Value, Vec<&'static str>)> {
    let with = |more: Value| {
        let mut document = good("good");
        join(&mut document["inbound"], more);
        document
    };
    let without = |name: &str| {
        let mut document = good("good");
        document["inbound"].as_object_mut().unwrap().remove(name);
        document
    };
    let read = |rule: Value| with(json!({ "routes": [route("read", "/orders", rule)] }));
    let scopes = json!({ "require": { "scopes": ["orders:read"] } });
    let keys = |keys: Value| {
        let mut document = good("good");
        document["inbound"]["issuers"][0]["keys"] = keys;
        document
    };
    let shared = |sharing: Value| {
        let mut document = good("good");
        document["sharing"] = sharing;
        document
    };
    let fetched = |more: Value| keys(json!({ "jwks": jwks("corp", more) }));
    let mut hs256 = keys(json!({ "shared_secret": { "env": "NOT_SET" } }));
    hs256["inbound"]["issuers"][0]["algorithms"] = json!(["HS256"]);
    vec![
        ("no object", json!({ "inbound": [] }), vec!["inbound"]),
        ("no default", without("default"), vec!["inbound"]),
        ("no issuers", without("issuers"), vec!["inbound"]),
        ("an empty list", with(json!({ "routes": [] })), vec!["inbound.routes"]),
        ("an unknown block", json!({ "inbound": good("good")["inbound"], "outbond": {} }), vec!["outbond"]),
        ("a default that opens by mistake", with(json!({ "default": "allow" })), vec!["inbound.default"]),
        ("a number that is none", with(json!({ "version": 1.5 })), vec!["inbound.version"]),
        (
            "a number beyond a double",
            with(json!({ "version": 9_007_199_254_740_993_u64 })),
            vec!["inbound.version"],
        ),
        (
            "zero",
            with(json!({ "waiting": { "requests": 0, "deadline": "0s" } })),
            vec!["inbound.waiting.requests", "inbound.waiting.deadline"],
        ),
        (
            "a duration without a unit",
            with(json!({ "waiting": { "deadline": 5 } })),
            vec!["inbound.waiting.deadline"],
        ),
        ("no rule", read(json!({})), vec!["inbound.routes[0]"]),
        (
            "two rules",
            read(json!({ "public": {}, "require": { "scopes": ["a"] } })),
            vec!["inbound.routes[0]"],
        ),
        (
            "an unknown issuer",
            read(json!({ "require": { "issuers": ["crop"], "scopes": ["a"] } })),
            vec!["inbound.routes[0].require.issuers[0]"],
        ),
        (
            "a scope with a space",
            read(json!({ "require": { "scopes": ["a b"] } })),
            vec!["inbound.routes[0].require.scopes[0]"],
        ),
        ("no scope", read(json!({ "require": {} })), vec!["inbound.routes[0].require"]),
        (
            "an ambiguous path",
            with(json!({ "routes": [route("read", "/a/../b", scopes.clone())] })),
            vec!["inbound.routes[0].match.path"],
        ),
        (
            "a route twice",
            with(
                json!({ "routes": [route("read", "/orders", scopes.clone()), route("read", "/orders", scopes)] }),
            ),
            vec!["inbound.routes[1].name", "inbound.routes[1].match"],
        ),
        ("a secret that is not set", hs256, vec!["inbound.issuers[0].keys.shared_secret.env"]),
        (
            "a secret among public keys",
            keys(json!({ "shared_secret": { "env": "HS_KEY" } })),
            vec!["inbound.issuers[0].keys.shared_secret"],
        ),
        (
            "an empty key set",
            keys(json!({ "inline": { "keys": [] } })),
            vec!["inbound.issuers[0].keys.inline"],
        ),
        ("no keys", keys(json!({})), vec!["inbound.issuers[0].keys"]),
        ("no source", keys(json!([])), vec!["inbound.issuers[0].keys"]),
        (
            "a source twice",
            keys(json!([{ "jwks": jwks("corp", json!({})) }, { "jwks": jwks("corp", json!({})) }])),
            vec!["inbound.issuers[0].keys[1]"],
        ),
        (
            "a floor above the ceiling",
            fetched(json!({ "refresh": "1m", "min_refresh": "2m" })),
            vec!["inbound.issuers[0].keys.jwks"],
        ),
        (
            "no time, and words that mean nothing",
            fetched(json!({ "max_staleness": "0s", "empty_set": "drop" })),
            vec!["inbound.issuers[0].keys.jwks.max_staleness", "inbound.issuers[0].keys.jwks.empty_set"],
        ),
        ("sharing with an unknown scope", shared(json!("host")), vec!["sharing"]),
        (
            "a sealing secret that is not set",
            shared(json!({ "process": { "sealing_secret": { "env": "NOT_SET" } } })),
            vec!["sharing.process.sealing_secret.env"],
        ),
        (
            "a realm with a quote",
            with(json!({ "denials": { "realm": "a\"b" } })),
            vec!["inbound.denials.realm"],
        ),
        (
            "terse with a body",
            with(json!({ "denials": { "detail": "terse", "body": "problem_json" } })),
            vec!["inbound.denials"],
        ),
        (
            "a claim over authorization",
            with(json!({ "forward_claims": [{ "claim": "sub", "header": "authorization" }] })),
            vec!["inbound.forward_claims[0].header"],
        ),
        (
            "much at once",
            with(json!({
                "issuers": [{ "name": "Corp", "issuer": "", "audiences": [], "keys": { "jwks": { "uri": "ftp://x/", "cluster": "" } } }],
                "token": { "sources": [{ "heeder": {} }], "after_verification": "keep" },
                "routes": [{ "name": "r", "match": { "path": "x", "methods": ["get"] }, "require": { "scope": ["a"] } }],
                "colour": "blue",
                "default": {},
            })),
            vec![
                "inbound",
                "inbound.issuers[0].name",
                "inbound.issuers[0].issuer",
                "inbound.issuers[0].audiences",
                "inbound.issuers[0].keys.jwks.uri",
                "inbound.issuers[0].keys.jwks.cluster",
                "inbound.token.sources[0]",
                "inbound.token.after_verification",
                "inbound.routes[0].match.path",
                "inbound.routes[0].match.methods[0]",
                "inbound.routes[0].require",
                "inbound.default",
            ],
        ),
    ]
}

fn good(name: &str) -> Value {
    let orders = route(name, "/orders", json!({ "require": { "scopes": ["orders:read"] } }));
    inbound(&[trust("corp", json!({}))], &[orders], json!({}))
}

#[test]
fn envoy_does_not_start_with_a_bad_configuration_and_says_all_that_is_wrong() {
    let (_, document, paths) = refused().pop().unwrap();
    for configuration in [Document::Struct(document.clone()), Document::Text(document.to_string())] {
        let ended =
            Setup::new().issuer("corp").listener(Listener::new("refused", configuration)).start_refused();
        assert_ne!(ended.status, Some(0));
        assert_told(&ended.log, &document, &paths, "at the start");
    }
}

#[test]
fn envoy_does_not_start_without_a_configuration() {
    for (text, told) in [
        ("", "the document is empty"),
        ("{", "neither JSON nor a protobuf Struct"),
        ("inbound:\n  default: deny\n", "neither JSON nor a protobuf Struct"),
    ] {
        let listener = Listener::new("refused", Document::Text(text.to_owned()));
        let ended = Setup::new().issuer("corp").listener(listener).start_refused();
        assert_ne!(ended.status, Some(0));
        assert!(ended.log.contains(&format!("configuration refused: {told}")), "{text:?}:\n{}", ended.log);
    }
}

#[test]
fn on_reload_a_bad_configuration_is_refused_with_all_problems_and_the_old_one_serves() {
    let first = ecds_file("reloaded", "0", &Document::Struct(good("before")));
    let proxy = Setup::new()
        .issuer("corp")
        .file("ecds.json", first.to_string())
        .listener(Listener::ecds("reloaded", "ecds.json"))
        .start();
    let token = scoped(proxy.issuer("corp"), "orders:read");
    let mut version = 0;
    for (what, document, paths) in refused() {
        let mut told = Vec::new();
        for configuration in [Document::Struct(document.clone()), Document::Text(document.to_string())] {
            version += 1;
            let before = proxy.envoy().logs().len();
            let failures = config_failures(&proxy);
            let update = completed(ecds_file("reloaded", &version.to_string(), &configuration));
            proxy.envoy().replace_file("ecds.json", &update).unwrap();
            eventually(&format!("Envoy to refuse {what}"), || {
                (config_failures(&proxy) > failures).then_some(())
            });
            let log = proxy.envoy().logs().split_off(before);
            assert_told(&log, &document, &paths, what);
            told.push(problems(&log));
            let serving = proxy.get("reloaded", "/orders").bearer(&token).send().unwrap();
            assert_eq!(serving.status, 200, "{what}");
            assert_eq!(proxy.get("reloaded", "/orders").send().unwrap().status, 401, "{what}");
        }
        assert_eq!(told[0], told[1], "{what}: a Struct and a text have the same problems");
    }
    // And after all that, a good one is taken.
    let update = completed(ecds_file("reloaded", "good", &Document::Struct(good("after"))));
    proxy.envoy().replace_file("ecds.json", &update).unwrap();
    eventually("the good configuration", || {
        proxy.get("reloaded", "/orders").bearer(&token).send().unwrap();
        (proxy.metric("attache_decisions_total", &[("route", "after")]) > 0).then_some(())
    });
}

/// Envoy's YAML reader makes texts of whole numbers above 2³¹ − 1 where a `Struct` takes them.
#[test]
fn a_large_version_is_taken_from_yaml() {
    let mut document = good("large");
    document["inbound"]["version"] = json!(20_261_120_174_501_u64);
    let proxy =
        Setup::new().issuer("corp").listener(Listener::new("large", Document::Struct(document))).start();
    proxy.expect_metric("attache_config_version", &[], 20_261_120_174_501);
}

/// How often Envoy refused the filter's configuration.
pub(crate) fn config_failures(proxy: &Proxy) -> u64 {
    let stats = proxy.envoy().stats().unwrap();
    let failed = stats
        .iter()
        .filter(|(name, _)| name.contains("extension_config_discovery") && name.ends_with(".config_fail"));
    failed.map(|(_, count)| count).sum()
}

/// The log must hold each problem that the filter finds, and these paths must be among them.
#[track_caller]
fn assert_told(log: &str, document: &Value, paths: &[&str], what: &str) {
    let Err(errors) = config::parse(document.to_string().as_bytes(), &NoEnvironment) else {
        panic!("{what}: the filter takes {document}");
    };
    let told = problems(log);
    for problem in &errors.0 {
        assert!(told.contains(&problem.to_string()), "{what}: not told: {problem}\n{told:#?}");
    }
    for path in paths {
        let found = errors.0.iter().any(|problem| {
            problem.path == *path || (problem.path.is_empty() && problem.text.contains(&format!("`{path}`")))
        });
        assert!(found, "{what}: nothing is wrong with {path}?\n{errors}");
    }
}

/// What the log says is wrong.
fn problems(log: &str) -> BTreeSet<String> {
    let lines = log.lines().filter_map(|line| line.split_once("configuration refused: "));
    lines.map(|(_, problem)| problem.to_owned()).collect()
}

struct NoEnvironment;

impl Environment for NoEnvironment {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
}
