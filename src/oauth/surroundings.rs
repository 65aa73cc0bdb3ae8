use crate::base::{Jitter, Random, Timestamp};
use crate::sharing::SharedState;

/// What an event meets.
pub struct Surroundings<'a> {
    /// The time.
    pub now: Timestamp,
    /// What the threads of the process share.
    pub process: &'a dyn SharedState,
    /// Makes the nonces of a seal.
    pub random: &'a dyn Random,
    /// Spreads what would happen at once.
    pub jitter: &'a mut Jitter,
}
