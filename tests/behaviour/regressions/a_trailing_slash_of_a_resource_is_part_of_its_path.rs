//! RFC 9728 §3.1 removes the slash that follows the *host* and no other: the document of `https://h/v1/` is at
//! `/.well-known/oauth-protected-resource/v1/`, where a conforming client looks for it.

use serde_json::json;

use crate::proxy::{Proxy, Request, config};

#[test]
fn the_document_is_where_a_client_looks_for_it() {
    for (identifier, found, lost) in [
        ("https://h.example/", "", "/"),
        ("https://h.example/v1/", "/v1/", "/v1"),
        ("https://h.example/v1", "/v1", "/v1/"),
    ] {
        let mut proxy = Proxy::new(&config(json!({ "resource": { "identifier": identifier } })));
        let at = |path: &str| Request::get(&format!("/.well-known/oauth-protected-resource{path}"));
        assert_eq!(proxy.request(at(found)).refused().response.status, 200, "{identifier}");
        assert_eq!(proxy.request(at(lost)).tells(), "403 route_unknown", "{identifier}");
        let refused = proxy.request(Request::get("/orders")).refused();
        let url = format!(
            "Bearer scope=\"orders:read\", \
             resource_metadata=\"https://h.example/.well-known/oauth-protected-resource{found}\""
        );
        assert_eq!(refused.challenge(), Some(url.as_str()));
    }
}
