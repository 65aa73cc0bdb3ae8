//! The rim: proxy-wasm callbacks in, host calls out. Decides nothing. Compiled for `target_os = "wasi"` only.

#![cfg_attr(not(feature = "entry"), allow(dead_code, reason = "it is the callbacks that use it"))]

mod abi;
#[cfg(feature = "entry")]
mod callbacks;
mod crypto;
mod http;
mod metrics;
mod perform;
mod process;
mod random;
mod root;

pub use crypto::EnvoyCrypto;
