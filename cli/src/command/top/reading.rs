//! What Envoy's page says at one time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use attachectl::top::{Admin, Stats, View};

/// A reading, and when it was made.
pub(super) struct Reading {
    stats: Stats,
    at: Instant,
    unix_time: u64,
}

impl Reading {
    pub(super) fn take(admin: &Admin) -> Result<Self> {
        let stats = admin.read()?;
        #[allow(clippy::disallowed_methods, reason = "a command line reads the clock")]
        let (at, now) = (Instant::now(), SystemTime::now());
        let unix_time = now.duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
        Ok(Self { stats, at, unix_time })
    }

    pub(super) fn view(&self, before: Option<&Self>) -> View {
        let before = before.map(|before| (&before.stats, self.at.saturating_duration_since(before.at)));
        View::of(&self.stats, before, self.unix_time)
    }
}
