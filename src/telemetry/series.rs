//! Counters and gauges by key, each with its name in Envoy. Kept here and handed to the host on the tick, so that a
//! request costs no host call.

use core::hash::Hash;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use crate::base::{Observation, Timestamp};

/// What a counter counts. Labels are the configuration's and our own, and no client's: their hash needs no key.
pub(super) trait CounterKey: Copy + Eq + Hash {
    /// The counter that takes what has no room of its own. There are as many of these as results, and no more.
    fn merged(self) -> Self;
}

/// Counters, of which so many have names of their own; what is counted beyond them goes to merged ones.
#[derive(Debug)]
pub(super) struct Counters<K> {
    counters: HashMap<K, Counter, FxBuildHasher>,
    most: usize,
    is_dirty: bool,
}

/// A counter, by the names that it has in other places.
#[derive(Debug)]
pub(super) struct Counter {
    /// In Envoy, with labels.
    pub(super) name: Rc<str>,
    /// In an access log; empty where it counts nothing that is logged there.
    pub(super) annotation: Rc<str>,
    pending: u64,
    /// The host does not know it yet.
    is_new: bool,
}

impl Counter {
    pub(super) fn new(name: Rc<str>, annotation: Rc<str>) -> Self {
        Self { name, annotation, pending: 0, is_new: true }
    }
}

impl<K: CounterKey> Counters<K> {
    /// No counts yet; at most [`MAX_SERIES`] will have names.
    pub(super) fn new() -> Self {
        Self::up_to(MAX_SERIES)
    }

    /// No counts yet; at most so many will have names.
    pub(super) fn up_to(most: usize) -> Self {
        Self { counters: HashMap::default(), most, is_dirty: false }
    }

    /// Adds to a counter, which `create` names if it is new.
    pub(super) fn add(&mut self, key: K, by: u64, create: impl FnOnce(K) -> Counter) -> &Counter {
        self.is_dirty = true;
        let has_room = self.counters.len() < self.most || self.counters.contains_key(&key);
        let key = if has_room { key } else { key.merged() };
        let counter = self.counters.entry(key).or_insert_with(|| create(key));
        counter.pending = counter.pending.saturating_add(by);
        counter
    }

    /// Makes a counter known to the host before it counts anything; not where it would take another one's room.
    pub(super) fn define(&mut self, key: K, create: impl FnOnce(K) -> Counter) {
        if self.counters.len() < self.most {
            self.is_dirty = true;
            self.counters.entry(key).or_insert_with(|| create(key));
        }
    }

    /// Hands over what has been counted since the last time, and what is new.
    pub(super) fn flush(&mut self, observations: &mut Vec<Observation>) {
        if !core::mem::take(&mut self.is_dirty) {
            return;
        }
        for counter in self.counters.values_mut().filter(|counter| counter.pending > 0 || counter.is_new) {
            counter.is_new = false;
            let by = core::mem::take(&mut counter.pending);
            observations.push(Observation::Count { name: Rc::clone(&counter.name), by });
        }
    }
}

/// Gauges that all workers see alike, and one of them sets.
#[derive(Debug)]
pub(super) struct Gauges<K> {
    gauges: BTreeMap<K, Gauge>,
    /// When they were handed over last; `None` when it was not for this worker to do.
    flushed_at: Option<Timestamp>,
    /// Something that they show has happened since.
    has_changed: bool,
}

#[derive(Debug)]
struct Gauge {
    name: Rc<str>,
    shown: Option<u64>,
}

impl<K: Ord> Gauges<K> {
    /// Nothing has been shown.
    pub(super) fn new() -> Self {
        Self { gauges: BTreeMap::new(), flushed_at: None, has_changed: false }
    }

    /// Something has happened that they show.
    pub(super) fn mark_changed(&mut self) {
        self.has_changed = true;
    }

    /// Whether this worker is to hand them over now: the leader does, at once where something has changed, and else
    /// each second.
    pub(super) fn is_due(&mut self, is_leader: bool, now: Timestamp) -> bool {
        if !is_leader {
            self.flushed_at = None;
            return false;
        }
        let before = self.flushed_at;
        let is_due = self.has_changed || before.is_none_or(|at| now < at || now.since(at) >= GAUGE_PERIOD);
        if is_due {
            self.has_changed = false;
            self.flushed_at = Some(now);
        }
        if before.is_none() {
            // Another worker has set them meanwhile.
            self.gauges.values_mut().for_each(|gauge| gauge.shown = None);
        }
        is_due
    }

    /// Hands over a value that is not shown yet. `name` names a gauge that is new.
    pub(super) fn set(
        &mut self,
        key: K,
        value: u64,
        name: impl FnOnce() -> Rc<str>,
        observations: &mut Vec<Observation>,
    ) {
        let gauge = self.gauges.entry(key).or_insert_with(|| Gauge { name: name(), shown: None });
        if gauge.shown.replace(value) != Some(value) {
            observations.push(Observation::Gauge { name: Rc::clone(&gauge.name), value });
        }
    }
}

/// The most counters of one kind with names of their own. Envoy never forgets a metric, and each takes some 500 bytes
/// there.
pub const MAX_SERIES: usize = 4096;
/// The most pairs of an issuer and a route, or a client, whose counters are defined before they count.
pub(super) const MAX_DEFINED_PAIRS: usize = 64;
/// How often gauges are handed over. Dashboards look less often.
const GAUGE_PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    struct Key(Option<usize>);

    impl CounterKey for Key {
        fn merged(self) -> Self {
            Self(None)
        }
    }

    #[test]
    fn counters_beyond_the_limit_are_merged_and_those_within_it_stay() {
        let mut counters = Counters::new();
        let name = |Key(number): Key| Counter::new(format!("{number:?}").into(), "".into());
        for number in (0..MAX_SERIES + 2).chain([0]) {
            counters.add(Key(Some(number)), 1, name);
        }
        let mut observations = Vec::new();
        counters.flush(&mut observations);
        assert_eq!(observations.len(), MAX_SERIES + 1);
        for (name, by) in [("None", 2), ("Some(0)", 2), ("Some(1)", 1)] {
            assert!(observations.contains(&Observation::Count { name: name.into(), by }), "{name}");
        }
        observations.clear();
        counters.flush(&mut observations);
        assert!(observations.is_empty());
    }

    #[test]
    fn the_leader_hands_gauges_over_each_second_and_all_of_them_when_it_becomes_one() {
        let mut gauges = Gauges::new();
        let mut shown = |is_leader, has_changed: bool, secs| {
            if has_changed {
                gauges.mark_changed();
            }
            let mut observations = Vec::new();
            let is_due = gauges.is_due(is_leader, NOW.after(Duration::from_secs(secs)));
            if is_due {
                gauges.set((), 7, || "seven".into(), &mut observations);
            }
            (is_due, observations.len())
        };
        assert_eq!(shown(false, false, 0), (false, 0));
        assert_eq!(shown(true, false, 0), (true, 1));
        assert_eq!(shown(true, false, 0), (false, 0));
        assert_eq!(shown(true, false, 1), (true, 0), "the same value is not handed over again");
        assert_eq!(shown(true, true, 1), (true, 0));
        assert_eq!(shown(false, true, 1), (false, 0));
        assert_eq!(shown(true, false, 1), (true, 1), "another worker may have set it");
        assert_eq!(shown(true, false, 0), (true, 0), "the clock has been set back");
    }
}
