//! When a 401 of an upstream takes a token away.

use core::time::Duration;

use super::token::{Fingerprint, Token};
use crate::base::Timestamp;

/// What became of a token that an upstream answered 401 to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge {
    /// A new one is asked for. The old one is used again only if that fails.
    Purged,
    /// It stays: it is too new, or no new one can be had at the moment.
    Retained,
}

/// An upstream has answered 401.
pub(super) struct UnauthorizedReport {
    /// To this token.
    pub(super) token: Fingerprint,
    /// The least age of a token that is purged.
    pub(super) interval: Duration,
    /// Whether the endpoint can be asked for another, as far as this thread knows.
    pub(super) is_endpoint_there: bool,
    pub(super) now: Timestamp,
}

impl UnauthorizedReport {
    /// Whether it purges the token. One upstream that refuses every token must neither drive the token endpoint nor,
    /// while that is down, take the token away from all others.
    pub(super) fn should_purge(&self, token: &Token, failures: u32) -> bool {
        self.is_endpoint_there && failures == 0 && self.now >= token.sent.after(self.interval)
    }
}
