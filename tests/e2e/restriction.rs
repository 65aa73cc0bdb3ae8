use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::module::border;
use crate::proxy::{Document, Listener, Setup, inbound, module, route, trust};
use crate::secrets::scoped;

/// The restriction that operators copy.
fn documented() -> Map<String, Value> {
    let page = include_str!("../../docs/operations.md");
    let mut blocks = page.split("```yaml\n");
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
    for name in ["proxy_on_response_headers", "proxy_get_header_map_value", "proxy_close_stream"] {
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

/// The SDK panics where the host refuses one of these. So they are made while the configuration is read: the panic refuses that, and
/// no VM ends while it serves.
#[test]
fn a_restriction_without_a_call_that_must_not_fail_refuses_the_configuration() {
    let routes = [route("orders", "/orders", json!({ "require": { "scopes": ["orders:read"] } }))];
    let document = || Document::Struct(inbound(&[trust("corp", json!({}))], &routes, json!({})));
    for call in [
        "proxy_continue_stream",
        "proxy_define_metric",
        "proxy_get_buffer_bytes",
        "proxy_get_current_time_nanoseconds",
        "proxy_increment_metric",
        "proxy_log",
        "proxy_record_metric",
        "proxy_set_effective_context",
        "proxy_set_tick_period_milliseconds",
    ] {
        let mut allowed = documented();
        assert!(allowed.remove(call).is_some(), "{call}");
        let restriction = json!({ "capability_restriction_config": { "allowed_capabilities": allowed } });
        let listener = Listener::new("restricted", document()).plugin(restriction);
        let ended = Setup::new().issuer("corp").workers(1).listener(listener).start_refused();
        // Without the log, Envoy alone can say it.
        let told = if call == "proxy_log" { "Function: proxy_on_configure" } else { "unexpected status: 10" };
        assert!(ended.log.contains(told), "{call}:\n{}", ended.log);
    }
}

/// Streams that could not be ended would outlive their tokens.
#[test]
fn where_streams_end_with_their_token_a_restriction_must_let_them() {
    let route = route(
        "orders",
        "/orders",
        json!({
        "require": { "scopes": ["orders:read"] }, "streams": { "end": "at_expiry" } }),
    );
    let document = Document::Struct(inbound(&[trust("corp", json!({}))], &[route], json!({})));
    let mut allowed = documented();
    assert!(allowed.remove("proxy_close_stream").is_some());
    let restriction = json!({ "capability_restriction_config": { "allowed_capabilities": allowed } });
    let listener = Listener::new("restricted", document).plugin(restriction);
    let ended = Setup::new().issuer("corp").workers(1).listener(listener).start_refused();
    let told = "inbound: streams cannot be ended: a capability restriction leaves `proxy_close_stream` out";
    assert!(ended.log.contains(told), "{}", ended.log);
}

/// A host call that a request needs and does not get costs that request, and no VM.
#[test]
fn a_call_that_is_left_out_costs_requests_and_no_vm() {
    let routes = [route("orders", "/orders", json!({ "require": { "scopes": ["orders:read"] } }))];
    let forwards = json!({ "token": { "after_verification": "strip" } });
    let calls = [
        ("proxy_get_header_map_pairs", 500),
        ("proxy_remove_header_map_value", 500),
        ("proxy_get_property", 403),
        ("proxy_set_property", 200),
        ("proxy_get_shared_data", 200),
    ];
    let mut setup = Setup::new().issuer("corp");
    for (call, _) in calls {
        let mut allowed = documented();
        assert!(allowed.remove(call).is_some(), "{call}");
        // Older Envoys let plugins share a VM, and with it the first one's restriction, unless their VMs have names of their own.
        let restriction = json!({
            "capability_restriction_config": { "allowed_capabilities": allowed },
            "vm_config": { "vm_id": call },
        });
        let document = Document::Struct(inbound(&[trust("corp", json!({}))], &routes, forwards.clone()));
        setup = setup.listener(Listener::new(call, document).plugin(restriction));
    }
    let proxy = setup.start();
    let token = scoped(proxy.issuer("corp"), "orders:read");
    for (call, status) in calls {
        for _ in 0..4 {
            assert_eq!(proxy.get(call, "/orders").bearer(&token).send().unwrap().status, status, "{call}");
        }
    }
    proxy.assert_sound();
}
