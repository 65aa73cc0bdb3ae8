//! The vectors through the engine of a real Envoy; `tests/conformance` runs them natively, `tests/wasm.rs` in V8.

#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs)]
#![allow(clippy::wildcard_enum_match_arm, clippy::panic, clippy::expect_used)]

#[path = "conformance/envoy.rs"]
mod envoy;
#[allow(dead_code, reason = "the oracle asks the engines, so `run` is not called here")]
#[path = "conformance/vectors.rs"]
mod vectors;
