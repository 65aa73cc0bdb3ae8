/// The memory and the queues that all threads of a process share: a capability, like the clock.
///
/// None of it can be relied on: a value may be missing, forged, or gone before it is used.
pub trait SharedState {
    /// A value and its version.
    fn get(&self, name: &str) -> Option<(Vec<u8>, Version)>;

    /// Writes a value; with a version, only if that is still the value's. Whether it was written.
    fn set(&self, name: &str, value: &[u8], version: Option<Version>) -> bool;

    /// Opens the queue of this name for the thread that calls, and takes it over from the thread that had it before.
    fn open_queue(&self, name: &str) -> Option<QueueId>;

    /// Puts a message, which says nothing but that there are updates, into a queue. Its owner is called at once.
    fn wake(&self, queue: QueueId);

    /// Takes all messages out of a queue of one's own.
    fn drain(&self, queue: QueueId);
}

/// The version of a shared value; never zero, which would mean any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub core::num::NonZeroU32);

/// A queue, as the host numbers it.
#[derive(Clone, Copy, derive_more::Debug, PartialEq, Eq)]
#[debug("queue {_0}")]
pub struct QueueId(pub u32);

/// A process that shares nothing: there is no other thread in it.
#[derive(Clone, Copy, Debug)]
pub struct NoSharedState;

impl SharedState for NoSharedState {
    fn get(&self, _name: &str) -> Option<(Vec<u8>, Version)> {
        None
    }

    fn set(&self, _name: &str, _value: &[u8], _version: Option<Version>) -> bool {
        false
    }

    fn open_queue(&self, _name: &str) -> Option<QueueId> {
        None
    }

    fn wake(&self, _queue: QueueId) {}

    fn drain(&self, _queue: QueueId) {}
}
