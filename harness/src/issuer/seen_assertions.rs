//! Which assertions clients have presented, so that none counts twice (RFC 7523 §3, item 7).

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::lock::lock;

/// The assertions that came, by client and `jti`.
#[derive(Debug, Default)]
pub(super) struct SeenAssertions(Mutex<VecDeque<(String, String)>>);

impl SeenAssertions {
    /// Remembers an assertion. Returns whether it is new.
    pub(super) fn insert(&self, client: &str, jti: &str) -> bool {
        let mut seen = lock(&self.0);
        if seen.iter().any(|(other, id)| other == client && id == jti) {
            return false;
        }
        if seen.len() >= MAX_SEEN {
            seen.pop_front();
        }
        seen.push_back((client.to_owned(), jti.to_owned()));
        true
    }
}

/// At one a second, more than live at once.
const MAX_SEEN: usize = 1_000;
