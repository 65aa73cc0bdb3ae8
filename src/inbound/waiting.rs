//! The requests that wait: a list for each reason, so that none takes another's places.

use core::time::Duration;

use super::decision::{Wait, WaitReason};
use crate::base::{self, RequestHead, StreamId, Timestamp, WaitingBounds, WaitingList};
use crate::policy::IssuerId;

/// A request that waits for something of an issuer's.
pub type WaitingRequest = base::Parked<IssuerId, (RequestHead, Wait)>;

/// The waiting lists, oldest first.
#[derive(Debug)]
pub struct WaitingLists([WaitingList<IssuerId, (RequestHead, Wait)>; 2]);

impl WaitingLists {
    /// Empty lists. With several issuers, none takes more than half of a list: while one is down, the others are still
    /// waited for.
    pub fn new(bounds: WaitingBounds, issuers: usize) -> Self {
        Self([(); 2].map(|()| WaitingList::new(bounds, issuers)))
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
        let [first_keys, unknown_key] = &mut self.0;
        match wait.reason {
            WaitReason::FirstKeys => first_keys.park(parked),
            WaitReason::UnknownKey(_) => unknown_key.park(parked),
        }
    }

    /// What the requests wait for that wait for this issuer has come.
    pub fn make_ready(&mut self, issuer: IssuerId) {
        self.0.iter_mut().for_each(|list| list.make_ready(|key, _| *key == issuer));
    }

    /// Takes off those whose wait is over, at most `most` of each list, the oldest first.
    pub fn take_ready(&mut self, most: usize) -> Vec<WaitingRequest> {
        self.0.iter_mut().flat_map(|list| list.take_ready(most)).collect()
    }

    /// Whether what some request waits for has come.
    pub fn has_ready(&self) -> bool {
        self.0.iter().any(WaitingList::has_ready)
    }

    /// Takes off all whose time is up and for whom nothing has come.
    pub fn take_overdue(&mut self, now: Timestamp) -> Vec<WaitingRequest> {
        self.0.iter_mut().flat_map(|list| list.take_overdue(now)).collect()
    }

    /// Takes off all there are.
    pub fn take_all(&mut self) -> Vec<WaitingRequest> {
        self.0.iter_mut().flat_map(WaitingList::take_all).collect()
    }

    /// Forgets a request that has ended.
    pub fn forget(&mut self, stream: StreamId) {
        if !self.is_empty() {
            self.0.iter_mut().for_each(|list| list.forget(stream));
        }
    }

    /// How long a request waits at most.
    pub fn deadline(&self) -> Duration {
        let [list, _] = &self.0;
        list.deadline()
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.0.iter().map(WaitingList::len).fold(0, usize::saturating_add)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(WaitingList::is_empty)
    }
}
