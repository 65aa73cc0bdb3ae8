//! The memory and queues that Envoy's threads share.

use core::num::NonZeroU32;

use super::raw;
use crate::sharing::{QueueId, SharedState, Version};

/// What the VMs of our `vm_id` share in this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostSharedState;

impl SharedState for HostSharedState {
    fn get(&self, name: &str) -> Option<(Vec<u8>, Version)> {
        let (value, version) = raw::shared_data(name).ok()?;
        Some((value, Version(NonZeroU32::new(version)?)))
    }

    fn set(&self, name: &str, value: &[u8], version: Option<Version>) -> bool {
        raw::set_shared_data(name, value, version.map_or(0, |version| version.0.get())).is_ok()
    }

    fn open_queue(&self, name: &str) -> Option<QueueId> {
        raw::register_queue(name).ok().map(QueueId)
    }

    fn wake(&self, queue: QueueId) {
        // The owner of a queue that is gone learns of the update at its tick.
        let _ = raw::enqueue(queue.0, b"news");
    }

    fn drain(&self, queue: QueueId) {
        let mut left = MAX_MESSAGES;
        while left > 0 && raw::dequeue(queue.0).is_ok() {
            left = left.saturating_sub(1);
        }
    }
}

/// Ours are one at a time; what another module has put there must not hold up the worker.
const MAX_MESSAGES: u32 = 1_000;
