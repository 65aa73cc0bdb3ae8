use std::time::{SystemTime, UNIX_EPOCH};

use attache::base::{Jitter, Observation, Random, Timestamp};
use attache::jose::RustCrypto;
use attache::sharing::{Context, NoSharedState};

/// What stands in Envoy's place for the filter's stores: this machine's clock and randomness, and one thread.
#[derive(Debug)]
pub(super) struct Host {
    jitter: Jitter,
    observations: Vec<Observation>,
}

/// The randomness of the operating system.
struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            // It signs assertions: nothing else may be in its place.
            std::process::abort();
        }
    }
}

impl Host {
    pub(super) fn new() -> Self {
        Self { jitter: Jitter::new([0; 16]), observations: Vec::new() }
    }

    /// The context of an event at this time.
    pub(super) fn context(&mut self, now: Timestamp) -> Context<'_> {
        self.observations.clear();
        Context {
            now,
            stopwatch: &(),
            crypto: &RustCrypto,
            random: &SystemRandom,
            shared: &NoSharedState,
            jitter: &mut self.jitter,
            observations: &mut self.observations,
        }
    }
}

/// The time here.
pub(super) fn now() -> Timestamp {
    #[allow(clippy::disallowed_methods, reason = "a command line reads the clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_secs(now.as_secs())
}
