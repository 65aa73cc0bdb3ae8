//! Decoding stopped at the first bad escape, so that a route which allows bad escapes allowed whatever came after one.

use serde_json::json;

use crate::proxy::{Proxy, Request, config};

#[test]
fn what_follows_a_bad_escape_is_looked_at() {
    let mut proxy = Proxy::new(&config(json!({ "routes": [
        { "name": "files", "match": { "prefix": "/files" }, "public": {}, "allow_in_path": ["bad_escape"] },
    ]})));
    assert_eq!(proxy.request(Request::get("/files/100%")).tells(), "forwarded");
    for path in ["/files/%zz%2f..%2f..%2fadmin", "/files/%zz%5c%00%3b", "/files/..%3b%ff", "/files/%zz%00"] {
        assert_eq!(proxy.request(Request::get(path)).tells(), "400 path_ambiguous", "{path}");
    }
}
