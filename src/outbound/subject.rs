//! The caller's token that one of ours is exchanged for (RFC 8693).

use crate::base::{Secret, Timestamp};

/// The SHA-256 of a caller's token.
pub type SubjectDigest = [u8; 32];

/// A caller's token, verified.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it is known by.
    pub digest: SubjectDigest,
    /// The token itself.
    pub token: Secret,
    /// When it expires, if it does: what it was exchanged for counts no longer.
    pub expires: Timestamp,
}
