//! What the threads of one process share, so that together they ask another server once: who is asking ([`Flight`]), what came of
//! it ([`Publication`]), and how the others hear of it ([`Group`]).
//!
//! Whatever lies in shared data may have been put there by another module of the same `vm_id`. A lease is therefore only a hint:
//! a forged one holds fetches back for a bounded time, though again as often as it is written, and lets nobody in. A publication is
//! believed only with its seal, where the configuration has a sealing secret; without one, every module of the `vm_id` is trusted
//! with it.

mod flight;
mod group;
mod process;
mod publication;
mod seal;

pub use flight::{Claim, Flight, Look, MAX_HOLD, Standing};
pub use group::{Group, MAX_SLOTS, News};
pub use process::{Alone, Process, QueueId, Version};
pub use publication::{Publication, Unreadable};
pub use seal::{MIN_SEALING_SECRET_BYTES, Seal};

use std::rc::Rc;

/// Whether and how the threads of a process share. Compiled from the block `sharing`.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// What seals publications, if there is a secret.
    pub seal: Option<Rc<Seal>>,
    /// Whether tokens are published even without a seal, for every module of the `vm_id` to read.
    pub shares_unsealed_tokens: bool,
    /// Tells one configuration from another: those of a group show one set of gauges.
    pub group: u64,
}

impl Sharing {
    /// Whether the threads share tokens, and not only documents that are public.
    pub fn shares_tokens(&self) -> bool {
        self.seal.is_some() || self.shares_unsealed_tokens
    }
}
