//! How long decisions about tokens take, by the path that they took: samples for a histogram, and not one for each
//! request, since each costs a look at the host's clock and a host call.

use core::time::Duration;
use std::rc::Rc;

use super::name::name;
use crate::base::{Observation, Stopwatch, Timestamp};
use crate::inbound::{Timing, Work, WorkPath};

/// The samples of one filter since the last time that they were handed over.
#[derive(Debug)]
pub(super) struct DecisionTimes {
    timing: Timing,
    /// How many known tokens come before the next one that is timed.
    passed_over: u32,
    known: Samples,
    new: Samples,
    waited: Samples,
}

#[derive(Debug)]
struct Samples {
    name: Rc<str>,
    micros: Vec<u64>,
}

impl DecisionTimes {
    pub(super) fn new(timing: Timing) -> Self {
        let [known, new, waited] = [WorkPath::Known, WorkPath::New, WorkPath::Waited].map(Samples::new);
        Self { timing, passed_over: 0, known, new, waited }
    }

    /// Times a decision, if it is one that is timed, from `start` on.
    pub(super) fn time(
        &mut self,
        work: Work,
        start: Timestamp,
        stopwatch: &dyn Stopwatch,
    ) -> Option<Duration> {
        let is_every = self.timing == Timing::Every;
        let samples = match work.path() {
            Some(WorkPath::Known) if self.passed_over > 0 => {
                self.passed_over = self.passed_over.saturating_sub(1);
                None
            }
            Some(WorkPath::Known) => {
                self.passed_over = KNOWN_ONE_IN.saturating_sub(1);
                Some(&mut self.known)
            }
            Some(WorkPath::New) => Some(&mut self.new),
            Some(WorkPath::Waited) => Some(&mut self.waited),
            None => None,
        };
        let samples = samples.filter(|samples| samples.micros.len() < MAX_SAMPLES);
        if samples.is_none() && !is_every {
            return None;
        }
        let taken = stopwatch.since(start)?;
        if let Some(Samples { micros, .. }) = samples {
            micros.push(u64::try_from(taken.as_micros()).unwrap_or(u64::MAX));
        }
        Some(taken)
    }

    /// Hands over what there is.
    pub(super) fn flush(&mut self, observations: &mut Vec<Observation>) {
        for Samples { name, micros } in [&mut self.known, &mut self.new, &mut self.waited] {
            let samples = micros.drain(..).map(|value| Observation::Sample { name: Rc::clone(name), value });
            observations.extend(samples);
        }
    }
}

impl Samples {
    fn new(path: WorkPath) -> Self {
        let name = name("attache_decision_microseconds", &[("path", path.label())]);
        Self { name, micros: Vec::with_capacity(MAX_SAMPLES) }
    }
}

/// Of so many decisions about known tokens, one is timed.
const KNOWN_ONE_IN: u32 = 64;
/// The most samples of each path that are kept until the tick: a busy worker's known tokens give as many, and a flood of
/// forged ones costs no more than these.
const MAX_SAMPLES: usize = 64;

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;
    use crate::inbound::CacheResult;

    /// Says how long it has been running, and counts how often it is asked.
    struct Running(Duration, Cell<usize>);

    impl Stopwatch for Running {
        fn since(&self, _start: Timestamp) -> Option<Duration> {
            self.1.update(|asked| asked.saturating_add(1));
            Some(self.0)
        }
    }

    const KNOWN: Work = with(Some(CacheResult::Hit));
    const NEW: Work = with(Some(CacheResult::Miss));
    const NONE: Work = with(None);

    const fn with(cache: Option<CacheResult>) -> Work {
        Work { waited_for: None, cache, signatures: None, failed_checks: Duration::ZERO, taken: None }
    }

    fn samples(times: &mut DecisionTimes) -> Vec<u64> {
        let mut observations = Vec::new();
        times.flush(&mut observations);
        let values: Vec<_> = observations
            .iter()
            .filter_map(|observation| match observation {
                Observation::Sample { value, .. } => Some(*value),
                Observation::Count { .. }
                | Observation::Gauge { .. }
                | Observation::Adjust { .. }
                | Observation::Log { .. } => None,
            })
            .collect();
        assert_eq!(values.len(), observations.len());
        values
    }

    #[test]
    fn one_known_token_in_64_is_timed_and_each_new_one_and_no_other_request() {
        let watch = Running(Duration::from_nanos(7_900), Cell::new(0));
        let mut times = DecisionTimes::new(Timing::Sampled);
        for n in 0..129 {
            let taken = times.time(KNOWN, Timestamp::EPOCH, &watch);
            assert_eq!(taken.is_some(), n % 64 == 0, "{n}");
        }
        assert_eq!(times.time(NEW, Timestamp::EPOCH, &watch), Some(watch.0));
        assert_eq!(times.time(NONE, Timestamp::EPOCH, &watch), None);
        assert_eq!(watch.1.get(), 4);
        assert_eq!(samples(&mut times), [7; 4]);
        assert!(samples(&mut times).is_empty());
    }

    #[test]
    fn no_more_samples_are_kept_than_64_of_each_path_and_the_clock_is_left_alone_beyond() {
        let watch = Running(Duration::MAX, Cell::new(0));
        let mut times = DecisionTimes::new(Timing::Sampled);
        for n in 0..=MAX_SAMPLES {
            assert_eq!(times.time(NEW, Timestamp::EPOCH, &watch).is_some(), n < MAX_SAMPLES);
        }
        assert_eq!(watch.1.get(), MAX_SAMPLES);
        // Another path has room of its own.
        assert!(times.time(KNOWN, Timestamp::EPOCH, &watch).is_some());
        assert_eq!(samples(&mut times), [u64::MAX; MAX_SAMPLES + 1]);
        assert!(times.time(NEW, Timestamp::EPOCH, &watch).is_some());
    }

    #[test]
    fn where_each_decision_is_to_be_timed_none_is_left_out_and_no_more_samples_are_kept() {
        let watch = Running(Duration::from_micros(3), Cell::new(0));
        let mut times = DecisionTimes::new(Timing::Every);
        for work in [KNOWN, NEW, NONE].into_iter().cycle().take(600) {
            assert_eq!(times.time(work, Timestamp::EPOCH, &watch), Some(watch.0));
        }
        assert_eq!(samples(&mut times).len(), 4 + MAX_SAMPLES);
    }

    #[test]
    fn a_clock_that_cannot_be_read_gives_no_sample() {
        let mut times = DecisionTimes::new(Timing::Every);
        assert_eq!(times.time(NEW, Timestamp::EPOCH, &()), None);
        assert!(samples(&mut times).is_empty());
    }
}
