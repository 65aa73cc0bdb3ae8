//! What changes about an issuer over time: its keys. Sans-IO: `now`, replies and what the process shares come in, calls
//! go out.
//!
//! `source` (a key set, or metadata and the key set that it names, each a document of `oauth`) → [`KeyStore`] (all
//! sources of an issuer).

mod key_store;
mod settings;
mod source;

pub use key_store::{
    IssuerChange, IssuerDocument, IssuerEvent, KeyBounds, KeyChange, KeyStore, MAX_DOCUMENTS_BYTES,
    MAX_KEYS_BYTES,
};
pub use settings::{Discovery, Jwks, KeySource};
pub use source::DocumentKind;
