//! All that this module can do to the world, besides the answer to the request at hand.

use std::rc::Rc;

use log::Level;

use super::http::{Edit, HttpCall, Response};

/// One request, as the host numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(pub u32);

/// One kind of call that we make, as the core numbers it. At most one call of a number is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(pub u32);

/// Something that the host has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make a call; its reply is handed in under the same number.
    Call {
        /// The number.
        id: CallId,
        /// The call.
        call: HttpCall,
    },
    /// Let a waiting request go on.
    Forward {
        /// The request.
        stream: StreamId,
        /// What changes in its headers first.
        edits: Vec<Edit>,
        /// The decision, for filter state, if it is to be written there.
        annotation: Option<Rc<str>>,
    },
    /// Answer a waiting request.
    Respond {
        /// The request.
        stream: StreamId,
        /// The answer.
        response: Response,
        /// The decision, for filter state.
        annotation: Rc<str>,
    },
    /// Add to a counter.
    Count {
        /// Its name, with labels.
        name: Rc<str>,
        /// How much. Not zero.
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
        /// How much. Not zero.
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
