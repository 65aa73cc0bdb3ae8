//! Takes the callbacks out of a linked module that the filter has no use for: Envoy calls each one that is exported, for each
//! request, and each call costs as much as a look into the token cache.

use anyhow::{Context, Result, bail};
use walrus::Module;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = &*arguments else {
        bail!("usage: attache-postlink LINKED.wasm OUTPUT.wasm");
    };
    let mut module = Module::from_file(input)
        .with_context(|| format!("{input} cannot be read: build it with `make build`"))?;
    let missing: Vec<&str> = USED.into_iter().filter(|name| module.exports.get_func(name).is_err()).collect();
    if !missing.is_empty() {
        bail!("{input} does not export {}: is it the filter?", missing.join(", "));
    }
    let unused: Vec<_> = module
        .exports
        .iter()
        .filter(|export| export.name.starts_with("proxy_on_") && !USED.contains(&&*export.name))
        .map(|export| export.id())
        .collect();
    for export in unused {
        module.exports.delete(export);
    }
    walrus::passes::gc::run(&mut module);
    module.emit_wasm_file(output).with_context(|| format!("{output} cannot be written"))
}

/// The callbacks that `src/host` implements, and what the ABI needs besides.
const USED: [&str; 11] = [
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_done",
    "proxy_on_http_call_response",
    "proxy_on_memory_allocate",
    "proxy_on_queue_ready",
    "proxy_on_request_headers",
    "proxy_on_tick",
];
