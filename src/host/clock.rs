//! The host's clock.

use core::time::Duration;
use std::time::UNIX_EPOCH;

use proxy_wasm::hostcalls;

use crate::base::{Stopwatch, Timestamp};

/// The time now. One that cannot be told is the end of time, at which every token that expires has expired.
pub(super) fn now() -> Timestamp {
    let since = hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let nanos = since.and_then(|since| u64::try_from(since.as_nanos()).ok());
    nanos.map_or(Timestamp::MAX, Timestamp::from_nanos)
}

/// Reads the clock once more, each time that it is asked.
pub(super) struct HostStopwatch;

impl Stopwatch for HostStopwatch {
    fn since(&self, start: Timestamp) -> Option<Duration> {
        let now = now();
        (now != Timestamp::MAX).then(|| now.since(start))
    }
}
