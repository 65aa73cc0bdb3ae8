//! `tests/attachectl/init/both.yaml`, which `attachectl init` writes (a test of the tool holds the file), as it is but
//! for ports, addresses and the file of CAs. Another Envoy ends TLS for the issuer and for the destination, with a
//! certificate of the tests' own CA for `issuer.example` and `billing.example`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use attache_harness::bootstrap::Bootstrap;
use attache_harness::envoy::{Envoy, EnvoyOptions};
use attache_harness::issuer::{DEMO_IDENTIFIER, DEMO_SECRET, Issuer, IssuerOptions};
use attache_harness::upstream::Upstream;
use serde_json::{Value, json};

use crate::proxy::{Proxy, UNLED, binary, checkout, echo};
use crate::secrets::{remember, scoped};

/// An Envoy that ends TLS: a listener for each address behind it.
fn tls_before(behind: &[(&str, SocketAddr)]) -> Envoy {
    let tls = |file: &str| json!({ "filename": checkout().join("tests/e2e/tls").join(file) });
    let listener = |name: &str| {
        json!({
            "name": name,
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
            "filter_chains": [{
                "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "common_tls_context": { "tls_certificates": [{
                        "certificate_chain": tls("server.pem"), "private_key": tls("server.key"),
                    }] },
                } },
                "filters": [{ "name": "tcp", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    "stat_prefix": name, "cluster": name,
                } }],
            }],
        })
    };
    let cluster = |name: &str, addr: SocketAddr| {
        let address = json!({ "socket_address": { "address": addr.ip(), "port_value": addr.port() } });
        let endpoints = json!([{ "lb_endpoints": [{ "endpoint": { "address": address } }] }]);
        json!({ "name": name, "load_assignment": { "cluster_name": name, "endpoints": endpoints } })
    };
    let listeners: Vec<Value> = behind.iter().map(|(name, _)| listener(name)).collect();
    let clusters: Vec<Value> = behind.iter().map(|(name, addr)| cluster(name, *addr)).collect();
    let bootstrap = json!({
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    });
    let options = EnvoyOptions {
        binary: Some(binary()),
        bootstrap: bootstrap.to_string(),
        concurrency: 1,
        ..EnvoyOptions::default()
    };
    Envoy::start(options).unwrap_or_else(|error| panic!("{error:#}"))
}

/// The file, with the tests' CA in place of the system's, and the name that the destination's certificate must have;
/// clusters are led to where TLS ends.
fn written(tls: &Envoy, upstream: &Upstream, destination: &str) -> Bootstrap {
    let text = std::fs::read_to_string(checkout().join("tests/attachectl/init/both.yaml")).unwrap();
    let name = "matcher: { exact: billing.example }";
    assert_eq!(text.matches(name).count(), 1, "{text}");
    let text = text.replace(name, &format!("matcher: {{ exact: {destination} }}"));
    let system = "/etc/ssl/certs/ca-certificates.crt";
    assert_eq!(text.matches(system).count(), 2, "{text}");
    let ca = checkout().join("tests/e2e/tls/ca.pem");
    let mut bootstrap = Bootstrap::parse(&text.replace(system, ca.to_str().unwrap())).unwrap();
    for name in ["issuer", "destination"] {
        bootstrap.set_cluster(name, "127.0.0.1", tls.listener(name).unwrap().port()).unwrap();
    }
    bootstrap.set_cluster("api", "127.0.0.1", upstream.addr().port()).unwrap();
    bootstrap
}

fn issuer() -> Issuer {
    let identifier = Some(DEMO_IDENTIFIER.to_owned());
    let issuer = Issuer::start(IssuerOptions { identifier, ..IssuerOptions::default() }).unwrap();
    // Its metadata is that of an issuer behind TLS.
    issuer.set_jwks_uri(Some("https://issuer.example/jwks".to_owned()));
    issuer.set_token_endpoint(Some("https://issuer.example/token".to_owned()));
    issuer
}

fn start(bootstrap: Bootstrap, upstream: Upstream, issuer: Issuer) -> Proxy {
    let seal = "aW5pdC1pbml0LWluaXQtaW5pdC1pbml0LWluaXQtMTI";
    remember(seal);
    remember(DEMO_SECRET);
    let environment = [("CLIENT_SECRET", DEMO_SECRET), ("ATTACHE_SEAL", seal)];
    Proxy::run_in(bootstrap, upstream, BTreeMap::from([(UNLED.to_owned(), issuer)]), &environment)
}

#[test]
fn what_init_writes_verifies_callers_and_adds_tokens_over_tls() {
    let (issuer, upstream) = (issuer(), Upstream::start().unwrap());
    let tls = tls_before(&[("issuer", issuer.addr()), ("destination", upstream.addr())]);
    let bootstrap = written(&tls, &upstream, "billing.example");
    let proxy = start(bootstrap, upstream, issuer);
    let issuer = proxy.issuer(UNLED);

    let orders = || proxy.get("inbound", "/orders");
    let good = scoped(issuer, "orders:read");
    let seen = echo(&orders().bearer(&good).send().unwrap());
    assert_eq!(seen.header("x-auth-client-id"), Some("orders-service"));
    assert_eq!(orders().send().unwrap().status, 401);
    assert_eq!(orders().bearer(&scoped(issuer, "orders:write")).send().unwrap().status, 403);
    assert_eq!(proxy.get("inbound", "/healthz").send().unwrap().status, 200);
    assert_eq!(proxy.get("inbound", "/other").bearer(&good).send().unwrap().status, 403);
    let forged = echo(&orders().bearer(&good).header("x-auth-subject", "mallory").send().unwrap());
    assert_ne!(forged.header("x-auth-subject"), Some("mallory"));

    let call = |host: &str| proxy.get("outbound", "/invoices").header("host", host).send().unwrap();
    let seen = echo(&call("billing.example"));
    assert!(seen.bearer().is_some_and(issuer.liveness()));
    assert_eq!(call("evil.example").status, 404);
    // Keys and tokens came over TLS, and so did the call.
    let stats = tls.stats().unwrap();
    let handshakes = stats.iter().filter(|(name, _)| name.ends_with(".ssl.handshake"));
    assert!(handshakes.map(|(_, count)| count).sum::<u64>() >= 2, "{stats:?}");
}

/// The name is checked, not only the CA: nothing is sent to a server with another one's certificate.
#[test]
fn what_init_writes_sends_nothing_to_a_server_of_another_name() {
    let (issuer, upstream) = (issuer(), Upstream::start().unwrap());
    let tls = tls_before(&[("issuer", issuer.addr()), ("destination", upstream.addr())]);
    let bootstrap = written(&tls, &upstream, "other.example");
    let proxy = start(bootstrap, upstream, issuer);
    let call = proxy.get("outbound", "/invoices").header("host", "billing.example");
    assert_eq!(call.send().unwrap().status, 503);
    assert!(proxy.upstream().seen().is_empty());
}
