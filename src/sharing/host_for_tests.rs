use super::context::Context;
use super::shared_state::NoSharedState;
use crate::base::{Jitter, Observation, Random, Timestamp};

/// A host without other threads: contexts for unit tests.
pub(crate) struct TestHost {
    jitter: Jitter,
    observations: Vec<Observation>,
}

impl TestHost {
    pub(crate) fn new() -> Self {
        Self { jitter: Jitter::new([1; 16]), observations: Vec::new() }
    }

    pub(crate) fn at(&mut self, now: Timestamp) -> Context<'_> {
        let Self { jitter, observations } = self;
        let (crypto, shared) = (&crate::jose::RustCrypto, &NoSharedState);
        Context { now, stopwatch: &(), crypto, random: &NotRandom, shared, jitter, observations }
    }
}

struct NotRandom;

impl Random for NotRandom {
    fn fill(&self, _bytes: &mut [u8]) {}
}
