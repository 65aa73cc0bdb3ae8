//! Requirements with and without names: what is refused, and where.

use super::*;
use crate::claims::AskedRules;

const REQUIRE: &str = "inbound.routes[0].require";
const BOUNDS: &str = "demands more than 256 things, with those of the requirements that it names";

#[track_caller]
fn refuses_require(require: Json, problem: &str) {
    refuses("/routes/0/require", require, &format!("{REQUIRE}{problem}"));
}

/// The base with these requirements, of which its route names `a`.
fn named(requirements: Json) -> Json {
    let mut document = with("/requirements", requirements);
    document["inbound"]["routes"][0]["require"] = json!("a");
    document
}

fn rule(rule: Json) -> Json {
    json!({ "claims": [rule] })
}

#[test]
fn trees_of_all_kinds_compile() {
    for require in [
        json!({ "clients": ["a"], "subjects": ["a"], "audiences": ["a"] }),
        json!({ "all": [{ "scopes": ["a"] }, { "any": [{ "clients": ["a"] }, { "authenticated": {}, "issuers": ["corp"] }] }] }),
        json!({ "claims": [{ "claim": "a", "equals": "x" }, { "claim": ["a"], "prefix": "x" }] }),
        json!({ "claims": [{ "claim": ["a", "b"], "one_of": ["x", 1, -2147483648_i64, 2147483647, true] }] }),
        json!({ "claims": [{ "claim": "a", "contains": 1.0 }, { "claim": "a", "contains_any": ["x"] }] }),
        json!({ "claims": [{ "claim": "a", "exists": {} }, { "claim": "b", "absent": {} }] }),
    ] {
        accepts("/routes/0/require", require);
    }
    assert!(problems(&named(json!({ "b": { "scopes": ["a"] }, "a": { "all": ["b", "b"] } }))).is_empty());
    // Nothing has to refer to them: Envoy's own routes may.
    accepts("/requirements", json!({ "unused": { "scopes": ["a"] } }));
    accepts("/default", json!({ "require": { "any": [{ "scopes": ["a"] }, { "clients": ["b"] }] } }));
}

#[test]
fn a_rule_has_a_claim_and_one_test_with_a_value() {
    let claims = ".claims[0]";
    let one_of = "expected exactly one of equals, one_of, contains, contains_any, prefix, exists, absent";
    let value = "expected a string, a boolean, or a whole number from -2147483648 to 2147483647";
    for (wrong, problem) in [
        (json!({ "equals": 1 }), ": missing field `claim`".to_owned()),
        (json!({ "claim": "a" }), format!(": {one_of}")),
        (json!({ "claim": "a", "equals": 1, "exists": {} }), format!(": {one_of}")),
        (json!({ "claim": [], "exists": {} }), ".claim: the list is empty".to_owned()),
        (json!({ "claim": "a", "exists": true }), ".exists: expected {}".to_owned()),
        (json!({ "claim": "a", "absent": false }), ".absent: expected {}".to_owned()),
        (json!({ "claim": "a", "prefix": "" }), ".prefix: the string is empty".to_owned()),
        (json!({ "claim": "a", "prefix": 1 }), ".prefix: expected a string, got a number".to_owned()),
        (json!({ "claim": "a", "equals": "" }), ".equals: the string is empty".to_owned()),
        (json!({ "claim": "a", "equals": null }), format!(".equals: {value}")),
        (json!({ "claim": "a", "equals": 1.5 }), format!(".equals: {value}")),
        (json!({ "claim": "a", "equals": 2_147_483_648_i64 }), format!(".equals: {value}")),
        (json!({ "claim": "a", "equals": -2_147_483_649_i64 }), format!(".equals: {value}")),
        (json!({ "claim": "a", "equals": ["x"] }), format!(".equals: {value}")),
        (json!({ "claim": "a", "one_of": [] }), ".one_of: the list is empty".to_owned()),
        (json!({ "claim": "a", "one_of": ["x", "x"] }), ".one_of[1]: duplicate value".to_owned()),
        (
            json!({ "claim": "a", "contains_any": "x" }),
            ".contains_any: expected a list, got a string".to_owned(),
        ),
    ] {
        refuses_require(rule(wrong), &format!("{claims}{problem}"));
    }
    let twice = json!({ "claim": "a", "equals": "x" });
    refuses_require(
        json!({ "claims": [twice, { "claim": ["a"], "one_of": ["x"] }] }),
        ".claims[1]: duplicate rule",
    );
}

#[test]
fn what_demands_nothing_or_repeats_itself_is_refused() {
    for list in ["all", "any", "clients", "subjects", "audiences", "claims"] {
        refuses_require(json!({ list: [] }), &format!(".{list}: the list is empty"));
    }
    let nothing = ": name scopes, any_scope, clients, subjects, audiences, claims, all or any, or write \
                   `authenticated: {}` for any valid token";
    refuses_require(json!({ "any": [{ "scopes": ["a"] }, {}] }), &format!(".any[1]{nothing}"));
    refuses_require(json!({ "all": [{ "issuers": ["corp"] }] }), &format!(".all[0]{nothing}"));
    for list in ["clients", "subjects", "audiences"] {
        let what = list.trim_end_matches('s');
        refuses_require(json!({ list: ["a", "b", "a"] }), &format!(".{list}[2]: duplicate {what}"));
        refuses_require(json!({ list: [""] }), &format!(".{list}[0]: the string is empty"));
    }
    let open = ".any[1]: demands nothing, so that the others of `any` have no effect";
    refuses_require(json!({ "any": [{ "scopes": ["a"] }, { "authenticated": {} }] }), open);
    refuses_require(
        json!({ "authenticated": {}, "clients": ["a"] }),
        ".authenticated: more is demanded: leave `authenticated` out",
    );
}

#[test]
fn names_have_a_meaning_and_do_not_lead_in_circles() {
    refuses_require(json!("stranger"), ": unknown requirement `stranger`");
    refuses_require(
        json!({ "any": ["stranger", { "scopes": ["a"] }] }),
        ".any[0]: unknown requirement `stranger`",
    );
    let circle = |names: &str| format!("requirements refer to each other in a circle: {names}");
    assert_eq!(
        problems(&named(json!({ "a": "a" }))),
        [format!("inbound.requirements.a: {}", circle("a, a"))]
    );
    assert_eq!(
        problems(&named(
            json!({ "a": { "all": ["b"] }, "b": { "any": [{ "scopes": ["x"] }, "c"] }, "c": "a" })
        )),
        [format!("inbound.requirements.c: {}", circle("a, b, c, a"))]
    );
    let name = "expected a name of a-z, 0-9, _ and -, at most 64 characters";
    refuses(
        "/requirements",
        json!({ "A b": { "scopes": ["a"] } }),
        &format!("inbound.requirements.A b: {name}"),
    );
    refuses(
        "/requirements",
        json!({ "default": { "scopes": ["a"] } }),
        "inbound.requirements.default: the name `default` is reserved for metrics: choose another",
    );
    refuses("/requirements", json!({}), "inbound.requirements: the object is empty");
    refuses("/requirements", json!({ "a": 5 }), "inbound.requirements.a: expected an object, got a number");
    let twice = base().to_string().replacen(
        "{\"default\"",
        r#"{"requirements":{"a":{"scopes":["x"]},"a":{"scopes":["y"]}},"default""#,
        1,
    );
    let told = parse(twice.as_bytes(), &Variables).unwrap_err().to_string();
    assert_eq!(told, "inbound.requirements: duplicate field `a`");
}

#[test]
fn each_problem_of_a_named_requirement_is_told_once_and_where_it_stands() {
    let document = named(json!({
        "a": { "all": ["b", "stranger"], "clients": [""] },
        "b": { "claims": [{ "claim": "x", "equals": null }] },
    }));
    assert_eq!(
        problems(&document),
        [
            "inbound.requirements.a.clients[0]: the string is empty",
            "inbound.requirements.b.claims[0].equals: expected a string, a boolean, or a whole number from \
             -2147483648 to 2147483647",
            "inbound.requirements.a.all[1]: unknown requirement `stranger`",
        ]
    );
}

#[test]
fn rules_that_exclude_each_other_are_refused() {
    let claim = ": no token can meet it: the rules for the claim x exclude each other";
    for (one, other) in [
        (json!({ "exists": {} }), json!({ "absent": {} })),
        (json!({ "equals": "a" }), json!({ "absent": {} })),
        (json!({ "equals": "a" }), json!({ "equals": "b" })),
        (json!({ "equals": "1" }), json!({ "equals": 1 })),
        (json!({ "one_of": ["a", "b"] }), json!({ "one_of": ["c", 1] })),
        (json!({ "one_of": ["a", "b"] }), json!({ "contains": "a" })),
        (json!({ "prefix": "a" }), json!({ "prefix": "b" })),
        (json!({ "prefix": "ab" }), json!({ "one_of": ["a", "ba", 1] })),
        (json!({ "one_of": ["a"] }), json!({ "prefix": "ab" })),
        (json!({ "prefix": "a" }), json!({ "contains_any": ["a"] })),
    ] {
        let with = |rule: &Json| {
            let mut rule = rule.clone();
            rule["claim"] = json!("x");
            rule
        };
        let (one, other) = (with(&one), with(&other));
        refuses_require(json!({ "claims": [one, other] }), claim);
        // Wherever the two meet, and in whichever order.
        refuses_require(
            json!({ "claims": [other], "all": [{ "any": [{ "claims": [one], "scopes": ["a"] }, { "claims": [one] }] }] }),
            claim,
        );
        refuses_require(
            json!({ "any": [{ "scopes": ["a"] }, { "claims": [one], "all": [{ "claims": [other] }] }] }),
            &format!(".any[1]{claim}"),
        );
        // One way is closed, and another is open.
        accepts(
            "/routes/0/require",
            json!({ "claims": [other], "any": [{ "claims": [one] }, { "scopes": ["a"] }] }),
        );
        accepts("/routes/0/require", json!({ "any": [{ "claims": [one] }, { "claims": [other] }] }));
    }
    refuses_require(
        json!({ "clients": ["a", "b"], "all": [{ "clients": ["c"] }] }),
        ": no token can meet it: no client is on all its lists of clients",
    );
    refuses_require(
        json!({ "subjects": ["a"], "claims": [{ "claim": "sub", "absent": {} }] }),
        ": no token can meet it: the rules for the claim sub exclude each other",
    );
    // A token may be for several.
    accepts("/routes/0/require", json!({ "audiences": ["a"], "all": [{ "audiences": ["b"] }] }));
    accepts(
        "/routes/0/require",
        json!({ "claims": [{ "claim": "x", "contains": "a" }, { "claim": "x", "contains": "b" }] }),
    );
    // A name brings its part along.
    let document = named(json!({ "a": { "all": ["b", { "clients": ["x"] }] }, "b": { "clients": ["y"] } }));
    assert_eq!(
        problems(&document),
        ["inbound.requirements.a: no token can meet it: no client is on all its lists of clients"]
    );
}

/// A name without its tenant would let nobody in.
#[test]
fn clients_of_tenants_are_named_with_their_tenant() {
    let template = |name: &str, issuer: &str| {
        let mut template = base()["inbound"]["issuers"][0].clone();
        template["name"] = json!(name);
        template["issuer"] = json!(issuer);
        template["tenants"] = json!(["t-1", "t-2"]);
        template
    };
    let with_issuers = |issuers: Json, require: Json| {
        let mut document = with("/issuers", issuers);
        document["inbound"]["routes"][0]["require"] = require;
        problems(&document)
    };
    let one = template("all", "https://idp.example/{tenantid}");
    let problem = format!("{REQUIRE}.clients[0]: expected `<tenant>/<client>` with a tenant of the issuer");
    for (client, is_good) in [
        ("t-1/orders", true),
        ("t-2/a/b", true),
        ("t-1//", true),
        ("orders", false),
        ("t-3/orders", false),
        ("t-1/", false),
        ("/orders", false),
        ("T-1/orders", false),
        ("{tenantid}/orders", false),
    ] {
        let found = with_issuers(json!([one]), json!({ "clients": [client] }));
        assert_eq!(found, if is_good { vec![] } else { vec![problem.clone()] }, "{client}");
    }
    let plain = base()["inbound"]["issuers"][0].clone();
    let both = json!([plain, one]);
    let either = json!({ "issuers": ["corp", "all"], "clients": ["orders"] });
    assert!(with_issuers(both.clone(), either).is_empty());
    let narrow = json!({ "issuers": ["all"], "clients": ["orders"] });
    assert_eq!(with_issuers(both, narrow), [problem]);
}

#[test]
fn with_several_issuers_each_way_to_meet_it_names_some() {
    let mut document = base();
    let mut second = document["inbound"]["issuers"][0].clone();
    second["name"] = json!("second");
    second["issuer"] = json!("https://second.example");
    document["inbound"]["issuers"].as_array_mut().unwrap().push(second);
    let corp = json!({ "issuers": ["corp"], "authenticated": {} });
    document["inbound"]["requirements"] = json!({ "ours": corp, "any-client": { "clients": ["a"] } });
    let mut told = |require: Json| {
        document["inbound"]["routes"][0]["require"] = require;
        problems(&document)
    };
    let none: [&str; 0] = [];
    assert_eq!(told(json!("ours")), none);
    assert_eq!(told(json!({ "all": ["ours", "any-client"] })), none);
    assert_eq!(told(json!({ "any": ["ours", { "issuers": ["second"], "scopes": ["a"] }] })), none);
    let missing = format!("{REQUIRE}: name `issuers`: more than one is configured");
    assert_eq!(told(json!("any-client")), [missing.as_str()]);
    assert_eq!(told(json!({ "any": ["ours", "any-client"] })), [missing.as_str()]);
    assert_eq!(
        told(json!({ "issuers": ["second"], "all": ["ours"] })),
        [format!("{REQUIRE}: no token can meet it: no issuer is on all its lists of issuers")]
    );
}

#[test]
fn trees_are_bounded() {
    let scopes = |first: usize, n: usize| many(n, |n| json!(format!("s{}", first + n)));
    let full =
        |parts: usize| json!({ "all": many(parts, |part| json!({ "scopes": scopes(64 * part, 64) })) });
    accepts("/routes/0/require", full(4));
    let mut more = full(4);
    more["all"].as_array_mut().unwrap().push(json!({ "scopes": ["a"] }));
    refuses_require(more, &format!(": {BOUNDS}"));
    let mut document = named(json!({ "b": full(3), "a": { "all": ["b", "b"] } }));
    assert_eq!(problems(&document), [format!("inbound.requirements.a: {BOUNDS}")]);
    // Names that double what they stand for, over and over.
    let doubled =
        |n: usize| (format!("r{n}"), json!({ "all": [format!("r{}", n + 1), format!("r{}", n + 1)] }));
    let mut many_names: serde_json::Map<String, Json> = (0..9).map(doubled).collect();
    many_names.insert("r9".to_owned(), json!({ "authenticated": {} }));
    document["inbound"]["requirements"] = Json::Object(many_names);
    document["inbound"]["routes"][0]["require"] = json!("r2");
    assert_eq!(problems(&document), [format!("inbound.requirements.r0: {BOUNDS}")]);

    let nested =
        |levels: usize| (1..levels).fold(json!({ "scopes": ["a"] }), |tree, _| json!({ "all": [tree] }));
    accepts("/routes/0/require", nested(32));
    let path = ".all[0]".repeat(32);
    refuses_require(nested(33), &format!("{path}: nested deeper than 32 levels"));
    let chain = |n: usize| (format!("r{n}"), json!(format!("r{}", n + 1)));
    let mut names: serde_json::Map<String, Json> = (10..99).map(chain).collect();
    names.insert("r99".to_owned(), json!({ "scopes": ["a"] }));
    let told = problems(&with("/requirements", Json::Object(names)));
    assert!(
        !told.is_empty() && told.iter().all(|text| text.ends_with("nested deeper than 32 levels")),
        "{told:?}"
    );
}

#[test]
fn what_one_challenge_names_fits_a_header() {
    // 64 bytes with the space: 64 of them are one more than what is counted between scopes.
    let scopes = |first: usize, n: usize| many(n, |n| json!(format!("{:-<63}", first + n)));
    let told = ": one challenge would name scopes of more than 4096 bytes";
    let lists = |n: usize, last: usize| json!({ "all": [{ "any_scope": scopes(0, n) }, { "scopes": [format!("{:-<last$}", "s")] }] });
    accepts("/routes/0/require", lists(63, 64));
    refuses_require(lists(63, 65), told);
    // Of several ways, one is named.
    let ways = |ways: usize| json!({ "any": many(ways, |way| json!({ "any_scope": scopes(64 * way, 64) })) });
    accepts("/routes/0/require", ways(64));
    refuses_require(json!({ "scopes": ["a"], "all": [ways(2)] }), told);
    let document = named(json!({ "a": { "all": ["b", { "scopes": ["x"] }] }, "b": ways(2) }));
    assert_eq!(problems(&document), [format!("inbound.requirements.a{told}")]);
}

#[test]
fn lists_and_names_are_bounded() {
    for (list, max) in [("clients", 1_000), ("subjects", 1_000), ("audiences", 64)] {
        let texts = |n: usize| many(n, |n| json!(format!("c{n}")));
        accepts("/routes/0/require", json!({ list: texts(max) }));
        refuses_require(json!({ list: texts(max + 1) }), &format!(".{list}: more than {max} entries"));
    }
    for test in ["one_of", "contains_any"] {
        let values = |n: usize| rule(json!({ "claim": "x", test: many(n, |n| json!(n)) }));
        accepts("/routes/0/require", values(1_000));
        refuses_require(values(1_001), &format!(".claims[0].{test}: more than 1000 entries"));
    }
    let rules = |n: usize| json!({ "claims": many(n, |n| json!({ "claim": "x", "contains": n })) });
    accepts("/routes/0/require", rules(64));
    refuses_require(rules(65), ".claims: more than 64 entries");
    for list in ["all", "any"] {
        let parts = |n: usize| json!({ list: many(n, |n| json!({ "scopes": [format!("s{n}")] })) });
        accepts("/routes/0/require", parts(64));
        refuses_require(parts(65), &format!(".{list}: more than 64 entries"));
    }
    let names = |n: usize| -> Json {
        Json::Object((0..n).map(|n| (format!("r{n}"), json!({ "scopes": [format!("s{n}")] }))).collect())
    };
    accepts("/requirements", names(2_000));
    refuses("/requirements", names(2_001), "inbound.requirements: more than 2000 entries");
}

#[test]
fn the_rules_of_all_requirements_are_bounded_together() {
    let requirements = |rules: usize, claims: usize| -> Json {
        let rule = |n: usize| json!({ "claim": format!("c{}", n % claims), "contains": n });
        let of = |place: usize| {
            let numbers: Vec<Json> = (place * 64..rules.min(place * 64 + 64)).map(rule).collect();
            (format!("r{place:02}"), json!({ "claims": numbers }))
        };
        Json::Object((0..rules.div_ceil(64)).map(of).collect())
    };
    let told = format!(
        "requirements ask more than {} different things of claims, or look at more than {} claims",
        AskedRules::MAX_RULES,
        AskedRules::MAX_CLAIMS
    );
    accepts("/requirements", requirements(AskedRules::MAX_RULES, AskedRules::MAX_CLAIMS));
    let last =
        |place: usize, index: usize| format!("inbound.requirements.r{place:02}.claims[{index}]: {told}");
    refuses("/requirements", requirements(AskedRules::MAX_RULES + 1, 1), &last(64, 0));
    refuses(
        "/requirements",
        requirements(AskedRules::MAX_CLAIMS + 1, AskedRules::MAX_CLAIMS + 1),
        &last(4, 0),
    );
    // What is asked for twice is one thing.
    let mut twice = requirements(AskedRules::MAX_RULES, 1);
    twice["z"] = twice["r00"].clone();
    accepts("/requirements", twice);
}
