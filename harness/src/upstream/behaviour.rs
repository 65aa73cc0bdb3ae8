//! What an upstream shall do, as a test sets it while it runs, and what it has seen.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::echo::Echo;
use crate::lock::lock;

/// Returns the status for a request.
pub(super) type Judge = Arc<dyn Fn(&Echo) -> u16 + Send + Sync>;

/// What the handler and the handle share.
#[derive(Default)]
pub(super) struct Behaviour {
    judge: Mutex<Option<Judge>>,
    /// The start of a path, and where it leads.
    redirect: Mutex<Option<(String, String)>>,
    delay: Mutex<Duration>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    echoes: VecDeque<Echo>,
    bytes: usize,
}

impl Behaviour {
    pub(super) fn set_judge(&self, judge: Option<Judge>) {
        *lock(&self.judge) = judge;
    }

    pub(super) fn set_redirect(&self, redirect: Option<(String, String)>) {
        *lock(&self.redirect) = redirect;
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        *lock(&self.delay) = delay;
    }

    /// Returns the status that the request deserves.
    pub(super) fn status(&self, echo: &Echo) -> u16 {
        // The judge may take its time, in which another one may be set.
        let judge = lock(&self.judge).clone();
        judge.map_or(200, |judge| judge(echo))
    }

    /// Returns where the request is sent instead.
    pub(super) fn location(&self, echo: &Echo) -> Option<String> {
        let redirect = lock(&self.redirect);
        let (prefix, location) = redirect.as_ref()?;
        echo.path.starts_with(prefix).then(|| location.clone())
    }

    pub(super) fn delay(&self) -> Duration {
        *lock(&self.delay)
    }

    pub(super) fn remember(&self, echo: Echo) {
        lock(&self.seen).add(echo);
    }

    pub(super) fn seen(&self) -> Vec<Echo> {
        lock(&self.seen).echoes.iter().cloned().collect()
    }

    pub(super) fn forget(&self) {
        *lock(&self.seen) = Seen::default();
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour").finish_non_exhaustive()
    }
}

impl Seen {
    fn add(&mut self, echo: Echo) {
        self.bytes = self.bytes.saturating_add(size(&echo));
        self.echoes.push_back(echo);
        while self.echoes.len() > MAX_SEEN || (self.bytes > MAX_BYTES && self.echoes.len() > 1) {
            let Some(oldest) = self.echoes.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(size(&oldest));
        }
    }
}

/// About what an echo takes in memory.
fn size(echo: &Echo) -> usize {
    let headers = echo.headers.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    headers.fold(echo.path.len(), usize::saturating_add)
}

/// More requests than a test looks through; a load test sends more.
const MAX_SEEN: usize = 10_000;
/// 6 KB for each, and no more for those who send headers of 60 KB.
const MAX_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(path: String) -> Echo {
        Echo {
            method: "GET".into(),
            path,
            version: String::new(),
            headers: Vec::new(),
            body_length: 0,
            body_sha256: String::new(),
        }
    }

    #[test]
    fn the_last_ten_thousand_requests_are_remembered_and_fewer_large_ones() {
        let behaviour = Behaviour::default();
        for number in 0..10_001 {
            behaviour.remember(echo(number.to_string()));
        }
        let seen = behaviour.seen();
        assert_eq!((seen.len(), seen[0].path.as_str(), seen[9_999].path.as_str()), (10_000, "1", "10000"));
        behaviour.forget();
        for letter in ["a", "b", "c"] {
            behaviour.remember(echo(letter.repeat(MAX_BYTES / 2)));
        }
        let first: Vec<String> =
            behaviour.seen().iter().map(|echo| echo.path.chars().take(1).collect()).collect();
        assert_eq!(first, ["b", "c"]);
    }
}
