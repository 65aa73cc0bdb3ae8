//! Every answer against the rule of its moment. A 503 is only right with `Retry-After`, and no answer at all is never right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::connection::Answer;

/// What a request carries. The number tells issuers or keys apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A token that passes while its key is published.
    Good(usize),
    /// A good key's token without the scope.
    Narrow(usize),
    /// Signed by an unknown key under a good key's id.
    Forged(usize),
    /// One of a flood of forgeries, of which not all are looked at.
    Flood,
    /// A token that is refused before its signature is looked at.
    Worthless,
    /// Signed by a key that was never published.
    Unknown,
    /// No token.
    Nobody,
    /// A token that some configurations allow and others do not.
    Sometimes,
    /// A token for a route that asks for more in every configuration.
    Never,
    /// No token, on a public route.
    Public,
}

/// A request that was sent. Times count from the load's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) sent: Duration,
    pub(crate) received: Duration,
    /// None if the connection ended, or nothing came in time.
    pub(crate) answer: Option<Answer>,
}

/// What came of a load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) allowed: u64,
    pub(crate) refused: u64,
    pub(crate) wrongly_allowed: u64,
    pub(crate) wrongly_refused: u64,
    /// What was wrong, in words.
    pub(crate) wrong: BTreeMap<String, Wrong>,
}

/// How often something was wrong.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) count: u64,
    pub(crate) numbers: BTreeSet<usize>,
    /// When the first request was sent, and the last.
    pub(crate) first: Duration,
    pub(crate) last: Duration,
}

impl Kind {
    fn name_and_number(self) -> (&'static str, Option<usize>) {
        match self {
            Self::Good(number) => ("good", Some(number)),
            Self::Narrow(number) => ("narrow", Some(number)),
            Self::Forged(number) => ("forged", Some(number)),
            Self::Flood => ("flood", None),
            Self::Worthless => ("worthless", None),
            Self::Unknown => ("unknown", None),
            Self::Nobody => ("nobody", None),
            Self::Sometimes => ("sometimes", None),
            Self::Never => ("never", None),
            Self::Public => ("public", None),
        }
    }

    /// The status while the issuer's keys are known and stay what they are.
    pub(crate) fn usual(self) -> &'static [u16] {
        match self {
            Self::Good(_) | Self::Public => &[200],
            Self::Sometimes => &[200, 403],
            Self::Narrow(_) | Self::Never => &[403],
            Self::Flood => &[401, 503],
            Self::Forged(_) | Self::Worthless | Self::Unknown | Self::Nobody => &[401],
        }
    }
}

impl Record {
    pub(crate) fn status(&self) -> u16 {
        self.answer.map_or(0, |answer| answer.status)
    }
}

impl Tally {
    /// Judges all of them; the rule says which statuses are right.
    pub(crate) fn of(records: &[Record], rule: impl Fn(&Record) -> &'static [u16]) -> Self {
        let mut tally = Self::default();
        for record in records {
            tally.add(record, rule(record));
        }
        tally
    }

    fn add(&mut self, record: &Record, expected: &'static [u16]) {
        let is_allowed = record.status() == 200;
        self.requests += 1;
        self.allowed += u64::from(is_allowed);
        self.refused += u64::from(!is_allowed);
        let is_mute = record.answer.is_some_and(|answer| answer.status == 503 && !answer.has_retry_after);
        if expected.contains(&record.status()) && !is_mute {
            return;
        }
        self.wrongly_allowed += u64::from(is_allowed);
        self.wrongly_refused += u64::from(!is_allowed);
        let got = match record.answer {
            None => "no answer".to_owned(),
            Some(answer) if is_mute => format!("{} without Retry-After", answer.status),
            Some(answer) => answer.status.to_string(),
        };
        let (name, number) = record.kind.name_and_number();
        let sent = record.sent;
        let new = || Wrong { count: 0, numbers: BTreeSet::new(), first: sent, last: sent };
        let wrong = self.wrong.entry(format!("{name}: expected {expected:?}, got {got}")).or_insert_with(new);
        wrong.count += 1;
        wrong.numbers.extend(number);
        wrong.last = sent;
    }
}
