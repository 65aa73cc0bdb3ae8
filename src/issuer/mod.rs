//! What changes about an issuer over time: its keys. Sans-IO: `now`, replies and what the process shares come in, calls go out.
//!
//! `timetable` (when to ask) → `document` (one HTTP document kept fresh: lease, outage, publication) → `source` (a key set, or metadata and the key set that it
//! names) → [`KeyStore`] (all sources of an issuer).

mod address;
mod definition;
mod document;
mod event;
mod fetch;
mod key_store;
mod metadata;
mod settings;
mod source;
mod timetable;

pub use address::Address;
pub use fetch::FetchError;
pub use key_store::{
    KeyBounds, KeyChange, KeyStore, MAX_DOCUMENTS_BYTES, MAX_KEYS_BYTES, Outcome, Place, Report,
};
pub use metadata::{MAX_METADATA_BYTES, MetadataError};
pub use settings::{Discovery, Jwks, KeySource};
pub use source::Part;
pub use timetable::{MAX_RETRY_AFTER, Schedule};
