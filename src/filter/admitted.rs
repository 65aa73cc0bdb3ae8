//! A request that may leave, on its way from the inbound half to the outbound one.

use std::rc::Rc;

use crate::base::{AuditEntry, Edit, Outcome, StateEntry, StreamId, Timestamp};
use crate::inbound::TokenPlace;
use crate::policy::MetadataClient;

/// A request that may leave: what there is to know of it, beside its head.
#[derive(Debug)]
pub(super) struct AdmittedRequest {
    pub(super) stream: StreamId,
    /// When it came to this half.
    pub(super) arrived: Timestamp,
    /// What the inbound half changes in its headers.
    pub(super) edits: Vec<Edit>,
    /// What the inbound half decided, for filter state.
    pub(super) annotation: Option<Rc<str>>,
    /// More of it.
    pub(super) facts: Vec<StateEntry>,
    /// Its audit record.
    pub(super) audit: Vec<AuditEntry>,
    /// The client whose token goes on it, by the metadata of its route.
    pub(super) client: MetadataClient,
    /// The token that it was permitted for, for an exchange.
    pub(super) token: Option<AdmittedToken>,
}

/// A verified token that a request carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct AdmittedToken {
    pub(super) place: TokenPlace,
    pub(super) expires: Timestamp,
}

impl AdmittedRequest {
    /// A request that no inbound half has looked at.
    pub(super) fn unchecked(stream: StreamId, arrived: Timestamp, client: MetadataClient) -> Self {
        let (edits, facts, audit) = (Vec::new(), Vec::new(), Vec::new());
        Self { stream, arrived, edits, annotation: None, facts, audit, client, token: None }
    }

    /// How many bytes of memory its audit record takes.
    pub(super) fn audit_size(&self) -> usize {
        let bytes = self.audit.iter().map(|(_, text)| text.len());
        bytes.fold(size_of_val(&*self.audit), usize::saturating_add)
    }

    /// Lets it go on, with more edits.
    pub(super) fn forward(self, more: Vec<Edit>) -> Outcome {
        let mut edits = self.edits;
        edits.extend(more);
        Outcome::Forward { edits, annotation: self.annotation, facts: self.facts, audit: self.audit }
    }
}
