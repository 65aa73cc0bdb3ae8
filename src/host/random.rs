//! Randomness from the host.

use core::hash::{BuildHasher, Hasher};
use std::collections::hash_map::RandomState;

use crate::base::Random;

/// The host's source of randomness.
pub(super) struct HostRandom;

impl Random for HostRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            // The standard library has drawn its hash keys before, or there would be no VM; keyed hashes of nothing are
            // as random as they, and no two of them use the same key.
            for chunk in bytes.chunks_mut(size_of::<u64>()) {
                let random = RandomState::new().build_hasher().finish().to_le_bytes();
                chunk.iter_mut().zip(random).for_each(|(byte, random)| *byte = random);
            }
        }
    }
}
