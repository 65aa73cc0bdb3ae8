//! The threads of one process that share: each has a slot with a heartbeat and a queue, by which the others wake it.

use core::time::Duration;

use prost::Message;

use super::context::Context;
use super::shared_state::{QueueId, SharedState, Version};
use crate::base::Timestamp;

/// A thread's place among those of its process.
#[derive(Debug)]
pub struct WorkerGroup {
    /// Those with the same configuration; `None` when this thread shares nothing.
    group: Option<u64>,
    /// Who we are: random, not zero.
    me: u64,
    slot: Option<Slot>,
    next_beat: Timestamp,
    is_leader: bool,
    /// The number of the last update that we know of.
    heard: u64,
}

/// The documents that other threads have published since the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updates {
    /// None.
    None,
    /// These ([`SingleFlight::id`](super::SingleFlight::id)).
    Some(Vec<u64>),
    /// Perhaps any: more than the journal holds.
    All,
}

impl Updates {
    /// Whether a document is among them.
    pub fn contains(&self, id: u64) -> bool {
        match self {
            Self::None => false,
            Self::Some(ids) => ids.contains(&id),
            Self::All => true,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    index: usize,
    queue: QueueId,
}

impl WorkerGroup {
    /// A thread that has no slot yet; `me` is random.
    pub fn new(group: Option<u64>, me: u64) -> Self {
        let is_leader = group.is_none();
        Self { group, me: me | 1, slot: None, next_beat: Timestamp::EPOCH, is_leader, heard: 0 }
    }

    /// Keeps the slot, or looks for one. Where all are taken, updates come with the next tick.
    pub fn handle_tick(&mut self, context: &Context<'_>) {
        let (shared, now) = (context.shared, context.now);
        let Some(group) = self.group else { return };
        if now < self.next_beat && self.next_beat.since(now) <= BEAT {
            return;
        }
        self.next_beat = now.after(BEAT);
        if !self.beat(shared, now) {
            self.slot = None;
            self.take_slot(group, shared, now);
        }
        // One thread tells of what all see alike: the first of its configuration; where there is no memory, each for
        // itself.
        let Some(place) = self.slot.map(|slot| slot.index) else {
            self.is_leader = read(shared, 0).is_none();
            return;
        };
        let is_mine = |entry: SlotRecord| entry.group == group && entry.is_live(now);
        self.is_leader =
            !(0..place).any(|index| read(shared, index).is_some_and(|(entry, _)| is_mine(entry)));
    }

    /// What other threads have published since the last time this was asked.
    pub fn updates(&mut self, context: &Context<'_>) -> Updates {
        if self.group.is_none() {
            return Updates::None;
        }
        let Some((journal, _)) = read_journal(context.shared) else { return Updates::None };
        let heard = core::mem::replace(&mut self.heard, journal.last);
        match journal.last.checked_sub(heard).map(usize::try_from) {
            Some(Ok(0)) => Updates::None,
            Some(Ok(count)) if count <= journal.recent.len() => {
                let first = journal.recent.len().saturating_sub(count);
                Updates::Some(journal.recent.get(first..).unwrap_or_default().to_vec())
            }
            Some(_) | None => Updates::All,
        }
    }

    /// Whether this thread sets the gauges of its configuration.
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }

    /// Tells all others that a document has been published. At most one message lies in a queue: its owner sees all
    /// updates at once.
    pub fn publish_update(&self, document: u64, context: &Context<'_>) {
        let (shared, now) = (context.shared, context.now);
        if self.group.is_none() {
            return;
        }
        for _ in 0..MAX_TRIES {
            let (mut journal, version) = read_journal(shared)
                .map_or((Journal::default(), None), |(journal, version)| (journal, Some(version)));
            journal.last = journal.last.wrapping_add(1);
            journal.recent.push(document);
            let surplus = journal.recent.len().saturating_sub(MAX_RECENT_UPDATES);
            journal.recent.drain(..surplus);
            if shared.set(UPDATES, &journal.encode_to_vec(), version) {
                break;
            }
        }
        for index in 0..MAX_SLOTS {
            // The lowest slots are taken first: where none has ever been, there is none above.
            let Some((entry, version)) = read(shared, index) else { break };
            if entry.owner == self.me || !entry.is_live(now) || entry.is_called {
                continue;
            }
            let called = SlotRecord { is_called: true, ..entry };
            if write(shared, index, &called, Some(version)) {
                shared.wake(QueueId(entry.queue));
            }
        }
    }

    /// Whether this thread can be woken.
    pub fn has_queue(&self) -> bool {
        self.slot.is_some()
    }

    /// Comes back at once, to go on with work that is too much for one callback.
    pub fn call_again(&self, context: &Context<'_>) {
        if let Some(slot) = self.slot {
            context.shared.wake(slot.queue);
        }
    }

    /// A message has come: takes it, and all others, out of the queue. Whether the queue is ours.
    pub fn handle_wake(&mut self, queue: QueueId, context: &Context<'_>) -> bool {
        let shared = context.shared;
        // A queue that a former thread left behind is drained too: no other thread does that.
        shared.drain(queue);
        let Some(slot) = self.slot.filter(|slot| slot.queue == queue) else { return false };
        for _ in 0..MAX_TRIES {
            match read(shared, slot.index) {
                Some((entry, version)) if entry.owner == self.me && entry.is_called => {
                    if write(shared, slot.index, &SlotRecord { is_called: false, ..entry }, Some(version)) {
                        break;
                    }
                }
                Some(_) | None => break,
            }
        }
        true
    }

    /// Leaves the slot to others.
    pub fn leave(&mut self, context: &Context<'_>) {
        let shared = context.shared;
        if let Some(slot) = self.slot.take()
            && let Some((entry, version)) = read(shared, slot.index)
            && entry.owner == self.me
        {
            write(shared, slot.index, &SlotRecord::default(), Some(version));
        }
    }

    /// `false` when the slot is not ours (any more).
    fn beat(&self, shared: &dyn SharedState, now: Timestamp) -> bool {
        let Some(slot) = self.slot else { return false };
        for _ in 0..MAX_TRIES {
            let Some((entry, version)) = read(shared, slot.index) else { return false };
            if entry.owner != self.me {
                return false;
            }
            // A message that was lost on the way would keep all further ones away.
            let entry = SlotRecord { beat: now.nanos(), is_called: false, ..entry };
            if write(shared, slot.index, &entry, Some(version)) {
                // The loser of a race for this slot may have taken its queue over.
                return shared.open_queue(&queue_name(slot.index)) == Some(slot.queue);
            }
        }
        true
    }

    fn take_slot(&mut self, group: u64, shared: &dyn SharedState, now: Timestamp) {
        for index in 0..MAX_SLOTS {
            let there = read(shared, index);
            if there.is_some_and(|(entry, _)| entry.is_live(now)) {
                continue;
            }
            let Some(queue) = shared.open_queue(&queue_name(index)) else { return };
            let entry =
                SlotRecord { owner: self.me, group, queue: queue.0, beat: now.nanos(), is_called: false };
            // Two may write to a slot that no thread has had: the loser sees it at the next beat, and looks for
            // another.
            if write(shared, index, &entry, there.map(|(_, version)| version)) {
                self.slot = Some(Slot { index, queue });
                return;
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct SlotRecord {
    #[prost(fixed64, tag = "1")]
    owner: u64,
    #[prost(fixed64, tag = "2")]
    group: u64,
    #[prost(uint32, tag = "3")]
    queue: u32,
    #[prost(fixed64, tag = "4")]
    beat: u64,
    /// A message is on its way or in the queue.
    #[prost(bool, tag = "5")]
    is_called: bool,
}

impl SlotRecord {
    fn is_live(&self, now: Timestamp) -> bool {
        let beat = Timestamp::from_nanos(self.beat);
        self.owner != 0 && beat.since(now) <= BEAT && now.since(beat) <= DEAD_AFTER
    }
}

fn read(shared: &dyn SharedState, index: usize) -> Option<(SlotRecord, Version)> {
    let (bytes, version) = shared.get(&slot_name(index))?;
    Some((SlotRecord::decode(&*bytes).unwrap_or_default(), version))
}

fn write(shared: &dyn SharedState, index: usize, entry: &SlotRecord, version: Option<Version>) -> bool {
    shared.set(&slot_name(index), &entry.encode_to_vec(), version)
}

/// The last updates, oldest first.
#[derive(Clone, PartialEq, Eq, Message)]
struct Journal {
    /// The number of the last of them.
    #[prost(fixed64, tag = "1")]
    last: u64,
    #[prost(fixed64, repeated, tag = "2")]
    recent: Vec<u64>,
}

fn read_journal(shared: &dyn SharedState) -> Option<(Journal, Version)> {
    let (bytes, version) = shared.get(UPDATES)?;
    Some((Journal::decode(&*bytes).unwrap_or_default(), version))
}

fn queue_name(index: usize) -> String {
    format!("attache/1/queue/{index}")
}

fn slot_name(index: usize) -> String {
    format!("attache/1/slot/{index}")
}

/// The journal. Its numbers only tell what to look at, so a forged one costs a look at everything, or a while until the
/// next tick of a schedule.
const UPDATES: &str = "attache/1/news";
/// How often a thread says that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// A thread that has missed three beats is gone.
const DEAD_AFTER: Duration = Duration::from_secs(16);
/// The most threads that wake each other: 32 workers with eight filters each. A thread that finds no slot learns of
/// updates at its tick.
pub const MAX_SLOTS: usize = 256;
/// How much of the past the journal tells one by one: what a second of a thousand issuers brings.
const MAX_RECENT_UPDATES: usize = 64;
/// Others write to a slot only once in a while.
const MAX_TRIES: usize = 4;
