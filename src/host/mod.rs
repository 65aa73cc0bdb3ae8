//! The rim: the proxy-wasm SDK's contexts in, host calls out. Decides nothing. Compiled for `target_os = "wasi"` only.
//!
//! Envoy calls the SDK's dispatcher; it calls [`root::Root`], of which a thread has one for each configuration, and
//! [`request::Request`], one for each request. Both hand over to the [`plugin::Plugin`] that they share.

#![cfg_attr(not(feature = "entry"), allow(dead_code, reason = "it is the entry that uses it"))]

mod clock;
mod crypto;
mod dispatcher;
mod observations;
mod perform;
mod plugin;
mod random;
mod raw;
mod request;
mod root;
mod shared_state;

pub use crypto::EnvoyCrypto;

/// The module's entry: what the host calls first.
#[cfg(feature = "entry")]
#[allow(missing_docs, unreachable_pub, reason = "the SDK's macro is what writes it")]
mod entry {
    use super::root::Root;

    proxy_wasm::main! {{
        // Envoy filters by its own level. A panic, should there be one, is logged from here on.
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Trace);
        proxy_wasm::set_root_context(|id| Box::new(Root::new(id)));
    }}
}
