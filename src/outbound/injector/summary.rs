//! What is told beside an event of a token or of the metadata that names a token endpoint.

use super::Injector;
use crate::base::Timestamp;
use crate::oauth::{Address, CallSummary};
use crate::outbound::endpoint::EndpointState;
use crate::outbound::ids::{ClientId, EndpointId};

impl Injector {
    /// What to tell beside an event of a client's token.
    pub fn summary(&self, client: ClientId, now: Timestamp) -> CallSummary {
        let endpoint = self.endpoint(client);
        let token = self.token_store(client).and_then(|store| store.token(now));
        CallSummary {
            url: endpoint.and_then(EndpointState::address).map(Address::shown).unwrap_or_default(),
            cluster: endpoint.map(EndpointState::cluster).cloned().unwrap_or_default(),
            elsewhere: None,
            serves: token.map(|token| token.lifetime.until.since(now)),
            next: self.next_attempt(client, now).since(now),
        }
    }

    /// What to tell beside an event of an endpoint's metadata.
    pub fn metadata_summary(&self, EndpointId(place): EndpointId, now: Timestamp) -> Option<CallSummary> {
        self.endpoints.get(place)?.metadata_summary(now)
    }
}
