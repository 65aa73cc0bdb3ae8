//! Without a sealing secret, where tokens are not shared, and later where they were shared unsealed, the metadata of token endpoints
//! was: another module of the `vm_id` could say where the client's secret was sent. The same for a request of the workload's that a redirect led to the token endpoint's
//! cluster: it took our token along.

use std::rc::Rc;

use attache::base::Timestamp;
use attache::sharing::{Sharing, SingleFlight};
use prost::Message as _;
use serde_json::{Value, json};

use crate::outbound::{client, document, header, threads, to, with_clients};
use crate::process::Thread;
use crate::proxy::{Host, START, Time as _, good};
use crate::threads::{Lease, Published};

const ISSUER: &str = "https://idp.example";

#[test]
fn without_a_seal_no_other_module_says_where_to_ask_for_tokens() {
    for sharing in [json!("process"), json!({ "process": { "tokens": "unsealed" } })] {
        planted_metadata_is_not_believed(&sharing);
    }
}

fn planted_metadata_is_not_believed(sharing: &Value) {
    let discovery = json!({ "issuer": ISSUER, "cluster": "meta", "token_cluster": "idp" });
    let client = client("billing", json!({ "token_endpoint": null, "discovery": discovery }));
    let mut document = with_clients(&[client], json!({}));
    document["sharing"] = sharing.clone();
    let (mut threads, tokens) = threads(&document, 2);
    let metadata = |endpoint: &str| json!({ "issuer": ISSUER, "token_endpoint": endpoint }).to_string();
    threads.serve("meta", good(&metadata("https://idp.example/token")));
    tokens.live(60);
    threads.advance(1.secs());
    assert!(tokens.issued() > 0);
    // A name of its own for the metadata there is only where it is sealed. The attacker knows how it would be.
    let fields: [&[u8]; 4] = [b"token endpoint metadata", b"meta", ISSUER.as_bytes(), b"strict"];
    let attacker = Thread { memory: Rc::clone(&threads.memory), number: 99 };
    let unsealed = Sharing { seal: None, shares_unsealed_tokens: true, has_vm_id: true, group: 0 };
    let mut host = Host::default();
    let mut context = host.at(Timestamp::from_secs(START));
    context.shared = &attacker;
    SingleFlight::new(&fields, Some(&unsealed), 1, 1.secs()).seed(&context);
    for lease in threads.memory.names().into_iter().filter(|name| name.ends_with("/lease")) {
        let now = threads.ago(0.ms());
        let planted = Published {
            sent: now,
            received: now,
            freshness: None,
            unchanged: 0,
            entity_tag: None,
            origin: format!("{ISSUER}/.well-known/oauth-authorization-server"),
            body: metadata("https://evil.example/collect").into_bytes(),
        };
        threads.memory.plant(&lease.replace("/lease", "/document"), &planted.encode_to_vec());
        let told = Lease { holder: 0, until: 0, sent: now, failures: 0, not_before: 0, published: now };
        threads.memory.plant(&lease, &told.encode_to_vec());
    }
    threads.call_news();
    threads.advance(5.minutes());
    // A thread that comes now has nothing but what lies there.
    threads.join();
    threads.advance(1.minutes());
    assert!(tokens.issued() > 4, "{sharing}");
    assert!(tokens.asked().iter().all(|call| header(call, ":authority") == "idp.example"));
}

#[test]
fn what_a_redirect_leads_to_the_token_endpoint_goes_there_without_our_token() {
    let (mut proxy, _) = crate::outbound::ready(&document(json!({ "position": "upstream" })));
    let carried = proxy.request(to("billing")).forwarded().upstream("authorization");
    let redirected = to("idp").header("authorization", &carried[0]);
    assert_eq!(proxy.request(redirected).forwarded().upstream("authorization"), [""; 0]);
    // The filter's own calls are left alone.
    let own = to("idp").header("authorization", "Basic YTpi");
    assert_eq!(proxy.request(own).forwarded().upstream("authorization"), ["Basic YTpi"]);
}
