//! What the threads of a process tell each other of tokens and their endpoints.

use super::{Injector, Store};
use crate::oauth::FetchOutcome;
use crate::outbound::endpoint::EndpointState;
use crate::outbound::event::{BreakerChange, TokenChange};
use crate::outbound::ids::{ClientId, EndpointId};
use crate::outbound::injection::OutboundEvent;
use crate::sharing::{Context, Updates};

impl Injector {
    /// Other threads have published something.
    pub fn handle_updates(&mut self, updates: &Updates, context: &mut Context<'_>) -> Vec<OutboundEvent> {
        let mut events = Vec::new();
        let concerns = |id: Option<u64>| id.is_some_and(|id| updates.contains(id));
        for (id, endpoint) in (0..).map(EndpointId).zip(&mut self.endpoints) {
            if concerns(endpoint.breaker_id()) {
                endpoint.sync(context);
            }
            if concerns(endpoint.id()) {
                let event = endpoint.handle_updates(context);
                events.extend(event.map(|event| OutboundEvent::Endpoint { endpoint: id, event }));
            }
        }
        for (client, store) in (0..).map(ClientId).zip(&mut self.stores) {
            if let Store::Own(store) = store
                && concerns(store.id())
            {
                let event = store.handle_updates(&mut self.issued, context);
                events.extend(event.map(|event| OutboundEvent::Token { client, event, subject: None }));
            }
        }
        events
    }

    /// What other threads are to look at after an event of this one ([`Injector::handle_updates`]).
    pub fn updates_of(&self, event: &OutboundEvent) -> impl Iterator<Item = u64> {
        let (document, breaker) = match event {
            OutboundEvent::Token { client, event, subject } => {
                let is_new = match &event.change {
                    TokenChange::Obtained { is_shared, .. } => !is_shared,
                    // One thread shows it for all, and none purges its token while no other can be had.
                    TokenChange::Failed(fault) => !fault.is_unsent(),
                    TokenChange::Rejected(_) | TokenChange::Expired => false,
                };
                let store = self.token_store(*client).filter(|_| is_new && subject.is_none());
                let endpoint = self.endpoint(*client).filter(|_| event.breaker == BreakerChange::Opened);
                (store.and_then(|store| store.id()), endpoint.and_then(EndpointState::breaker_id))
            }
            OutboundEvent::Endpoint { endpoint: EndpointId(place), event } => {
                let is_new = event.outcome == FetchOutcome::Changed(());
                let endpoint = self.endpoints.get(*place).filter(|_| is_new);
                (endpoint.and_then(EndpointState::id), None)
            }
        };
        document.into_iter().chain(breaker)
    }

    /// The clients whose token was set aside after a 401, and is used again: the next one cannot be had.
    pub fn take_restored(&mut self) -> Vec<ClientId> {
        let stores = (0..).map(ClientId).zip(&mut self.stores);
        let restored = stores.filter_map(|(client, store)| match store {
            Store::Own(store) => store.take_restored().then_some(client),
            Store::Exchange(_) => None,
        });
        restored.collect()
    }
}
