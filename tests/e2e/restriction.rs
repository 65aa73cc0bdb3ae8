use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::module::border;
use crate::proxy::{Document, Listener, Setup, inbound, module, route, trust};
use crate::secrets::scoped;

/// The restriction that operators copy.
fn documented() -> Map<String, Value> {
    let page = include_str!("../../docs/operations.md");
    let mut blocks = page.split("```text\n");
    let block = blocks.find(|block| block.starts_with("capability_restriction_config")).unwrap();
    let block: Value = serde_saphyr::from_str(block.split("```").next().unwrap()).unwrap();
    block["capability_restriction_config"]["allowed_capabilities"].as_object().unwrap().clone()
}

#[test]
fn the_documented_restriction_is_what_the_module_takes_and_nothing_else() {
    let documented: BTreeSet<String> = documented().keys().cloned().collect();
    let mut border = border(&std::fs::read(module()).unwrap());
    // Envoy does not ask whether these are allowed; the last two are for panics.
    for name in [
        "memory",
        "_initialize",
        "proxy_abi_version_0_2_1",
        "proxy_on_memory_allocate",
        "fd_write",
        "proc_exit",
    ] {
        assert!(border.remove(name), "{name}");
    }
    assert_eq!(documented, border);
}

#[test]
fn requests_are_verified_by_a_filter_that_may_not_see_responses() {
    let mut allowed = documented();
    for name in ["proxy_on_response_headers", "proxy_get_header_map_value"] {
        assert!(allowed.remove(name).is_some(), "{name}");
    }
    let routes = [route("orders", "/orders", json!({ "require": { "scopes": ["orders:read"] } }))];
    let document = Document::Struct(inbound(&[trust("corp", json!({}))], &routes, json!({})));
    let restriction = json!({ "capability_restriction_config": { "allowed_capabilities": allowed } });
    let proxy = Setup::new()
        .issuer("corp")
        .listener(Listener::new("restricted", document).plugin(restriction))
        .start();
    let token = scoped(proxy.issuer("corp"), "orders:read");
    let get = || proxy.get("restricted", "/orders");
    assert_eq!(get().bearer(&token).send().unwrap().status, 200);
    assert_eq!(get().bearer(&token).send().unwrap().status, 200, "known now");
    assert_eq!(get().bearer(&scoped(proxy.issuer("corp"), "other")).send().unwrap().status, 403);
    assert_eq!(get().send().unwrap().status, 401);
    proxy.assert_sound();
}
