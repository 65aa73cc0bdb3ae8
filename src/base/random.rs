//! Randomness as a capability that the rim hands in: the core never reads it itself.

/// A source of unpredictable bytes.
pub trait Random {
    /// Fills all of `bytes`. It cannot fail: a source that can run dry must not be used for keys and names.
    fn fill(&self, bytes: &mut [u8]);
}
