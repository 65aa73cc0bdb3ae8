use crate::base::HttpReply;
use crate::jose::{KeySet, KeySetError, ParsedKeySet};

/// Why a fetch brought no key set. For the engineer on call and the schedule; never reaches a caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The host did not take the call: it does not know the cluster, or the cluster has no healthy host.
    #[error("the call could not be sent: is the cluster configured and healthy?")]
    NotSent,
    /// The connection broke before an answer came.
    #[error("the connection was reset")]
    Reset,
    /// No answer came within the configured timeout, or within a while after it.
    #[error("no answer in time")]
    Lost,
    /// The answer is not 200. Envoy says 503 for a connection that failed and 504 for a timeout.
    #[error("status {0}")]
    Status(u16),
    /// The answer is larger than a key set may be.
    #[error("the answer has {0} bytes, more than a key set may have")]
    TooLarge(usize),
    /// The answer is no key set.
    #[error("{0}")]
    Malformed(#[from] KeySetError),
    /// The set holds no key that could verify a signature: it is not believed, and the last good one stays.
    #[error("the set holds no usable key")]
    NoUsableKey,
}

impl FetchError {
    /// A stable name for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Reset => "reset",
            Self::Lost => "lost",
            Self::Status(_) => "status",
            Self::TooLarge(_) => "too_large",
            Self::Malformed(_) => "malformed",
            Self::NoUsableKey => "no_usable_key",
        }
    }
}

/// Reads the answer to a fetch.
pub(super) fn read(reply: HttpReply) -> Result<ParsedKeySet, FetchError> {
    match reply {
        HttpReply::NotSent => Err(FetchError::NotSent),
        HttpReply::Reset => Err(FetchError::Reset),
        HttpReply::Response { status: 200, body: Ok(body), .. } => {
            let parsed = KeySet::parse(&body)?;
            if parsed.set.is_empty() { Err(FetchError::NoUsableKey) } else { Ok(parsed) }
        }
        HttpReply::Response { status: 200, body: Err(size), .. } => Err(FetchError::TooLarge(size)),
        HttpReply::Response { status, .. } => Err(FetchError::Status(status)),
    }
}
