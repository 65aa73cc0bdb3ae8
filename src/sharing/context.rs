use super::shared_state::SharedState;
use crate::base::{Jitter, Observation, Random, Stopwatch, Timestamp};
use crate::jose::Crypto;

/// What every event is handled in. Made once for each event by the host, or by a test in its place.
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// How much later it is meanwhile.
    pub stopwatch: &'a dyn Stopwatch,
    /// Checks and makes signatures.
    pub crypto: &'a dyn Crypto,
    /// Makes what must not be guessed.
    pub random: &'a dyn Random,
    /// What the threads of the process share.
    pub shared: &'a dyn SharedState,
    /// Spreads what would otherwise happen everywhere at once. The same one at every event of a filter.
    pub jitter: &'a mut Jitter,
    /// The metrics and log lines that come of the event.
    pub observations: &'a mut Vec<Observation>,
}
