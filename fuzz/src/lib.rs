//! What is fuzzed of the core, and what must hold of it whatever comes: nine targets, each of which takes any bytes.
//!
//! Everything here is ordinary code: `tests/replay.rs` runs the kept corpora through it, natively and in V8; `libfuzzer/` mutates
//! them. A target makes a world of its bytes, lets the core act in it, and compares with an oracle: a second, plainer way to the
//! same answer. It panics where the two differ.

// Test code: an oracle that fails panics, and so may whatever leads to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::unwrap_in_result)]
#![allow(clippy::wildcard_enum_match_arm)]

pub mod corpus;
mod engine;
mod environment;
mod input;
mod json_mutator;
mod process;
mod random;
mod signer;
mod targets;

pub use targets::{TARGETS, Target};
