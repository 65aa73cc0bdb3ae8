//! The tokens that the token endpoint granted, and which of them are still good: what a resource server would ask
//! about (RFC 7662), what a test revokes, and what it looks for where no token may be.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// What the issuer knows of its tokens.
#[derive(Debug, Default)]
pub(super) struct Issued(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    tokens: HashMap<Arc<str>, TokenState>,
    /// Oldest first.
    order: VecDeque<Arc<str>>,
}

#[derive(Clone, Copy, Debug)]
enum TokenState {
    /// Good until then; none: for ever.
    Granted(Option<Instant>),
    Revoked,
}

impl Issued {
    /// Remembers a token that was granted for so long.
    pub(super) fn grant(&self, token: &str, lifetime: Duration) {
        lock(&self.0).set(token, TokenState::Granted(Instant::now().checked_add(lifetime)));
    }

    /// Revokes a token. Returns whether it was live.
    pub(super) fn revoke(&self, token: &str) -> bool {
        let was_live = self.is_live(token);
        lock(&self.0).set(token, TokenState::Revoked);
        was_live
    }

    /// Revokes all tokens that were granted.
    pub(super) fn revoke_all(&self) {
        lock(&self.0).tokens.values_mut().for_each(|state| *state = TokenState::Revoked);
    }

    /// Returns all tokens that were granted or revoked, oldest first.
    pub(super) fn all(&self) -> Vec<String> {
        lock(&self.0).order.iter().map(|token| token.as_ref().to_owned()).collect()
    }

    /// Whether a token was granted, has not expired and was not revoked.
    pub(super) fn is_live(&self, token: &str) -> bool {
        match lock(&self.0).tokens.get(token) {
            Some(TokenState::Granted(until)) => until.is_none_or(|until| Instant::now() < until),
            Some(TokenState::Revoked) | None => false,
        }
    }

    /// Whether a token was revoked.
    pub(super) fn is_revoked(&self, token: &str) -> bool {
        matches!(lock(&self.0).tokens.get(token), Some(TokenState::Revoked))
    }
}

impl Memory {
    fn set(&mut self, token: &str, state: TokenState) {
        if let Some(known) = self.tokens.get_mut(token) {
            *known = state;
            return;
        }
        let token: Arc<str> = token.into();
        self.tokens.insert(Arc::clone(&token), state);
        self.order.push_back(token);
        if self.order.len() > MAX_TOKENS
            && let Some(oldest) = self.order.pop_front()
        {
            self.tokens.remove(&oldest);
        }
    }
}

/// 20 MB: half an hour's tokens at ten a second.
const MAX_TOKENS: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_twenty_thousand_tokens_are_remembered() {
        let issued = Issued::default();
        issued.grant("first", Duration::from_secs(60));
        for number in 1..MAX_TOKENS {
            issued.grant(&number.to_string(), Duration::from_secs(60));
        }
        assert!(issued.is_live("first") && issued.is_live("1"));
        issued.grant("last", Duration::from_secs(60));
        assert!(!issued.is_live("first") && issued.is_live("1") && issued.is_live("last"));
        assert_eq!((issued.all().len(), issued.all()[0].as_str()), (20_000, "1"));
    }

    #[test]
    fn a_token_is_live_until_it_expires_or_is_revoked() {
        let issued = Issued::default();
        issued.grant("expired", Duration::ZERO);
        issued.grant("endless", Duration::MAX);
        assert!(!issued.is_live("expired") && issued.is_live("endless") && !issued.is_live("unknown"));
        assert!(issued.revoke("endless") && !issued.revoke("endless") && !issued.revoke("unknown"));
        assert!(!issued.is_live("endless") && issued.is_revoked("endless") && issued.is_revoked("unknown"));
        assert!(!issued.is_revoked("expired"));
    }
}
