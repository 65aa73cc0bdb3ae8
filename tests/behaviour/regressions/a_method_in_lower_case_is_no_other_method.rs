//! Over HTTP/2 a client can send `delete`, which some servers take for `DELETE`: the route for `DELETE` did not.

use serde_json::json;

use crate::proxy::{Proxy, Request, config};

#[test]
fn it_is_refused() {
    let mut proxy = Proxy::new(&config(json!({ "routes": [
        { "name": "delete", "match": { "prefix": "/", "methods": ["DELETE"] }, "deny": {} },
        { "name": "all", "match": { "prefix": "/" }, "public": {} },
    ]})));
    assert_eq!(proxy.request(Request::new("GET", "/m")).tells(), "forwarded");
    assert_eq!(proxy.request(Request::new("DELETE", "/m")).tells(), "403 route_denied");
    for method in ["delete", "Delete", "DELETe", "get"] {
        assert_eq!(proxy.request(Request::new(method, "/m")).tells(), "400 method_invalid", "{method}");
    }
}
