//! Hosts that only a metadata document names.

use std::fs;

use attache_harness::issuer::{Endpoint, Fault, Issuer};
use serde_json::{Value, json};

use super::{check, client, discovery, has, inbound, issuer, outbound, secret};

/// An issuer whose metadata names keys and token endpoint of another one, at a host that no file names.
fn with_endpoints_of(other: &Issuer) -> (Issuer, Value) {
    let issuer = issuer();
    let at = |path: &str| format!("http://localhost:{}/{path}", other.addr().port());
    let patch = json!({ "jwks_uri": at("jwks"), "token_endpoint": at("token") });
    issuer.fault_at(Endpoint::Metadata, Fault::Patch(patch));
    let found = json!({ "issuer": issuer.identifier(), "cluster": "idp", "tls": "optional" });
    let config = json!({
        "inbound": inbound(issuer.identifier(), discovery()),
        "outbound": outbound(vec![client("orders", ("discovery", found), secret())]),
    });
    (issuer, config)
}

#[test]
fn a_host_that_only_the_metadata_names_is_sent_nothing() {
    let other = issuer();
    let (issuer, config) = with_endpoints_of(&other);
    let run = check(&config, &[&issuer, &other], &[]);
    assert_eq!((other.jwks_requests(), other.token_requests()), (0, 0), "{}", run.stdout);
    let why = "the metadata names localhost, which no file names for it; `--allow-host localhost` asks it all the same";
    for what in ["keys of issuer corp", "token of client orders"] {
        has(&run, &[&format!("{what} was not asked: {why}")]);
    }
}

#[test]
fn a_host_that_the_operator_allows_is_asked() {
    let other = issuer();
    let (issuer, config) = with_endpoints_of(&other);
    let allowed = ["--allow-host", "keys.example", "--allow-host", "localhost"];
    let run = check(&config, &[&issuer, &other], &allowed);
    assert_eq!((other.jwks_requests(), other.token_requests()), (1, 1), "{}", run.stdout);
}

#[test]
fn a_host_of_the_cluster_is_asked() {
    let tls = |context: Value| {
        let mut config = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        });
        config.as_object_mut().unwrap().extend(context.as_object().unwrap().clone());
        json!({ "transport_socket": { "name": "tls", "typed_config": config } })
    };
    let address = json!({ "endpoint": { "address": {
        "socket_address": { "address": "localhost", "port_value": 443 },
    } } });
    let san = json!({ "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "exact": "localhost" } }] });
    for names in [
        json!({ "load_assignment": { "endpoints": [{ "lb_endpoints": [address] }] } }),
        tls(json!({ "sni": "localhost" })),
        tls(json!({ "common_tls_context": { "validation_context": san } })),
    ] {
        let other = issuer();
        let (issuer, config) = with_endpoints_of(&other);
        let mut cluster =
            json!({ "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "idp" });
        cluster.as_object_mut().unwrap().extend(names.as_object().unwrap().clone());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clusters.json");
        fs::write(&file, json!({ "resources": [cluster] }).to_string()).unwrap();
        let run = check(&config, &[&issuer, &other], &[file.to_str().unwrap()]);
        assert_eq!((other.jwks_requests(), other.token_requests()), (1, 1), "{names} {}", run.stdout);
    }
}
