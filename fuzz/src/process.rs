//! What the threads of one process share, as Envoy does it: values with versions, and queues that wake the thread that opened them last.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::rc::Rc;

use attache::sharing::{QueueId, SharedState, Version};

/// The memory of a process.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    values: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    versions: Cell<u32>,
    queues: RefCell<Vec<Queue>>,
}

#[derive(Debug)]
struct Queue {
    name: String,
    owner: u16,
    has_message: bool,
}

impl Memory {
    /// The `index`-th name, counted round and round.
    pub(crate) fn name(&self, index: u8) -> Option<String> {
        let values = self.values.borrow();
        values.keys().nth(usize::from(index).checked_rem(values.len())?).cloned()
    }

    pub(crate) fn value(&self, name: &str) -> Vec<u8> {
        self.values.borrow().get(name).map(|(value, _)| value.clone()).unwrap_or_default()
    }

    /// As another module of the `vm_id` can.
    pub(crate) fn plant(&self, name: &str, value: &[u8]) {
        self.versions.set(self.versions.get() + 1);
        self.values.borrow_mut().insert(name.to_owned(), (value.to_vec(), self.versions.get()));
    }

    pub(crate) fn remove(&self, name: &str) {
        self.values.borrow_mut().remove(name);
    }

    /// A queue of this thread with a message in it.
    pub(crate) fn message_for(&self, owner: u16) -> Option<QueueId> {
        let queues = self.queues.borrow();
        let index = queues.iter().position(|queue| queue.owner == owner && queue.has_message)?;
        Some(QueueId(index as u32))
    }

    /// How many values and queues there are.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.values.borrow().len(), self.queues.borrow().len())
    }
}

/// One thread of a process, or of none: what it shares is what it has a memory for.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) memory: Rc<Memory>,
    pub(crate) number: u16,
}

impl SharedState for Thread {
    fn get(&self, name: &str) -> Option<(Vec<u8>, Version)> {
        let values = self.memory.values.borrow();
        let (value, version) = values.get(name)?;
        Some((value.clone(), Version(NonZeroU32::new(*version)?)))
    }

    fn set(&self, name: &str, value: &[u8], version: Option<Version>) -> bool {
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
            queues.push(Queue { name: name.to_owned(), owner: self.number, has_message: false });
            queues.len() - 1
        });
        queues[index].owner = self.number;
        Some(QueueId(index as u32))
    }

    fn wake(&self, queue: QueueId) {
        if let Some(queue) = self.memory.queues.borrow_mut().get_mut(queue.0 as usize) {
            queue.has_message = true;
        }
    }

    fn drain(&self, queue: QueueId) {
        if let Some(queue) = self.memory.queues.borrow_mut().get_mut(queue.0 as usize) {
            queue.has_message = false;
        }
    }
}
