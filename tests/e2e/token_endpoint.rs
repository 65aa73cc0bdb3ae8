use attache_harness::issuer::{
    Algorithm, AuthMethod, Client, Endpoint, Fault, Issuer, IssuerOptions, KeyPair, TokenSpec,
};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::egress::{CLIENT, HOST, asserted, call, client, destination, document, downstream, hosts, setup};
use crate::proxy::{Document, Listener, Proxy, Setup, echo, eventually, join, route, trust};
use crate::secrets::{remember, token};

fn status(proxy: &Proxy) -> u16 {
    call(proxy, "egress", "/").send().unwrap().status
}

/// A client that knows only its issuer.
fn discovering() -> Setup {
    let mut client = client(json!({
        "discovery": { "issuer": "https://idp.example", "cluster": "idp", "metadata_refresh": "1s" } }));
    client.as_object_mut().unwrap().remove("token_endpoint");
    let more = json!({ "outbound": { "waiting": { "deadline": "1s" }, "breaker": { "failures": 100 } } });
    let document = document("downstream", &[client], &[destination(json!({}))], more);
    setup().cluster("billing", asserted()).listener(downstream("egress", document))
}

fn at(issuer: &Issuer, path: &str) {
    issuer.set_token_endpoint(Some(format!("https://idp.example{path}")));
}

#[test]
fn a_client_finds_the_token_endpoint_by_its_issuer_and_again_when_it_moves() {
    let proxy = discovering().workers(4).start_with(|issuers| at(&issuers["idp"], "/token"));
    let issuer = proxy.issuer("idp");
    for _ in 0..20 {
        assert_eq!(status(&proxy), 200);
    }
    assert_eq!(issuer.token_requests(), 1);
    assert!(issuer.oauth_metadata_requests() >= 1 && issuer.openid_metadata_requests() == 0);
    drop(proxy);

    let proxy = discovering().start_with(|issuers| at(&issuers["idp"], "/nowhere"));
    let issuer = proxy.issuer("idp");
    assert_eq!(status(&proxy), 503);
    eventually("a failure", || {
        proxy
            .envoy()
            .logs()
            .contains("client billing: no token (1 in a row): the server answered 404")
            .then_some(())
    });
    at(issuer, "/token");
    eventually("the other place", || (status(&proxy) == 200).then_some(()));
}

#[test]
fn metadata_that_is_down_at_the_start_is_waited_for() {
    let proxy = discovering().start_with(|issuers| {
        at(&issuers["idp"], "/token");
        issuers["idp"].fault_at(Endpoint::Metadata, Fault::Status(500));
    });
    let refused = call(&proxy, "egress", "/").send().unwrap();
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    assert_eq!(proxy.issuer("idp").token_requests(), 0);
    assert!(proxy.envoy().logs().contains("client billing: fetching metadata failed (1 in a row): "));
    proxy.issuer("idp").heal();
    eventually("the metadata", || (status(&proxy) == 200).then_some(()));
}

#[test]
fn metadata_that_names_another_issuer_or_no_tls_is_not_believed() {
    for (metadata, _) in [
        (
            json!({ "issuer": "https://idp.example/", "token_endpoint": "https://idp.example/token" }),
            "issuer",
        ),
        (json!({ "issuer": "https://idp.example", "token_endpoint": "http://idp.example/token" }), "tls"),
    ] {
        let proxy = discovering().start_with(|issuers| {
            issuers["idp"].replace_metadata(Some(metadata.to_string().into_bytes()));
        });
        assert_eq!(status(&proxy), 503, "{metadata}");
        assert_eq!(proxy.issuer("idp").token_requests(), 0, "{metadata}");
    }
}

/// An authorization server with this client only.
fn server_of(client: Client) -> Issuer {
    Issuer::start(IssuerOptions {
        identifier: Some("https://idp.example".to_owned()),
        algorithms: vec![Algorithm::Es256],
        clients: vec![client],
        ..IssuerOptions::default()
    })
    .unwrap()
}

#[test]
fn a_client_authenticates_with_a_secret_in_the_form() {
    let mut client = client(json!({}));
    client["authentication"] = json!({ "client_secret_post": { "secret": { "env": "BILLING_SECRET" } } });
    let document = document("downstream", &[client], &[destination(json!({}))], json!({}));
    let only_post =
        Client::new(CLIENT).secret(crate::egress::SECRET).methods(&[AuthMethod::ClientSecretPost]);
    let proxy = setup()
        .with_issuer("idp", server_of(only_post))
        .cluster("billing", asserted())
        .listener(downstream("egress", document))
        .start();
    assert_eq!(status(&proxy), 200);
    let log = proxy.issuer("idp").token_log();
    assert_eq!((log.len(), log[0].method), (1, Some(AuthMethod::ClientSecretPost)));
    assert!(!log[0].headers.contains(&"authorization".to_owned()));
}

#[test]
fn a_client_authenticates_with_a_key_of_either_kind_and_in_either_form() {
    let pairs = [("es256", Algorithm::Es256), ("rs256", Algorithm::Rs256)]
        .map(|(kid, algorithm)| (kid, algorithm, KeyPair::generate(kid, algorithm).unwrap()));
    for (kid, algorithm, pair) in &pairs {
        let jwk = pair.private_jwk();
        remember(jwk["d"].as_str().unwrap());
        let pem = pair.private_pem().unwrap();
        remember(pem.lines().nth(1).unwrap());
        for (form, key, kid_more) in
            [("jwk", jwk.to_string(), json!({})), ("pem", pem, json!({ "kid": kid }))]
        {
            let mut assertion = json!({
                "key": { "env": "KEY" }, "algorithm": algorithm.name(), "audience": "https://idp.example" });
            join(&mut assertion, kid_more);
            let mut client = client(json!({}));
            client["authentication"] = json!({ "private_key_jwt": assertion });
            let document = document("downstream", &[client], &[destination(json!({}))], json!({}));
            let of_keys = Client::new(CLIENT).keys(pair.jwks()).methods(&[AuthMethod::PrivateKeyJwt]);
            let proxy = setup()
                .with_issuer("idp", server_of(of_keys))
                .environment("KEY", &key)
                .cluster("billing", asserted())
                .listener(downstream("egress", document))
                .start_with(|issuers| issuers["idp"].set_lifetime(std::time::Duration::from_secs(2)));
            let issuer = proxy.issuer("idp");
            // Envoy before 1.37 does not sign, and the portable engine is not allowed to use an RSA
            // key.
            if *algorithm == Algorithm::Rs256 && proxy.envoy().logs().contains("Envoy signs nothing: ") {
                assert_eq!(status(&proxy), 503);
                let told =
                    "the client assertion could not be signed: the host does not sign with this RSA key";
                assert!(proxy.envoy().logs().contains(told));
                continue;
            }
            assert_eq!(status(&proxy), 200, "{kid} as {form}: {:?}", issuer.token_log());
            // Each assertion is another one: the server takes none twice.
            eventually("renewals", || (issuer.issued_tokens().len() >= 3).then_some(()));
            let log = issuer.token_log();
            assert!(log.iter().all(|request| request.method == Some(AuthMethod::PrivateKeyJwt)));
            let header = log[0].parameter("client_assertion").unwrap().split('.').next().unwrap();
            let header: Value =
                serde_json::from_slice(&Base64UrlUnpadded::decode_vec(header).unwrap()).unwrap();
            assert_eq!((&header["alg"], &header["kid"]), (&json!(algorithm.name()), &json!(kid)), "{form}");
        }
    }
}

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Both halves in one listener: who calls is verified, and what leaves acts for them.
#[test]
fn a_callers_token_is_exchanged_for_one_that_names_the_caller() {
    let exchanging = client(json!({ "token_exchange": {}, "scopes": ["invoices:read"] }));
    let mut both = document(
        "downstream",
        &[exchanging],
        &[destination(json!({ "caller_credential": "replace" }))],
        json!({}),
    );
    let routes = [
        route("all", "/invoices", json!({ "require": { "scopes": ["orders:read"] } })),
        json!({ "name": "open", "match": { "path": "/open" }, "public": {} }),
    ];
    join(&mut both, crate::proxy::inbound(&[trust("idp", json!({}))], &routes, json!({})));
    let proxy = setup()
        .workers(1)
        .cluster("billing", asserted())
        .listener(Listener::new("egress", Document::Struct(both)).manager(hosts(json!({}))))
        .start();
    let issuer = proxy.issuer("idp");
    let caller = |name: &str| token(issuer, &TokenSpec::scoped("orders:read").claim("sub", name));
    let claims = |token: &str| -> Value {
        let seen = echo(&call(&proxy, "egress", "/invoices").bearer(token).send().unwrap());
        let ours = seen.bearer().unwrap();
        assert_ne!(ours, token, "the caller's own goes no further");
        assert!(issuer.is_live(ours));
        let claims = Base64UrlUnpadded::decode_vec(ours.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice(&claims).unwrap()
    };
    let (ada, bob) = (caller("caller-ada"), caller("caller-bob"));
    for _ in 0..3 {
        for (token, name) in [(&ada, "caller-ada"), (&bob, "caller-bob")] {
            let claims = claims(token);
            assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&json!(name), &json!(CLIENT)));
            assert_eq!(claims["scope"], "invoices:read");
        }
    }
    assert_eq!(issuer.token_requests(), 2, "one for each caller");
    assert_eq!(issuer.token_requests_with(EXCHANGE), 2);
    // Who is not let in has nothing exchanged; who comes without a token has none to exchange.
    let forged = format!("{}x", &ada[..ada.len() - 1]);
    assert_eq!(call(&proxy, "egress", "/invoices").bearer(&forged).send().unwrap().status, 401);
    assert_eq!(call(&proxy, "egress", "/invoices").send().unwrap().status, 401);
    let anonymous = call(&proxy, "egress", "/open").send().unwrap();
    assert_eq!(anonymous.status, 403, "{}", anonymous.text());
    // A caller whom the server does not know any more is refused, and no other.
    let eve = caller("caller-eve");
    issuer.revoke_token(&eve);
    assert_eq!(call(&proxy, "egress", "/invoices").bearer(&eve).send().unwrap().status, 403);
    claims(&ada);
    assert_eq!(issuer.token_requests(), 3);
    // An outage costs no caller whose token is there, and the others 503 until it is over.
    issuer.fault_at(Endpoint::Token, Fault::Status(503));
    let new = caller("caller-new");
    let get = || call(&proxy, "egress", "/invoices").bearer(&new).send().unwrap();
    let refused = get();
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    claims(&ada);
    issuer.heal();
    eventually("the exchange", || (get().status == 200).then_some(()));
    assert_eq!(claims(&new)["sub"], "caller-new");
    assert!(proxy.upstream().seen().iter().all(|seen| seen.header("host") == Some(HOST)));
}
