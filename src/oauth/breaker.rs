//! A circuit breaker before a token endpoint, for all clients that ask there and all threads of the process: an
//! endpoint that is down is asked by one request at a time, not by each client's retries.
//!
//! Closed: all may ask. Open, after some failures in a row: none may, for a while. Half-open, after it: one request
//! probes, and its outcome closes the breaker or opens it again for longer.

use core::time::Duration;

use crate::base::Timestamp;
use crate::sharing::{Context, FetchState, LeaseLookup, SingleFlight};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// After so many failures in a row, at least 1.
    pub failures: u32,
    /// For so long at first; doubled by each probe that fails, at most [`MAX_OPEN`]. Not zero.
    pub open_duration: Duration,
}

/// What a breaker does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It lets all through.
    Closed,
    /// It lets one through, whose outcome decides.
    HalfOpen,
    /// It lets none through.
    Open,
}

/// A breaker.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    /// Its probes.
    flight: SingleFlight,
    failures: u32,
    /// Open until then; the epoch when closed.
    until: Timestamp,
    /// A probe of ours is under way until then.
    probe: Option<Timestamp>,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings, flight: SingleFlight) -> Self {
        Self { settings, flight, failures: 0, until: Timestamp::EPOCH, probe: None }
    }

    /// What it does now, as far as this thread has heard.
    pub fn state(&self, now: Timestamp) -> BreakerState {
        if self.failures < self.settings.failures {
            BreakerState::Closed
        } else if now < self.until {
            BreakerState::Open
        } else {
            BreakerState::HalfOpen
        }
    }

    /// When the next request may be let through at the earliest.
    pub fn opens_at(&self, now: Timestamp) -> Timestamp {
        match self.state(now) {
            BreakerState::Closed => now,
            BreakerState::Open | BreakerState::HalfOpen => self.until.max(self.probe.unwrap_or_default()),
        }
    }

    /// A number for it: updates are told by it. `None` where the threads share nothing.
    pub fn id(&self) -> Option<u64> {
        self.flight.id()
    }

    /// Makes sure that the process can share it.
    pub fn seed(&self, context: &Context<'_>) {
        self.flight.seed(context);
    }

    /// Whether a request may be sent; its outcome must be recorded.
    pub fn admit(&mut self, context: &Context<'_>) -> bool {
        let now = context.now;
        let lookup = self.sync(context);
        match self.state(now) {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => {
                let is_probed = self.probe.is_some_and(|until| now < until);
                if is_probed || lookup.found().is_some_and(|lease| lease.is_held) {
                    self.flight.defer();
                    return false;
                }
                let is_admitted = self.flight.acquire(lookup, context);
                if is_admitted {
                    self.probe = Some(now.after(self.flight.hold()));
                }
                is_admitted
            }
        }
    }

    /// Time has passed: while it knows of failures, others may know that they are over.
    pub fn handle_tick(&mut self, context: &Context<'_>) {
        if self.failures > 0 {
            self.sync(context);
        }
    }

    /// What other threads have found out counts here too, and so does their success.
    pub fn sync(&mut self, context: &Context<'_>) -> LeaseLookup {
        let lookup = self.flight.look(context);
        if let LeaseLookup::Found(lease) = lookup {
            self.failures = lease.state.failures;
            // Only another module, or the clock before it was set back, says that it is open for longer than a breaker
            // ever is.
            let until = lease.state.not_before;
            self.until = if until.since(context.now) > LONGEST_OPEN { Timestamp::EPOCH } else { until };
        }
        lookup
    }

    /// A request that was let through has been answered: the endpoint works. Whether that closed the breaker.
    pub fn succeed(&mut self, context: &Context<'_>) -> bool {
        let was_open = self.state(context.now) != BreakerState::Closed;
        let knew_failures = core::mem::take(&mut self.failures) > 0;
        self.probe = None;
        self.until = Timestamp::EPOCH;
        if knew_failures {
            self.publish(context);
        }
        was_open
    }

    /// A request that was let through has failed. Whether that opened the breaker.
    pub fn fail(&mut self, context: &mut Context<'_>) -> bool {
        let was_closed = self.state(context.now) == BreakerState::Closed;
        self.failures = self.failures.saturating_add(1);
        self.probe = None;
        let beyond = self.failures.checked_sub(self.settings.failures);
        if let Some(beyond) = beyond {
            let doubled = 1_u32.checked_shl(beyond).unwrap_or(u32::MAX);
            let first = self.settings.open_duration;
            let pause = first.saturating_mul(doubled).min(MAX_OPEN.max(first));
            let most = pause.saturating_add(pause.checked_div(JITTER_PART).unwrap_or_default());
            self.until = context.now.after(context.jitter.between(pause, most));
        }
        self.publish(context);
        was_closed && beyond.is_some()
    }

    /// The request was not sent after all: it says nothing about the endpoint.
    pub fn cancel(&mut self, context: &Context<'_>) {
        if self.probe.take().is_some() {
            self.publish(context);
        }
    }

    /// The clock has been set back: a pause of the old one may be hours.
    pub fn handle_clock_step(&mut self, now: Timestamp) {
        self.until = self.until.min(now.after(MAX_OPEN));
        self.probe = self.probe.map(|until| until.min(now.after(MAX_OPEN)));
    }

    fn publish(&self, context: &Context<'_>) {
        if let LeaseLookup::Found(lease) = self.flight.look(context) {
            let state = FetchState {
                sent: Some(context.now),
                failures: self.failures,
                not_before: self.until,
                published: lease.state.published,
            };
            self.flight.publish_state(&lease, state, context);
        }
    }
}

/// No endpoint that is back is left alone for longer.
pub const MAX_OPEN: Duration = Duration::from_secs(30);
/// With the longest spread that [`JITTER_PART`] adds.
const LONGEST_OPEN: Duration = Duration::from_secs(36);
/// A probe whose answer the host has lost stops others for this much longer than its timeout.
pub const PROBE_GRACE: Duration = Duration::from_secs(5);
/// A pause is longer by up to one in so many parts, so that proxies do not probe together.
const JITTER_PART: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sharing::TestHost;

    const SETTINGS: BreakerSettings = BreakerSettings { failures: 3, open_duration: Duration::from_secs(5) };

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_000).after(Duration::from_secs(secs))
    }

    fn breaker() -> Breaker {
        let hold = Duration::from_secs(1).saturating_add(PROBE_GRACE);
        Breaker::new(SETTINGS, SingleFlight::new(&[], None, 1, hold))
    }

    fn opened() -> (Breaker, TestHost) {
        let (mut breaker, mut host) = (breaker(), TestHost::new());
        assert!(!breaker.fail(&mut host.at(at(0))));
        assert!(!breaker.fail(&mut host.at(at(0))));
        assert_eq!(breaker.state(at(0)), BreakerState::Closed);
        assert!(breaker.fail(&mut host.at(at(0))));
        (breaker, host)
    }

    #[test]
    fn it_opens_at_the_last_of_its_failures_and_probes_once_after_its_pause() {
        let (mut breaker, mut host) = opened();
        assert_eq!(breaker.state(at(4)), BreakerState::Open);
        assert!(!breaker.admit(&host.at(at(4))));
        assert_eq!(breaker.state(at(7)), BreakerState::HalfOpen);
        assert!(breaker.admit(&host.at(at(7))));
        assert!(!breaker.admit(&host.at(at(7))), "one probe at a time");
        // A probe that is lost holds up the next one for a while only.
        assert!(breaker.admit(&host.at(at(14))));
    }

    #[test]
    fn a_probe_that_succeeds_closes_it_and_one_that_fails_opens_it_for_longer() {
        let (mut breaker, mut host) = opened();
        assert!(breaker.admit(&host.at(at(7))));
        assert!(!breaker.fail(&mut host.at(at(8))), "it was open already");
        assert_eq!(breaker.state(at(17)), BreakerState::Open);
        assert!(breaker.admit(&host.at(at(21))));
        assert!(breaker.succeed(&host.at(at(21))));
        assert_eq!(breaker.state(at(21)), BreakerState::Closed);
        assert!(breaker.admit(&host.at(at(21))) && breaker.admit(&host.at(at(21))));
    }

    #[test]
    fn no_pause_is_longer_than_the_longest() {
        let (mut breaker, mut host) = opened();
        for _ in 0..100 {
            breaker.fail(&mut host.at(at(0)));
        }
        assert!(breaker.opens_at(at(0)) <= at(0).after(MAX_OPEN + MAX_OPEN / JITTER_PART));
        breaker.handle_clock_step(at(0));
        assert!(breaker.opens_at(at(0)) <= at(0).after(MAX_OPEN));
    }

    #[test]
    fn success_in_between_starts_the_count_anew() {
        let (mut breaker, mut host) = (breaker(), TestHost::new());
        for _ in 0..10 {
            breaker.fail(&mut host.at(at(0)));
            breaker.fail(&mut host.at(at(0)));
            assert!(!breaker.succeed(&host.at(at(0))));
        }
        assert_eq!(breaker.state(at(0)), BreakerState::Closed);
    }
}
