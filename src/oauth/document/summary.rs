//! What is told beside an event of a document.

use std::rc::Rc;

use super::Document;
use crate::base::Timestamp;
use crate::oauth::address::Address;
use crate::oauth::summary::CallSummary;

impl Document {
    /// What to tell beside an event.
    pub(crate) fn summary(&self, now: Timestamp) -> CallSummary {
        CallSummary {
            url: self.asked_url(),
            cluster: Rc::clone(&self.definition.cluster),
            elsewhere: self.elsewhere.clone(),
            serves: self.held.as_ref().map(|held| held.until.since(now)),
            next: self.next_attempt().since(now),
        }
    }

    pub(super) fn asked_url(&self) -> String {
        self.definition.address(self.asked).map(Address::shown).unwrap_or_default()
    }
}
