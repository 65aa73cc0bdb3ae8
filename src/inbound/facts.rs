//! What Envoy's own filters are told of a decision by filter state: one key for each fact, of those that the
//! configuration lists. No byte of it is the client's word: names are the configuration's, the rest is signed.

use std::borrow::Cow;
use std::rc::Rc;

use super::decision::Decision;
use super::settings::{Fact, Settings};
use crate::base::{MAX_HEADER_TEXT, StateEntry, is_header_text};
use crate::claims::VerifiedToken;
use crate::policy::IssuerId;

impl Settings {
    /// What is to be written of a decision. Each key is written of each request, and empty where there is nothing to
    /// say: what another filter has written, or this one when the request came through before, does not stay.
    pub fn facts(&self, decision: &Decision) -> Vec<StateEntry> {
        let text = |fact| self.text(fact, decision).unwrap_or_default();
        self.facts.iter().map(|fact| (fact.key(), Rc::from(text(*fact)))).collect()
    }

    fn text<'a>(&'a self, fact: Fact, decision: &'a Decision) -> Option<Cow<'a, str>> {
        // The issuer of a decision may be the word of a token that nobody has signed.
        let verified = || decision.token().zip(decision.issuer);
        let name = |issuer: IssuerId| Some(&*self.issuers.get(issuer.place())?.name);
        let text: Cow<'_, str> = match fact {
            Fact::Client => verified()?.0.client()?.into(),
            Fact::Principal => {
                let (token, issuer) = verified()?;
                format!("{}/{}", name(issuer)?, token.client()?).into()
            }
            Fact::Issuer => name(verified()?.1)?.into(),
            Fact::Subject => verified()?.0.subject()?.into(),
            Fact::Scopes => scopes(verified()?.0)?.into(),
            Fact::Route => (&*self.routes.route(decision.route?)?.name).into(),
            Fact::Outcome => decision.outcome().label().into(),
            Fact::Reason => decision.reason().into(),
        };
        // Filters put it into headers, descriptors and lines of access logs.
        is_header_text(&text).then_some(text)
    }
}

/// All scopes, unless that would be too much, or one of them holds a space: then other scopes would read the same.
fn scopes(token: &VerifiedToken) -> Option<String> {
    let mut text = String::new();
    for scope in token.scopes().iter() {
        if scope.contains(' ') || text.len().saturating_add(scope.len()) >= MAX_HEADER_TEXT {
            return None;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(scope);
    }
    Some(text)
}
