//! What the threads of one process share, so that together they ask another server once: who is asking
//! ([`SingleFlight`]), what came of it ([`Publication`]), and how the others hear of it ([`WorkerGroup`]).
//!
//! Whatever lies in shared data may have been put there by another module of the same `vm_id`. A lease is therefore
//! only a hint: a forged one holds fetches back for a bounded time, and admits no request. What a publication is good
//! for is [`PublicationUse`]'s to say.

mod context;
#[cfg(test)]
mod host_for_tests;
mod publication;
mod seal;
mod settings;
mod shared_state;
mod single_flight;
mod worker_group;

pub use context::Context;
#[cfg(test)]
pub(crate) use host_for_tests::TestHost;
pub use publication::{Publication, Unreadable};
pub use seal::{MIN_SEALING_SECRET_BYTES, Seal};
pub use settings::{PublicationUse, Sharing};
pub use shared_state::{NoSharedState, QueueId, SharedState, Version};
pub use single_flight::{FetchState, Lease, LeaseLookup, MAX_HOLD, SingleFlight};
pub use worker_group::{MAX_SLOTS, Updates, WorkerGroup};
