//! Attaché's harness, native: an issuer to test with, an echo upstream, a runner for Envoy, and the demo that puts
//! them together. `attachectl` is its command line; the end-to-end tests use it as a library.

pub mod bootstrap;
pub mod capabilities;
pub mod demo;
pub mod demo_environment;
pub mod document;
mod edits;
mod egress;
pub mod envoy;
pub mod explanation;
mod former_order;
pub mod http;
pub mod issuer;
pub mod jws;
mod metadata_places;
pub mod prometheus;
pub mod token;
pub mod upstream;
pub mod wait;

mod server;
