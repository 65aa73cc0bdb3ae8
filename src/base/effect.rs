//! All that this module can do to the world. Commands act on calls and waiting requests and need the root context, so
//! events of a request cannot give them; observations can be made from every context.

use std::rc::Rc;

use log::Level;

use super::audit::AuditEntry;
use super::http::{Edit, HttpCall, Response};

/// One request, as the host numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// One call of ours, as the core numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u32);

/// How many more calls may be sent.
#[derive(Debug, Default)]
pub struct CallBudget(usize);

impl CallBudget {
    /// So many.
    pub fn of(calls: usize) -> Self {
        Self(calls)
    }

    /// Whether none may be sent any more.
    pub fn is_spent(&self) -> bool {
        self.0 == 0
    }

    /// One has been sent.
    pub fn spend(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}

/// What the host has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make a call; its reply is handed in under the same number.
    Call {
        /// The number.
        id: CallId,
        /// The call.
        call: HttpCall,
    },
    /// End the wait of a request.
    Resume {
        /// The request.
        stream: StreamId,
        /// What becomes of it.
        outcome: Outcome,
    },
    /// Break off a request that has gone on. It does not wait, and no other command of the same event is about it.
    Reset {
        /// The request.
        stream: StreamId,
        /// Why, for filter state.
        annotation: Rc<str>,
        /// The same in the fields of the audit record.
        audit: Vec<AuditEntry>,
    },
}

/// A key in filter state, and what it is to hold.
pub type StateEntry = (&'static str, Rc<str>);

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Forward {
        /// What changes in its headers first.
        edits: Vec<Edit>,
        /// The decision, for filter state, if it is to be written there.
        annotation: Option<Rc<str>>,
        /// More for filter state.
        facts: Vec<StateEntry>,
        /// The audit record, for loggers: no request fails for want of it.
        audit: Vec<AuditEntry>,
    },
    /// It is answered here.
    Respond {
        /// The answer.
        response: Response,
        /// The decision, for filter state.
        annotation: Rc<str>,
        /// More for filter state.
        facts: Vec<StateEntry>,
        /// The audit record, for loggers: no request fails for want of it.
        audit: Vec<AuditEntry>,
    },
    /// It is held back until its body has come, and then handed in again with it ([`RequestHead::body`]).
    ///
    /// [`RequestHead::body`]: super::RequestHead::body
    AwaitBody {
        /// How many bytes are read at most.
        most: usize,
    },
}

/// What the host has to make known: a metric or a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Add to a counter.
    Count {
        /// Its name, with labels.
        name: Rc<str>,
        /// How much; zero once, where it is to be there before it counts.
        by: u64,
    },
    /// Set a gauge.
    Gauge {
        /// Its name, with labels.
        name: Rc<str>,
        /// To what.
        value: u64,
    },
    /// Add to a gauge that all threads keep together, or take off.
    Adjust {
        /// Its name, with labels.
        name: Rc<str>,
        /// How much; zero once, where it is to be there before it changes.
        by: i64,
    },
    /// Record a value in a histogram.
    Sample {
        /// Its name, with labels.
        name: Rc<str>,
        /// The value.
        value: u64,
    },
    /// Write a line to the log.
    Log {
        /// How grave it is.
        level: Level,
        /// The line: no token, claim or secret in it.
        line: String,
    },
}
