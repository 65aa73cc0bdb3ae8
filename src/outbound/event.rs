//! What happens to clients' tokens.

use core::time::Duration;

use super::issued_token::IssuedToken;
use crate::oauth::TokenFault;
use crate::sharing::Unreadable;

/// Something happened to a client's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEvent {
    /// How many attempts had failed in a row before.
    pub failures: u32,
    /// What.
    pub change: TokenChange,
    /// What it did to the endpoint's breaker.
    pub breaker: BreakerChange,
    /// How long the request took, if it was ours.
    pub took: Option<Duration>,
}

/// What happened to a client's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenChange {
    /// There is a new one.
    Obtained {
        /// How long it lives.
        lifetime: Duration,
        /// How many of the scopes that were asked for it lacks.
        missing_scopes: usize,
        /// Another thread obtained it.
        is_shared: bool,
    },
    /// None was obtained; what there is stays.
    Failed(TokenFault),
    /// What another thread should have left is not to be believed.
    Rejected(Unreadable),
    /// It expired before there was a new one.
    Expired,
}

impl TokenChange {
    /// There is this token now.
    pub(super) fn obtained(token: &IssuedToken, is_shared: bool) -> Self {
        let lifetime = token.expires.since(token.sent);
        Self::Obtained { lifetime, missing_scopes: token.missing_scopes, is_shared }
    }
}

/// What an outcome did to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerChange {
    /// Nothing that is worth a line.
    None,
    /// It lets no request through from now on.
    Opened,
    /// It lets all through again.
    Closed,
}
