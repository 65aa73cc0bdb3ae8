//! What Attaché is tested, measured and demonstrated with, native: an authorization server, an echo upstream, a runner
//! for Envoy, an HTTP client that sends what it is told, and the demo that puts them together. The end-to-end tests are
//! targets of this crate; `bench` and `cli` depend on it, and the library never does.

pub mod bootstrap;
pub mod demo;
pub mod demo_environment;
pub mod envoy;
pub mod http;
pub mod issuer;
pub mod jws;
pub mod prometheus;
pub mod token;
pub mod upstream;
pub mod wait;

mod lock;
mod server;

/// The directory of this checkout, where `envoy.yaml` is. Tests run in that of their package.
pub const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
