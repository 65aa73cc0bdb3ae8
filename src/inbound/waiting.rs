//! The requests that wait: a list for each reason, so that none takes another's places.

use core::time::Duration;

use super::decision::{Wait, WaitReason};
use crate::base::{self, RequestHead, StreamId, Timestamp, WaitingBounds, WaitingList};
use crate::policy::IssuerId;

/// A request that waits for something of an issuer's.
pub type WaitingRequest = base::Parked<IssuerId, (RequestHead, Wait)>;

/// The waiting lists, oldest first.
#[derive(Debug)]
pub struct WaitingLists {
    first_keys: WaitingList<IssuerId, (RequestHead, Wait)>,
    unknown_key: WaitingList<IssuerId, (RequestHead, Wait)>,
}

impl WaitingLists {
    /// Empty lists. With several issuers, none takes more than half of a list: while one is down, the others are still
    /// waited for.
    pub fn new(bounds: WaitingBounds, issuers: usize) -> Self {
        let list = || WaitingList::new(bounds, issuers);
        Self { first_keys: list(), unknown_key: list() }
    }

    /// Puts a request on its list; gives it back when the list is full.
    ///
    /// # Errors
    /// See [`WaitingList::park`].
    pub fn park(
        &mut self,
        stream: StreamId,
        head: RequestHead,
        arrived: Timestamp,
        wait: Wait,
    ) -> Result<(), Box<WaitingRequest>> {
        let bytes = head.size();
        let parked = base::Parked { stream, arrived, key: wait.issuer, bytes, item: (head, wait) };
        match wait.reason {
            WaitReason::FirstKeys => self.first_keys.park(parked),
            WaitReason::UnknownKey(_) => self.unknown_key.park(parked),
        }
    }

    /// What the requests wait for that wait for this issuer has come.
    pub fn make_ready(&mut self, issuer: IssuerId) {
        self.lists_mut().into_iter().for_each(|list| list.make_ready(|key, _| *key == issuer));
    }

    /// Takes off those whose wait is over, at most `most` of each list, the oldest first.
    pub fn take_ready(&mut self, most: usize) -> Vec<WaitingRequest> {
        self.lists_mut().into_iter().flat_map(|list| list.take_ready(most)).collect()
    }

    /// Whether what some request waits for has come.
    pub fn has_ready(&self) -> bool {
        self.first_keys.has_ready() || self.unknown_key.has_ready()
    }

    /// Takes off all whose time is up and for whom nothing has come.
    pub fn take_overdue(&mut self, now: Timestamp) -> Vec<WaitingRequest> {
        self.lists_mut().into_iter().flat_map(|list| list.take_overdue(now)).collect()
    }

    /// Takes off all there are.
    pub fn take_all(&mut self) -> Vec<WaitingRequest> {
        self.lists_mut().into_iter().flat_map(WaitingList::take_all).collect()
    }

    /// Forgets a request that has ended.
    pub fn forget(&mut self, stream: StreamId) {
        if !self.is_empty() {
            self.lists_mut().into_iter().for_each(|list| list.forget(stream));
        }
    }

    /// How long a request waits at most.
    pub fn deadline(&self) -> Duration {
        self.first_keys.deadline()
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.first_keys.len().saturating_add(self.unknown_key.len())
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.first_keys.is_empty() && self.unknown_key.is_empty()
    }

    fn lists_mut(&mut self) -> [&mut WaitingList<IssuerId, (RequestHead, Wait)>; 2] {
        [&mut self.first_keys, &mut self.unknown_key]
    }
}
