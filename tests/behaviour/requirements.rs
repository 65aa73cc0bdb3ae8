//! Requirements as trees: which leaf fails, what the caller is told of it, and that no more is told.

use attache::base::Level;
use serde_json::{Value, json};

use crate::proxy::{Proxy, Request, Signer, Time as _, compile, config, good, issuer, jwks, merge, partner};

/// A table with one route, `/`, that has this requirement.
fn demanding(require: Value, patch: Value) -> Value {
    let mut config = config(json!({
        "routes": [{ "name": "all", "match": { "prefix": "/" }, "require": require }],
    }));
    merge(&mut config["inbound"], patch);
    config
}

/// What becomes of a request whose token has these claims beside those of every token.
fn decided(require: Value, claims: Value) -> (String, Option<String>) {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&demanding(require, json!({})), &[&key]);
    let mut token = key.token();
    for (name, value) in claims.as_object().unwrap() {
        token = if value.is_null() { token.no_claim(name) } else { token.claim(name, value.clone()) };
    }
    let token = token.sign();
    let tells = proxy.request(Request::get("/").bearer(&token)).tells();
    // A token that is known is decided about in the same way.
    let answer = proxy.request(Request::get("/").bearer(&token));
    assert_eq!(answer.tells(), tells);
    let challenge = if tells == "forwarded" { None } else { answer.refused().challenge().map(str::to_owned) };
    (tells, challenge)
}

fn tells(require: Value, claims: Value) -> String {
    decided(require, claims).0
}

#[test]
fn each_leaf_is_met_or_the_denial_names_its_kind() {
    let has = json!({
        "client_id": "ops", "sub": "s-1", "aud": ["https://api.example", "https://b.example"],
        "tier": "gold", "scope": "a b",
    });
    for (leaf, met, unmet, denial) in [
        ("clients", json!(["ops", "x"]), json!(["op", "opss", "OPS"]), "403 client_not_accepted"),
        ("subjects", json!(["x", "s-1"]), json!(["s-", "s-10"]), "403 subject_not_accepted"),
        (
            "audiences",
            json!(["https://b.example"]),
            json!(["https://b.example/"]),
            "401 audience_not_accepted",
        ),
        (
            "claims",
            json!([{ "claim": "tier", "equals": "gold" }]),
            json!([{ "claim": "tier", "equals": "Gold" }]),
            "403 claim_not_accepted",
        ),
        ("scopes", json!(["a", "b"]), json!(["a", "c"]), "403 scope_insufficient"),
        ("any_scope", json!(["c", "b"]), json!(["c", "A"]), "403 scope_insufficient"),
    ] {
        assert_eq!(tells(json!({ leaf: met }), has.clone()), "forwarded", "{leaf}");
        let (told, challenge) = decided(json!({ leaf: unmet.clone() }), has.clone());
        assert_eq!(told, denial, "{leaf}");
        assert_eq!(
            challenge.is_some(),
            !denial.contains("client") && !denial.contains("sub") && leaf != "claims"
        );
        // Also beside something that is met, and in every member of an `any`.
        let beside = json!({ leaf: unmet.clone(), "all": [{ "scopes": ["a"] }] });
        assert_eq!(tells(beside, has.clone()), denial, "{leaf}");
        let any = json!({ "any": [{ leaf: unmet.clone() }, { leaf: unmet, "all": [{ "scopes": ["a"] }] }] });
        assert_eq!(tells(any, has.clone()), denial, "{leaf}");
    }
}

#[test]
fn a_token_without_the_claim_that_a_leaf_is_about_does_not_meet_it() {
    let nobody = json!({ "client_id": null, "azp": null, "sub": null });
    assert_eq!(tells(json!({ "clients": ["ops"] }), nobody.clone()), "403 client_not_accepted");
    assert_eq!(tells(json!({ "subjects": ["s-1"] }), nobody), "403 subject_not_accepted");
    for odd in [json!(5), json!(["s-1"]), json!({ "s-1": true })] {
        assert_eq!(tells(json!({ "subjects": ["s-1"] }), json!({ "sub": odd })), "403 subject_not_accepted");
    }
}

#[test]
fn claim_rules_are_held_against_the_types_that_they_are_for_and_no_others() {
    let claims = json!({
        "text": "gold", "number": 5, "other": 5.5, "yes": true, "list": ["a", 7, false, ["deep"], "é"],
        "empty": [], "nothing": null, "object": { "in": { "roles": ["r"], "n": null }, "list": [{ "x": 1 }] },
    });
    let key = Signer::new("k1");
    let mut token = key.token();
    for (name, value) in claims.as_object().unwrap() {
        token = token.claim(name, value.clone());
    }
    let token = token.sign();
    let met = |rule: Value| {
        let require = json!({ "claims": [rule.clone()] });
        let mut proxy = Proxy::ready(&demanding(require, json!({})), &[&key]);
        match proxy.request(Request::get("/").bearer(&token)).tells().as_str() {
            "forwarded" => true,
            "403 claim_not_accepted" => false,
            other => panic!("{other} {rule}"),
        }
    };
    for (claim, test, value) in [
        (json!("text"), "equals", json!("gold")),
        (json!("number"), "equals", json!(5)),
        (json!("yes"), "equals", json!(true)),
        (json!("text"), "one_of", json!(["x", "gold"])),
        (json!("number"), "one_of", json!([-1, 5, "6"])),
        (json!("list"), "contains", json!("a")),
        (json!("list"), "contains", json!(7)),
        (json!("list"), "contains", json!(false)),
        (json!("list"), "contains_any", json!(["zz", "é"])),
        (json!(["object", "in", "roles"]), "contains", json!("r")),
        (json!("text"), "prefix", json!("go")),
        (json!("text"), "prefix", json!("gold")),
        (json!("text"), "exists", json!({})),
        (json!("object"), "exists", json!({})),
        (json!("other"), "exists", json!({})),
        (json!("empty"), "exists", json!({})),
        (json!("nothing"), "absent", json!({})),
        (json!("never"), "absent", json!({})),
        (json!(["never", "deeper"]), "absent", json!({})),
        (json!(["nothing", "deeper"]), "absent", json!({})),
        (json!(["object", "in", "n"]), "absent", json!({})),
    ] {
        assert!(met(json!({ "claim": claim, test: value })), "{claim} {test} {value}");
    }
    for (claim, test, value) in [
        (json!("text"), "equals", json!("gol")),
        (json!("text"), "equals", json!("Gold")),
        (json!("number"), "equals", json!("5")),
        (json!("number"), "equals", json!(6)),
        (json!("other"), "equals", json!(5)),
        (json!("yes"), "equals", json!("true")),
        (json!("yes"), "equals", json!(1)),
        (json!("list"), "equals", json!("a")),
        (json!("object"), "equals", json!("x")),
        (json!("never"), "equals", json!("x")),
        (json!("nothing"), "equals", json!("null")),
        (json!("text"), "contains", json!("gold")),
        (json!("text"), "contains", json!("g")),
        (json!("list"), "contains", json!("7")),
        (json!("list"), "contains", json!("deep")),
        (json!("empty"), "contains", json!("a")),
        (json!("object"), "contains", json!("in")),
        (json!("text"), "prefix", json!("old")),
        (json!("text"), "prefix", json!("goldd")),
        (json!("number"), "prefix", json!("5")),
        (json!("list"), "prefix", json!("a")),
        (json!("nothing"), "exists", json!({})),
        (json!("never"), "exists", json!({})),
        (json!("text"), "absent", json!({})),
        (json!("object"), "absent", json!({})),
        // The path leads through what is no object: whether the claim is there cannot be said.
        (json!(["text", "deeper"]), "absent", json!({})),
        (json!(["list", "0"]), "absent", json!({})),
        (json!(["list", "0"]), "equals", json!("a")),
    ] {
        assert!(!met(json!({ "claim": claim, test: value })), "{claim} {test} {value}");
    }
}

#[test]
fn the_scopes_are_named_of_the_first_way_that_is_open_to_scopes() {
    let require = json!({ "any": [
        { "clients": ["ops"], "scopes": ["admin"] },
        { "scopes": ["b", "a"] },
        { "scopes": ["c"] },
    ] });
    let scope = |challenge: Option<String>| {
        challenge.and_then(|text| Some(text.split_once("scope=\"")?.1.split('"').next()?.to_owned()))
    };
    let (told, challenge) = decided(require.clone(), json!({ "scope": "" }));
    assert_eq!((told.as_str(), scope(challenge).as_deref()), ("403 scope_insufficient", Some("a b")));
    let (_, challenge) = decided(require.clone(), json!({ "client_id": "ops", "scope": "" }));
    assert_eq!(scope(challenge).as_deref(), Some("admin"));
    // Without a token, nothing is known of its client.
    let mut proxy = Proxy::ready(&demanding(require, json!({})), &[&Signer::new("k1")]);
    let refused = proxy.request(Request::get("/")).refused();
    assert_eq!(refused.challenge(), Some("Bearer scope=\"a b\""));
}

#[test]
fn of_several_things_that_are_lacking_the_gravest_is_told() {
    let require = json!({
        "audiences": ["https://b.example"], "clients": ["ops"], "subjects": ["s"], "scopes": ["a"],
        "claims": [{ "claim": "tier", "exists": {} }],
    });
    let mut claims = json!({ "scope": "" });
    for (name, value, denial) in [
        ("x", json!(0), "401 audience_not_accepted"),
        ("aud", json!(["https://api.example", "https://b.example"]), "403 client_not_accepted"),
        ("client_id", json!("ops"), "403 subject_not_accepted"),
        ("sub", json!("s"), "403 claim_not_accepted"),
        ("tier", json!(1), "403 scope_insufficient"),
        ("scope", json!("a"), "forwarded"),
    ] {
        claims[name] = value;
        assert_eq!(tells(require.clone(), claims.clone()), denial, "{claims}");
    }
    // Of an `any`, the least.
    let any = json!({ "any": [{ "audiences": ["https://b.example"] }, { "clients": ["ops"] }] });
    assert_eq!(tells(any, json!({})), "403 client_not_accepted");
}

#[test]
fn a_requirement_with_a_name_is_what_it_stands_for_wherever_it_is_named() {
    let key = Signer::new("k1");
    let config = config(json!({
        "requirements": {
            "both": { "all": ["operators", { "scopes": ["a"] }] },
            "operators": { "clients": ["ops"] },
        },
        "routes": [
            { "name": "one", "match": { "path": "/one" }, "require": "operators" },
            { "name": "two", "match": { "path": "/two" }, "require": "both" },
            { "name": "three", "match": { "path": "/three" }, "require": { "any": ["both", { "scopes": ["c"] }] } },
        ],
        "default": { "require": "both" },
    }));
    let mut proxy = Proxy::ready(&config, &[&key]);
    let mut tells = |path: &str, client: &str, scope: &str| {
        let token = key.token().claim("client_id", client).claim("scope", scope).sign();
        proxy.request(Request::get(path).bearer(&token)).tells()
    };
    assert_eq!(tells("/one", "ops", ""), "forwarded");
    assert_eq!(tells("/one", "x", "a"), "403 client_not_accepted");
    for path in ["/two", "/else"] {
        assert_eq!(tells(path, "ops", "a"), "forwarded");
        assert_eq!(tells(path, "ops", "b"), "403 scope_insufficient");
        assert_eq!(tells(path, "x", "a"), "403 client_not_accepted");
    }
    assert_eq!(tells("/three", "x", "c"), "forwarded");
    assert_eq!(tells("/three", "ops", "a"), "forwarded");
    assert_eq!(tells("/three", "x", "a"), "403 scope_insufficient");
}

#[test]
fn each_way_to_meet_it_says_for_which_issuers_it_is() {
    let key = Signer::new("k1");
    let two = json!({ "issuers": [issuer(json!({})), partner()] });
    let require = json!({ "any": [{ "issuers": ["corp"], "scopes": ["a"] }, { "issuers": ["partner"], "scopes": ["b"] }] });
    let mut proxy = Proxy::new(&demanding(require, two));
    for cluster in ["idp", "partner"] {
        proxy.serve(cluster, good(&jwks(&[&key])));
    }
    proxy.advance(1.secs());
    let mut tells = |iss: Option<&str>, scope: &str| {
        let mut token = key.token().claim("scope", scope);
        if let Some(iss) = iss {
            token = token.claim("iss", iss);
        }
        proxy.request(Request::get("/").bearer(&token.sign())).tells()
    };
    assert_eq!(tells(None, "a"), "forwarded");
    assert_eq!(tells(None, "b"), "403 scope_insufficient");
    assert_eq!(tells(Some("https://partner.example"), "b"), "forwarded");
    assert_eq!(tells(Some("https://partner.example"), "a"), "403 scope_insufficient");
}

#[test]
fn a_route_narrows_a_requirement_that_has_a_name() {
    let key = Signer::new("k1");
    let document = |route: Value| {
        config(json!({
            "issuers": [issuer(json!({})), partner()],
            "requirements": { "trusted": { "any": [
                { "issuers": ["corp"], "scopes": ["a"] },
                { "issuers": ["partner"], "clients": ["x"] },
            ] } },
            "routes": [{ "name": "all", "match": { "prefix": "/" }, "require": route }],
        }))
    };
    let told = |route: Value, iss: &str, client: &str, scope: &str| {
        let mut proxy = Proxy::new(&document(route));
        for cluster in ["idp", "partner"] {
            proxy.serve(cluster, good(&jwks(&[&key])));
        }
        proxy.advance(1.secs());
        let token = key.token().claim("iss", iss).claim("client_id", client).claim("scope", scope).sign();
        proxy.request(Request::get("/").bearer(&token)).tells()
    };
    let (corp, partner) = ("https://idp.example", "https://partner.example");
    let ours = json!({ "issuers": ["corp"], "all": ["trusted"] });
    assert_eq!(told(ours.clone(), corp, "y", "a"), "forwarded");
    assert_eq!(told(ours.clone(), corp, "y", ""), "403 scope_insufficient");
    assert_eq!(told(ours, partner, "x", "a"), "401 issuer_not_accepted");
    let client = json!({ "clients": ["y"], "all": ["trusted"] });
    assert_eq!(told(client.clone(), corp, "y", "a"), "forwarded");
    assert_eq!(told(client.clone(), corp, "x", "a"), "403 client_not_accepted");
    assert_ne!(told(client, partner, "x", "a"), "forwarded");
    // Where nothing is left of it, the document is at fault.
    let problems =
        compile(&document(json!({ "issuers": ["partner"], "clients": ["y"], "all": ["trusted"] })));
    assert!(problems.unwrap_err().to_string().contains("no token can meet it"));
}

/// Held against a requirement of one leaf, on the same machine at the same time.
#[test]
#[allow(clippy::disallowed_methods, reason = "two loads are compared in the time that they take")]
fn what_routes_pay_for_a_name_does_not_grow_with_what_stands_behind_it() {
    let took = |part: Value, own: &Value| {
        let routes: Vec<Value> = (0..200)
            .map(|n| json!({ "name": format!("r{n}"), "match": { "path": format!("/{n}") }, "require": own }))
            .collect();
        let document = config(json!({ "requirements": { "named": part }, "routes": routes }));
        let once = || {
            let start = std::time::Instant::now();
            assert!(compile(&document).is_ok());
            start.elapsed()
        };
        (0..3).map(|_| once()).min().unwrap()
    };
    let ways: Vec<Value> = (0..60).map(|n| json!({ "clients": [format!("c{n}")] })).collect();
    let rules = |of: &str| -> Vec<Value> {
        (0..64).map(|n| json!({ "claim": format!("{of}{n}"), "exists": {} })).collect()
    };
    let large = json!({ "all": [{ "claims": rules("a") }, { "claims": rules("b") }, { "any": ways }, { "any": ways }] });
    for own in [json!("named"), json!({ "issuers": ["corp"], "all": ["named"] })] {
        let (small, large) = (took(json!({ "clients": ["c"] }), &own), took(large.clone(), &own));
        assert!(large < small * 12, "{own}: {large:?} against {small:?}");
    }
}

#[test]
fn envoys_routes_may_name_requirements_which_only_add() {
    let key = Signer::new("k1");
    let mut config = config(json!({
        "route_metadata": "read",
        "requirements": { "operators": { "clients": ["ops"] }, "readers": { "scopes": ["read"] } },
    }));
    config["inbound"]["routes"][0]["require"] = json!("readers");
    let mut proxy = Proxy::ready(&config, &[&key]);
    let mut tells = |path: &str, client: &str, scope: &str, metadata: &[(&str, &str)]| {
        let token = key.token().claim("client_id", client).claim("scope", scope).sign();
        proxy.request(Request::get(path).bearer(&token).metadata(metadata)).tells()
    };
    let operators = &[("requirements", "operators")][..];
    assert_eq!(tells("/orders", "ops", "read", operators), "forwarded");
    assert_eq!(tells("/orders", "ops", "", operators), "403 scope_insufficient");
    assert_eq!(tells("/orders", "x", "read", operators), "403 client_not_accepted");
    let both = &[("requirements", "operators readers"), ("scopes", "more")][..];
    assert_eq!(tells("/unlisted", "ops", "read more", both), "forwarded");
    assert_eq!(tells("/unlisted", "ops", "read", both), "403 scope_insufficient");
    assert_eq!(tells("/unlisted", "x", "read more", both), "403 client_not_accepted");
    assert_eq!(tells("/healthz", "x", "", operators), "403 client_not_accepted");
    assert_eq!(tells("/internal", "ops", "", operators), "403 route_denied");
    for metadata in [
        &[("requirements", "strangers")][..],
        &[("requirements", "operators strangers")],
        &[("requirements", "")],
    ] {
        assert_eq!(tells("/healthz", "ops", "read", metadata), "403 route_metadata", "{metadata:?}");
    }
}

/// What the table asks for and what Envoy's routes add may be too much for a header together.
#[test]
fn scopes_that_do_not_fit_a_challenge_are_not_named() {
    let key = Signer::new("k1");
    let scopes =
        |of: char, n: usize| -> Vec<String> { (10..10 + n).map(|n| format!("{of}{n:-<62}")).collect() };
    let mut config = config(json!({ "route_metadata": "read" }));
    config["inbound"]["routes"][0]["require"] = json!({ "scopes": scopes('a', 32) });
    let mut proxy = Proxy::ready(&config, &[&key]);
    let mut challenge = |added: usize, bearer: bool| {
        let list = scopes('b', added).join(" ");
        let mut request = Request::get("/orders").metadata(&[("scopes", &list)]);
        if bearer {
            request = request.bearer(&key.token().sign());
        }
        let answer = proxy.request(request);
        let expected = if bearer { "403 scope_insufficient" } else { "401 credential_missing" };
        assert_eq!(answer.tells(), expected);
        answer.refused().challenge().unwrap().to_owned()
    };
    for bearer in [false, true] {
        let named = challenge(32, bearer);
        assert!(named.contains(&format!("{} {}\"", scopes('a', 32).join(" "), scopes('b', 32).join(" "))));
        assert!(!challenge(33, bearer).contains("scope=\""));
    }
}

#[test]
fn what_envoys_routes_ask_for_is_told_by_the_challenge_and_not_by_the_resource() {
    let config = config(json!({
        "route_metadata": "read",
        "resource": { "identifier": "https://api.example" },
        "requirements": { "auditors": { "scopes": ["audit"] } },
    }));
    let mut proxy = Proxy::ready(&config, &[&Signer::new("k1")]);
    let served = proxy.request(Request::get("/.well-known/oauth-protected-resource")).refused();
    assert!(!served.response.body.contains("audit"));
    let asked = proxy.request(Request::get("/else").metadata(&[("requirements", "auditors")])).refused();
    assert!(asked.challenge().unwrap().contains("scope=\"audit\""));
}

#[test]
fn nothing_of_a_claim_is_told_to_anyone() {
    let key = Signer::new("k1");
    let problem = json!({ "denials": { "body": "problem_json", "realm": "api" } });
    for require in [
        json!({ "claims": [{ "claim": "secret-claim", "equals": "expected-value" }] }),
        json!({ "clients": ["expected-value"] }),
        json!({ "subjects": ["expected-value"] }),
        json!({ "audiences": ["expected-value"] }),
    ] {
        let mut proxy = Proxy::ready(&demanding(require, problem.clone()), &[&key]);
        let token = key.token().claim("secret-claim", "given-value").claim("client_id", "given-value");
        let token = token.claim("sub", "given-value").sign();
        proxy.keep_secret("given-value");
        let refused = proxy.request(Request::get("/").bearer(&token)).refused();
        let text = format!("{refused:?} {:?} {:?}", proxy.logs(Level::Trace), proxy.counters());
        for hidden in ["given-value", "expected-value", "secret-claim"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
    }
}

#[test]
fn a_denial_is_counted_under_the_leaf_that_fails() {
    let key = Signer::new("k1");
    let mut proxy = Proxy::ready(&demanding(json!({ "clients": ["ops"] }), json!({})), &[&key]);
    proxy.request(Request::get("/").bearer(&key.token().sign()));
    proxy.tick();
    let counted =
        proxy.counters().iter().any(|(name, count)| name.contains("client_not_accepted") && *count == 1);
    assert!(counted, "{:?}", proxy.counters());
}

/// What rules are about is kept with a token, and how they were answered; where nothing is asked, nothing is.
#[test]
fn what_rules_need_of_a_token_counts_in_the_bytes_of_the_cache() {
    let groups: Vec<String> = (0..100).map(|number| format!("group-{number:03}")).collect();
    let held = |require: Value| {
        let key = Signer::new("k1");
        let patch = json!({ "token_cache": { "entries": 1000, "bytes": 65_536 } });
        let mut proxy = Proxy::ready(&demanding(require, patch), &[&key]);
        let tokens: Vec<String> = (0..20)
            .map(|number| key.token().claim("groups", json!(groups)).claim("jti", format!("{number}")).sign())
            .collect();
        for token in tokens.iter().chain(&tokens) {
            assert_eq!(proxy.get("/", token), "forwarded");
        }
        let checks = proxy.signature_checks();
        tokens.iter().for_each(|token| assert_eq!(proxy.get("/", token), "forwarded"));
        // Each that is kept costs no signature.
        20 - (proxy.signature_checks() - checks)
    };
    let plain = held(json!({ "authenticated": {} }));
    let ruled = held(json!({ "claims": [{ "claim": "groups", "contains": "group-007" }] }));
    assert!(plain == 20 && (5..15).contains(&ruled), "{plain} and {ruled} tokens are kept");
}
