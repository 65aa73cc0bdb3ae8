use super::token::IssuedTokens;
use crate::base::{Jitter, Random, Timestamp};
use crate::jose::Crypto;
use crate::oauth;
use crate::sharing::SharedState;

/// What an event meets, as the filter has it.
pub struct Moment<'a> {
    /// The time.
    pub now: Timestamp,
    /// What the threads of the process share.
    pub process: &'a dyn SharedState,
    /// Signs assertions.
    pub crypto: &'a dyn Crypto,
    /// Makes them, and the nonces of a seal, unique.
    pub random: &'a dyn Random,
    /// Spreads what would happen at once.
    pub jitter: &'a mut Jitter,
}

impl<'a> Moment<'a> {
    pub(super) fn with(self, known: &'a mut IssuedTokens) -> Surroundings<'a> {
        let Self { now, process, crypto, random, jitter } = self;
        Surroundings { now, process, crypto, random, jitter, known }
    }
}

/// The same, with all that is known of our tokens.
pub(super) struct Surroundings<'a> {
    pub(super) now: Timestamp,
    pub(super) process: &'a dyn SharedState,
    pub(super) crypto: &'a dyn Crypto,
    pub(super) random: &'a dyn Random,
    pub(super) jitter: &'a mut Jitter,
    pub(super) known: &'a mut IssuedTokens,
}

impl Surroundings<'_> {
    pub(super) fn of_document(&mut self) -> oauth::Surroundings<'_> {
        oauth::Surroundings { now: self.now, process: self.process, random: self.random, jitter: self.jitter }
    }
}
