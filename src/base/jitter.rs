//! Spreads what would otherwise happen everywhere at once.

use core::hash::Hasher as _;
use core::time::Duration;

use siphasher::sip::SipHasher13;

/// A sequence of numbers that a seed determines. Nothing secret may rest on it, nor that a number comes only once: that
/// is what [`Random`](super::Random) is for.
#[derive(Clone, Debug)]
pub struct Jitter {
    seed: [u8; 16],
    drawn: u64,
}

impl Jitter {
    /// The sequence of this seed.
    pub const fn new(seed: [u8; 16]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        hasher.write_u64(self.drawn);
        hasher.finish()
    }

    /// A duration between two, both included; `low` where `high` is less.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let span = nanos(high).saturating_sub(nanos(low));
        let drawn = self.number();
        let part = span.checked_add(1).and_then(|places| drawn.checked_rem(places)).unwrap_or(drawn);
        low.saturating_add(Duration::from_nanos(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_stay_between_their_bounds_and_differ() {
        let (low, high) = (Duration::from_secs(8), Duration::from_secs(9));
        let mut jitter = Jitter::new([3; 16]);
        let drawn: Vec<_> = (0..100).map(|_| jitter.between(low, high)).collect();
        assert!(drawn.iter().all(|drawn| (low..=high).contains(drawn)));
        assert!(drawn.iter().collect::<std::collections::BTreeSet<_>>().len() > 90);
        assert_eq!(jitter.between(high, low), high);
        assert_eq!(jitter.between(low, low), low);
        assert!(jitter.between(Duration::ZERO, Duration::MAX) <= Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn two_seeds_draw_two_sequences() {
        assert_ne!(Jitter::new([1; 16]).number(), Jitter::new([2; 16]).number());
    }
}
