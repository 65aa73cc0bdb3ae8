use std::rc::Rc;

use super::address::Address;
use super::timetable::Schedule;
use crate::base::{ACCEPT_IDENTITY, HttpCall, Secret};
use crate::sharing::{Sharing, SingleFlight};

/// Which document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) kind: &'static str,
    /// What it is known by in the process, together with the kind and the cluster: its address, or the issuer whose metadata names
    /// it, so that an issuer that moves its keys about makes no new names by that.
    pub(crate) identity: Rc<str>,
    /// Whether it is read by looser rules than usual: those who would not believe it share nothing with those who do.
    pub(crate) is_loose: bool,
    /// The cluster that carries the fetches.
    pub(crate) cluster: Rc<str>,
    /// Where it may be: the next one is tried when a server says that it is not there. At least one.
    pub(crate) places: Vec<Address>,
    pub(crate) schedule: Schedule,
    /// The most bytes it may have.
    pub(crate) max_bytes: usize,
}

impl Definition {
    /// What the threads of a process share about it. `me` is random.
    pub(crate) fn flight(&self, sharing: &Sharing, me: u64) -> SingleFlight {
        let rules: &[u8] = if self.is_loose { b"loose" } else { b"strict" };
        let fields = [self.kind.as_bytes(), self.cluster.as_bytes(), self.identity.as_bytes(), rules];
        SingleFlight::new(&fields, sharing.seal.clone(), me)
    }

    /// The place of this number, or the first.
    pub(crate) fn place(&self, number: usize) -> Option<&Address> {
        self.places.get(number).or_else(|| self.places.first())
    }

    /// The call that fetches it, or asks whether it has changed since it had this tag.
    pub(crate) fn call(&self, place: usize, entity_tag: Option<String>) -> HttpCall {
        let place = self.place(place);
        let text = |part: fn(&Address) -> &str| place.map(part).unwrap_or_default();
        let headers = [
            (":method", "GET"),
            (":scheme", text(|place| place.scheme)),
            (":authority", text(|place| &place.authority)),
            (":path", text(|place| &place.path)),
            ("accept", "application/jwk-set+json, application/json"),
            ACCEPT_IDENTITY,
            ("user-agent", concat!("attache/", env!("CARGO_PKG_VERSION"))),
        ];
        let tag = entity_tag.as_deref().map(|tag| ("if-none-match", tag));
        let headers = headers.into_iter().chain(tag);
        HttpCall {
            cluster: Rc::clone(&self.cluster),
            headers: headers.map(|(name, value)| (name.into(), Secret::new(value))).collect(),
            body: Secret::new([]),
            timeout: self.schedule.timeout,
        }
    }
}
