//! A client without a token that never stops asking: whatever fails, it must not be let through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use attache_harness::http::Request;

/// A client at work.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    client: JoinHandle<Vec<u16>>,
}

impl Watch {
    pub(crate) fn start(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let client = std::thread::spawn(move || {
            let mut statuses = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                // While no pod is there, there is no answer. The row demands many statuses.
                statuses.extend(Request::get(&url).send().map(|answer| answer.status));
                std::thread::sleep(PAUSE);
            }
            statuses
        });
        Self { stop, client }
    }

    /// Ends it. Returns the status of each answer.
    pub(crate) fn finish(self) -> Vec<u16> {
        self.stop.store(true, Ordering::Relaxed);
        self.client.join().expect("the client did not panic")
    }
}

/// Between two requests, so that it leaves the machine to the others.
const PAUSE: Duration = Duration::from_millis(5);
