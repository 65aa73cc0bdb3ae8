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

    /// The payload of the token that a request has been permitted for. It is the part of the request's own token that
    /// was verified, so nothing of it has to be kept.
    fn payload(&self, head: &RequestHead, decision: &Decision) -> Option<Rc<str>> {
        let place = decision.verdict.as_ref().ok()?.token_place()?;
        let token = credential::token_at(head, &self.sources, place)?;
        let payload = token.split(|byte| *byte == b'.').nth(1)?;
        Some(str::from_utf8(payload).ok()?.into())
    }

    /// The edits of a request that is forwarded: permitted, or denied on a report-only route.
    ///
    /// Our headers, and names that imitate protected ones, are removed from every request; then those of the token's
    /// claims that have a text are set. A claim that is absent leaves its header absent: no client can forge it.
    pub fn edits(&self, head: &RequestHead, decision: &Decision) -> Vec<Edit> {
        let token = decision.verdict.as_ref().ok().and_then(|permit| permit.token());
        let mut edits = Vec::new();
        for (index, forwarded) in self.forwarded_claims.iter().enumerate() {
            let text = token.and_then(|token| token.forwarded().get(index)?.clone());
            set(&forwarded.header, text, head, &mut edits);
        }
        if let Some(header) = &self.payload_header {
            set(header, self.payload(head, decision), head, &mut edits);
        }
        if let Some(header) = &self.report_header {
            let reason = decision.verdict.is_err().then(|| decision.reason().into());
            set(header, reason, head, &mut edits);
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

/// Puts our text into our header, or takes away what a client has put there.
fn set(header: &Rc<str>, text: Option<Rc<str>>, head: &RequestHead, edits: &mut Vec<Edit>) {
    match text {
        Some(text) => edits.push(Edit::Set(Rc::clone(header), text)),
        None if head.headers.first(header).is_some() => edits.push(Edit::Remove(Rc::clone(header))),
        None => {}
    }
}
