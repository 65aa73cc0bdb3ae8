//! One fetch at a time in the whole process: a lease, and what the last fetches came to.

use core::fmt::Write as _;
use core::time::Duration;
use std::rc::Rc;

use prost::Message;
use sha2::{Digest as _, Sha256};

use super::publication::{CLOCK_TOLERANCE, Publication, Unreadable};
use super::seal::Seal;
use super::shared_state::{SharedState, Version};
use crate::base::{Random, Timestamp};

/// The fetches of one document by all threads of a process.
#[derive(Clone, Debug)]
pub struct SingleFlight {
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
    /// When the fetch was sent that brought the last publication.
    pub published: Timestamp,
}

/// A look at the lease, good for taking it.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// What the process knows.
    pub standing: FetchState,
    /// Somebody else is fetching, and their time is not up.
    pub is_held: bool,
    /// We are.
    is_ours: bool,
    version: Version,
}

/// What a look at the lease shows.
#[derive(Clone, Copy, Debug)]
pub enum LeaseLookup {
    /// The lease.
    Found(Lease),
    /// There was none; there is one at the next look.
    Again,
    /// The process has no memory that threads share.
    NoSharedState,
}

impl SingleFlight {
    /// The fetches of the document that these fields define; `me` is random.
    ///
    /// Two definitions that differ in any field share nothing, nor do two sealing secrets.
    pub fn new(definition: &[&[u8]], seal: Option<Rc<Seal>>, me: u64) -> Self {
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

    /// Makes sure that there is a lease to take: one that is missing cannot be taken by one thread alone. `false` when the
    /// process has no memory for it.
    pub fn seed(&self, shared: &dyn SharedState) -> bool {
        shared.get(&self.lease).is_some() || shared.set(&self.lease, &Record::default().encode_to_vec(), None)
    }

    /// What the process knows now.
    pub fn look(&self, shared: &dyn SharedState, now: Timestamp) -> LeaseLookup {
        let Some((bytes, version)) = shared.get(&self.lease) else {
            let is_there = self.seed(shared) && shared.get(&self.lease).is_some();
            return if is_there { LeaseLookup::Again } else { LeaseLookup::NoSharedState };
        };
        // What cannot be read says nothing, and is overwritten by whoever takes the lease.
        let record = Record::decode(&*bytes).unwrap_or_default();
        let past = |nanos| {
            let latest = now.after(CLOCK_TOLERANCE);
            Some(Timestamp::from_nanos(nanos)).filter(|then| *then > Timestamp::EPOCH && *then <= latest)
        };
        let soon = |nanos, bound| {
            let then = Timestamp::from_nanos(nanos);
            if then.since(now) <= bound { then } else { Timestamp::EPOCH }
        };
        let standing = FetchState {
            sent: past(record.sent),
            failures: record.failures,
            not_before: soon(record.not_before, MAX_PAUSE),
            published: past(record.published).unwrap_or_default(),
        };
        let is_held = record.holder != 0 && record.holder != self.me && soon(record.until, MAX_HOLD) > now;
        LeaseLookup::Found(Lease { standing, is_held, is_ours: record.holder == self.me, version })
    }

    /// Takes the lease for `hold`, at most [`MAX_HOLD`]; `false` when somebody else was faster.
    pub fn take(&self, shared: &dyn SharedState, claim: &Lease, now: Timestamp, hold: Duration) -> bool {
        let record =
            Record { holder: self.me, until: now.after(hold.min(MAX_HOLD)).nanos(), ..claim.standing.into() };
        // Whoever takes it has waited for as long as there was to wait.
        let record = Record { sent: now.nanos(), not_before: 0, ..record };
        shared.set(&self.lease, &record.encode_to_vec(), Some(claim.version))
    }

    /// Gives the lease back with what is known now. Somebody who has taken it since keeps it.
    pub fn give_back(&self, shared: &dyn SharedState, standing: FetchState, now: Timestamp) {
        let LeaseLookup::Found(claim) = self.look(shared, now) else { return };
        if claim.is_ours {
            // What others have published meanwhile stays the newest.
            let published = standing.published.max(claim.standing.published);
            let record = Record::from(FetchState { published, ..standing });
            shared.set(&self.lease, &record.encode_to_vec(), Some(claim.version));
        }
    }

    /// Writes down what is known now, and that nobody holds the lease any more, unless somebody has written since `claim`.
    pub fn tell(&self, shared: &dyn SharedState, claim: &Lease, standing: FetchState) {
        shared.set(&self.lease, &Record::from(standing).encode_to_vec(), Some(claim.version));
    }

    /// Shows a document to the others, unless a newer one is there.
    pub fn publish(
        &self,
        shared: &dyn SharedState,
        publication: &Publication,
        now: Timestamp,
        random: &dyn Random,
    ) {
        let older =
            |bytes: &[u8]| self.decode(bytes, now).map_or(true, |other| other.sent <= publication.sent);
        let Some(encoded) = publication.encode(&self.document, self.seal.as_deref(), random) else { return };
        for _ in 0..MAX_TRIES {
            let there = shared.get(&self.document);
            let is_done = there.as_ref().is_some_and(|(bytes, _)| !older(bytes))
                || shared.set(&self.document, &encoded, there.map(|(_, version)| version));
            if is_done {
                break;
            }
        }
    }

    /// A number for the document: news are told by it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The document that is shown, if there is one.
    ///
    /// # Errors
    /// When what lies there was not published by us.
    pub fn published(
        &self,
        shared: &dyn SharedState,
        now: Timestamp,
    ) -> Result<Option<Publication>, Unreadable> {
        shared.get(&self.document).map(|(bytes, _)| self.decode(&bytes, now)).transpose()
    }

    fn decode(&self, bytes: &[u8], now: Timestamp) -> Result<Publication, Unreadable> {
        Publication::decode(&self.document, bytes, self.seal.as_deref(), now)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Record {
    /// Who fetches; zero: nobody.
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
    fn from(standing: FetchState) -> Self {
        Self {
            holder: 0,
            until: 0,
            sent: standing.sent.unwrap_or_default().nanos(),
            failures: standing.failures,
            not_before: standing.not_before.nanos(),
            published: standing.published.nanos(),
        }
    }
}

/// No lease is believed for longer: the longest timeout of a call (60 s), and a while for the host to notice.
pub const MAX_HOLD: Duration = Duration::from_secs(75);
/// Another thread publishes the same document in the same moment once in a while.
const MAX_TRIES: usize = 3;
/// No pause is believed that is longer than one that a server may ask for (`issuer`'s `MAX_RETRY_AFTER`).
const MAX_PAUSE: Duration = Duration::from_secs(600);
