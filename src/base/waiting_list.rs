//! Requests that wait for something, oldest first. Bounded in number, bytes and time, and no one thing that is waited
//! for takes all places.

use core::time::Duration;

use super::effect::StreamId;
use super::time::Timestamp;

/// The bounds of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingBounds {
    /// The most requests, at least 1.
    pub requests: usize,
    /// How long one waits at most. Not zero.
    pub deadline: Duration,
}

/// A request that waits for `K`, with all that is needed to go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked<K, T> {
    /// The request.
    pub stream: StreamId,
    /// When it came.
    pub arrived: Timestamp,
    /// What it waits for.
    pub key: K,
    /// How many bytes it takes.
    pub bytes: usize,
    /// The rest of it.
    pub item: T,
}

/// The list.
#[derive(Debug)]
pub struct WaitingList<K, T> {
    bounds: WaitingBounds,
    /// The most requests that wait for the same.
    share: usize,
    waiters: Vec<Waiter<K, T>>,
}

#[derive(Debug)]
struct Waiter<K, T> {
    parked: Parked<K, T>,
    /// What it waits for has come.
    is_ready: bool,
}

impl<K: PartialEq, T> WaitingList<K, T> {
    /// An empty list. Where requests wait for several `keys`, none of these takes more than half of it: while one does
    /// not come, the others are still waited for.
    pub fn new(bounds: WaitingBounds, keys: usize) -> Self {
        let share = if keys > 1 { bounds.requests.div_ceil(2) } else { bounds.requests };
        Self { bounds, share, waiters: Vec::new() }
    }

    /// Puts a request on the list.
    ///
    /// # Errors
    /// The request, when the list is full, what it waits for has its share, or all that wait take more than
    /// [`MAX_WAITING_BYTES`].
    pub fn park(&mut self, parked: Parked<K, T>) -> Result<(), Box<Parked<K, T>>> {
        let (mut of_key, mut bytes) = (0_usize, parked.bytes);
        for Waiter { parked: other, .. } in &self.waiters {
            of_key = of_key.saturating_add(usize::from(other.key == parked.key));
            bytes = bytes.saturating_add(other.bytes);
        }
        if self.waiters.len() >= self.bounds.requests || of_key >= self.share || bytes > MAX_WAITING_BYTES {
            return Err(Box::new(parked));
        }
        self.waiters.push(Waiter { parked, is_ready: false });
        Ok(())
    }

    /// What these wait for has come.
    pub fn make_ready(&mut self, which: impl Fn(&K, &T) -> bool) {
        self.waiters
            .iter_mut()
            .filter(|waiter| which(&waiter.parked.key, &waiter.parked.item))
            .for_each(|waiter| waiter.is_ready = true);
    }

    /// Takes off those for whom it has come, at most `most`, the oldest first.
    pub fn take_ready(&mut self, most: usize) -> Vec<Parked<K, T>> {
        self.waiters.extract_if(.., |waiter| waiter.is_ready).take(most).map(|waiter| waiter.parked).collect()
    }

    /// Whether what a request waits for has come.
    pub fn has_ready(&self) -> bool {
        self.waiters.iter().any(|waiter| waiter.is_ready)
    }

    /// Takes off all whose time is up and for whom nothing has come.
    pub fn take_overdue(&mut self, now: Timestamp) -> Vec<Parked<K, T>> {
        let deadline = self.bounds.deadline;
        self.take(|waiter| !waiter.is_ready && now >= waiter.parked.arrived.after(deadline))
    }

    /// Takes off all there are.
    pub fn take_all(&mut self) -> Vec<Parked<K, T>> {
        self.take(|_| true)
    }

    /// Forgets a request that has ended.
    pub fn forget(&mut self, stream: StreamId) {
        self.waiters.retain(|waiter| waiter.parked.stream != stream);
    }

    /// How long a request waits at most.
    pub fn deadline(&self) -> Duration {
        self.bounds.deadline
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    fn take(&mut self, which: impl Fn(&Waiter<K, T>) -> bool) -> Vec<Parked<K, T>> {
        self.waiters.extract_if(.., |waiter| which(waiter)).map(|waiter| waiter.parked).collect()
    }
}

/// 256 waiting requests, the default, with all of the 60 KiB that Envoy lets headers have by default.
pub const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn parked(stream: u32, key: u8, bytes: usize) -> Parked<u8, ()> {
        Parked { stream: StreamId(stream), arrived: Timestamp::from_secs(1), key, bytes, item: () }
    }

    fn list() -> WaitingList<u8, ()> {
        WaitingList::new(WaitingBounds { requests: 3, deadline: Duration::from_secs(5) }, 2)
    }

    #[test]
    fn a_list_takes_its_bounds_and_no_more() {
        let mut list = list();
        assert!(list.park(parked(1, 1, 0)).is_ok() && list.park(parked(2, 1, 0)).is_ok());
        assert_eq!(list.park(parked(3, 1, 0)).unwrap_err().stream, StreamId(3), "its share");
        assert!(list.park(parked(4, 2, 0)).is_ok());
        assert!(list.park(parked(5, 3, 0)).is_err(), "all there are");
        list.forget(StreamId(1));
        assert!(list.park(parked(6, 3, MAX_WAITING_BYTES)).is_ok());
        list.forget(StreamId(2));
        assert!(list.park(parked(7, 3, 1)).is_err(), "a byte too many");
    }

    #[test]
    fn those_for_whom_it_has_come_are_not_overdue() {
        let mut list = list();
        for (stream, key) in [(1, 1), (2, 1), (3, 2)] {
            list.park(parked(stream, key, 0)).unwrap();
        }
        list.make_ready(|key, ()| *key == 1);
        assert!(list.take_overdue(Timestamp::from_secs(5)).is_empty());
        assert_eq!(list.take_overdue(Timestamp::from_secs(6))[0].stream, StreamId(3));
        assert_eq!(list.take_ready(1)[0].stream, StreamId(1));
        assert!(list.has_ready());
        assert_eq!(list.take_ready(9)[0].stream, StreamId(2));
        assert!(list.is_empty());
    }
}
