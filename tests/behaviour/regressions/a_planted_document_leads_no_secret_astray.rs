//! Without a sealing secret, where tokens are not shared, the metadata of token endpoints was: another module of the `vm_id` could
//! say where the client's secret was sent. The same for a request of the workload's that a redirect led to the token endpoint's
//! cluster: it took our token along.

use prost::Message as _;
use serde_json::json;

use crate::outbound::{client, document, header, threads, to, with_clients};
use crate::proxy::{Time as _, good};
use crate::threads::{Lease, Published};

const ISSUER: &str = "https://idp.example";

#[test]
fn where_tokens_are_not_shared_nobody_else_says_where_to_ask_for_them() {
    let discovery = json!({ "issuer": ISSUER, "cluster": "meta", "token_cluster": "idp" });
    let client = client("billing", json!({ "token_endpoint": null, "discovery": discovery }));
    let (mut threads, tokens) = threads(&with_clients(&[client], json!({})), 2);
    let metadata = |endpoint: &str| json!({ "issuer": ISSUER, "token_endpoint": endpoint }).to_string();
    threads.serve("meta", good(&metadata("https://idp.example/token")));
    tokens.live(60);
    threads.advance(1.secs());
    assert!(tokens.issued() > 0);
    for lease in threads.memory.names().into_iter().filter(|name| name.ends_with("/lease")) {
        let now = threads.ago(0.ms());
        let planted = Published {
            sent: now,
            received: now,
            freshness: None,
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
    assert!(tokens.issued() > 4);
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
