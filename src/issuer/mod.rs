//! What changes about an issuer over time: its keys. Sans-IO: `now` and replies come in, calls go out.

mod fetch;
mod key_store;

pub use fetch::FetchError;
pub use key_store::{FetchOutcome, KeyChange, KeySource, KeyStore, RemoteKeys};
