//! Tokens of clients for calls of ours: fetches that need one.

use super::{Injected, Injector, Store};
use crate::base::{Secret, Timestamp};
use crate::outbound::{ClientId, Purge, Token};

impl Injector {
    /// The token of a client that has one of its own, for a call of ours; where there is none, it is asked for.
    pub fn lend(&mut self, client: ClientId, now: Timestamp) -> Option<&Token> {
        let Store::Own(store) = self.stores.get_mut(client.0)? else { return None };
        if store.token(now).is_none() {
            // A fetch is rare: what it does not need now is not renewed for it.
            store.want();
        }
        store.token(now)
    }

    /// A server has answered 401 to a call of ours with this header of the client's, which may have been renewed since.
    pub fn handle_refused_call(&mut self, client: ClientId, sent: &Secret, now: Timestamp) -> Option<Purge> {
        let token = self.issued.fingerprint(&self.settings.client(client)?.header, sent.expose());
        self.handle_unauthorized(Injected { client, token, subject: None }, now)
    }
}
