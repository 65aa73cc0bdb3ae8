//! One place that an issuer's keys come from.

use std::rc::Rc;

use super::settings::{Discovery, Jwks, KeySource};
use crate::base::{HttpCall, HttpReply, Timestamp};
use crate::jose::{KeySet, ParsedKeySet};
use crate::oauth::{
    Address, Definition, Document, Event, FetchError, MAX_METADATA_BYTES, Member, News, Surroundings, Wish,
    read_metadata,
};
use crate::sharing::{Sharing, Unreadable};

/// What all sources of an issuer have in common.
#[derive(Clone, Debug)]
pub(super) struct Common {
    /// `None`: threads share nothing.
    pub(super) sharing: Option<Sharing>,
    /// Who we are in a lease: random.
    pub(super) me: u64,
    /// The most bytes that a document may have.
    pub(super) document_bytes: usize,
    /// The most bytes that the keys of one source may take.
    pub(super) key_bytes: usize,
}

/// A source at work.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Inline(Rc<KeySet>),
    Jwks(Box<Keys>),
    Discovery(Box<Discovered>),
}

/// A fetched key set.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    document: Document,
    set: Option<Rc<KeySet>>,
    believes_empty_set: bool,
    key_bytes: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Discovered {
    settings: Discovery,
    metadata: Document,
    keys: Option<Keys>,
}

/// Which of a source's documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The key set.
    Keys,
    /// The metadata that says where the key set is.
    Metadata,
}

/// How many fetches of each document have failed in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failures {
    pub(super) keys: u32,
    pub(super) metadata: u32,
}

/// What happened at a source.
#[derive(Debug)]
pub(super) struct Happening {
    pub(super) part: Part,
    pub(super) is_shared: bool,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A key set has come, and differs from the one before.
    NewKeys {
        skipped: usize,
        private_members: bool,
    },
    /// The metadata names another address.
    Moved,
    /// It is what it was, as of now.
    Same,
    /// Another thread has found that it is what it was.
    Confirmed,
    Failed(FetchError),
    Elsewhere(FetchError),
    Refused(Unreadable),
    Expired,
}

impl Source {
    pub(super) fn new(source: &KeySource, common: &Common, now: Timestamp) -> Self {
        match source {
            KeySource::Inline(keys) => Self::Inline(Rc::clone(keys)),
            KeySource::Jwks(jwks) => {
                let definition = Keys::definition(jwks, common);
                Self::Jwks(Box::new(Keys::new(definition, jwks.believes_empty_set, common, now)))
            }
            KeySource::Discovery(settings) => {
                let definition = Definition {
                    kind: "metadata",
                    identity: Rc::clone(&settings.issuer),
                    is_loose: settings.allow_http,
                    cluster: Rc::clone(&settings.cluster),
                    places: Address::of_metadata(&settings.url).into(),
                    schedule: settings.schedule.clone(),
                    max_bytes: MAX_METADATA_BYTES.min(common.document_bytes),
                };
                let metadata = Document::new(definition, common.sharing.as_ref(), common.me, now);
                Self::Discovery(Box::new(Discovered { settings: settings.clone(), metadata, keys: None }))
            }
        }
    }

    /// The keys that count now; `None` before the first have come, and when they are too old.
    pub(super) fn keys(&self) -> Option<&Rc<KeySet>> {
        match self {
            Self::Inline(keys) => Some(keys),
            Self::Jwks(keys) => keys.set.as_ref(),
            Self::Discovery(discovered) => discovered.keys.as_ref()?.set.as_ref(),
        }
    }

    pub(super) fn is_remote(&self) -> bool {
        !matches!(self, Self::Inline(_))
    }

    /// The document with the keys, if its address is known.
    pub(super) fn key_document(&self) -> Option<&Document> {
        match self {
            Self::Inline(_) => None,
            Self::Jwks(keys) => Some(&keys.document),
            Self::Discovery(discovered) => discovered.keys.as_ref().map(|keys| &keys.document),
        }
    }

    pub(super) fn failures(&self) -> Failures {
        let of = |part| self.document(part).map_or(0, Document::failures);
        Failures { keys: of(Part::Keys), metadata: of(Part::Metadata) }
    }

    /// One of the documents.
    pub(super) fn document(&self, part: Part) -> Option<&Document> {
        match (self, part) {
            (_, Part::Keys) => self.key_document(),
            (Self::Discovery(discovered), Part::Metadata) => Some(&discovered.metadata),
            (Self::Inline(_) | Self::Jwks(_), Part::Metadata) => None,
        }
    }

    /// All documents.
    pub(super) fn documents(&self) -> impl Iterator<Item = &Document> {
        let metadata = match self {
            Self::Discovery(discovered) => Some(&discovered.metadata),
            Self::Inline(_) | Self::Jwks(_) => None,
        };
        metadata.into_iter().chain(self.key_document())
    }

    pub(super) fn wish(&mut self, wish: Wish) {
        match self {
            Self::Inline(_) => {}
            Self::Jwks(keys) => keys.document.wish(wish),
            Self::Discovery(discovered) => {
                if let Some(keys) = &mut discovered.keys {
                    keys.document.wish(wish);
                }
                // Perhaps the keys have moved.
                discovered.metadata.wish(Wish::Doubt);
            }
        }
    }

    /// Every document, to be changed.
    fn documents_mut(&mut self) -> impl Iterator<Item = &mut Document> {
        let (metadata, keys) = match self {
            Self::Inline(_) => (None, None),
            Self::Jwks(keys) => (None, Some(&mut keys.document)),
            Self::Discovery(discovered) => {
                let Discovered { metadata, keys, .. } = &mut **discovered;
                (Some(metadata), keys.as_mut().map(|keys| &mut keys.document))
            }
        };
        metadata.into_iter().chain(keys)
    }

    pub(super) fn handle_end(&mut self, with: &Surroundings<'_>) {
        self.documents_mut().for_each(|document| document.handle_end(with));
    }

    pub(super) fn handle_clock_step(&mut self, before: Timestamp, now: Timestamp) {
        self.documents_mut().for_each(|document| document.handle_clock_step(before, now));
    }

    /// Looks at what the process has.
    pub(super) fn handle_news(
        &mut self,
        common: &Common,
        with: &mut Surroundings<'_>,
        out: &mut Vec<Happening>,
    ) {
        match self {
            Self::Inline(_) => {}
            Self::Jwks(keys) => out.extend(keys.handle_news(with)),
            Self::Discovery(discovered) => {
                let Discovered { settings, metadata, keys } = &mut **discovered;
                let read = |body: &[u8]| {
                    Ok(read_metadata(body, &settings.issuer, Member::KeySet, settings.allow_http)?)
                };
                let event = metadata.handle_news(with, &read);
                out.extend(event.map(|event| Discovered::locate(settings, keys, event, common, with)));
                out.extend(keys.as_mut().and_then(|keys| keys.handle_news(with)));
            }
        }
    }

    /// Time has passed. At most `calls` may be made.
    pub(super) fn handle_tick(
        &mut self,
        common: &Common,
        with: &mut Surroundings<'_>,
        calls: &mut usize,
        out: &mut Vec<Happening>,
    ) -> Vec<(Part, HttpCall)> {
        let mut made = Vec::new();
        match self {
            Self::Inline(_) => {}
            Self::Jwks(keys) => made.extend(keys.handle_tick(with, calls, out)),
            Self::Discovery(discovered) => {
                let Discovered { settings, metadata, keys } = &mut **discovered;
                let read = |body: &[u8]| {
                    Ok(read_metadata(body, &settings.issuer, Member::KeySet, settings.allow_http)?)
                };
                let (event, call) = metadata.handle_tick(*calls > 0, with, &read);
                *calls = calls.saturating_sub(usize::from(call.is_some()));
                made.extend(call.map(|call| (Part::Metadata, call)));
                out.extend(event.map(|event| Discovered::locate(settings, keys, event, common, with)));
                if let Some(keys) = keys {
                    made.extend(keys.handle_tick(with, calls, out));
                }
            }
        }
        made
    }

    pub(super) fn handle_reply(
        &mut self,
        part: Part,
        reply: HttpReply,
        common: &Common,
        with: &mut Surroundings<'_>,
    ) -> Option<Happening> {
        match (self, part) {
            (Self::Jwks(keys), Part::Keys) => keys.handle_reply(reply, with),
            (Self::Discovery(discovered), Part::Keys) => {
                let happening = discovered.keys.as_mut()?.handle_reply(reply, with)?;
                if matches!(&happening.what, What::Failed(error) if error.is_elsewhere()) {
                    // The keys are not where the metadata said: perhaps it says something else by now.
                    discovered.metadata.wish(Wish::Doubt);
                }
                Some(happening)
            }
            (Self::Discovery(discovered), Part::Metadata) => {
                let Discovered { settings, metadata, keys } = &mut **discovered;
                let read = |body: &[u8]| {
                    Ok(read_metadata(body, &settings.issuer, Member::KeySet, settings.allow_http)?)
                };
                let event = metadata.handle_reply(reply, with, &read)?;
                Some(Discovered::locate(settings, keys, event, common, with))
            }
            (Self::Inline(_), _) | (Self::Jwks(_), Part::Metadata) => None,
        }
    }
}

impl Discovered {
    /// Turns to the address that the metadata names.
    fn locate(
        settings: &Discovery,
        keys: &mut Option<Keys>,
        event: Event<Address>,
        common: &Common,
        with: &Surroundings<'_>,
    ) -> Happening {
        let what = match event.news {
            News::New(address) => {
                let jwks = Jwks {
                    cluster: Rc::clone(&settings.jwks_cluster),
                    address,
                    schedule: settings.jwks_schedule.clone(),
                    believes_empty_set: settings.believes_empty_set,
                };
                match keys {
                    None => {
                        let definition = Self::definition(&jwks, settings, common);
                        *keys = Some(Keys::new(definition, jwks.believes_empty_set, common, with.now));
                        What::Moved
                    }
                    Some(keys) if keys.is_at(&jwks.address) => What::Same,
                    Some(keys) => {
                        keys.document.move_to(Self::definition(&jwks, settings, common), with.now);
                        What::Moved
                    }
                }
            }
            News::Same => What::Same,
            News::Confirmed => What::Confirmed,
            News::Failed(error) => What::Failed(error),
            News::Elsewhere(error) => What::Elsewhere(error),
            News::Refused(why) => What::Refused(why),
            News::Expired => {
                // Nobody vouches any more that these are the issuer's keys.
                *keys = None;
                What::Expired
            }
        };
        Happening { part: Part::Metadata, is_shared: event.is_shared, what }
    }
}

impl Discovered {
    /// The key set that the metadata names.
    fn definition(jwks: &Jwks, settings: &Discovery, common: &Common) -> Definition {
        let identity = Rc::clone(&settings.issuer);
        Definition { kind: "discovered jwks", identity, ..Keys::definition(jwks, common) }
    }
}

impl Keys {
    fn new(definition: Definition, believes_empty_set: bool, common: &Common, now: Timestamp) -> Self {
        let document = Document::new(definition, common.sharing.as_ref(), common.me, now);
        Self { document, set: None, believes_empty_set, key_bytes: common.key_bytes }
    }

    fn definition(jwks: &Jwks, common: &Common) -> Definition {
        Definition {
            kind: "jwks",
            identity: jwks.address.url().into(),
            is_loose: jwks.believes_empty_set,
            cluster: Rc::clone(&jwks.cluster),
            places: vec![jwks.address.clone()],
            schedule: jwks.schedule.clone(),
            max_bytes: common.document_bytes,
        }
    }

    fn is_at(&self, address: &Address) -> bool {
        self.document.definition().places.first() == Some(address)
    }

    fn handle_news(&mut self, with: &mut Surroundings<'_>) -> Option<Happening> {
        let (believes, room) = (self.believes_empty_set, self.key_bytes);
        let read = |body: &[u8]| read(body, believes, room);
        let event = self.document.handle_news(with, &read);
        event.map(|event| self.take(event))
    }

    fn handle_tick(
        &mut self,
        with: &mut Surroundings<'_>,
        calls: &mut usize,
        out: &mut Vec<Happening>,
    ) -> Option<(Part, HttpCall)> {
        let (believes, room) = (self.believes_empty_set, self.key_bytes);
        let read = |body: &[u8]| read(body, believes, room);
        let (event, call) = self.document.handle_tick(*calls > 0, with, &read);
        *calls = calls.saturating_sub(usize::from(call.is_some()));
        out.extend(event.map(|event| self.take(event)));
        call.map(|call| (Part::Keys, call))
    }

    fn handle_reply(&mut self, reply: HttpReply, with: &mut Surroundings<'_>) -> Option<Happening> {
        let (believes, room) = (self.believes_empty_set, self.key_bytes);
        let read = |body: &[u8]| read(body, believes, room);
        let event = self.document.handle_reply(reply, with, &read)?;
        Some(self.take(event))
    }

    fn take(&mut self, event: Event<ParsedKeySet>) -> Happening {
        let what = match event.news {
            News::New(parsed) => {
                self.set = Some(Rc::new(parsed.set));
                What::NewKeys { skipped: parsed.skipped.len(), private_members: parsed.private_members }
            }
            News::Same => What::Same,
            News::Confirmed => What::Confirmed,
            News::Failed(error) => What::Failed(error),
            News::Elsewhere(error) => What::Elsewhere(error),
            News::Refused(why) => What::Refused(why),
            News::Expired => {
                self.set = None;
                What::Expired
            }
        };
        Happening { part: Part::Keys, is_shared: event.is_shared, what }
    }
}

fn read(body: &[u8], believes_empty_set: bool, room: usize) -> Result<ParsedKeySet, FetchError> {
    let parsed = KeySet::parse(body)?;
    if parsed.set.is_empty() {
        if !parsed.skipped.is_empty() {
            return Err(FetchError::NoUsableKey);
        }
        if !believes_empty_set {
            return Err(FetchError::EmptySet);
        }
    }
    let bytes = parsed.set.size();
    if bytes > room {
        return Err(FetchError::NoRoom { bytes, share: room });
    }
    Ok(parsed)
}
