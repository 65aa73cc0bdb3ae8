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
    first_keys: Vec<Parked>,
    unknown_key: Vec<Parked>,
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
        let of_issuer = list.iter().filter(|other| other.wait.issuer == parked.wait.issuer).count();
        let bytes =
            list.iter().fold(parked.head.headers.size(), |sum, p| sum.saturating_add(p.head.headers.size()));
        if list.len() >= limit || of_issuer >= share || bytes > MAX_WAITING_BYTES {
            return Err(Box::new(parked));
        }
        list.push(parked);
        Ok(())
    }

    /// Takes off all that wait for this issuer.
    pub fn take_issuer(&mut self, issuer: IssuerId) -> Vec<Parked> {
        self.take(|parked| parked.wait.issuer == issuer)
    }

    /// Takes off all whose time is up.
    pub fn take_overdue(&mut self, now: Timestamp) -> Vec<Parked> {
        let deadline = self.settings.deadline;
        self.take(|parked| now >= parked.arrived.after(deadline))
    }

    /// Takes off all there are.
    pub fn take_all(&mut self) -> Vec<Parked> {
        self.take(|_| true)
    }

    /// Forgets a request that has ended.
    pub fn forget(&mut self, stream: StreamId) {
        if !self.is_empty() {
            self.take(|parked| parked.stream == stream);
        }
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.first_keys.len().saturating_add(self.unknown_key.len())
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.first_keys.is_empty() && self.unknown_key.is_empty()
    }

    fn take(&mut self, mut which: impl FnMut(&Parked) -> bool) -> Vec<Parked> {
        let mut taken: Vec<Parked> = self.first_keys.extract_if(.., |parked| which(parked)).collect();
        taken.extend(self.unknown_key.extract_if(.., |parked| which(parked)));
        taken
    }

    fn list_mut(&mut self, reason: WaitReason) -> &mut Vec<Parked> {
        match reason {
            WaitReason::FirstKeys => &mut self.first_keys,
            WaitReason::UnknownKey => &mut self.unknown_key,
        }
    }
}

/// 256 waiting requests, the default, with all of the 60 KiB that Envoy lets headers have by default.
pub const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
