//! When a document is asked for: how long it is fresh, what a failure costs, what cannot wait.

use core::time::Duration;

use super::fault::{FaultClass, TokenFault};
use crate::base::{Jitter, Timestamp, backoff};
use crate::sharing::{Context, FetchState};

/// How a document is kept fresh. No duration is zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// How long one fetch may take.
    pub timeout: Duration,
    /// The longest time after a good fetch until the next one, whatever the server says.
    pub refresh: Duration,
    /// The shortest time after a good fetch until the next one, whatever the server says.
    pub min_refresh: Duration,
    /// The least time between two fetches that unknown keys cause.
    pub unknown_key_interval: Duration,
    /// How long the document still counts when it should have been fetched again and could not.
    pub max_staleness: Duration,
}

impl Schedule {
    /// How long a document is fresh whose server states this, and that has come back `unchanged` so often in a row.
    ///
    /// A server that wants to be asked more often than `min_refresh` allows, as by `no-store`, says nothing about how
    /// often its document changes. So one that stays what it is is asked for ever more rarely.
    pub(crate) fn lifetime(&self, stated: Option<Duration>, unchanged: u32) -> Duration {
        let lifetime = match stated {
            Some(stated) if stated < self.min_refresh => {
                let doubled = 1_u32.checked_shl(unchanged).unwrap_or(u32::MAX);
                self.min_refresh.saturating_mul(doubled).min(MAX_UNSTATED_LIFETIME)
            }
            Some(stated) => stated,
            None => self.refresh,
        };
        lifetime.min(self.refresh).max(self.min_refresh)
    }
}

/// What has happened to the fetches of a document, and when the next one is sent.
#[derive(Clone, Debug)]
pub(crate) struct Timetable {
    /// When the last fetch was sent, by whichever thread.
    last_sent: Option<Timestamp>,
    /// When the next fetch is due if all is well.
    due: Timestamp,
    /// How many fetches in a row have failed, by whichever thread.
    failures: u32,
    /// How many calls in a row this thread's host did not take.
    unsent: u32,
    /// Before this time, no fetch after a failure.
    not_before: Timestamp,
    /// This thread's last attempt has failed, and the next one does not wait for a date.
    tries_again: bool,
    hint: RefreshHint,
    /// When the clock was set back last, by the new one; the epoch when it never was.
    begun: Timestamp,
}

/// Whether a fetch is wanted before it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RefreshHint {
    None,
    /// Something does not fit what we have. Soon is soon enough: every client can make it up.
    Doubt,
    /// A request waits for it.
    Urgent,
}

impl Timetable {
    /// The first fetch is due now.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            last_sent: None,
            due: now,
            failures: 0,
            unsent: 0,
            not_before: Timestamp::EPOCH,
            tries_again: false,
            hint: RefreshHint::None,
            begun: Timestamp::EPOCH,
        }
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures.saturating_add(self.unsent)
    }

    pub(crate) fn refresh(&mut self, hint: RefreshHint) {
        self.hint = self.hint.max(hint);
    }

    /// When the next fetch is sent at the earliest.
    pub(crate) fn next_attempt(&self, schedule: &Schedule) -> Timestamp {
        if self.tries_again {
            return self.not_before;
        }
        let pause = match self.hint {
            RefreshHint::None => None,
            RefreshHint::Doubt => Some(schedule.unknown_key_interval.max(schedule.min_refresh)),
            RefreshHint::Urgent => Some(schedule.unknown_key_interval),
        };
        let allowed = |pause| self.last_sent.map_or(Timestamp::EPOCH, |sent| sent.after(pause));
        pause.map_or(self.due, |pause| self.due.min(allowed(pause))).max(self.not_before)
    }

    /// As [`Timetable::next_attempt`], where nothing is wanted before it is due.
    pub(crate) fn next(&self) -> Timestamp {
        if self.tries_again { self.not_before } else { self.due.max(self.not_before) }
    }

    /// The next fetch is due now.
    pub(crate) fn mark_due(&mut self, now: Timestamp) {
        self.due = now;
    }

    /// The clock has been set back: dates of the old one mean nothing.
    pub(crate) fn reset(&mut self, now: Timestamp) {
        self.due = now;
        self.not_before = self.not_before.min(now);
        self.last_sent = None;
        self.begun = now;
    }

    /// A fetch is sent; returns when the one before was.
    pub(crate) fn send(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.hint = RefreshHint::None;
        self.last_sent.replace(now)
    }

    /// The fetch was not sent after all.
    pub(crate) fn cancel(&mut self, last_sent: Option<Timestamp>) {
        self.last_sent = last_sent;
    }

    /// All is well until the next date, after a fetch that another thread has made for us. A fetch that cannot wait for
    /// a date is still wanted.
    pub(crate) fn put_off(&mut self, due: Timestamp) {
        self.due = self.due.max(due);
    }

    /// Whether a fetch is wanted before it is due.
    pub(crate) fn is_wanted(&self) -> bool {
        self.hint != RefreshHint::None
    }

    /// All is well until `due`; what came was asked for at `sent`.
    pub(crate) fn settle_until(&mut self, sent: Timestamp, due: Timestamp) {
        self.due = due;
        self.last_sent = self.last_sent.max(Some(sent));
        self.failures = 0;
        self.unsent = 0;
        self.not_before = Timestamp::EPOCH;
        self.tries_again = false;
        // A request that waited is decided about again now, and asks again if it has to.
        self.hint = RefreshHint::None;
    }

    /// A fetch has failed, and the server wants to be left alone for `pause`.
    pub(crate) fn fail(&mut self, pause: Duration, context: &mut Context<'_>) {
        self.failures = self.failures.saturating_add(1);
        self.unsent = 0;
        self.tries_again = true;
        let pause = backoff(self.failures, context.jitter).max(pause.min(MAX_RETRY_AFTER));
        self.not_before = context.now.after(pause);
    }

    /// A token request has failed with this fault, and the server wants to be left alone for `pause`.
    pub(crate) fn fail_for(&mut self, fault: &TokenFault, pause: Duration, context: &mut Context<'_>) {
        let least = match fault.class() {
            FaultClass::Configuration => SLOW_RETRY,
            FaultClass::Transient => Duration::ZERO,
        };
        if fault.is_unsent() {
            self.fail_to_send(context);
        } else {
            self.fail(pause.max(least), context);
        }
    }

    /// After a failure, the next attempt is no later than at `latest`, unless the server wants to be left alone for
    /// `pause`.
    pub(crate) fn try_again_by(&mut self, latest: Timestamp, pause: Duration, now: Timestamp) {
        self.not_before = self.not_before.min(latest).max(now.after(pause.min(MAX_RETRY_AFTER)));
    }

    /// A document is not where it was looked for, and there is another place to look at once.
    pub(crate) fn try_next_location(&mut self, now: Timestamp) {
        self.unsent = 0;
        self.tries_again = true;
        self.not_before = now;
    }

    /// This thread's host did not take the call. No server was asked, and another thread may have better luck.
    pub(crate) fn fail_to_send(&mut self, context: &mut Context<'_>) {
        self.unsent = self.unsent.saturating_add(1);
        self.tries_again = true;
        let pause = backoff(self.failures(), context.jitter).min(MAX_UNSENT_PAUSE);
        self.not_before = context.now.after(pause);
    }

    /// What other threads know. A lease is a hint: it can hold us back for a while, and never makes us ask sooner.
    pub(crate) fn sync_from(&mut self, state: &FetchState) {
        self.last_sent = self.last_sent.max(state.sent);
        self.failures = self.failures.max(state.failures);
        // A pause follows upon a fetch. Where that is to come, or was sent before the clock was set back, the pause
        // could be long over.
        if state.sent.is_some_and(|sent| sent >= self.begun) {
            self.not_before = self.not_before.max(state.not_before);
        }
    }

    /// What other threads may know.
    pub(crate) fn state(&self, published: Option<Timestamp>) -> FetchState {
        let not_before = if self.unsent > 0 { Timestamp::EPOCH } else { self.not_before };
        FetchState { sent: self.last_sent, failures: self.failures, not_before, published }
    }
}

/// How long after a good fetch the next one is due: ahead of the end of the lifetime, not for all documents at once,
/// and not before `least`.
pub(crate) fn pause(lifetime: Duration, least: Duration, jitter: &mut Jitter) -> Duration {
    let part = |percent: u32| lifetime.checked_div(100).unwrap_or_default().saturating_mul(percent);
    jitter.between(part(EARLIEST_PERCENT), part(LATEST_PERCENT)).max(least)
}

/// Refreshed between four fifths and nearly all of its lifetime: ahead of its end, and not all at once.
const EARLIEST_PERCENT: u32 = 80;
const LATEST_PERCENT: u32 = 95;
/// The default of `refresh`: no operator who has not said otherwise expects a withdrawn key to last longer.
const MAX_UNSTATED_LIFETIME: Duration = Duration::from_secs(600);
/// A cluster that comes late, as a mesh's do, is used within this time; until then, trying costs nothing.
const MAX_UNSENT_PAUSE: Duration = Duration::from_secs(1);
/// What an operator has to mend is not mended within seconds, and servers lock out clients that keep trying wrong
/// secrets.
const SLOW_RETRY: Duration = Duration::from_secs(60);
/// Envoy answers every call within its timeout; this only keeps a fault there from stopping fetches for ever.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(10);
/// A server that asks to be left alone for longer is asked again after this time all the same: an outage would be ours
/// then.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);
