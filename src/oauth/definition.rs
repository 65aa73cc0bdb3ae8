use std::rc::Rc;

use super::address::Address;
use super::fetch_client::{ClientTokens, Credential, FetchClient};
use super::timetable::{LOST_AFTER, Schedule};
use crate::base::{ACCEPT_IDENTITY, HttpCall, Secret, Timestamp};
use crate::sharing::{Sharing, SingleFlight};

/// Which document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) kind: &'static str,
    /// What it is known by in the process, together with the kind and the cluster: its address, or the issuer whose
    /// metadata names it, so that an issuer that moves its keys about makes no new names by that.
    pub(crate) identity: Rc<str>,
    /// Whether it is read by looser rules than usual: a reader that would not accept it shares nothing with one that
    /// does.
    pub(crate) is_loose: bool,
    /// The cluster that carries the fetches.
    pub(crate) cluster: Rc<str>,
    /// Where it may be: the next one is tried when a server says that it is not there. At least one.
    pub(crate) addresses: Vec<Address>,
    pub(crate) schedule: Schedule,
    /// Whose token its fetches carry; `None`: everybody may have it.
    pub(crate) client: Option<FetchClient>,
    /// The most bytes it may have.
    pub(crate) max_bytes: usize,
}

impl Definition {
    /// Its fetches by all threads of the process. `me` is random.
    pub(crate) fn flight(&self, sharing: Option<&Sharing>, me: u64) -> SingleFlight {
        let rules: &[u8] = if self.is_loose { b"loose" } else { b"strict" };
        let own = [self.kind.as_bytes(), self.cluster.as_bytes(), self.identity.as_bytes(), rules];
        let client = self.client.as_ref().map(|client| &client.identity[..]);
        let fields: Vec<&[u8]> = own.into_iter().chain(client).collect();
        SingleFlight::new(&fields, sharing, me, self.schedule.timeout.saturating_add(LOST_AFTER))
    }

    /// The address of this number, or the first.
    pub(crate) fn address(&self, number: usize) -> Option<&Address> {
        self.addresses.get(number).or_else(|| self.addresses.first())
    }

    /// What its fetches carry: nothing, where everybody may have it; `None` until there is a token.
    pub(crate) fn credential(
        &self,
        tokens: &mut dyn ClientTokens,
        now: Timestamp,
    ) -> Option<Option<Credential>> {
        self.client.as_ref().map_or(Some(None), |client| tokens.credential(client, now).map(Some))
    }

    /// The call that fetches it, or asks whether it has changed since it had this tag. `credential` is a header.
    pub(crate) fn call(
        &self,
        address: usize,
        entity_tag: Option<String>,
        credential: Option<Credential>,
    ) -> HttpCall {
        let address = self.address(address);
        let text = |part: fn(&Address) -> &str| address.map(part).unwrap_or_default();
        let headers = [
            (":method", "GET"),
            (":scheme", text(|address| address.scheme)),
            (":authority", text(|address| &address.authority)),
            (":path", text(|address| &address.path)),
            ("accept", "application/jwk-set+json, application/json"),
            ACCEPT_IDENTITY,
            ("user-agent", concat!("attache/", env!("CARGO_PKG_VERSION"))),
        ];
        let tag = entity_tag.as_deref().map(|tag| ("if-none-match", tag));
        let headers = headers.into_iter().chain(tag);
        HttpCall {
            cluster: Rc::clone(&self.cluster),
            headers: headers
                .map(|(name, value)| (name.into(), Secret::new(value)))
                .chain(credential)
                .collect(),
            body: Secret::new([]),
            timeout: self.schedule.timeout,
        }
    }
}
