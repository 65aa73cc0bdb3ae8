use std::rc::Rc;

use super::address::Address;
use super::timetable::Schedule;
use crate::base::HttpCall;
use crate::sharing::{Flight, Sharing};

/// Which document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) kind: &'static str,
    /// What it is known by in the process, together with the kind and the cluster: its address, or the issuer whose metadata names
    /// it, so that an issuer that moves its keys about makes no new names by that.
    pub(super) identity: Rc<str>,
    /// Whether it is read by looser rules than usual: those who would not believe it share nothing with those who do.
    pub(super) is_loose: bool,
    /// The cluster that carries the fetches.
    pub(super) cluster: Rc<str>,
    /// Where it may be: the next one is tried when a server says that it is not there. At least one.
    pub(super) places: Vec<Address>,
    pub(super) schedule: Schedule,
    /// The most bytes it may have.
    pub(super) max_bytes: usize,
}

impl Definition {
    /// What the threads of a process share about it. `me` is random.
    pub(super) fn flight(&self, sharing: &Sharing, me: u64) -> Flight {
        let rules: &[u8] = if self.is_loose { b"loose" } else { b"strict" };
        let fields = [self.kind.as_bytes(), self.cluster.as_bytes(), self.identity.as_bytes(), rules];
        Flight::new(&fields, sharing.seal.clone(), me)
    }

    /// The place of this number, or the first.
    pub(super) fn place(&self, number: usize) -> Option<&Address> {
        self.places.get(number).or_else(|| self.places.first())
    }

    /// The call that fetches it, or asks whether it has changed since it had this tag.
    pub(super) fn call(&self, place: usize, entity_tag: Option<String>) -> HttpCall {
        let place = self.place(place);
        let text = |part: fn(&Address) -> &str| place.map(part).unwrap_or_default().to_owned();
        let mut headers = vec![
            (":method", "GET".to_owned()),
            (":scheme", text(|place| place.scheme)),
            (":authority", text(|place| &place.authority)),
            (":path", text(|place| &place.path)),
            ("accept", "application/jwk-set+json, application/json".to_owned()),
            ("user-agent", concat!("attache/", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        headers.extend(entity_tag.map(|tag| ("if-none-match", tag)));
        HttpCall {
            cluster: Rc::clone(&self.cluster),
            headers,
            body: Vec::new(),
            timeout: self.schedule.timeout,
        }
    }
}
