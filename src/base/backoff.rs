//! How long to leave a server alone that has failed.

use core::time::Duration;

use super::jitter::Jitter;

/// The pause after the `failures`-th failure in a row: 250 ms, doubled by each, at most [`MAX_BACKOFF`]; a random half
/// of it is taken off, so that workers that failed together do not come back together.
pub fn backoff(failures: u32, jitter: &mut Jitter) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let longest = FIRST_BACKOFF.saturating_mul(doubled).min(MAX_BACKOFF);
    let half = longest.checked_div(2).unwrap_or_default();
    jitter.between(half, longest)
}

/// At a proxy's start a cluster is often not there for a moment; the first retries are quick.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// A server that is back is found within this time.
pub const MAX_BACKOFF: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_within_their_halves() {
        let mut jitter = Jitter::new([0; 16]);
        for (failures, longest) in
            [(1, 250), (2, 500), (3, 1_000), (7, 16_000), (8, 30_000), (u32::MAX, 30_000)]
        {
            let longest = Duration::from_millis(longest);
            for _ in 0..50 {
                let pause = backoff(failures, &mut jitter);
                assert!(pause >= longest / 2 && pause <= longest, "{failures}: {pause:?}");
            }
        }
    }
}
