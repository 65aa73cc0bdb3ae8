//! Which authorities match no destination: told to the operator, who may have forgotten one. Bounded, and looked at for
//! one request of each tick, so that the others cost nothing.

use crate::base::{Excerpt, RequestHead};
use crate::telemetry::Message;

/// What has been told.
#[derive(Debug, Default)]
pub(super) struct UnmatchedAuthorities {
    told: Vec<(Excerpt, Excerpt)>,
    /// A request has been looked at since the last tick.
    has_looked: bool,
}

impl UnmatchedAuthorities {
    /// Time has passed.
    pub(super) fn handle_tick(&mut self) {
        self.has_looked = self.told.len() > MAX_TOLD;
    }

    /// A request matches no destination: `tell` gets the line about it, if it is worth one.
    pub(super) fn record(&mut self, head: &RequestHead, is_passed: bool, tell: impl FnOnce(Message<'_>)) {
        if self.has_looked {
            return;
        }
        self.has_looked = true;
        let excerpt = |bytes: Option<&[u8]>| {
            let text = bytes.and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default();
            Excerpt::of(if text.is_empty() { "-" } else { text }, MAX_SHOWN)
        };
        let one = (excerpt(head.headers.first(":authority")), excerpt(head.cluster.as_deref()));
        if self.told.contains(&one) {
            return;
        }
        let (authority, cluster) = &one;
        let authority = (self.told.len() < MAX_TOLD).then_some(authority);
        tell(Message::Unmatched { authority, cluster, is_passed });
        self.told.push(one);
    }
}

/// More are not forgotten by mistake, but callers that make them up, or a proxy to many places.
const MAX_TOLD: usize = 16;
/// How much of a name is told.
const MAX_SHOWN: usize = 64;
