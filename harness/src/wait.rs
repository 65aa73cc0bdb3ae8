//! Waiting for a condition, bounded; never for a fixed time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks until the answer is there, or fails when the time is over. `what` completes the sentence "waited … for".
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if start.elapsed() >= limit {
            bail!("waited {} s in vain for {what}", limit.as_secs_f32());
        }
        std::thread::sleep(INTERVAL);
    }
}

const INTERVAL: Duration = Duration::from_millis(20);
