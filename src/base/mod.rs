//! What every layer may use: time, randomness, HTTP as plain values, secrets. Knows nothing of tokens or proxies.

mod audit;
mod backoff;
mod bytes;
mod caching;
mod connection;
mod content_coding;
mod effect;
mod excerpt;
mod http;
mod jitter;
mod lookalike;
mod pairs;
mod random;
mod secret;
mod time;
mod waiting_list;

pub use audit::{AuditEntry, AuditText, MAX_AUDIT_TEXT};
pub use backoff::{MAX_BACKOFF, backoff};
pub(crate) use bytes::is_same;
pub use caching::{entity_tag, freshness, retry_after};
pub(crate) use connection::{CONNECTION_HEADERS, connection_options, is_connection_header};
pub use content_coding::{ACCEPT_IDENTITY, ContentCoding};
pub use effect::{CallBudget, CallId, Command, Observation, Outcome, StateEntry, StreamId};
pub use excerpt::Excerpt;
pub use http::{
    Edit, Headers, HttpCall, HttpReply, MAX_HEADER_TEXT, Needs, RequestBody, RequestHead, Response,
    is_header_text, request_id,
};
pub use jitter::Jitter;
pub use log::Level;
pub(crate) use lookalike::is_read_as;
pub use pairs::{NameFilter, Pairs, PairsError, decode_pairs, encode_pairs};
pub use random::Random;
pub use secret::Secret;
pub use time::{Stopwatch, Timestamp};
pub use waiting_list::{MAX_WAITING_BYTES, Parked, WaitingBounds, WaitingList};
