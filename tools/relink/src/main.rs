//! The step after linking: `attache-relink LINKED OUTPUT`.
//!
//! The proxy-wasm SDK exports every callback of the ABI, and Envoy calls those about a request for each request. This
//! takes out those that the filter does not use, with the code that only they need. A callback of ours, `attache_on_…`,
//! takes the place of the SDK's `proxy_on_…`, which it calls (`src/host/dispatcher.rs`).
//!
//! The SDK's traits name every host call, so the linker keeps them all. Those that the filter does not make are
//! answered in the module, as Envoy answers what a capability restriction leaves out: what it takes of its host is what
//! is documented.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use walrus::{ExportItem, FunctionId, ImportKind, Module, ModuleConfig};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let [linked, output] = [arguments.next(), arguments.next()].map(Option::unwrap_or_default);
    ensure!(!output.is_empty() && arguments.next().is_none(), "usage: attache-relink LINKED OUTPUT");
    let module = std::fs::read(&linked).with_context(|| format!("{linked} cannot be read"))?;
    let module = relink(&module).with_context(|| format!("{linked} is not the filter"))?;
    std::fs::write(&output, module).with_context(|| format!("{output} cannot be written"))
}

fn relink(module: &[u8]) -> Result<Vec<u8>> {
    let mut module = ModuleConfig::new().generate_producers_section(false).parse(module)?;
    replace_callbacks(&mut module)?;
    answer_calls(&mut module)?;
    walrus::passes::gc::run(&mut module);
    Ok(module.emit_wasm())
}

/// Leaves the callbacks that are used, each of ours in the SDK's place.
fn replace_callbacks(module: &mut Module) -> Result<()> {
    for (name, item) in exports_of_ours(module) {
        let callback = format!("proxy_{name}");
        module.exports.remove(&callback).with_context(|| format!("the SDK exports no {callback}"))?;
        module.exports.remove(format!("{OURS}{name}"))?;
        module.exports.add(&callback, item);
    }
    let names: BTreeSet<String> = module.exports.iter().map(|export| export.name.clone()).collect();
    for name in CALLBACKS {
        ensure!(names.contains(name), "it exports no {name}");
    }
    for name in names.iter().filter(|name| name.starts_with("proxy_on_")) {
        if !CALLBACKS.contains(&name.as_str()) {
            module.exports.remove(name)?;
        }
    }
    Ok(())
}

/// Answers in the module the host calls that are not made.
fn answer_calls(module: &mut Module) -> Result<()> {
    let calls = module.imports.iter().filter(|import| import.module == "env");
    let unused: Vec<FunctionId> = calls
        .filter(|import| !CALLS.contains(&import.name.as_str()))
        .filter_map(|import| match import.kind {
            ImportKind::Function(function) => Some(function),
            ImportKind::Table(_) | ImportKind::Memory(_) | ImportKind::Global(_) | ImportKind::Tag(_) => None,
        })
        .collect();
    for function in unused {
        module.replace_imported_func(function, |(body, _)| {
            body.i32_const(INTERNAL_FAILURE);
        })?;
    }
    Ok(())
}

/// The callbacks that take the SDK's place, without their prefix.
fn exports_of_ours(module: &Module) -> Vec<(String, ExportItem)> {
    let exports = module.exports.iter();
    let ours = exports.filter_map(|export| Some((export.name.strip_prefix(OURS)?.to_owned(), export.item)));
    ours.collect()
}

/// What our callbacks' names begin with, where the SDK's have `proxy_`.
const OURS: &str = "attache_";
/// The callbacks that the filter uses; the allocator's belongs to the ABI. `docs/operations.md` says what they are for.
const CALLBACKS: [&str; 11] = [
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_http_call_response",
    "proxy_on_memory_allocate",
    "proxy_on_queue_ready",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_tick",
];
/// The host calls that the filter makes.
const CALLS: [&str; 24] = [
    "proxy_call_foreign_function",
    "proxy_close_stream",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_dequeue_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_record_metric",
    "proxy_register_shared_queue",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
    "proxy_set_effective_context",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
];
/// `proxy_status_t`: what Envoy answers where a capability restriction leaves a call out.
const INTERNAL_FAILURE: i32 = 10;
