//! Ctrl-C and SIGTERM.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// Tells when this process is asked to end. From its making on, the signals do not end the process by themselves.
#[derive(Debug)]
pub(super) struct Signals(Receiver<()>);

impl Signals {
    pub(super) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut interrupt, mut terminate) = {
            let _guard = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let (sender, receiver) = channel();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if sender.send(()).is_err() {
                        return;
                    }
                }
            });
        })?;
        Ok(Self(receiver))
    }

    /// Waits for a signal.
    pub(super) fn wait(&self) {
        let _ = self.0.recv();
    }

    /// Waits for a signal, at most so long; tells whether one came.
    pub(super) fn wait_for(&self, limit: Duration) -> bool {
        match self.0.recv_timeout(limit) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }
}
