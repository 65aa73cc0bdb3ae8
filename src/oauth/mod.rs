//! What both halves share about an authorization server: the documents that it publishes (RFC 8414), kept fresh, and
//! how we authenticate to it and ask it for tokens (RFC 6749).
//!
//! `timetable` (when to ask) → `document` (one HTTP document kept fresh: lease, outage, publication) → `metadata` (what
//! one kind of document says).
//!
//! `token_request` (what is asked) with `authentication` (by whom) → `token_answer` (a token, or a `fault`, with a
//! `word` of the server's); `breaker` (whether to ask).

mod address;
mod assertion;
mod authentication;
mod breaker;
mod definition;
mod document;
mod event;
mod fault;
mod fetch;
mod fetch_client;
mod local_reply;
mod metadata;
mod metadata_source;
mod results;
mod summary;
mod timetable;
mod token_answer;
mod token_request;
mod word;

pub use address::{Address, parse_url};
pub use assertion::{Assertion, MAX_ASSERTION_LIFETIME};
pub use authentication::{Authentication, BasicEncoding, Credentials, DEFAULT_ASSERTION_LIFETIME};
pub use breaker::{Breaker, BreakerSettings, BreakerState, MAX_OPEN, PROBE_GRACE};
pub(crate) use definition::Definition;
pub(crate) use document::Document;
pub use event::{DocumentEvent, FetchOutcome};
pub use fault::{ErrorCode, FaultClass, ServerError, TokenFailure, TokenFault};
pub use fetch::FetchError;
pub use fetch_client::{ClientTokens, Credential, FetchClient, FetchMeans, NoTokens};
pub use local_reply::{LocalCause, LocalReply};
pub use metadata::{MAX_METADATA_BYTES, Member, MetadataError};
pub use metadata_source::{MetadataLocation, MetadataSource};
pub use summary::CallSummary;
pub(crate) use timetable::{LOST_AFTER, RefreshHint, Timetable};
pub use timetable::{MAX_RETRY_AFTER, Schedule};
pub use token_answer::{GrantedScopes, MAX_TOKEN_ANSWER_BYTES, TokenAnswer, TokenQuery, fits_header};
pub use token_request::{Grant, TokenRequest};
pub use word::{MAX_WORD, Word};

/// Reads metadata as [`Document`] does: a door for fuzz/.
///
/// # Errors
/// As without the door.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub fn fuzzed_metadata(
    document: &[u8],
    issuer: &str,
    member: Member,
    allow_http: bool,
) -> Result<Address, MetadataError> {
    metadata::read(document, issuer, member, allow_http)
}
