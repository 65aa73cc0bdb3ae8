//! Medians and their intervals, by order statistics: nothing is assumed of how the values are distributed.

use serde::Serialize;

/// What several measurements of one thing say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    /// The interval in which the true median lies with this `confidence`.
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) confidence: f64,
    /// Of how many values.
    pub(crate) values: usize,
}

/// What an estimate says of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// All of the interval keeps it.
    Pass,
    /// All of the interval misses it.
    Fail,
    /// The interval has both, or there are too few values for one: more runs are needed.
    Open,
    /// The worker had to share its core, so nothing can be said.
    Disturbed,
}

impl Estimate {
    /// Of these values; none of none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let median = median_of_sorted(&sorted)?;
        let (place, confidence) = outermost(sorted.len());
        let low = sorted.get(place).copied()?;
        let high = sorted.get(sorted.len() - 1 - place).copied()?;
        Some(Self { median, low, high, confidence, values: sorted.len() })
    }

    /// Of what should be at least so much.
    pub(crate) fn at_least(&self, target: f64) -> Verdict {
        if self.values < MIN_VALUES {
            return Verdict::Open;
        }
        match (self.low >= target, self.high >= target) {
            (true, _) => Verdict::Pass,
            (false, true) => Verdict::Open,
            (false, false) => Verdict::Fail,
        }
    }

    /// Of what should be at most so much.
    pub(crate) fn at_most(&self, target: f64) -> Verdict {
        if self.values < MIN_VALUES {
            return Verdict::Open;
        }
        match (self.high <= target, self.low <= target) {
            (true, _) => Verdict::Pass,
            (false, true) => Verdict::Open,
            (false, false) => Verdict::Fail,
        }
    }
}

/// Each value of ours by the other's of the same round: the median of each run's, or of the rounds where there is only
/// one run. What disturbs both alike, and what one start of a process has by luck, is thereby left out.
pub(crate) fn ratio(ours: &[Vec<f64>], others: &[Vec<f64>]) -> Option<Estimate> {
    let runs = ours.iter().zip(others);
    let runs: Vec<Vec<f64>> = runs
        .map(|(ours, others)| ours.iter().zip(others).map(|(one, other)| one / other).collect())
        .collect();
    match runs.as_slice() {
        [rounds] => Estimate::of(rounds.iter().copied()),
        runs => Estimate::of(runs.iter().filter_map(|rounds| median(rounds.iter().copied()))),
    }
}

/// The median; none of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.get(sorted.len() / 2).copied()?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    sorted.get(sorted.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

/// The place in a sorted list where the narrowest interval begins that has the median with `CONFIDENCE`, and the
/// confidence that it has; the first place, if the list is too short for that.
fn outermost(count: usize) -> (usize, f64) {
    // Each value is below the median with probability ½: the interval from place k misses it with 2·P(at most k of n).
    let mut outside = 2.0 * 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut term = outside;
    let mut best = (0, 1.0 - outside);
    for place in 1..count.div_ceil(2) {
        term *= (count - place + 1) as f64 / place as f64;
        outside += term;
        if 1.0 - outside < CONFIDENCE {
            break;
        }
        best = (place, 1.0 - outside);
    }
    (best.0, best.1.max(0.0))
}

/// What intervals have, where there are values enough: from six on.
pub(crate) const CONFIDENCE: f64 = 0.95;
/// Five values have an interval of 94 %.
const MIN_VALUES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median([]), None);
    }

    #[test]
    fn intervals_are_those_of_the_table_of_the_sign_test() {
        // Count, values left out on each side, confidence.
        for (count, place, confidence) in [
            (1, 0, 0.0),
            (2, 0, 0.5),
            (5, 0, 0.9375),
            (6, 0, 0.96875),
            (9, 1, 0.9609),
            (10, 1, 0.9785),
            (20, 5, 0.9586),
        ] {
            let (found, has) = outermost(count);
            assert_eq!(found, place, "{count}");
            assert!((has - confidence).abs() < 1e-4, "{count}: {has}");
        }
    }

    #[test]
    fn an_estimate_has_the_outer_values_of_its_interval() {
        let estimate = Estimate::of([5.0, 1.0, 9.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0]).unwrap();
        assert_eq!((estimate.low, estimate.median, estimate.high), (2.0, 5.0, 8.0));
        assert_eq!(Estimate::of([]), None);
    }

    #[test]
    fn a_ratio_is_of_values_of_the_same_round() {
        let slow_machine = ratio(&[vec![2.0, 20.0, 4.0]], &[vec![1.0, 10.0, 4.0]]).unwrap();
        assert_eq!((slow_machine.median, slow_machine.values), (2.0, 3));
        let runs = ratio(&[vec![2.0, 3.0], vec![4.0]], &[vec![1.0, 1.0], vec![1.0]]).unwrap();
        assert_eq!((runs.low, runs.median, runs.high, runs.values), (2.5, 3.25, 4.0, 2));
    }

    #[test]
    fn a_verdict_is_open_while_the_interval_has_the_target() {
        let estimate = Estimate::of([1.0, 1.1, 1.2, 1.3, 1.4, 1.5]).unwrap();
        assert_eq!(estimate.at_least(1.0), Verdict::Pass);
        assert_eq!(estimate.at_least(1.2), Verdict::Open);
        assert_eq!(estimate.at_least(1.6), Verdict::Fail);
        assert_eq!(estimate.at_most(1.5), Verdict::Pass);
        assert_eq!(estimate.at_most(1.4), Verdict::Open);
        assert_eq!(estimate.at_most(0.9), Verdict::Fail);
        let few = Estimate::of([1.0; 4]).unwrap();
        assert_eq!((few.at_least(0.5), few.at_most(2.0)), (Verdict::Open, Verdict::Open));
    }
}
