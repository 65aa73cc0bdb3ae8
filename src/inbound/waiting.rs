//! The requests that wait for keys. Bounded in number, bytes and time, each reason for itself.

use core::time::Duration;

use super::decision::{Wait, WaitReason};
use crate::base::{RequestHead, StreamId, Timestamp};
use crate::policy::IssuerId;

/// Bounds for waiting requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingSettings {
    /// The most requests for each [`WaitReason`], at least 1.
    pub requests: usize,
    /// How long a request waits at most. Not zero.
    pub deadline: Duration,
}

/// A request that waits, with all that is needed to decide about it later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The request.
    pub stream: StreamId,
    /// Its headers.
    pub head: RequestHead,
    /// When it came.
    pub arrived: Timestamp,
    /// What it waits for.
    pub wait: Wait,
}

/// The waiting lists, oldest first.
#[derive(Debug)]
pub struct Waiting {
    settings: WaitingSettings,
    /// The most requests that may wait for one issuer for one reason.
    share: usize,
    first_keys: Vec<Place>,
    unknown_key: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    parked: Parked,
    /// What it waited for has come.
    is_ready: bool,
}

impl Waiting {
    /// Empty lists. With several issuers, none takes more than half of a list: while one is down, the others are still waited for.
    pub fn new(settings: WaitingSettings, issuers: usize) -> Self {
        let share = if issuers > 1 { settings.requests.div_ceil(2) } else { settings.requests };
        Self { settings, share, first_keys: Vec::new(), unknown_key: Vec::new() }
    }

    /// Puts a request on its list; gives it back when the list is full.
    ///
    /// # Errors
    /// The request, when there are as many as configured or the issuer has its share, or when their headers take 16 MiB.
    pub fn park(&mut self, parked: Parked) -> Result<(), Box<Parked>> {
        let (limit, share) = (self.settings.requests, self.share);
        let list = self.list_mut(parked.wait.reason);
        let (mut of_issuer, mut bytes) = (0_usize, parked.head.headers.size());
        for Place { parked: other, .. } in &*list {
            of_issuer = of_issuer.saturating_add(usize::from(other.wait.issuer == parked.wait.issuer));
            bytes = bytes.saturating_add(other.head.headers.size());
        }
        if list.len() >= limit || of_issuer >= share || bytes > MAX_WAITING_BYTES {
            return Err(Box::new(parked));
        }
        list.push(Place { parked, is_ready: false });
        Ok(())
    }

    /// What those wait for who wait for this issuer has come.
    pub fn make_ready(&mut self, issuer: IssuerId) {
        let all = self.first_keys.iter_mut().chain(&mut self.unknown_key);
        all.filter(|place| place.parked.wait.issuer == issuer).for_each(|place| place.is_ready = true);
    }

    /// Takes off those for whom it has come, at most `most` of each list, the oldest first.
    pub fn take_ready(&mut self, most: usize) -> Vec<Parked> {
        let mut taken = Vec::new();
        for list in [&mut self.first_keys, &mut self.unknown_key] {
            taken.extend(list.extract_if(.., |place| place.is_ready).take(most).map(|place| place.parked));
        }
        taken
    }

    /// Whether what somebody waits for has come.
    pub fn has_ready(&self) -> bool {
        self.first_keys.iter().chain(&self.unknown_key).any(|place| place.is_ready)
    }

    /// Takes off all whose time is up and for whom nothing has come.
    pub fn take_overdue(&mut self, now: Timestamp) -> Vec<Parked> {
        let deadline = self.settings.deadline;
        self.take(|place| !place.is_ready && now >= place.parked.arrived.after(deadline))
    }

    /// Takes off all there are.
    pub fn take_all(&mut self) -> Vec<Parked> {
        self.take(|_| true)
    }

    /// Forgets a request that has ended.
    pub fn forget(&mut self, stream: StreamId) {
        if !self.is_empty() {
            self.take(|place| place.parked.stream == stream);
        }
    }

    /// How long a request waits at most.
    pub fn deadline(&self) -> Duration {
        self.settings.deadline
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.first_keys.len().saturating_add(self.unknown_key.len())
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.first_keys.is_empty() && self.unknown_key.is_empty()
    }

    fn take(&mut self, mut which: impl FnMut(&Place) -> bool) -> Vec<Parked> {
        let mut taken = Vec::new();
        for list in [&mut self.first_keys, &mut self.unknown_key] {
            taken.extend(list.extract_if(.., |place| which(place)).map(|place| place.parked));
        }
        taken
    }

    fn list_mut(&mut self, reason: WaitReason) -> &mut Vec<Place> {
        match reason {
            WaitReason::FirstKeys => &mut self.first_keys,
            WaitReason::UnknownKey => &mut self.unknown_key,
        }
    }
}

/// 256 waiting requests, the default, with all of the 60 KiB that Envoy lets headers have by default.
pub const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
