//! One fetch at a time in the whole process: a lease, and what the last fetches came to.

use core::fmt::Write as _;
use core::time::Duration;
use std::rc::Rc;

use prost::Message;
use sha2::{Digest as _, Sha256};

use super::context::Context;
use super::publication::{CLOCK_TOLERANCE, Publication, Unreadable};
use super::seal::Seal;
use super::settings::Sharing;
use super::shared_state::{SharedState, Version};
use crate::base::Timestamp;

/// The fetches of one document by all threads of a process, or by this thread alone where they share nothing.
#[derive(Clone, Debug)]
pub struct SingleFlight {
    names: Option<SharedNames>,
    /// How long a fetch may take, until its reply is given up and its lease ends.
    hold: Duration,
    /// How often in a row a lease that no other thread held could not be taken.
    failed_acquisitions: u32,
}

/// Where the threads of a process find a document and its lease.
#[derive(Clone, Debug)]
struct SharedNames {
    lease: Rc<str>,
    document: Rc<str>,
    seal: Option<Rc<Seal>>,
    id: u64,
    /// Who we are in a lease: random, not zero.
    me: u64,
}

/// What the process knows of the fetches of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchState {
    /// When the last fetch was sent, if there was one.
    pub sent: Option<Timestamp>,
    /// How many have failed in a row.
    pub failures: u32,
    /// Before this time, no fetch after a failure.
    pub not_before: Timestamp,
    /// When the fetch was sent that brought the last publication, if there was one.
    pub published: Option<Timestamp>,
}

/// A lease as it was found, good for taking it.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// What the process knows.
    pub state: FetchState,
    /// Another thread is fetching, and its time is not up.
    pub is_held: bool,
    /// This thread is.
    is_ours: bool,
    version: Version,
}

/// What a look at the lease shows.
#[derive(Clone, Copy, Debug)]
pub enum LeaseLookup {
    /// The lease.
    Found(Lease),
    /// There was none; there is one at the next look.
    Seeded,
    /// The threads share nothing, or the process has no memory for it.
    NotShared,
}

impl LeaseLookup {
    /// The lease, if there is one.
    pub fn found(self) -> Option<Lease> {
        match self {
            Self::Found(lease) => Some(lease),
            Self::Seeded | Self::NotShared => None,
        }
    }
}

impl SingleFlight {
    /// The fetches of the document that these fields define, each of which may take as long as `hold`, at most
    /// [`MAX_HOLD`]. `me` is random.
    ///
    /// Two definitions that differ in any field share nothing, nor do two sealing secrets.
    pub fn new(definition: &[&[u8]], sharing: Option<&Sharing>, me: u64, hold: Duration) -> Self {
        let names = sharing.map(|sharing| SharedNames::new(definition, sharing.seal.clone(), me));
        Self { names, hold, failed_acquisitions: 0 }
    }

    /// How long a fetch may take, until its reply is given up.
    pub fn hold(&self) -> Duration {
        self.hold
    }

    /// A number for the document: updates are told by it. `None` where the threads share nothing.
    pub fn id(&self) -> Option<u64> {
        self.names.as_ref().map(|names| names.id)
    }

    /// Makes sure that there is a lease to take: one that is missing cannot be taken by one thread alone.
    pub fn seed(&self, context: &Context<'_>) {
        if let Some(names) = &self.names {
            names.seed(context.shared);
        }
    }

    /// What the process knows now.
    pub fn look(&self, context: &Context<'_>) -> LeaseLookup {
        self.names.as_ref().map_or(LeaseLookup::NotShared, |names| names.look(context))
    }

    /// Takes the lease; `false` when another thread was faster. A memory that keeps no lease must not keep us from
    /// fetching.
    pub fn acquire(&mut self, lookup: LeaseLookup, context: &Context<'_>) -> bool {
        let is_acquired = match (&self.names, lookup) {
            (Some(names), LeaseLookup::Found(lease)) => names.take(&lease, self.hold, context),
            (Some(_), LeaseLookup::Seeded) => false,
            (None, _) | (Some(_), LeaseLookup::NotShared) => true,
        };
        self.failed_acquisitions = if is_acquired { 0 } else { self.failed_acquisitions.saturating_add(1) };
        is_acquired || self.failed_acquisitions >= MAX_FAILED_ACQUISITIONS
    }

    /// Another thread is at it: this one does not try to take the lease.
    pub fn defer(&mut self) {
        self.failed_acquisitions = 0;
    }

    /// Gives the lease back with what is known now. Another thread that has taken it since keeps it.
    pub fn release(&self, state: FetchState, context: &Context<'_>) {
        if let Some(lease) = self.look(context).found().filter(|lease| lease.is_ours) {
            // What others have published meanwhile stays the newest.
            let published = state.published.max(lease.state.published);
            self.publish_state(&lease, FetchState { published, ..state }, context);
        }
    }

    /// Writes down what is known now, and that no thread holds the lease any more, unless another one has written
    /// since.
    pub fn publish_state(&self, lease: &Lease, state: FetchState, context: &Context<'_>) {
        if let Some(names) = &self.names {
            let record = Record::from(state).encode_to_vec();
            context.shared.set(&names.lease, &record, Some(lease.version));
        }
    }

    /// Whether there are others to show anything to.
    pub fn is_shared(&self) -> bool {
        self.names.is_some()
    }

    /// Shows a document to the others, unless a newer one is there.
    pub fn publish(&self, publication: &Publication, context: &Context<'_>) {
        if let Some(names) = &self.names {
            names.publish(publication, context);
        }
    }

    /// The document that is shown, if there is one.
    ///
    /// # Errors
    /// When what lies there was not published by us.
    pub fn published(&self, context: &Context<'_>) -> Result<Option<Publication>, Unreadable> {
        let Some(names) = &self.names else { return Ok(None) };
        let bytes = context.shared.get(&names.document);
        bytes.map(|(bytes, _)| names.decode(&bytes, context.now)).transpose()
    }
}

impl SharedNames {
    fn new(definition: &[&[u8]], seal: Option<Rc<Seal>>, me: u64) -> Self {
        let mut digest = Sha256::new();
        let sealed_as = seal.as_ref().map(|seal| seal.name());
        for field in definition.iter().copied().chain([sealed_as.as_ref().map_or(&[][..], |name| name)]) {
            digest.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(field);
        }
        let mut name = String::from("attache/1/");
        let digest = digest.finalize();
        let id = digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        for byte in digest {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        Self {
            lease: format!("{name}/lease").into(),
            document: format!("{name}/document").into(),
            seal,
            id,
            me: me | 1,
        }
    }

    /// `false` when the process has no memory for it.
    fn seed(&self, shared: &dyn SharedState) -> bool {
        shared.get(&self.lease).is_some() || shared.set(&self.lease, &Record::default().encode_to_vec(), None)
    }

    fn look(&self, context: &Context<'_>) -> LeaseLookup {
        let (shared, now) = (context.shared, context.now);
        let Some((bytes, version)) = shared.get(&self.lease) else {
            let is_there = self.seed(shared) && shared.get(&self.lease).is_some();
            return if is_there { LeaseLookup::Seeded } else { LeaseLookup::NotShared };
        };
        // What cannot be read says nothing, and is overwritten by the next thread that takes the lease.
        let record = Record::decode(&*bytes).unwrap_or_default();
        let past = |nanos| {
            let latest = now.after(CLOCK_TOLERANCE);
            Some(Timestamp::from_nanos(nanos)).filter(|then| *then > Timestamp::EPOCH && *then <= latest)
        };
        let soon = |nanos, bound| {
            let then = Timestamp::from_nanos(nanos);
            if then.since(now) <= bound { then } else { Timestamp::EPOCH }
        };
        let state = FetchState {
            sent: past(record.sent),
            failures: record.failures,
            not_before: soon(record.not_before, MAX_PAUSE),
            published: past(record.published),
        };
        let is_held = record.holder != 0 && record.holder != self.me && soon(record.until, MAX_HOLD) > now;
        LeaseLookup::Found(Lease { state, is_held, is_ours: record.holder == self.me, version })
    }

    fn take(&self, lease: &Lease, hold: Duration, context: &Context<'_>) -> bool {
        let until = context.now.after(hold.min(MAX_HOLD)).nanos();
        // A thread that takes it has waited for as long as there was to wait.
        let state = FetchState { sent: Some(context.now), not_before: Timestamp::EPOCH, ..lease.state };
        let record = Record { holder: self.me, until, ..state.into() };
        context.shared.set(&self.lease, &record.encode_to_vec(), Some(lease.version))
    }

    fn publish(&self, publication: &Publication, context: &Context<'_>) {
        let older = |bytes: &[u8]| {
            self.decode(bytes, context.now).map_or(true, |other| other.sent <= publication.sent)
        };
        let encoded = publication.encode(&self.document, self.seal.as_deref(), context.random);
        let Some(encoded) = encoded else { return };
        for _ in 0..MAX_TRIES {
            let there = context.shared.get(&self.document);
            let is_done = there.as_ref().is_some_and(|(bytes, _)| !older(bytes))
                || context.shared.set(&self.document, &encoded, there.map(|(_, version)| version));
            if is_done {
                break;
            }
        }
    }

    fn decode(&self, bytes: &[u8], now: Timestamp) -> Result<Publication, Unreadable> {
        Publication::decode(&self.document, bytes, self.seal.as_deref(), now)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Record {
    /// The thread that fetches; zero: none.
    #[prost(fixed64, tag = "1")]
    holder: u64,
    /// When the holder's time is up.
    #[prost(fixed64, tag = "2")]
    until: u64,
    #[prost(fixed64, tag = "3")]
    sent: u64,
    #[prost(uint32, tag = "4")]
    failures: u32,
    #[prost(fixed64, tag = "5")]
    not_before: u64,
    #[prost(fixed64, tag = "6")]
    published: u64,
}

impl From<FetchState> for Record {
    fn from(state: FetchState) -> Self {
        Self {
            holder: 0,
            until: 0,
            sent: state.sent.unwrap_or_default().nanos(),
            failures: state.failures,
            not_before: state.not_before.nanos(),
            published: state.published.unwrap_or_default().nanos(),
        }
    }
}

/// No lease is believed for longer: the longest timeout of a call (60 s), and a while for the host to notice.
pub const MAX_HOLD: Duration = Duration::from_secs(75);
/// Another thread publishes the same document in the same moment once in a while.
const MAX_TRIES: usize = 3;
/// No pause is believed that is longer than one that a server may ask for (`oauth`'s `MAX_RETRY_AFTER`).
const MAX_PAUSE: Duration = Duration::from_secs(600);
/// One of the threads that want a lease gets it; a second of ticks in which none could is a memory that does not work.
const MAX_FAILED_ACQUISITIONS: u32 = 10;
