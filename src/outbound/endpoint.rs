//! A token endpoint at work: where it is, and whether it may be asked.

use core::time::Duration;
use std::rc::Rc;

use super::event::BreakerChange;
use super::settings::{Endpoint, EndpointLocation};
use super::token::IssuedTokens;
use crate::base::{CallBudget, HttpCall, HttpReply, Timestamp};
use crate::oauth::{
    Address, Breaker, BreakerSettings, BreakerState, CallSummary, Document, DocumentEvent, LOST_AFTER,
    MAX_METADATA_BYTES, Member, MetadataSource, NoTokens, PROBE_GRACE, TokenFault, TokenRequest,
};
use crate::sharing::{Context, PublicationUse, Sharing, SingleFlight};

/// A token endpoint.
#[derive(Debug)]
pub struct EndpointState {
    settings: Endpoint,
    /// Where it is; `None` until its metadata has come, and when that is too old.
    address: Option<Address>,
    metadata: Option<Document>,
    breaker: Breaker,
}

/// The handling of an event by a store of tokens.
pub(super) struct StoreTurn<'a, 'c> {
    pub(super) endpoint: &'a mut EndpointState,
    pub(super) issued: &'a mut IssuedTokens,
    pub(super) context: &'a mut Context<'c>,
}

impl EndpointState {
    /// An endpoint that has not been asked. `me` is random. Its metadata is shared only sealed: a module that says
    /// where the endpoint is gets the client's secret.
    pub(super) fn new(
        settings: &Endpoint,
        breaker: BreakerSettings,
        sharing: Option<&Sharing>,
        me: u64,
        now: Timestamp,
    ) -> Self {
        let (address, identity) = match &settings.location {
            EndpointLocation::At(address) => (Some(address.clone()), address.url()),
            EndpointLocation::Discovered(discovery) => (None, discovery.issuer.to_string()),
        };
        let fields = [&b"token endpoint"[..], settings.cluster.as_bytes(), identity.as_bytes()];
        // Where any module of the proxy could write it, an endpoint that works could be made to look as if it failed.
        let breaker_sharing = sharing.filter(|sharing| sharing.publication_use() == PublicationUse::Adopt);
        let hold = settings.timeout.saturating_add(PROBE_GRACE);
        let flight = SingleFlight::new(&fields, breaker_sharing, me, hold);
        let metadata_sharing = sharing.filter(|sharing| sharing.is_sealed());
        let metadata = match &settings.location {
            EndpointLocation::At(_) => None,
            EndpointLocation::Discovered(discovery) => {
                let definition = discovery.definition("token endpoint metadata", MAX_METADATA_BYTES);
                Some(Document::new(definition, metadata_sharing, me, now))
            }
        };
        Self { settings: settings.clone(), address, metadata, breaker: Breaker::new(breaker, flight) }
    }

    /// Makes sure that the process can share what is known of it.
    pub(super) fn seed(&self, context: &Context<'_>) {
        self.breaker.seed(context);
        self.metadata.iter().for_each(|document| document.seed(context));
    }

    /// What its breaker does now.
    pub fn breaker(&self, now: Timestamp) -> BreakerState {
        self.breaker.state(now)
    }

    /// Whether it can be asked now, as far as this thread knows.
    pub(super) fn is_available(&self, now: Timestamp) -> bool {
        self.address.is_some() && self.breaker(now) == BreakerState::Closed
    }

    /// When it may be asked at the earliest.
    pub fn next_attempt(&self, now: Timestamp) -> Timestamp {
        let metadata = if self.address.is_some() { None } else { self.metadata.as_ref() };
        let located = metadata
            .map_or(now, |document| if document.is_under_way() { now } else { document.next_attempt() });
        located.max(self.breaker.opens_at(now))
    }

    /// The number by which updates of the metadata are told.
    pub(super) fn id(&self) -> Option<u64> {
        self.metadata.as_ref().and_then(Document::id)
    }

    /// The number by which others are told that its breaker has opened.
    pub fn breaker_id(&self) -> Option<u64> {
        self.breaker.id()
    }

    /// How long a token request may take, until its reply is given up.
    pub(super) fn patience(&self) -> Duration {
        self.settings.timeout.saturating_add(LOST_AFTER)
    }

    /// What to tell beside an event of its metadata.
    pub(super) fn metadata_summary(&self, now: Timestamp) -> Option<CallSummary> {
        Some(self.metadata.as_ref()?.summary(now))
    }

    /// The cluster that carries token requests.
    pub(super) fn cluster(&self) -> &Rc<str> {
        &self.settings.cluster
    }

    /// Where it is, if that is known.
    pub(super) fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// Another thread may have found that it fails, or works.
    pub(super) fn sync(&mut self, context: &Context<'_>) {
        self.breaker.sync(context);
    }

    /// Whether a request may be sent now; its outcome must be recorded.
    pub(super) fn admit(&mut self, context: &Context<'_>) -> bool {
        self.address.is_some() && self.breaker.admit(context)
    }

    /// The call of a token request.
    pub(super) fn call(
        &self,
        request: &TokenRequest,
        subject: Option<&str>,
        context: &Context<'_>,
    ) -> Result<HttpCall, TokenFault> {
        let address = self.address.as_ref().ok_or(TokenFault::NotSent)?;
        let to = (&self.settings.cluster, address);
        request.call(to, self.settings.timeout, subject, context).map_err(TokenFault::Unsigned)
    }

    /// Takes note of what came of a token request.
    pub(super) fn record(&mut self, fault: Option<&TokenFault>, context: &mut Context<'_>) -> BreakerChange {
        let changed = match fault {
            Some(TokenFault::NotSent | TokenFault::ClusterUnknown | TokenFault::Unsigned(_)) => {
                self.breaker.cancel(context);
                return BreakerChange::None;
            }
            Some(fault) if fault.is_outage() => {
                return if self.breaker.fail(context) { BreakerChange::Opened } else { BreakerChange::None };
            }
            // A refusal is an answer, and so is what one client cannot use: the endpoint works.
            Some(_) | None => self.breaker.succeed(context),
        };
        if changed { BreakerChange::Closed } else { BreakerChange::None }
    }

    /// Time has passed: the call that fetches the metadata, if that is due.
    pub(super) fn handle_tick(
        &mut self,
        budget: &mut CallBudget,
        context: &mut Context<'_>,
    ) -> (Option<DocumentEvent<()>>, Option<HttpCall>) {
        self.breaker.handle_tick(context);
        let Some((document, discovery)) = self.discovery() else { return (None, None) };
        let read = |body: &[u8]| discovery.read(body, Member::TokenEndpoint);
        let (event, call) = document.handle_tick((budget, &mut NoTokens), context, &read);
        (event.map(|event| self.take(event)), call)
    }

    /// Another thread may have fetched the metadata.
    pub(super) fn handle_updates(&mut self, context: &mut Context<'_>) -> Option<DocumentEvent<()>> {
        let (document, discovery) = self.discovery()?;
        let event = document.handle_updates(context, &|body| discovery.read(body, Member::TokenEndpoint))?;
        Some(self.take(event))
    }

    /// Takes the reply to a fetch of the metadata; whether other threads should hear of it.
    pub(super) fn handle_reply(
        &mut self,
        reply: HttpReply,
        context: &mut Context<'_>,
    ) -> Option<DocumentEvent<()>> {
        let (document, discovery) = self.discovery()?;
        let event =
            document.handle_reply(reply, context, &|body| discovery.read(body, Member::TokenEndpoint))?;
        Some(self.take(event))
    }

    pub(super) fn handle_clock_step(&mut self, before: Timestamp, now: Timestamp) {
        self.breaker.handle_clock_step(now);
        self.metadata.iter_mut().for_each(|document| document.handle_clock_step(before, now));
    }

    pub(super) fn handle_shutdown(&mut self, context: &Context<'_>) {
        self.breaker.cancel(context);
        if let Some(document) = &mut self.metadata {
            document.handle_shutdown(context);
        }
    }

    fn discovery(&mut self) -> Option<(&mut Document, MetadataSource)> {
        match &self.settings.location {
            EndpointLocation::At(_) => None,
            EndpointLocation::Discovered(discovery) => {
                let discovery = discovery.clone();
                self.metadata.as_mut().map(|document| (document, discovery))
            }
        }
    }

    fn take(&mut self, event: DocumentEvent<Address>) -> DocumentEvent<()> {
        if event.is_expired() {
            self.address = None;
        }
        event.map(|address| {
            let is_same = self.address.as_ref() == Some(&address);
            self.address = Some(address);
            (!is_same).then_some(())
        })
    }
}
