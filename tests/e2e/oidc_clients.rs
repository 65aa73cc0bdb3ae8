use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::egress::{asserted, document};
use crate::provider::Provider;
use crate::proxy::{Document, Listener, Proxy, Setup, echo, eventually, join};
use crate::secrets::remember;

/// How each of the clients of `tests/oidc-provider/server.js` proves who it is, and the client.
const CLIENTS: [(&str, &str); 7] = [
    ("basic", "orders-service"),
    ("post", "post-service"),
    ("es256", "jwt-service-es256"),
    ("rs256", "jwt-service-rs256"),
    ("ps256", "jwt-service-ps256"),
    ("eddsa", "jwt-service-eddsa"),
    ("mtls", "mtls-service"),
];

#[test]
fn a_certified_server_gives_a_token_for_every_authentication() {
    let provider = Provider::start();
    let proxy = proxy(&provider);
    for (name, client) in CLIENTS {
        let seen = echo(&proxy.get("egress", "/").header("host", host(name)).send().unwrap());
        let token = seen.bearer().unwrap_or_else(|| panic!("{client}: no token")).to_owned();
        remember(&token);
        let claims = claims(&token);
        assert_eq!(claims["client_id"], client);
        assert_eq!(
            (&claims["aud"], &claims["scope"]),
            (&json!("https://orders.example"), &json!("orders:read"))
        );
        // One request for all threads.
        assert_eq!(provider.requests_of(client), [("ok".to_owned(), 1)].into(), "{client}");
    }
}

#[test]
fn a_secret_that_is_revoked_is_told_to_the_operator_and_the_caller_sees_the_apis_answer() {
    let provider = Provider::start();
    let proxy = proxy(&provider);
    let call = || proxy.get("egress", "/").header("host", host("basic")).send().unwrap();
    let first = echo(&call()).bearer().unwrap().to_owned();
    remember(&first);
    provider.set_secret("orders-service", "another-secret-than-before");
    // The API takes the token no longer, so that another one is asked for.
    proxy.upstream().answer_401_to(vec![first]);
    let of = [("client", "basic"), ("result", "invalid_client")];
    eventually("the token to be old enough, and the server to refuse another one", || {
        call();
        (proxy.metric("attache_token_requests_total", &of) > 0).then_some(())
    });
    assert_eq!(call().status, 401, "the token at hand is better than none");
    let log = proxy.envoy().logs();
    let line = log.lines().find(|line| line.contains("client basic: renewal failed")).unwrap();
    assert!(
        line.contains("invalid_client") && line.contains("check `client_id`, the secret or key"),
        "{line}"
    );
    // The others are none the wiser.
    assert!(echo(&proxy.get("egress", "/").header("host", host("post")).send().unwrap()).bearer().is_some());
}

fn proxy(provider: &Provider) -> Proxy {
    let clients: Vec<Value> =
        CLIENTS.iter().map(|(name, client)| configured(provider, name, client)).collect();
    let destinations: Vec<Value> = CLIENTS
        .iter()
        .map(|(name, _)| json!({ "match": { "authorities": [host(name)], "clusters": ["api"] }, "client": name }))
        .collect();
    let more = json!({ "outbound": { "purge_interval": "1s" } });
    let document = document("downstream", &clients, &destinations, more);
    let all = json!({ "match": { "prefix": "/" }, "route": { "cluster": "api" } });
    let sealing = "c2VhbGluZy1zZWNyZXQtb2YtdGhpcnR5LXR3by1ieXQ";
    remember(sealing);
    let setup =
        CLIENTS.iter().fold(Setup::new(), |setup, (name, client)| match secret(provider, name, client) {
            Some(secret) => setup.environment(&variable(name), &secret),
            None => setup,
        });
    setup
        .environment("SEALING_SECRET", sealing)
        .cluster("api", asserted())
        .cluster("oidc", at(provider.addr()))
        .cluster("oidc-mtls", mutual_tls(provider))
        .listener(Listener::new("egress", Document::Struct(document)).routes(&[all]))
        .start()
}

fn configured(provider: &Provider, name: &str, client: &str) -> Value {
    let environment = json!({ "env": variable(name) });
    let key = |algorithm: &str| {
        let mut key = json!({
            "key": environment,
            "algorithm": algorithm,
            "kid": provider.kid(client),
            "audience": provider.place("issuer"),
        });
        if algorithm == "PS256" || algorithm == "RS256" {
            // Envoy signs RS256 from 1.37 on, and PS256 never.
            key["portable_rsa"] = "allow".into();
        }
        json!({ "private_key_jwt": key })
    };
    let authentication = match name {
        "basic" => json!({ "client_secret_basic": { "secret": environment } }),
        "post" => json!({ "client_secret_post": { "secret": environment } }),
        "mtls" => json!({ "tls_client_auth": {} }),
        "eddsa" => key("EdDSA"),
        algorithm => key(&algorithm.to_uppercase()),
    };
    let endpoint = if name == "mtls" {
        json!({ "uri": provider.place("tls_token_endpoint"), "cluster": "oidc-mtls" })
    } else {
        json!({ "uri": provider.place("token_endpoint"), "cluster": "oidc", "tls": "optional" })
    };
    json!({
        "name": name,
        "token_endpoint": endpoint,
        "client_id": client,
        "authentication": authentication,
        "scopes": ["orders:read"],
        "resources": [format!("{}?alg=ES256", provider.place("resource"))],
    })
}

fn secret(provider: &Provider, name: &str, client: &str) -> Option<String> {
    match name {
        "basic" | "post" => Some(provider.secret(client)),
        "mtls" => None,
        _ => Some(provider.pem(client)),
    }
}

fn variable(name: &str) -> String {
    format!("SECRET_OF_{}", name.to_uppercase())
}

fn host(name: &str) -> String {
    format!("{name}.internal")
}

/// A cluster that ends there.
fn at(addr: SocketAddr) -> Value {
    json!({ "load_assignment": { "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": {
        "socket_address": { "address": addr.ip().to_string(), "port_value": addr.port() } } } }] }] } })
}

/// A cluster that presents the client's certificate (RFC 8705).
fn mutual_tls(provider: &Provider) -> Value {
    let inline = |text: String| json!({ "inline_string": text });
    let mut cluster = at(provider.tls_addr());
    join(
        &mut cluster,
        json!({ "transport_socket": {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [{
                    "certificate_chain": inline(provider.certificate("mtls-service")),
                    "private_key": inline(provider.pem("mtls-service")),
                }],
                "validation_context": { "trusted_ca": inline(provider.place("tls_authority")) },
            },
        },
    } }),
    );
    cluster
}

fn claims(token: &str) -> Value {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(claims).unwrap()).unwrap()
}
