use core::time::Duration;

use super::local_reply::LocalReply;
use super::metadata::MetadataError;
use crate::base::{ContentCoding, Headers, HttpReply};
use crate::jose::{KeySetError, SkippedKeys};

/// Why a fetch brought no document. For the engineer on call and the schedule; never reaches a caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FetchError {
    /// The host did not take the call: the cluster has no healthy host.
    #[error("the call could not be sent: the cluster has no healthy host")]
    NotSent,
    /// The host did not take the call: it does not know the cluster.
    #[error("the call could not be sent: Envoy knows no cluster of this name")]
    ClusterUnknown,
    /// The connection broke before an answer came.
    #[error("the connection was reset")]
    Reset,
    /// No answer came within the configured timeout, or within a while after it.
    #[error("no answer in time")]
    Lost,
    /// The call reached no server.
    #[error("{0}")]
    NotReached(LocalReply),
    /// The answer is not 200.
    #[error("the server answered {0}")]
    Status(u16),
    /// The answer is larger than such a document may be.
    #[error("the answer has {0} bytes, more than a document may have")]
    TooLarge(usize),
    /// The answer is coded for its way, although it was asked for as it is.
    #[error(
        "the answer is compressed or otherwise coded ({0}): it was asked for with `accept-encoding: identity`"
    )]
    #[strum(serialize = "content_coding")]
    Coded(ContentCoding),
    /// The answer is no key set.
    #[error("{0}")]
    Malformed(#[from] KeySetError),
    /// The document lists no key at all: it is not believed (unless `empty_set: accept`), and the last good set stays.
    #[error("the set is empty")]
    EmptySet,
    /// The document lists keys, and none could verify a signature: it is not believed, and the last good set stays.
    #[error("the set holds no usable key: {0}")]
    NoUsableKey(SkippedKeys),
    /// The keys need more memory than this issuer's share.
    #[error("the keys take {bytes} bytes, more than this issuer's share of {share}")]
    NoRoom {
        /// How much they take.
        bytes: usize,
        /// How much there is for one issuer.
        share: usize,
    },
    /// The answer is not this issuer's metadata (RFC 8414).
    #[error("{0}")]
    Metadata(#[from] MetadataError),
}

impl FetchError {
    /// A stable name for metrics.
    pub fn label(&self) -> &'static str {
        if let Self::Metadata(error) = self { error.label() } else { self.into() }
    }

    /// Whether no call was sent: no server has been asked.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self, Self::NotSent | Self::ClusterUnknown)
    }

    /// Whether another address of the same document may do better: the server says that there is nothing here for us.
    pub(crate) fn is_not_found_here(&self) -> bool {
        match self {
            // Nothing here, or a page for everything that is not here; not: too often, or out of order.
            Self::Status(status) => {
                ((300..500).contains(status) && ![408, 429].contains(status)) || *status == 501
            }
            Self::Metadata(_) | Self::TooLarge(_) => true,
            Self::NotSent
            | Self::ClusterUnknown
            | Self::NotReached(_)
            | Self::Reset
            | Self::Lost
            | Self::Coded(_)
            | Self::Malformed(_)
            | Self::EmptySet
            | Self::NoUsableKey(_)
            | Self::NoRoom { .. } => false,
        }
    }
}

/// An answer to a fetch, as HTTP goes.
pub(crate) enum Answer {
    /// A document.
    Document(Headers, Vec<u8>),
    /// What we have is still what there is.
    NotModified(Headers),
    /// None, and how long the server wants to be left alone.
    Failed(FetchError, Option<Duration>),
}

impl Answer {
    /// Reads a reply. `asked` tells whether we asked for no more than a change.
    pub(crate) fn read(reply: HttpReply, asked: bool, max_bytes: usize, now: crate::base::Timestamp) -> Self {
        match reply {
            HttpReply::NotSent => Self::Failed(FetchError::NotSent, None),
            HttpReply::ClusterUnknown => Self::Failed(FetchError::ClusterUnknown, None),
            HttpReply::Reset => Self::Failed(FetchError::Reset, None),
            HttpReply::Response { status: 200, body: Ok(body), .. } if body.len() > max_bytes => {
                Self::Failed(FetchError::TooLarge(body.len()), None)
            }
            HttpReply::Response { status: 200, headers, body: Ok(body) } => {
                // What begins as each of our documents does is one, whatever an object store says about it.
                let is_plain = body.trim_ascii_start().starts_with(b"{");
                match ContentCoding::of(&headers).filter(|_| !is_plain) {
                    Some(coding) => Self::Failed(FetchError::Coded(coding), None),
                    None => Self::Document(headers, body),
                }
            }
            HttpReply::Response { status: 200, body: Err(size), .. } => {
                Self::Failed(FetchError::TooLarge(size), None)
            }
            HttpReply::Response { status: 304, headers, .. } if asked => Self::NotModified(headers),
            HttpReply::Response { status, headers, body } => {
                let local = LocalReply::of(status, &headers, &body.unwrap_or_default());
                let error = local.map_or(FetchError::Status(status), FetchError::NotReached);
                Self::Failed(error, crate::base::retry_after(&headers, now))
            }
        }
    }
}
