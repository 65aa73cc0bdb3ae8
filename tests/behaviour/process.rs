//! What the threads of one process share, as Envoy does it: values with versions, and queues that wake the thread that opened them last.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::rc::Rc;

use attache::sharing::{QueueId, SharedState, Version};

/// The memory of a process.
#[derive(Debug, Default)]
pub struct Memory {
    values: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    versions: Cell<u32>,
    queues: RefCell<Vec<Queue>>,
    /// The most messages that a queue has held.
    fullest: Cell<usize>,
    is_read_only: Cell<bool>,
    /// The VMs have no `vm_id`: every module of the proxy reads and writes it.
    is_everybodys: bool,
}

#[derive(Debug)]
struct Queue {
    name: String,
    owner: u16,
    messages: usize,
}

impl Memory {
    /// That of VMs without a `vm_id`, as Istio makes them.
    pub fn of_everybody() -> Self {
        Self { is_everybodys: true, ..Self::default() }
    }

    /// Whether the VMs have a `vm_id`.
    pub fn has_vm_id(&self) -> bool {
        !self.is_everybodys
    }

    /// The names of all values.
    pub fn names(&self) -> Vec<String> {
        self.values.borrow().keys().cloned().collect()
    }

    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        self.values.borrow().get(name).map(|(value, _)| value.clone())
    }

    /// As another module of the `vm_id` can.
    pub fn plant(&self, name: &str, value: &[u8]) {
        self.versions.set(self.versions.get() + 1);
        self.values.borrow_mut().insert(name.to_owned(), (value.to_vec(), self.versions.get()));
    }

    /// All values are gone.
    pub fn clear(&self) {
        self.values.borrow_mut().clear();
    }

    /// One value is gone.
    pub fn remove(&self, name: &str) {
        self.values.borrow_mut().remove(name);
    }

    /// From now on no thread's write is taken.
    pub fn take_no_writes(&self) {
        self.is_read_only.set(true);
    }

    /// A queue of this thread with a message in it.
    pub fn message_for(&self, owner: u16) -> Option<QueueId> {
        let queues = self.queues.borrow();
        let index = queues.iter().position(|queue| queue.owner == owner && queue.messages > 0)?;
        Some(QueueId(u32::try_from(index).unwrap()))
    }

    /// How many messages have lain in a queue at once, at the most.
    pub fn most_messages(&self) -> usize {
        self.fullest.get()
    }
}

/// One thread of a process.
#[derive(Clone, Debug)]
pub struct Thread {
    pub memory: Rc<Memory>,
    pub number: u16,
}

impl SharedState for Thread {
    fn get(&self, name: &str) -> Option<(Vec<u8>, Version)> {
        let values = self.memory.values.borrow();
        let (value, version) = values.get(name)?;
        Some((value.clone(), Version(NonZeroU32::new(*version)?)))
    }

    fn set(&self, name: &str, value: &[u8], version: Option<Version>) -> bool {
        if self.memory.is_read_only.get() {
            return false;
        }
        let current = self.memory.values.borrow().get(name).map(|(_, version)| *version);
        // A value that is missing takes any version: there is no "only if missing".
        let fits = version.is_none_or(|version| current.is_none_or(|current| current == version.0.get()));
        if fits {
            self.memory.plant(name, value);
        }
        fits
    }

    fn open_queue(&self, name: &str) -> Option<QueueId> {
        let mut queues = self.memory.queues.borrow_mut();
        let index = queues.iter().position(|queue| queue.name == name).unwrap_or_else(|| {
            queues.push(Queue { name: name.to_owned(), owner: self.number, messages: 0 });
            queues.len() - 1
        });
        queues[index].owner = self.number;
        Some(QueueId(u32::try_from(index).unwrap()))
    }

    fn wake(&self, queue: QueueId) {
        if let Some(queue) = self.memory.queues.borrow_mut().get_mut(usize::try_from(queue.0).unwrap()) {
            queue.messages += 1;
            self.memory.fullest.set(self.memory.fullest.get().max(queue.messages));
        }
    }

    fn drain(&self, queue: QueueId) {
        if let Some(queue) = self.memory.queues.borrow_mut().get_mut(usize::try_from(queue.0).unwrap()) {
            queue.messages = 0;
        }
    }
}
