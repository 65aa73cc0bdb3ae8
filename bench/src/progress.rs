//! A line for each step of long work, on the standard error, with the time that it will take yet.

use std::cell::Cell;
use std::time::Instant;

/// The steps of one piece of work.
pub(crate) struct Progress {
    name: &'static str,
    steps: usize,
    done: Cell<usize>,
    start: Instant,
    /// The start of the first step.
    first: Cell<Option<Instant>>,
}

impl Progress {
    /// Begins work of so many steps.
    pub(crate) fn new(name: &'static str, steps: usize) -> Self {
        Self { name, steps, done: Cell::new(0), start: Instant::now(), first: Cell::new(None) }
    }

    /// Says what comes, which is no step.
    pub(crate) fn note(&self, what: &str) {
        eprintln!("{}: {what}", self.name);
    }

    /// Says which step begins.
    pub(crate) fn step(&self, what: &str) {
        let done = self.done.get();
        self.done.set(done + 1);
        let first = self.first.get().unwrap_or_else(Instant::now);
        self.first.set(Some(first));
        let elapsed = first.elapsed().as_secs_f64();
        let left = if done < 3 {
            String::new()
        } else {
            let left = elapsed / done as f64 * (self.steps - done.min(self.steps)) as f64;
            format!(", about {left:.0} s left")
        };
        eprintln!("{}: {:>3} of {}{left}: {what}", self.name, done + 1, self.steps);
    }

    /// Says that the work is done.
    pub(crate) fn end(&self) {
        eprintln!("{}: done in {:.0} s", self.name, self.start.elapsed().as_secs_f64());
    }
}
