//! The rim: proxy-wasm callbacks in, host calls out. Decides nothing. Compiled for `target_os = "wasi"` only.

mod abi;
mod crypto;
mod http;
mod metrics;
mod perform;
mod process;
mod root;

pub use crypto::EnvoyCrypto;
pub use root::Root;

#[cfg(feature = "entry")]
#[allow(unsafe_code, missing_docs, unreachable_pub, reason = "the SDK's macro exports `_initialize`")]
mod entry {
    proxy_wasm::main! {{
        // Installs the hook that logs a panic, should there ever be one; our own lines do not pass through the SDK.
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Warn);
        proxy_wasm::set_root_context(|id| Box::new(super::Root::new(id)));
    }}
}
