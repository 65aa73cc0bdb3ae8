use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};

use attache_harness::issuer::{Algorithm, Issuer};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::egress::{SECRET, client, server};
use crate::gate::endpoint;
use crate::proxy::{
    Document, Listener, Proxy, Setup, eventually, http_filters, inbound, issuer, join, jwks, route,
    trust_with,
};
use crate::secrets::{remember, scoped};

type Judge = dyn Fn(&str) -> bool + Send + Sync;

/// A server that shows an issuer's keys to those alone whose `authorization` it accepts.
struct Guarded {
    addr: SocketAddr,
    desk: Arc<Desk>,
}

struct Desk {
    keys: Vec<u8>,
    judge: Box<Judge>,
    /// The statuses that it has answered with.
    answered: Mutex<Vec<u16>>,
}

impl Guarded {
    fn start(issuer: &Issuer, judge: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let desk = Arc::new(Desk { keys: issuer.jwks(), judge: Box::new(judge), answered: Mutex::default() });
        let (send, receive) = mpsc::channel();
        let state = Arc::clone(&desk);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, axum::Router::new().fallback(answer).with_state(state)).await.unwrap();
            });
        });
        Self { addr: receive.recv().unwrap(), desk }
    }

    fn answered(&self) -> Vec<u16> {
        self.desk.answered.lock().unwrap().clone()
    }
}

async fn answer(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> (StatusCode, Vec<u8>) {
    let is_good = headers.get("authorization").is_some_and(|value| (desk.judge)(value.to_str().unwrap()));
    let (status, body) =
        if is_good { (StatusCode::OK, desk.keys.clone()) } else { (StatusCode::UNAUTHORIZED, Vec::new()) };
    desk.answered.lock().unwrap().push(status.as_u16());
    (status, body)
}

fn listener(keys: Value, outbound: Value) -> Listener {
    let keys = join_into(jwks("corp", json!({ "cluster": "keys", "refresh": "1s" })), keys);
    let routes = [route("orders", "/orders", json!({ "require": { "scopes": ["orders:read"] } }))];
    let mut document = inbound(&[trust_with("corp", json!({ "jwks": keys }))], &routes, json!({}));
    join(&mut document, outbound);
    Listener::new("guarded", Document::Struct(document))
}

fn join_into(mut object: Value, more: Value) -> Value {
    join(&mut object, more);
    object
}

fn status(proxy: &Proxy) -> u16 {
    let token = scoped(proxy.issuer("corp"), "orders:read");
    proxy.get("guarded", "/orders").bearer(&token).send().unwrap().status
}

#[test]
fn keys_behind_authentication_are_fetched_with_the_token_of_a_client() {
    let (corp, idp) = (issuer("corp", &[Algorithm::Es256]), server());
    let is_live = idp.liveness();
    let keys = Guarded::start(&corp, move |value| value.strip_prefix("Bearer ").is_some_and(&is_live));
    let outbound = json!({ "outbound": {
        "position": "downstream", "clients": [client(json!({}))], "purge_interval": "1s",
    } });
    let proxy = Setup::new()
        .with_issuer("corp", corp)
        .with_issuer("idp", idp)
        .cluster("keys", endpoint("keys", keys.addr))
        .environment("BILLING_SECRET", SECRET)
        .listener(listener(json!({ "client": "billing" }), outbound))
        .start();
    assert_eq!(status(&proxy), 200);
    assert!(keys.answered().iter().all(|status| *status == 200), "no fetch without a token");
    // What the server does not accept any more is replaced, and requests notice nothing.
    let before = proxy.issuer("idp").token_requests();
    proxy.issuer("idp").revoke_all_tokens();
    eventually("a token that is refused, and another one", || {
        assert_eq!(status(&proxy), 200);
        let answered = keys.answered();
        let refused = answered.iter().rposition(|status| *status == 401)?;
        answered[refused..].contains(&200).then_some(())
    });
    assert!(proxy.issuer("idp").token_requests() > before);
    assert!(proxy.metric("attache_token_purges_total", &[("client", "billing"), ("result", "purged")]) > 0);
    assert_eq!(proxy.metric("attache_injections_total", &[]), 0, "no request of a caller is the client's");
}

#[test]
fn keys_behind_authentication_are_fetched_through_a_cluster_that_sets_the_credential() {
    const CREDENTIAL: &str = "Bearer of-the-keys-alone-7b1f";
    remember(CREDENTIAL);
    let corp = issuer("corp", &[Algorithm::Es256]);
    let keys = Guarded::start(&corp, |value| value == CREDENTIAL);
    let secret = json!({ "resources": [{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "client-credential",
        "generic_secret": { "secret": { "inline_string": CREDENTIAL } },
    }] });
    let proxy = Setup::new()
        .with_issuer("corp", corp)
        .cluster("keys", join_into(endpoint("keys", keys.addr), documented_filter()))
        .file("keys-credential.yaml", secret.to_string())
        .listener(listener(json!({}), json!({})))
        .start();
    assert_eq!(status(&proxy), 200);
    assert!(!keys.answered().is_empty());
    assert!(keys.answered().iter().all(|status| *status == 200));
}

/// The filter of the page, with the secret where this Envoy has it.
fn documented_filter() -> Value {
    let page = include_str!("../../docs/keys.md");
    let block = page.split("```yaml\n").find(|block| block.contains("credential_injector")).unwrap();
    let mut block: Value = serde_saphyr::from_str(block.split("```").next().unwrap()).unwrap();
    let options = block["clusters"][0]["typed_extension_protocol_options"]
        ["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
        .take();
    let mut filter = options["http_filters"][0].clone();
    let source = filter.pointer_mut("/typed_config/credential/typed_config/credential/sds_config").unwrap();
    source["path_config_source"]["path"] = "{{dir}}/keys-credential.yaml".into();
    http_filters(vec![filter])
}
