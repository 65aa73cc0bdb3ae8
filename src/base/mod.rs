//! What every layer may use: time, HTTP as plain values, secrets. Knows nothing of tokens or proxies.

mod effect;
mod http;
mod pairs;
mod secret;
mod time;

pub use effect::{CallId, Effect, Level, StreamId};
pub use http::{Edit, Headers, HttpCall, HttpReply, RequestHead, Response};
pub use pairs::{Pair, PairsError, decode_pairs, encode_pairs};
pub use secret::Secret;
pub use time::Timestamp;
