//! What the threads of one process share, so that together they ask another server once: who is asking ([`SingleFlight`]), what came of
//! it ([`Publication`]), and how the others hear of it ([`WorkerGroup`]).
//!
//! Whatever lies in shared data may have been put there by another module of the same `vm_id`. A lease is therefore only a hint:
//! a forged one holds fetches back for a bounded time and lets nobody in. What a publication is worth is [`Trust`]'s to say.

mod context;
mod publication;
mod seal;
mod shared_state;
mod single_flight;
mod worker_group;

pub use context::Context;
#[cfg(test)]
pub(crate) use context::TestHost;
pub use publication::{Publication, Unreadable};
pub use seal::{MIN_SEALING_SECRET_BYTES, Seal};
pub use shared_state::{NoSharedState, QueueId, SharedState, Version};
pub use single_flight::{FetchState, Lease, LeaseLookup, MAX_HOLD, SingleFlight};
pub use worker_group::{MAX_SLOTS, Updates, WorkerGroup};

use std::rc::Rc;

/// Whether and how the threads of a process share. Compiled from the block `sharing`.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// What seals publications, if there is a secret.
    pub seal: Option<Rc<Seal>>,
    /// Whether tokens are published even without a seal, for every module of the `vm_id` to read and to replace.
    pub shares_unsealed_tokens: bool,
    /// Whether the VM has a `vm_id`: without one, every module of the proxy that has none either writes to the same shared data.
    pub has_vm_id: bool,
    /// Tells one configuration from another: those of a group show one set of gauges.
    pub group: u64,
}

/// What a thread makes of what lies where another thread would have published it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It takes it over as if it had fetched it: it is sealed, or the `vm_id` was given to modules that are trusted with it.
    Adopts,
    /// It lets it stand for a fetch that would have brought the same bytes, for a while, and believes nothing else of it: any
    /// module of the proxy may have written it.
    Confirms,
}

impl Sharing {
    /// What publications are worth.
    pub fn trust(&self) -> Trust {
        if self.seal.is_some() || self.has_vm_id { Trust::Adopts } else { Trust::Confirms }
    }

    /// Whether the threads share tokens, and not only documents that are public.
    pub fn shares_tokens(&self) -> bool {
        self.is_sealed() || (self.shares_unsealed_tokens && self.trust() == Trust::Adopts)
    }

    /// Whether nobody without the secret reads what is published, or puts anything in its place. Where a client's secret is sent
    /// is shared only so: whoever could say that gets the secret.
    pub fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }
}
