//! What is told of a document, beside an event or when asked.

use std::rc::Rc;

use super::Document;
use crate::base::{Secret, Timestamp};
use crate::oauth::address::Address;
use crate::oauth::fetch_client::FetchClient;
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

    /// When the last good answer came.
    pub(crate) fn last_good(&self) -> Option<Timestamp> {
        self.last_good
    }

    /// The client whose token the fetch carries that is under way, and the header's value as it was sent.
    pub(crate) fn sent_credential(&self) -> Option<(&FetchClient, &Secret)> {
        let sent = self.under_way.as_ref()?.credential.as_ref()?;
        self.definition.client.as_ref().zip(Some(sent))
    }

    pub(super) fn asked_url(&self) -> String {
        self.definition.address(self.asked).map(Address::shown).unwrap_or_default()
    }
}
