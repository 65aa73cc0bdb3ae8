//! The calls of this filter: what each one under way is for, and how many more one event may send.

use std::collections::BTreeMap;

use crate::base::{CallBudget, CallId, Command, HttpCall};
use crate::issuer::IssuerDocument;
use crate::outbound::OutboundCall;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallPurpose {
    /// A document of an issuer's.
    Issuer {
        /// The issuer, by its place in the configuration.
        issuer: usize,
        /// Which of its documents.
        document: IssuerDocument,
    },
    /// A token of ours, or where to ask for one.
    Outbound(OutboundCall),
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    under_way: BTreeMap<CallId, CallPurpose>,
    last: u32,
    /// How many more calls the event at hand may send.
    pub(super) budget: CallBudget,
}

impl Calls {
    /// An event begins that may send calls.
    pub(super) fn refill(&mut self) {
        self.budget = CallBudget::of(MAX_CALLS_PER_EVENT);
    }

    /// Sends a call. An earlier one for the same has been given up: no reply to it is taken any more.
    pub(super) fn send(&mut self, purpose: CallPurpose, call: HttpCall, commands: &mut Vec<Command>) {
        self.under_way.retain(|_, other| *other != purpose);
        self.last = self.last.wrapping_add(1);
        let id = CallId(self.last);
        self.under_way.insert(id, purpose);
        commands.push(Command::Call { id, call });
    }

    /// What the call was for that has ended, unless it has been given up.
    pub(super) fn take(&mut self, id: CallId) -> Option<CallPurpose> {
        self.under_way.remove(&id)
    }

    pub(super) fn purpose(&self, id: CallId) -> Option<CallPurpose> {
        self.under_way.get(&id).copied()
    }
}

/// The most calls that one event sends: with a thousand issuers, all are asked within seconds, and none of it at once.
const MAX_CALLS_PER_EVENT: usize = 32;
