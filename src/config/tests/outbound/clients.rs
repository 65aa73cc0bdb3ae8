//! Who asks where, as whom and for what.

use super::*;
use crate::oauth::Grant;
use crate::outbound::Obtain;

#[test]
fn a_client_asks_for_what_it_says() {
    let client = client(&json!({ "outbound": outbound() }));
    assert_eq!((&*client.name, client.endpoint), ("billing", outbound::EndpointId(0)));
    assert_eq!((&*client.header, &*client.prefix), ("authorization", "Bearer "));
    assert_eq!((client.lifetime.margin, client.lifetime.assumed.as_secs()), (None, 300));
    assert_eq!((client.obtain, client.request.grant.clone()), (Obtain::AtStart, Grant::ClientCredentials));
    let request = &client.request;
    assert!(request.scopes.is_empty() && request.audience.is_none() && request.resources.is_empty());
    assert!(request.parameters.is_empty() && request.headers.is_empty());

    let mut document = json!({ "outbound": outbound() });
    document["outbound"]["clients"][0].as_object_mut().unwrap().extend(
        json!({
            "scopes": ["invoices:write", "a"], "audience": "https://billing.example", "resources": ["urn:x:y",
              "https://r.example/"],
            "parameters": { "tenant": "blue one" }, "headers": { "X-Api-Key": "a b" }, "header": { "name": "X-Token" },
            "renewal_margin": "1m", "default_lifetime": "2m", "obtain": "on_demand",
        })
        .as_object()
        .unwrap()
        .clone(),
    );
    let client = self::client(&document);
    let request = &client.request;
    assert_eq!(*request.scopes, [Rc::from("invoices:write"), Rc::from("a")]);
    assert_eq!(request.audience.as_deref(), Some("https://billing.example"));
    assert_eq!(request.resources, [Rc::from("urn:x:y"), Rc::from("https://r.example/")]);
    assert_eq!(request.parameters, [(Rc::from("tenant"), Rc::from("blue one"))]);
    assert_eq!(request.headers, [(Rc::from("x-api-key"), Rc::from("a b"))]);
    assert_eq!((&*client.header, &*client.prefix), ("x-token", ""));
    assert_eq!(client.lifetime.margin.map(|margin| margin.as_secs()), Some(60));
    assert_eq!((client.lifetime.assumed.as_secs(), client.obtain), (120, Obtain::OnDemand));
}

#[test]
fn a_token_may_be_of_further_types_but_of_none_that_wants_a_proof() {
    let place = format!("{CLIENT}.token_types");
    let at = "/clients/0/token_types";
    let client = client(&with(at, json!(["BearerToken", "urn:example:key"])));
    assert_eq!(client.request.token_types, [Rc::from("BearerToken"), Rc::from("urn:example:key")]);
    for proved in ["DPoP", "dpop", "PoP", "MAC"] {
        let problem = format!(
            "{place}[0]: tokens of this type need a proof with each request, which the filter does not send"
        );
        refuses(at, json!([proved]), &problem);
    }
    let twice = format!("{place}[1]: duplicate token type");
    refuses(at, json!(["ApiKey", "apikey"]), &twice);
    for odd in ["a b", "é", &"x".repeat(129)] {
        let visible = format!("{place}[0]: expected a type of visible ASCII characters, at most 128");
        refuses(at, json!([odd]), &visible);
    }
    accepts(at, json!(["x".repeat(128)]));
    accepts(at, json!((0..8).map(|n| format!("t{n}")).collect::<Vec<_>>()));
    let many: Vec<_> = (0..9).map(|n| format!("t{n}")).collect();
    refuses(at, json!(many), &format!("{place}: more than 8 entries"));
}

#[test]
fn a_token_endpoint_is_plain_and_https() {
    let uri = format!("{CLIENT}.token_endpoint.uri");
    let at = "/clients/0/token_endpoint/uri";
    accepts(at, json!("https://idp.example:8443/a?tenant=b"));
    for bad in ["https://idp.example/#f", "https://u@idp.example/", "ftp://idp.example/"] {
        refuses(
            at,
            json!(bad),
            &format!("{uri}: expected an http or https URL without user, password and fragment"),
        );
    }
    let http = json!({ "uri": "http://idp.example/token", "cluster": "idp" });
    refuses(
        "/clients/0/token_endpoint",
        http.clone(),
        &format!("{uri}: the token endpoint is not https: without TLS it needs `tls: optional`"),
    );
    let mut optional = http;
    optional["tls"] = json!("optional");
    accepts("/clients/0/token_endpoint", optional);
    let one_of = format!("{CLIENT}: expected exactly one of token_endpoint, discovery");
    refuses("/clients/0/discovery", json!({ "issuer": "https://i.example", "cluster": "c" }), &one_of);
    assert_eq!(problems(&without("/clients/0", "token_endpoint")), [one_of]);
}

#[test]
fn a_token_endpoint_is_found_by_its_issuer() {
    let outbound = settings(&discovering(json!({})));
    let [endpoint] = &outbound.endpoints[..] else { panic!() };
    let EndpointLocation::Discovered(found) = &endpoint.location else { panic!() };
    assert_eq!(
        (&*endpoint.cluster, &*found.cluster, &*found.issuer),
        ("meta", "meta", "https://idp.example")
    );
    assert!(!found.allow_http);
    let seconds =
        [endpoint.timeout, found.schedule.timeout, found.schedule.refresh, found.schedule.min_refresh];
    assert_eq!(seconds.map(|duration| duration.as_secs()), [5, 5, 3600, 30]);

    let outbound = settings(&discovering(
        json!({ "token_cluster": "idp", "tls": "optional", "timeout": "2s", "metadata_refresh": "9s" }),
    ));
    let [endpoint] = &outbound.endpoints[..] else { panic!() };
    let EndpointLocation::Discovered(found) = &endpoint.location else { panic!() };
    assert_eq!((&*endpoint.cluster, &*found.cluster, found.allow_http), ("idp", "meta", true));
    let seconds =
        [endpoint.timeout, found.schedule.timeout, found.schedule.refresh, found.schedule.min_refresh];
    assert_eq!(seconds.map(|duration| duration.as_secs()), [2, 2, 9, 9]);

    let refused = |more: Json, problem: &str| {
        assert_eq!(problems(&discovering(more)), [format!("{CLIENT}.discovery{problem}")]);
    };
    let known = "issuer, cluster, token_cluster, tls, timeout, metadata_refresh, metadata_min_refresh";
    refused(json!({ "refresh": "1m" }), &format!(": unknown field `refresh`, expected one of {known}"));
    refused(json!({ "issuer": "corp" }), ".issuer: discovery needs an `issuer` that is an https URL");
    refused(json!({ "issuer": "a b" }), ".issuer: expected an issuer of visible ASCII characters");
    refused(
        json!({ "issuer": "http://idp.example" }),
        ".issuer: the `issuer` is not https: discovery without TLS needs `tls: optional`",
    );
    refused(
        json!({ "issuer": "https://idp.example/?a" }),
        ".issuer: discovery needs an `issuer` without query, fragment, user and password",
    );
    refused(json!({ "metadata_refresh": "0s" }), ".metadata_refresh: expected a duration from 1s to 86400s");
    refused(
        json!({ "metadata_refresh": "9s", "metadata_min_refresh": "10s" }),
        ": `metadata_min_refresh` is longer than `metadata_refresh`",
    );
}

#[test]
fn lists_are_neither_empty_nor_too_long_and_hold_nothing_twice() {
    for (pointer, max, what, item) in [
        ("/clients/0/scopes", 64, "scope", (|n| json!(format!("s{n}"))) as fn(usize) -> Json),
        ("/clients/0/resources", 16, "resource", |n| json!(format!("urn:r:{n}"))),
    ] {
        let path = path(pointer);
        accepts(pointer, many(max, item));
        refuses(pointer, many(max + 1, item), &format!("{path}: more than {max} entries"));
        refuses(pointer, json!([]), &format!("{path}: the list is empty"));
        refuses(pointer, many(2, |_| item(1)), &format!("{path}[1]: duplicate {what}"));
    }
    for odd in ["r", "/r", "https://r.example/#a", "https://r.example/ä", "urn:a b"] {
        refuses(
            "/clients/0/resources",
            json!([odd]),
            &format!(
                "{CLIENT}.resources[0]: expected an absolute URI of visible ASCII characters, without fragment"
            ),
        );
    }
    for pointer in ["/clients/0/parameters", "/clients/0/headers"] {
        let path = path(pointer);
        let named = |n: usize| Json::Object((0..n).map(|n| (format!("x-{n}"), json!("v"))).collect());
        accepts(pointer, named(16));
        refuses(pointer, named(17), &format!("{path}: more than 16 entries"));
        refuses(pointer, json!({}), &format!("{path}: the object is empty"));
        refuses(pointer, json!([]), &format!("{path}: expected an object, got a list"));
        let text = with(pointer, json!({ "x-a": "b" })).to_string();
        let twice = text.replacen(r#""x-a":"b""#, r#""x-a":"b","x-a":"c""#, 1);
        let error = parse(twice.as_bytes(), &Secrets).unwrap_err();
        assert_eq!(error.0[0].to_string(), format!("{path}: duplicate field `x-a`"));
    }
}

#[test]
fn further_parameters_are_none_of_the_filters_own() {
    let refused = |name: &str, value: Json, problem: &str| {
        let problem = format!("{CLIENT}.parameters.{name}: {problem}");
        refuses("/clients/0/parameters", json!({ name: value }), &problem);
    };
    let own = "this parameter is set by other fields: leave it out here";
    for name in [
        "grant_type",
        "scope",
        "Scope",
        "audience",
        "resource",
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "subject_token",
        "subject_token_type",
        "requested_token_type",
        "actor_token",
        "actor_token_type",
    ] {
        refused(name, json!("x"), own);
    }
    for name in ["", "a b", "a&b", "ä", &"a".repeat(65)] {
        let shown: String = name.chars().take(64).collect();
        let problem = "expected a name of letters, digits, -, _ and ., at most 64";
        let problem = format!("{CLIENT}.parameters.{shown}: {problem}");
        refuses("/clients/0/parameters", json!({ name: "x" }), &problem);
    }
    refused("a", json!(""), "the string is empty");
    refused("a", json!("\0"), "expected a string without control characters");
    refused("a", json!(7), "expected a string, got a number");
}

#[test]
fn further_headers_are_none_of_the_filters_own() {
    let refused = |name: &str, value: &str, problem: &str| {
        let problem = format!("{CLIENT}.headers.{name}: {problem}");
        refuses("/clients/0/headers", json!({ name: value }), &problem);
    };
    for name in [
        "authorization",
        "Content-Type",
        "content-length",
        "accept",
        "host",
        "user-agent",
        "transfer-encoding",
        "connection",
        "te",
        "upgrade",
        "x-envoy-original-path",
    ] {
        refused(name, "x", "this header is set by the filter or by Envoy: leave it out");
    }
    for name in [":path", "x_a", "x a", ""] {
        let expected = "expected a header name of letters, digits and dashes, at most 64 characters";
        refused(name, "x", expected);
    }
    for value in ["ä", " a", "a ", "a\r\nb", "a\tb"] {
        refused("x-a", value, "expected a value of visible ASCII characters, with spaces only between them");
    }
    refuses(
        "/clients/0/headers",
        json!({ "X-A": "a", "x-a": "b" }),
        &format!("{CLIENT}.headers.x-a: duplicate header"),
    );
}

#[test]
fn a_token_goes_to_a_header_that_is_free_with_a_scheme_that_is_a_word() {
    let header = |value: Json| {
        let client = client(&with("/clients/0/header", value));
        (client.header.to_string(), client.prefix.to_string())
    };
    let pair = |name: &str, prefix: &str| (name.to_owned(), prefix.to_owned());
    assert_eq!(header(json!({ "name": "X-Token" })), pair("x-token", ""));
    assert_eq!(header(json!({ "name": "x-token", "scheme": "Token-2" })), pair("x-token", "Token-2 "));
    assert_eq!(
        header(json!({ "name": "proxy-authorization", "scheme": "Bearer" })),
        pair("proxy-authorization", "Bearer ")
    );
    let path = format!("{CLIENT}.header");
    for name in ["Authorization", "proxy-authorization"] {
        let lower = name.to_ascii_lowercase();
        let problem = format!("{path}: the header {lower} needs a `scheme`, like Bearer");
        refuses("/clients/0/header", json!({ "name": name }), &problem);
    }
    for name in ["host", "cookie", "content-length", "te", "x-envoy-a", "x-forwarded-for"] {
        let problem =
            format!("{path}.name: this header controls the connection or the proxy: choose another");
        refuses("/clients/0/header", json!({ "name": name }), &problem);
    }
    let word = "expected a word of letters, digits and dashes like Bearer, at most 32 characters";
    for prefix in ["Bearer ", "Bea rer", "Bearer:", "ä", &"b".repeat(33)] {
        let problem = format!("{path}.scheme: {word}");
        refuses("/clients/0/header", json!({ "name": "x-token", "scheme": prefix }), &problem);
    }
    let problem = format!("{path}.scheme: the string is empty");
    refuses("/clients/0/header", json!({ "name": "x-token", "scheme": "" }), &problem);
}

#[test]
fn a_token_is_exchanged_only_for_one_that_was_verified() {
    let exchanging = |fields: Json| {
        let mut document = base();
        document["outbound"] = with("/clients/0/token_exchange", fields)["outbound"].clone();
        document["outbound"]["destinations"][0]["caller_credential"] = json!("replace");
        document
    };
    let grant = |fields: Json| {
        let client = client(&exchanging(fields));
        assert_eq!(client.obtain, Obtain::OnDemand);
        (client.request.grant.clone(), client.exchanged_tokens)
    };
    let access_token: Rc<str> = "urn:ietf:params:oauth:token-type:access_token".into();
    let default = Grant::TokenExchange { subject_token_type: access_token, requested_token_type: None };
    assert_eq!(grant(json!({})), (default, 1000));
    let jwt: Rc<str> = "urn:ietf:params:oauth:token-type:jwt".into();
    let of_jwt = Grant::TokenExchange {
        subject_token_type: Rc::clone(&jwt),
        requested_token_type: Some(Rc::clone(&jwt)),
    };
    let fields = json!({ "subject_token_type": &*jwt, "requested_token_type": &*jwt, "tokens": 100_000 });
    assert_eq!(grant(fields), (of_jwt, 100_000));

    let path = format!("{CLIENT}.token_exchange");
    let refused = |fields: Json, problem: &str| {
        assert_eq!(problems(&exchanging(fields)), [format!("{path}{problem}")]);
    };
    for tokens in [0, 100_001] {
        refused(json!({ "tokens": tokens }), ".tokens: expected a whole number from 1 to 100000");
    }
    let uri = "expected an absolute URI of visible ASCII characters, without fragment";
    for field in ["subject_token_type", "requested_token_type"] {
        refused(json!({ field: "jwt" }), &format!(".{field}: {uri}"));
    }
    let known = "subject_token_type, requested_token_type, tokens";
    refused(json!({ "x": 1 }), &format!(": unknown field `x`, expected one of {known}"));

    let mut kept = exchanging(json!({}));
    for word in ["deny", "keep"] {
        kept["outbound"]["destinations"][0]["caller_credential"] = json!(word);
        let sits = "the exchanged token goes where the caller's token is: write `caller_credential: replace`";
        assert_eq!(problems(&kept), [format!("outbound.destinations[0]: {sits}")]);
    }
    kept["outbound"]["clients"][0]["header"] = json!({ "name": "x-token" });
    assert_eq!(problems(&kept), [""; 0], "beside it");

    let alone = "only a verified token is exchanged: configure the block `inbound`";
    refuses("/clients/0/token_exchange", json!({}), &format!("{path}: {alone}"));
    let mut upstream = with("/clients/0/token_exchange", json!({}));
    upstream["outbound"]["position"] = json!("upstream");
    let there =
        "the caller's token is verified in the listener: exchange it there, with `position: downstream`";
    assert_eq!(problems(&upstream), [format!("{path}: {there}")]);
    let mut early = exchanging(json!({}));
    early["outbound"]["clients"][0]["obtain"] = json!("on_demand");
    let brought = "`obtain` does not apply to a token exchange: leave it out";
    assert_eq!(problems(&early), [format!("{CLIENT}.obtain: {brought}")]);
}
