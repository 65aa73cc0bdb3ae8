//! What every layer may use: time, HTTP as plain values, secrets. Knows nothing of tokens or proxies.

mod backoff;
mod caching;
mod effect;
mod http;
mod jitter;
mod pairs;
mod secret;
mod time;

pub use backoff::{MAX_BACKOFF, backoff};
pub use caching::{entity_tag, freshness, retry_after};
pub use effect::{CallId, Effect, Level, StreamId};
pub use http::{Edit, Headers, HttpCall, HttpReply, RequestHead, Response};
pub use jitter::Jitter;
pub use pairs::{Pairs, PairsError, decode_pairs, encode_pairs};
pub use secret::Secret;
pub use time::Timestamp;
