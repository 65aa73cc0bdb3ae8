//! Tokens that have been denied lately: a client that goes on sending one is denied at once, and neither waits, nor
//! makes the filter ask the issuer again, nor has it check the same signature with the same keys again.
//!
//! The token itself is remembered, not its key id: by naming a key that is still to come, no client can have the tokens
//! denied that it will sign. What is remembered falls with any change of the issuer's keys, and after a while.

use core::hash::Hasher as _;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::denial::Denial;
use crate::base::Timestamp;
use crate::policy::IssuerId;

/// Tokens, and what each is denied with.
#[derive(Debug)]
pub(super) struct DeniedTokens {
    seed: [u8; 16],
    tokens: BTreeMap<u128, DeniedToken>,
    /// The oldest first.
    order: VecDeque<u128>,
}

#[derive(Debug)]
struct DeniedToken {
    issuer: IssuerId,
    /// Of the issuer's keys.
    generation: u64,
    denial: Denial,
    until: Timestamp,
}

impl DeniedTokens {
    /// The seed is random, so that no client can find two tokens with one digest.
    pub(super) fn new(seed: [u8; 16]) -> Self {
        Self { seed, tokens: BTreeMap::new(), order: VecDeque::new() }
    }

    /// What the token was denied with, if it was under these keys.
    pub(super) fn recall(
        &self,
        text: &[u8],
        issuer: IssuerId,
        generation: u64,
        now: Timestamp,
    ) -> Option<Denial> {
        if self.tokens.is_empty() {
            return None;
        }
        let token = self.tokens.get(&self.digest(text))?;
        let holds = token.issuer == issuer && token.generation == generation && now < token.until;
        holds.then(|| token.denial.clone())
    }

    /// Remembers a token; the oldest one is forgotten for it.
    pub(super) fn remember(
        &mut self,
        text: &[u8],
        issuer: IssuerId,
        generation: u64,
        denial: Denial,
        now: Timestamp,
    ) {
        let digest = self.digest(text);
        let denied = DeniedToken { issuer, generation, denial, until: now.after(FORGOTTEN_AFTER) };
        if self.tokens.insert(digest, denied).is_some() {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > MAX_DENIED_TOKENS
            && let Some(oldest) = self.order.pop_front()
        {
            self.tokens.remove(&oldest);
        }
    }

    fn digest(&self, text: &[u8]) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        hasher.write(text);
        hasher.finish128().as_u128()
    }
}

/// Issuers that sign with a key before they publish it publish it within such a time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);
/// Some hundred clients that have not noticed a change; each takes a hundred bytes.
pub const MAX_DENIED_TOKENS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);
    const CORP: IssuerId = IssuerId(0);

    #[test]
    fn a_token_is_remembered_for_its_issuer_and_its_keys_and_a_while() {
        let mut denied = DeniedTokens::new([1; 16]);
        denied.remember(b"token", CORP, 3, Denial::KeyUnknown, NOW);
        let recalls = |text: &[u8], issuer, generation, secs| {
            denied.recall(text, issuer, generation, Timestamp::from_secs(secs)).is_some()
        };
        assert!(recalls(b"token", CORP, 3, 1_029));
        assert!(!recalls(b"token", CORP, 3, 1_030));
        assert!(!recalls(b"token", CORP, 4, 1_000));
        assert!(!recalls(b"token", IssuerId(1), 3, 1_000));
        assert!(!recalls(b"tokeN", CORP, 3, 1_000));
    }

    #[test]
    fn one_more_than_are_kept_makes_the_oldest_forgotten() {
        let mut denied = DeniedTokens::new([1; 16]);
        for n in 0..=MAX_DENIED_TOKENS {
            for _ in 0..2 {
                denied.remember(&n.to_le_bytes(), CORP, 0, Denial::KeyUnknown, NOW);
            }
        }
        let recalls = |n: usize| denied.recall(&n.to_le_bytes(), CORP, 0, NOW).is_some();
        assert!(!recalls(0) && recalls(1) && recalls(MAX_DENIED_TOKENS));
        assert_eq!((denied.tokens.len(), denied.order.len()), (MAX_DENIED_TOKENS, MAX_DENIED_TOKENS));
    }
}
