//! Envoy's own filters behind ours, as `deploy/neighbours` configures them: they decide by what was verified.

use std::fs;
use std::sync::LazyLock;

use attache_harness::issuer::TokenSpec;
use attache_harness::upstream::{Echo, Upstream};
use serde_json::{Value, json};

use crate::proxy::{
    self, Document, Listener, Setup, Shared, Visit, checkout, echo, eventually, inbound, route, trust,
};
use crate::secrets::token;

/// What the filter `ext_authz` asks.
static AUTHORIZATION: LazyLock<Upstream> = LazyLock::new(|| {
    let service = Upstream::start().unwrap();
    let is_good = |echo: &Echo| echo.header("x-verified-client") == Some("corp/inventory-17");
    service.accept_only(move |echo| if is_good(echo) { 200 } else { 403 });
    service
});

static ENVOY: Shared = Shared::new(|| {
    let mut limits = shipped("local-ratelimit.yaml");
    let limit = &mut limits["http_filters"][0]["typed_config"];
    // Nothing comes back while the test runs.
    limit["descriptors"][0]["token_bucket"] = bucket(3);
    limit["token_bucket"] = bucket(1);
    let mut few = limits.clone();
    few["http_filters"][0]["typed_config"]["max_dynamic_descriptors"] = 2.into();
    let filters = |value: Value| value["http_filters"].as_array().unwrap().clone();
    let mut log = shipped("access-log.yaml");
    log["access_log"][0]["typed_config"]["path"] = "{{dir}}/access.json".into();
    let listener = |name: &str| Listener::new(name, Document::Struct(document()));
    Setup::new()
        .issuer("corp")
        .issuer("second")
        .listener(listener("rbac").followed_by(filters(shipped("rbac.yaml"))))
        .listener(listener("authz").followed_by(filters(shipped("ext-authz.yaml"))))
        .listener(listener("limits").followed_by(filters(limits)))
        .listener(listener("few").followed_by(filters(few)))
        .listener(listener("log").manager(log))
        .listener(
            listener("twice").followed_by([vec![second_filter()], filters(shipped("rbac.yaml"))].concat()),
        )
        .start_without("authz", AUTHORIZATION.addr())
});

/// Another filter of ours, for which all is public.
fn second_filter() -> Value {
    let facts = json!({ "facts": ["principal"] });
    let public = json!({ "default": { "public": {} }, "filter_state": facts });
    Listener::new("second", Document::Struct(inbound(&[trust("corp", json!({}))], &[], public))).filter()
}

fn bucket(requests: u32) -> Value {
    json!({ "max_tokens": requests, "tokens_per_fill": requests, "fill_interval": "3600s" })
}

fn shipped(name: &str) -> Value {
    let text = fs::read_to_string(checkout().join("deploy/neighbours").join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn document() -> Value {
    let read = json!({ "require": { "issuers": ["corp", "second"], "scopes": ["orders:read"] } });
    let routes = [
        route("orders", "/orders", read.clone()),
        route("admin", "/admin", read),
        route("health", "/healthz", json!({ "public": {} })),
    ];
    let facts = json!(["principal", "client", "scopes", "route", "outcome", "reason"]);
    let more = json!({ "filter_state": { "decisions": "all", "facts": facts } });
    inbound(&[trust("corp", json!({})), trust("second", json!({}))], &routes, more)
}

fn visit() -> Visit {
    proxy::visit(&ENVOY)
}

/// A token of this issuer for this client.
fn client(world: &Visit, issuer: &str, client: &str) -> String {
    let spec = TokenSpec::scoped("orders:read").claim("client_id", client).claim("sub", client);
    token(world.issuer(issuer), &spec)
}

/// The headers with which a client would say who it is.
const FORGED: [&str; 5] =
    ["wasm.attache.principal", "attache.principal", "x-verified-client", "x-verified-scopes", "client"];

/// The status of a request with this token, and with headers that lie.
fn status(world: &Visit, listener: &str, path: &str, token: Option<&str>) -> u16 {
    let request =
        FORGED.iter().fold(world.get(listener, path), |request, header| request.header(header, "corp/ops"));
    let request = match token {
        Some(token) => request.bearer(token),
        None => request,
    };
    request.send().unwrap().status
}

#[test]
fn rbac_decides_by_the_verified_client() {
    let world = visit();
    let (ops, clerk) = (client(&world, "corp", "ops"), client(&world, "corp", "clerk-23"));
    let others_ops = client(&world, "second", "ops");
    for (path, token, expected) in [
        ("/admin", Some(&ops), 200),
        ("/admin", Some(&clerk), 403),
        // Another issuer may have a client of that name.
        ("/admin", Some(&others_ops), 403),
        ("/admin", None, 401),
        // The servers behind read it as the same path.
        ("/%61dmin", Some(&ops), 200),
        ("/%61dmin", Some(&clerk), 403),
        ("/orders", Some(&clerk), 200),
        ("/healthz", None, 200),
    ] {
        assert_eq!(status(&world, "rbac", path, token.map(String::as_str)), expected, "{path}");
    }
}

/// What a filter does not know it writes too: no earlier word stands in for it.
#[test]
fn the_last_of_two_filters_has_the_last_word() {
    let world = visit();
    let ops = client(&world, "corp", "ops");
    assert_eq!(status(&world, "twice", "/orders", Some(&ops)), 200);
    assert_eq!(status(&world, "twice", "/admin", Some(&ops)), 403);
}

#[test]
fn an_authorization_service_learns_the_verified_client() {
    let world = visit();
    let (inventory, clerk) = (client(&world, "corp", "inventory-17"), client(&world, "corp", "clerk-42"));
    assert_eq!(status(&world, "authz", "/orders", Some(&inventory)), 200);
    let asked = || AUTHORIZATION.seen().last().cloned().unwrap();
    let told = |echo: &Echo, name: &str| echo.header_values(name).collect::<Vec<_>>().join("|");
    assert_eq!(told(&asked(), "x-verified-client"), "corp/inventory-17");
    assert_eq!(told(&asked(), "x-verified-scopes"), "orders:read");
    assert_eq!(status(&world, "authz", "/orders", Some(&clerk)), 403);
    assert_eq!(told(&asked(), "x-verified-client"), "corp/clerk-42");
    // Without a client it is empty, whatever the client says that it is.
    assert_eq!(status(&world, "authz", "/healthz", None), 403);
    assert_eq!(told(&asked(), "x-verified-client"), "");
    assert_eq!(told(&asked(), "x-verified-scopes"), "");
}

#[test]
fn each_verified_client_has_a_bucket_of_its_own() {
    let world = visit();
    let statuses = |path: &str, token: Option<&str>, requests: usize| {
        (0..requests).map(|_| status(&world, "limits", path, token)).collect::<Vec<_>>()
    };
    let [a, b] = ["client-a-61", "client-b-61"].map(|name| client(&world, "corp", name));
    assert_eq!(statuses("/orders", Some(&a), 5), [200, 200, 200, 429, 429]);
    assert_eq!(statuses("/orders", Some(&b), 4), [200, 200, 200, 429]);
    // A new token of the client has the client's bucket; a client of that name elsewhere is another one.
    assert_eq!(statuses("/orders", Some(&client(&world, "corp", "client-a-61")), 1), [429]);
    assert_eq!(statuses("/orders", Some(&client(&world, "second", "client-a-61")), 1), [200]);
    // Those without a client share one, and a client that is over its limit gets no part of it.
    assert_eq!(statuses("/healthz", None, 4), [200, 200, 200, 429]);
    // What is denied before takes nothing of anybody's.
    assert_eq!(statuses("/orders", None, 2), [401, 401]);
}

#[test]
fn too_few_dynamic_descriptors_give_clients_full_buckets_again() {
    let world = visit();
    let tokens = ["x-62", "y-62", "z-62"].map(|name| client(&world, "corp", name));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        // A third client's bucket takes the place of the first one's.
        for token in &tokens {
            statuses.push(status(&world, "few", "/orders", Some(token)));
        }
    }
    // Each client has had one more than its bucket holds.
    assert_eq!(statuses, [200; 12]);
}

#[test]
fn an_access_log_has_a_field_for_each_fact() {
    let world = visit();
    let caller = client(&world, "corp", "logged-31");
    for (path, token) in [("/orders", Some(&caller)), ("/healthz", None), ("/orders", None)] {
        status(&world, "log", path, token.map(String::as_str));
    }
    echo(&world.get("log", "/healthz").send().unwrap());
    let entries = eventually("the access log's entries", || {
        let text = fs::read_to_string(world.envoy().directory().join("access.json")).ok()?;
        let entries: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (entries.len() >= 4).then_some(entries)
    });
    let told = |entry: &Value| {
        let fields = ["status", "client", "route", "outcome", "reason"].map(|field| entry[field].clone());
        json!(fields)
    };
    let told: Vec<Value> = entries.iter().map(told).collect();
    for entry in [
        json!([200, "corp/logged-31", "orders", "permit", "ok"]),
        json!([200, "", "health", "permit", "ok"]),
        json!([401, "", "orders", "deny", "credential_missing"]),
    ] {
        assert!(told.contains(&entry), "{entry}: {told:?}");
    }
}
