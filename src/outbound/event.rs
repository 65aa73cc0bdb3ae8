//! What happens to clients' tokens.

use core::time::Duration;

use super::issued_token::IssuedToken;
use crate::oauth::{GrantedScopes, TokenFault};
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
        /// What it is for.
        scopes: GrantedScopes,
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

impl TokenEvent {
    /// What came of the token request of this thread that it is about, in a word; `None` where it is about none.
    pub fn result(&self, is_exchange: bool) -> Option<&'static str> {
        match &self.change {
            TokenChange::Obtained { is_shared: false, .. } => Some("obtained"),
            TokenChange::Failed(fault) if is_exchange && fault.is_about_subject() => {
                Some(TokenFault::SUBJECT_REFUSED)
            }
            TokenChange::Failed(fault) => Some(fault.label()),
            TokenChange::Obtained { is_shared: true, .. }
            | TokenChange::Rejected(_)
            | TokenChange::Expired => None,
        }
    }
}

impl TokenChange {
    /// There is this token now.
    pub(super) fn obtained(token: &IssuedToken, is_shared: bool) -> Self {
        let lifetime = token.expires.since(token.sent);
        Self::Obtained { lifetime, scopes: token.scopes.clone(), is_shared }
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
