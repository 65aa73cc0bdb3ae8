use attache_harness::http::{Request, Response};
use serde_json::{Value, json};

use crate::proxy::{Document, Listener, Visit, echo, eventually, inbound, trust, verdict};
use crate::raw;
use crate::secrets::scoped;
use crate::world;

pub(crate) fn listeners() -> Vec<Listener> {
    let own = |name: &str, path: &str, scope: &str| json!({ "name": name, "match": { "path": path }, "require": { "issuers": ["corp"], "scopes": [scope] } });
    let routes = [
        own("metadata-both", "/both", "orders:read"),
        own("metadata-none", "/none", "orders:read"),
        json!({ "name": "metadata-public", "match": { "path": "/public" }, "public": {} }),
        json!({ "name": "metadata-closed", "match": { "path": "/closed" }, "deny": {} }),
    ];
    let more = json!({
        "denials": { "body": "problem_json" },
        "route_metadata": "read",
        "forward_claims": [{ "claim": "sub", "header": "x-user" }],
    });
    let two = inbound(&[trust("corp", json!({})), trust("second", json!({}))], &routes, more.clone());
    let mut two = two;
    two["inbound"]["requirements"] = json!({
        "auditors": { "any": [{ "scopes": ["orders:audit"] }, { "clients": ["auditor"] }] },
        "readers": { "issuers": ["corp"], "scopes": ["orders:read"] },
    });
    let mut ignoring = two.clone();
    ignoring["inbound"]["route_metadata"] = "ignore".into();
    let mut undecided = two.clone();
    undecided["inbound"].as_object_mut().unwrap().remove("route_metadata");
    let one = inbound(&[trust("corp", json!({}))], &[], more);

    let envoy = |path: &str, metadata: Value| {
        json!({
            "match": { "path": path },
            "route": { "cluster": "upstream" },
            "metadata": { "filter_metadata": { "attache": metadata, "else": { "scopes": ["unrelated"] } } },
        })
    };
    let corp = |more: Value| {
        let mut metadata = json!({ "issuers": ["corp"] });
        metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        metadata
    };
    let all = json!({ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } });
    let mut table: Vec<Value> = vec![
        envoy("/both", json!({ "scopes": ["orders:audit"] })),
        envoy("/public", corp(json!({ "scopes": ["orders:read"] }))),
        envoy("/closed", corp(json!({ "scopes": ["orders:read"] }))),
        envoy("/list", corp(json!({ "scopes": ["orders:read", "orders:audit"] }))),
        envoy("/text", corp(json!({ "scopes": "orders:read orders:audit" }))),
        envoy("/any", corp(json!({ "any_scope": ["orders:read", "orders:audit"] }))),
        envoy("/named", json!({ "requirements": ["readers", "auditors"] })),
        envoy("/others", json!({ "scopes": ["orders:read"], "issuers": "second" })),
    ];
    table.extend(
        MALFORMED.iter().map(|(path, metadata)| envoy(path, serde_json::from_str(metadata).unwrap())),
    );
    table.push(all.clone());

    // Envoy's route depends on a header that we set: the route-cache trap.
    let by_header = |value: &str, metadata: Value| {
        let mut route = envoy("/trap", metadata);
        route["match"]["headers"] = json!([{ "name": "x-user", "string_match": { "exact": value } }]);
        route["name"] = value.into();
        route
    };
    let trap = vec![
        by_header("partner", json!({ "scopes": ["lax"] })),
        envoy("/trap", json!({ "scopes": ["strict"] })),
        all.clone(),
    ];
    let mut strict = envoy("/bare", json!({ "scopes": ["strict"] }));
    strict["name"] = "strict".into();
    // And one where the route that the header picks has no policy of its own, so that the table's is all there is.
    let bare = json!({
        "match": { "path": "/bare", "headers": [{ "name": "x-user", "string_match": { "exact": "partner" } }] },
        "route": { "cluster": "upstream" },
    });
    let shed =
        vec![bare, strict.clone(), json!({ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } })];
    let mut lax = one.clone();
    lax["inbound"]["routes"] =
        json!([{ "name": "metadata-bare", "match": { "path": "/bare" }, "require": { "scopes": ["lax"] } }]);
    let mut open = lax.clone();
    open["inbound"]["routes"] =
        json!([{ "name": "metadata-open", "match": { "path": "/bare" }, "public": {} }]);
    let mut spelt = one.clone();
    spelt["inbound"]["routes"] = json!([
        { "name": "metadata-v1", "match": { "prefix": "/v1" }, "public": {} },
        { "name": "metadata-v2", "match": { "prefix": "/v2" }, "public": {}, "allow_in_path": ["needless_escape"] },
    ]);
    let batch = |version: &str| {
        let mut route = envoy("", json!({ "scopes": ["orders:read"] }));
        route["match"] = json!({ "prefix": format!("/{version}/orders:batch") });
        route
    };
    // Two virtual hosts, of which one demands something of all its requests.
    let host =
        |name: &str, domains: Value| json!({ "name": name, "domains": domains, "routes": [all.clone()] });
    let mut strict_host = host("strict", json!(["strict.example", "strict.example:*"]));
    strict_host["metadata"] = json!({ "filter_metadata": { "attache": { "scopes": ["orders:read"] } } });
    let hosts = json!({ "route_config": { "virtual_hosts": [strict_host, host("all", json!(["*"]))] } });
    let mut ignored = spelt.clone();
    ignored["inbound"]["route_metadata"] = "ignore".into();
    vec![
        Listener::new("metadata-spelt", Document::Struct(spelt.clone())).routes(&[
            batch("v1"),
            batch("v2"),
            all.clone(),
        ]),
        Listener::new("metadata-hosts", Document::Struct(spelt)).manager(hosts.clone()),
        Listener::new("metadata-hosts-ignored", Document::Struct(ignored)).manager(hosts),
        Listener::new("metadata-shed", Document::Struct(lax)).routes(&shed),
        Listener::new("metadata-shed-public", Document::Struct(open)).routes(&shed),
        Listener::new("metadata", Document::Struct(two)).routes(&table),
        Listener::new("metadata-ignored", Document::Struct(ignoring)).routes(&table),
        Listener::new("metadata-undecided", Document::Struct(undecided)).routes(&table),
        Listener::new("metadata-trap", Document::Struct(one)).routes(&trap),
    ]
}

/// Metadata that cannot be read, each on a route of its own.
const MALFORMED: [(&str, &str); 15] = [
    ("/bad/unknown-key", r#"{ "issuers": ["corp"], "scopes": ["orders:read"], "scope": "orders:read" }"#),
    ("/bad/misspelt", r#"{ "issuers": ["corp"], "scope": ["orders:read"] }"#),
    ("/bad/number", r#"{ "issuers": ["corp"], "scopes": 1 }"#),
    ("/bad/number-in-list", r#"{ "issuers": ["corp"], "scopes": ["orders:read", 1] }"#),
    ("/bad/true", r#"{ "issuers": ["corp"], "scopes": true }"#),
    ("/bad/empty-list", r#"{ "issuers": ["corp"], "scopes": [] }"#),
    ("/bad/empty-text", r#"{ "issuers": ["corp"], "scopes": "" }"#),
    ("/bad/space", r#"{ "issuers": ["corp"], "scopes": " " }"#),
    ("/bad/object", r#"{ "issuers": ["corp"], "scopes": { "orders:read": "yes" } }"#),
    ("/bad/quote", r#"{ "issuers": ["corp"], "scopes": ["orders\"read"] }"#),
    ("/bad/no-scope", r#"{ "issuers": ["corp"] }"#),
    ("/bad/issuer", r#"{ "issuers": ["nobody"], "scopes": ["orders:read"] }"#),
    ("/bad/requirement", r#"{ "issuers": ["corp"], "requirements": ["strangers"] }"#),
    ("/bad/requirement-of-no-issuer", r#"{ "requirements": ["auditors"] }"#),
    ("/bad/which-issuer", r#"{ "scopes": ["orders:read"] }"#),
];

#[test]
fn metadata_adds_to_the_table() {
    let world = world::visit();
    let get = |scopes: &str| ask(&world, "metadata", "/both", scopes);
    assert_eq!(get("orders:read orders:audit").status, 200);
    for scopes in ["orders:read", "orders:audit", "second"] {
        let answer = get(scopes);
        assert_eq!(verdict(&answer), (403, "scope_insufficient".into()), "{scopes}");
        // The challenge names all that is needed, wherever it is demanded.
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("scope=\"orders:audit orders:read\""), "{challenge}");
    }
    assert_eq!(ask(&world, "metadata", "/none", "orders:read").status, 200);
}

#[test]
fn metadata_alone_is_the_requirement_as_a_list_or_a_text() {
    let world = world::visit();
    for path in ["/list", "/text"] {
        assert_eq!(ask(&world, "metadata", path, "orders:audit orders:read").status, 200, "{path}");
        assert_eq!(ask(&world, "metadata", path, "orders:read").status, 403, "{path}");
        assert_eq!(world.get("metadata", path).send().unwrap().status, 401, "{path}");
    }
    assert_eq!(ask(&world, "metadata", "/any", "orders:audit").status, 200);
    assert_eq!(ask(&world, "metadata", "/any", "orders:write").status, 403);
    // Without metadata the table's default decides.
    assert_eq!(verdict(&ask(&world, "metadata", "/elsewhere", "orders:read")), (403, "route_unknown".into()));
}

#[test]
fn metadata_names_requirements_of_the_configuration() {
    let world = world::visit();
    assert_eq!(ask(&world, "metadata", "/named", "orders:audit orders:read").status, 200);
    for scopes in ["orders:audit", "orders:read"] {
        let answer = ask(&world, "metadata", "/named", scopes);
        assert_eq!(verdict(&answer), (403, "scope_insufficient".into()), "{scopes}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("scope=\"orders:audit orders:read\""), "{challenge}");
    }
    assert_eq!(world.get("metadata", "/named").send().unwrap().status, 401);
}

#[test]
fn metadata_names_the_issuers_it_accepts() {
    let world = world::visit();
    let other = scoped(world.issuer("second"), "orders:read");
    assert_eq!(world.get("metadata", "/others").bearer(&other).send().unwrap().status, 200);
    let corp = ask(&world, "metadata", "/others", "orders:read");
    assert_eq!(verdict(&corp), (401, "issuer_not_accepted".into()));
}

#[test]
fn metadata_never_opens_a_route() {
    let world = world::visit();
    assert_eq!(ask(&world, "metadata", "/closed", "orders:read").status, 403);
    // On a route that the table makes public, it demands what it says.
    assert_eq!(world.get("metadata", "/public").send().unwrap().status, 401);
    assert_eq!(ask(&world, "metadata", "/public", "orders:read").status, 200);
    for (path, _) in MALFORMED {
        assert_eq!(
            verdict(&world.get("metadata", path).send().unwrap()),
            (403, "route_metadata".into()),
            "{path}"
        );
    }
}

#[test]
fn malformed_metadata_is_denied_whatever_the_token_and_counted() {
    let world = world::visit();
    let labels = [("route", "default"), ("outcome", "deny"), ("reason", "route_metadata")];
    for (path, _) in MALFORMED {
        let answer = ask(&world, "metadata", path, "orders:read orders:audit");
        assert_eq!(verdict(&answer), (403, "route_metadata".into()), "{path}");
        assert_eq!(answer.header("www-authenticate"), None, "no token would help");
    }
    // Other tests are refused there too.
    eventually("the counts", || {
        (world.metric("attache_decisions_total", &labels) >= MALFORMED.len() as u64).then_some(())
    });
}

#[test]
fn metadata_is_ignored_when_configured() {
    let world = world::visit();
    assert_eq!(ask(&world, "metadata-ignored", "/both", "orders:read").status, 200);
    assert_eq!(
        verdict(&ask(&world, "metadata-ignored", "/list", "orders:read orders:audit")),
        (403, "route_unknown".into())
    );
}

#[test]
fn a_claim_header_on_a_request_with_a_policy_from_the_route_is_refused() {
    let world = world::visit();
    for path in ["/both", "/list", "/public"] {
        let answer = forging(&world, "metadata", path, "orders:read orders:audit", "anybody").send().unwrap();
        assert_eq!(verdict(&answer), (400, "header_reserved".into()), "{path}");
    }
    // Where metadata is not looked at, no edit of ours can change the policy: the header is replaced.
    let seen = echo(&forging(&world, "metadata-ignored", "/none", "orders:read", "anybody").send().unwrap());
    assert_eq!(seen.header("x-user"), Some("orders-service"));
}

#[test]
fn metadata_that_the_configuration_does_not_mention_closes_its_route_and_no_other() {
    let world = world::visit();
    let closed = ask(&world, "metadata-undecided", "/both", "orders:read orders:audit");
    assert_eq!(verdict(&closed), (403, "route_metadata".into()));
    assert_eq!(ask(&world, "metadata-undecided", "/none", "orders:read").status, 200);
    let seen =
        echo(&forging(&world, "metadata-undecided", "/none", "orders:read", "anybody").send().unwrap());
    assert_eq!(seen.header("x-user"), Some("orders-service"));
}

/// The measured trap: `x-user: partner` picks the lax route; the filter strips it, Envoy chooses again, and the strict route is
/// served under the lax policy.
#[test]
fn a_client_cannot_choose_a_lax_route_by_a_header_that_we_replace() {
    let world = world::visit();
    for scopes in ["lax", "strict", "lax strict"] {
        let answer = forging(&world, "metadata-trap", "/trap", scopes, "partner").send().unwrap();
        assert_eq!(verdict(&answer), (400, "header_reserved".into()), "{scopes}");
    }
    assert_eq!(ask(&world, "metadata-trap", "/trap", "lax").status, 403);
    assert_eq!(ask(&world, "metadata-trap", "/trap", "strict").status, 200);
}

/// The same trap where the route that the header picks has no metadata: a filter that looked for headers only where it sees
/// metadata would edit the request, and Envoy would serve it by the strict route.
#[test]
fn a_client_cannot_reach_a_strict_route_past_its_policy_by_a_header_that_we_replace() {
    let world = world::visit();
    let lax = scoped(world.issuer("corp"), "lax");
    let get = |listener: &str, path: &str, mark: &str| world.get(listener, path).header("x-mark", mark);
    let mut wrong = Vec::new();
    for (what, request, mark) in [
        ("honest", get("metadata-shed", "/bare", "shed-1").bearer(&lax), "shed-1"),
        ("honest, public", get("metadata-shed-public", "/bare", "shed-2"), "shed-2"),
        (
            "a header",
            get("metadata-shed", "/bare", "shed-3").bearer(&lax).header("x-user", "partner"),
            "shed-3",
        ),
        (
            "a header, public",
            get("metadata-shed-public", "/bare", "shed-4").header("x-user", "partner"),
            "shed-4",
        ),
    ] {
        let status = request.send().unwrap().status;
        let route = world.logged(mark)["route"].clone();
        if status == 200 && route == "strict" {
            wrong.push(what);
        }
    }
    assert!(wrong.is_empty(), "served by the strict route without its scope, by {wrong:?}");
}

/// Envoy compares bytes, and the server behind us decodes: by another spelling a client could pick a route that demands less.
#[test]
fn another_spelling_of_a_path_does_not_escape_from_envoys_route() {
    let world = world::visit();
    let get = |path: &str| raw::get(world.addr("metadata-spelt"), path, &[]);
    let reason = |answer: &raw::Answer| answer.json()["reason"].as_str().unwrap_or_default().to_owned();
    assert_eq!(get("/v1/orders:batch").status, 401);
    assert_eq!(get("/v1/other").status, 200);
    for path in
        ["/v1/orders%3Abatch", "/v1/orders%3abatch", "/v1/order%73:batch", "/v1/%6Frders:batch", "/v1/x%40y"]
    {
        let answer = get(path);
        assert_eq!((answer.status, &*reason(&answer)), (400, "path_ambiguous"), "{path}");
    }
    // Where it is allowed by name, the trap is seen.
    assert_eq!(get("/v2/orders:batch").status, 401);
    assert_eq!(get("/v2/orders%3Abatch").status, 200);
}

#[test]
fn metadata_of_a_virtual_host_counts_for_all_its_routes() {
    let world = world::visit();
    let get = |listener: &str, host: &str, headers: &str| {
        let request = format!("GET /v1/x HTTP/1.1\r\nhost: {host}\r\n{headers}connection: close\r\n\r\n");
        raw::exchange(world.addr(listener), request.as_bytes()).status
    };
    let bearer = |scopes: &str| format!("authorization: Bearer {}\r\n", scoped(world.issuer("corp"), scopes));
    for host in ["strict.example", "STRICT.example:8443"] {
        assert_eq!(get("metadata-hosts", host, ""), 401, "{host}");
        assert_eq!(get("metadata-hosts", host, &bearer("other")), 403, "{host}");
        assert_eq!(get("metadata-hosts", host, &bearer("orders:read")), 200, "{host}");
        assert_eq!(get("metadata-hosts-ignored", host, ""), 200, "{host}");
    }
    assert_eq!(get("metadata-hosts", "other.example", ""), 200);
    // Envoy finds another virtual host for these, and servers the same one.
    for host in
        ["strict.example.", "strict.example.:8443", "strict.example:", "strict.example,", "x@strict.example"]
    {
        assert_eq!(get("metadata-hosts", host, ""), 400, "{host}");
    }
}

fn ask(world: &Visit, listener: &str, path: &str, scopes: &str) -> Response {
    let token = scoped(world.issuer("corp"), scopes);
    world.get(listener, path).bearer(&token).send().unwrap()
}

fn forging(world: &Visit, listener: &str, path: &str, scopes: &str, user: &str) -> Request {
    world.get(listener, path).bearer(&scoped(world.issuer("corp"), scopes)).header("x-user", user)
}
