//! What the upstream sees of a request that goes on.

use std::borrow::Cow;
use std::rc::Rc;

use super::credential;
use super::decision::Decision;
use super::settings::{AfterVerification, Settings, TokenPlace};
use crate::base::{Edit, RequestHead};

impl Settings {
    /// The token that a request has been permitted for, from the place where it sits.
    pub fn token_at(&self, place: TokenPlace, head: &RequestHead) -> Option<Vec<u8>> {
        credential::token_at(head, &self.sources, place).map(Cow::into_owned)
    }

    /// The edits of a request that is forwarded: permitted, or denied on a report-only route.
    ///
    /// Claim headers, and names that imitate protected ones, are removed from every request; then those of the token's
    /// claims that have a text are set. A claim that is absent leaves its header absent: no client can forge it.
    pub fn edits(&self, head: &RequestHead, decision: &Decision) -> Vec<Edit> {
        let token = decision.verdict.as_ref().ok().and_then(|permit| permit.token());
        let mut edits = Vec::new();
        for (index, forwarded) in self.forwarded_claims.iter().enumerate() {
            let text = token.and_then(|token| token.forwarded().get(index)?.as_ref());
            match text {
                Some(text) => edits.push(Edit::Set(Rc::clone(&forwarded.header), Rc::clone(text))),
                None if head.headers.first(&forwarded.header).is_some() => {
                    edits.push(Edit::Remove(Rc::clone(&forwarded.header)));
                }
                None => {}
            }
        }
        // No request with an imitation is permitted.
        if decision.verdict.is_err() {
            for name in self.protected.lookalikes(&head.headers) {
                // An imitation is ASCII, as the name that it imitates is.
                edits.extend(str::from_utf8(name).ok().map(|name| Edit::Remove(name.into())));
            }
        }
        if self.after_verification == AfterVerification::Strip {
            credential::removals(head, &self.sources, &mut edits);
        }
        edits
    }
}
