//! Bytes that differ each time, and numbers for mutations: both the same again for the same beginning.

use std::cell::Cell;

use attache::base::Random;

/// Bytes that differ each time.
pub(crate) struct Drawn(Cell<u64>);

impl Drawn {
    pub(crate) fn new() -> Self {
        Self(Cell::new(1))
    }
}

impl Random for Drawn {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0.set(self.0.get() + 1);
            chunk.copy_from_slice(&self.0.get().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// SplitMix64: choices for a mutator.
pub(crate) struct Choices(u64);

impl Choices {
    pub(crate) fn new(seed: u32, text: &[u8]) -> Self {
        Self((u64::from(seed) << 20) | text.len() as u64)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one; zero if there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.number() % bound as u64) as usize }
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
