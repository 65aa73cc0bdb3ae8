use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use attache_harness::bootstrap::Bootstrap;
use attache_harness::http::Request;
use attache_harness::issuer::{DEMO_IDENTIFIER, DEMO_SECRET, Issuer, IssuerOptions, TokenSpec};
use attache_harness::upstream::Upstream;
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::egress::{
    CLIENT, SECRET, bare, call, client, destination, document, grow_old, hosts, replaying, server, upstream,
};
use crate::proxy::{Proxy, Setup, checkout, echo, eventually, http_filters, shipped};
use crate::secrets::{remember, token};

/// What an agent writes for Envoy: the client's credential, as a header has it (RFC 6749 §2.3.1).
fn credential(secret: &str) -> String {
    let encoded: String = secret
        .bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            byte if byte.is_ascii_alphanumeric() || b"-._*".contains(&byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let value = format!("Basic {}", Base64::encode_string(format!("{CLIENT}:{encoded}").as_bytes()));
    remember(secret);
    remember(&value);
    json!({ "resources": [{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "client-credential",
        "generic_secret": { "secret": { "inline_string": value } },
    }] })
    .to_string()
}

/// A cluster that puts the credential on what goes through it.
fn crediting(file: &str) -> Value {
    http_filters(vec![json!({ "name": "credentials", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
        "overwrite": true,
        "credential": { "name": "generic", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
            "header": "authorization",
            "credential": { "name": "client-credential", "sds_config": {
                "path_config_source": { "path": format!("{{{{dir}}}}/{file}"), "watched_directory": { "path": "{{dir}}" } },
                "resource_api_version": "V3",
            } },
        } },
    } })])
}

/// The secret is Envoy's alone: the filter has none, and a new one needs neither a restart nor a configuration.
#[test]
fn the_token_cluster_authenticates_the_client_with_a_secret_that_rotates_by_sds() {
    let mut client = client(json!({}));
    client.as_object_mut().unwrap().remove("client_id");
    client["authentication"] = json!({ "set_by_cluster": {} });
    let more = json!({ "outbound": { "purge_interval": "1s" }, "sharing": { "process": { "sealing_secret": { "env": "SEAL" } } } });
    let document = document("upstream", &[client], &[destination(json!({}))], more);
    let sealing = base64ct::Base64UrlUnpadded::encode_string(&[7; 32]);
    remember(&sealing);
    let proxy = Setup::new()
        .with_issuer("idp", server())
        .issuer_cluster("idp", crediting("credential.yaml"))
        .environment("SEAL", &sealing)
        .file("credential.yaml", credential(SECRET))
        .cluster("billing", upstream("egress", document))
        .listener(bare("egress").manager(hosts(replaying())))
        .start();
    let issuer = proxy.issuer("idp");
    proxy.upstream().accept_tokens(issuer.liveness());
    let first = echo(&call(&proxy, "egress", "/").send().unwrap()).bearer().unwrap().to_owned();
    let obtained = Instant::now();
    // Envoy shows its configuration with all that the VM gets, and not the secret.
    let dump = proxy.envoy().admin_get("/config_dump").unwrap().text();
    assert!(dump.contains("set_by_cluster") && dump.contains("client-credential"));
    let dump = dump.replace(&sealing, "");
    crate::secrets::assert_none_in("the configuration", &dump);

    const SECOND: &str = "another-secret-of-the-client";
    assert!(issuer.set_secret(CLIENT, SECOND));
    proxy.envoy().replace_file("credential.yaml", credential(SECOND).as_bytes()).unwrap();
    let updates = || {
        let stats = proxy.envoy().stats().unwrap();
        let of_secret = |name: &str| name.contains("client-credential") && name.ends_with("update_success");
        stats.iter().filter(|(name, _)| of_secret(name)).map(|(_, count)| *count).max()
    };
    eventually("the new secret", || updates().filter(|count| *count >= 2));
    grow_old(obtained, Duration::from_millis(1_100));
    issuer.revoke_all_tokens();
    let second = echo(&call(&proxy, "egress", "/").send().unwrap()).bearer().unwrap().to_owned();
    assert_ne!(first, second);
    assert_eq!(issuer.token_requests(), 2, "none was refused");
}

/// Until Envoy has it, it takes no call of the filter's for that cluster: the server is not asked without a credential.
#[test]
fn a_secret_that_comes_late_is_waited_for() {
    let mut client = client(json!({}));
    client["authentication"] = json!({ "set_by_cluster": {} });
    let document = document("upstream", &[client], &[destination(json!({}))], json!({}));
    let proxy = crate::egress::setup()
        .issuer_cluster("idp", crediting("credential.yaml"))
        .file("credential.yaml", json!({ "resources": [] }).to_string())
        .cluster("billing", upstream("egress", document))
        .listener(bare("egress").manager(hosts(replaying())))
        .start();
    let refused = call(&proxy, "egress", "/").send().unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.text(), "no access token could be obtained");
    assert_eq!(proxy.issuer("idp").token_requests(), 0);
    let told = "the cluster has no healthy host, or it sets the credential and has no secret";
    assert!(proxy.envoy().logs().contains(told), "{}", proxy.envoy().logs());
    proxy.envoy().replace_file("credential.yaml", credential(SECRET).as_bytes()).unwrap();
    eventually("a token", || (call(&proxy, "egress", "/").send().unwrap().status == 200).then_some(()));
}

/// `envoy.yaml` is the sidecar of orders, `sidecar.yaml` that of a service that calls it; nothing but ports and the module's path is
/// changed.
struct Mesh {
    orders: Proxy,
    service: Proxy,
}

fn mesh() -> Mesh {
    remember(DEMO_SECRET);
    let issuer =
        Issuer::start(IssuerOptions { identifier: Some(DEMO_IDENTIFIER.into()), ..IssuerOptions::default() })
            .unwrap();
    let at = issuer.addr();
    let orders =
        Proxy::run(shipped(), Upstream::start().unwrap(), BTreeMap::from([("idp".to_owned(), issuer)]));
    let mut sidecar = Bootstrap::read(&checkout().join("sidecar.yaml")).unwrap();
    let behind = Upstream::start().unwrap();
    for (cluster, addr) in
        [("idp", at), ("idp-keys", at), ("orders", orders.addr("proxy")), ("service", behind.addr())]
    {
        sidecar.set_cluster(cluster, "127.0.0.1", addr.port()).unwrap();
    }
    // Paths of the file are the checkout's, where Envoy runs.
    assert!(checkout().join("deploy/sidecar/client-credential.yaml").is_file());
    Mesh { service: Proxy::run(sidecar, behind, BTreeMap::new()), orders }
}

fn to_orders(mesh: &Mesh, path: &str) -> Request {
    mesh.service.get("outbound", path).header("host", "orders.internal")
}

#[test]
fn two_shipped_sidecars_authenticate_one_service_to_another() {
    let mesh = mesh();
    let issuer = mesh.orders.issuer("idp");
    let seen = echo(&to_orders(&mesh, "/orders").send().unwrap());
    assert_eq!(seen.header("x-auth-client-id"), Some("orders-service"));
    // What the token does not permit, the other sidecar refuses; what goes elsewhere gets no token.
    assert_eq!(to_orders(&mesh, "/admin").send().unwrap().status, 403);
    let elsewhere = mesh.service.get("outbound", "/orders").header("host", "elsewhere.internal");
    assert_eq!(echo(&elsewhere.send().unwrap()).header("authorization"), None);
    // The same module verifies who calls the service.
    let caller = token(issuer, &TokenSpec::scoped("orders:write"));
    let checkout = || mesh.service.get("inbound", "/checkout");
    assert_eq!(checkout().send().unwrap().status, 401);
    assert_eq!(echo(&checkout().bearer(&caller).send().unwrap()).path, "/checkout");
    assert_eq!(issuer.token_requests(), 1);
    assert_eq!(issuer.token_log()[0].client_id.as_deref(), Some("orders-service"));
}

/// An issuer that loses its keys in a restart: every token that it issued is refused from then on.
#[test]
fn a_key_that_is_withdrawn_costs_no_caller_a_401_when_the_token_is_old_enough_to_be_dropped() {
    let mesh = mesh();
    let issuer = mesh.orders.issuer("idp");
    echo(&to_orders(&mesh, "/orders").send().unwrap());
    grow_old(Instant::now(), Duration::from_millis(1_200));
    issuer.rotate().unwrap();
    issuer.withdraw_old();
    // The old token counts until the other sidecar has looked for keys again.
    eventually("the next token", || {
        let seen = echo(&to_orders(&mesh, "/orders").send().unwrap());
        assert_eq!(seen.header("x-auth-client-id"), Some("orders-service"));
        (issuer.token_requests() == 2).then_some(())
    });
}
