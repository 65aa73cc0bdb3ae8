use core::time::Duration;
use std::rc::Rc;

use super::fetch::FetchError;

/// What an operator wants to know beside an event of a document or a token: where it was asked for, what still works,
/// and when it is asked for next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSummary {
    /// The URL that was asked, without its query, which may hold a key; empty where it is not known.
    pub url: String,
    /// The cluster that carried the call.
    pub cluster: Rc<str>,
    /// What another address of the same document had said before.
    pub elsewhere: Option<(String, FetchError)>,
    /// How long what there is still counts; `None` where there is nothing.
    pub serves: Option<Duration>,
    /// How long until the next call at the earliest.
    pub next: Duration,
}
