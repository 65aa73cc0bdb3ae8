//! The streams that end with the token that let them in, the first to end first. Bounded in number; a request on a
//! route whose streams do not end so never comes here.

use std::collections::{BTreeMap, HashMap};

use rustc_hash::FxBuildHasher;

use super::settings::StreamSettings;
use crate::base::{StreamId, Timestamp};
use crate::policy::{IssuerId, Mode, RouteId};

/// The streams that are open.
#[derive(Debug)]
pub struct OpenStreams {
    max: usize,
    by_end: BTreeMap<(Timestamp, StreamId), OpenStream>,
    /// When each of them ends. The host numbers streams, and no client does: their hash needs no key.
    ends: HashMap<StreamId, Timestamp, FxBuildHasher>,
}

/// A stream, by what let it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenStream {
    /// Its route.
    pub route: RouteId,
    /// Its token's issuer.
    pub issuer: IssuerId,
    /// Whether it ends, or its end is only reported.
    pub mode: Mode,
}

/// There is no room for one more stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamsFull;

impl OpenStreams {
    /// No streams.
    pub fn new(settings: StreamSettings) -> Self {
        Self { max: settings.max, by_end: BTreeMap::new(), ends: HashMap::default() }
    }

    /// Takes on a stream that is to end at this time. One that ends at the end of time, whose token does not expire,
    /// takes no room.
    ///
    /// # Errors
    /// When there are as many as there may be.
    pub fn open(&mut self, stream: StreamId, end: Timestamp, open: OpenStream) -> Result<(), StreamsFull> {
        // The host gives a number away again when its stream is gone.
        self.close(stream);
        if end == Timestamp::MAX {
            return Ok(());
        }
        if self.ends.len() >= self.max {
            return Err(StreamsFull);
        }
        self.ends.insert(stream, end);
        self.by_end.insert((end, stream), open);
        Ok(())
    }

    /// A stream is over.
    pub fn close(&mut self, stream: StreamId) {
        if let Some(end) = self.ends.remove(&stream) {
            self.by_end.remove(&(end, stream));
        }
    }

    /// Takes off a stream whose time has come, the one that has been due for longest first.
    pub fn take_due(&mut self, now: Timestamp) -> Option<(StreamId, OpenStream)> {
        let entry = self.by_end.first_entry()?;
        let &(end, stream) = entry.key();
        if end > now {
            return None;
        }
        let open = entry.remove();
        self.ends.remove(&stream);
        Some((stream, open))
    }

    /// The most streams that one event ends. All that are due at once have ended within seven seconds.
    pub fn ended_at_once(&self) -> usize {
        MIN_ENDED_AT_ONCE.max(self.max.div_ceil(MAX_TICKS_TO_END))
    }

    /// Forgets all streams.
    pub fn clear(&mut self) {
        self.by_end.clear();
        self.ends.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// Some milliseconds of a worker's time.
const MIN_ENDED_AT_ONCE: usize = 256;
/// Ten ticks are a second.
const MAX_TICKS_TO_END: usize = 64;
