//! One place that an issuer's keys come from.

use std::rc::Rc;

use super::settings::{Discovery, Jwks, KeySource};
use crate::base::{HttpCall, HttpReply, Timestamp};
use crate::jose::{KeySet, ParsedKeySet, SkippedKeys};
use crate::oauth::{
    Address, Definition, Document, DocumentEvent, FetchError, FetchMeans, FetchOutcome, MAX_METADATA_BYTES,
    Member, RefreshHint,
};
use crate::sharing::{Context, Sharing};

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
    Jwks(Box<KeyDocument>),
    Discovery(Box<Discovered>),
}

/// A fetched key set.
#[derive(Clone, Debug)]
pub(super) struct KeyDocument {
    document: Document,
    set: Option<Rc<KeySet>>,
    /// How many keys of it are not usable, and why: what was told last.
    skipped: (usize, String),
    accepts_empty_set: bool,
    key_bytes: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Discovered {
    settings: Discovery,
    metadata: Document,
    keys: Option<KeyDocument>,
}

/// Which of a source's documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentKind {
    /// The key set.
    Keys,
    /// The metadata that says where the key set is.
    Metadata,
}

impl DocumentKind {
    /// Its name in log lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Metadata => "metadata",
        }
    }
}

/// Something happened to a document of a source.
#[derive(Debug)]
pub(super) struct SourceEvent {
    pub(super) kind: DocumentKind,
    pub(super) event: DocumentEvent<SourceChange>,
}

/// What is other about a source.
#[derive(Debug)]
pub(super) enum SourceChange {
    /// There is a key set, and it differs from the one before.
    Keys {
        skipped: SkippedKeys,
        private_members: bool,
        /// Other keys are skipped than before, or for other reasons.
        has_news: bool,
    },
    /// The metadata names another address of it.
    Address,
}

impl Source {
    pub(super) fn new(source: &KeySource, common: &Common, now: Timestamp) -> Self {
        match source {
            KeySource::Inline(keys) => Self::Inline(Rc::clone(keys)),
            KeySource::Jwks(jwks) => {
                let definition = KeyDocument::definition(jwks, common);
                Self::Jwks(Box::new(KeyDocument::new(definition, jwks.accepts_empty_set, common, now)))
            }
            KeySource::Discovery(settings) => {
                let max_bytes = MAX_METADATA_BYTES.min(common.document_bytes);
                let client = settings.client.clone();
                let definition = Definition { client, ..settings.metadata.definition("metadata", max_bytes) };
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

    /// One of the documents.
    pub(super) fn document(&self, kind: DocumentKind) -> Option<&Document> {
        match (self, kind) {
            (_, DocumentKind::Keys) => self.key_document(),
            (Self::Discovery(discovered), DocumentKind::Metadata) => Some(&discovered.metadata),
            (Self::Inline(_) | Self::Jwks(_), DocumentKind::Metadata) => None,
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

    pub(super) fn refresh(&mut self, hint: RefreshHint) {
        match self {
            Self::Inline(_) => {}
            Self::Jwks(keys) => keys.document.refresh(hint),
            Self::Discovery(discovered) => {
                if let Some(keys) = &mut discovered.keys {
                    keys.document.refresh(hint);
                }
                // Perhaps the keys have moved.
                discovered.metadata.refresh(RefreshHint::Doubt);
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

    pub(super) fn handle_shutdown(&mut self, context: &Context<'_>) {
        self.documents_mut().for_each(|document| document.handle_shutdown(context));
    }

    pub(super) fn handle_clock_step(&mut self, before: Timestamp, now: Timestamp) {
        self.documents_mut().for_each(|document| document.handle_clock_step(before, now));
    }

    /// Looks at what the process has.
    pub(super) fn handle_updates(
        &mut self,
        common: &Common,
        context: &mut Context<'_>,
        out: &mut Vec<SourceEvent>,
    ) {
        match self {
            Self::Inline(_) => {}
            Self::Jwks(keys) => out.extend(keys.handle_updates(context)),
            Self::Discovery(discovered) => {
                let Discovered { settings, metadata, keys } = &mut **discovered;
                let read = |body: &[u8]| settings.metadata.read(body, Member::KeySet);
                let event = metadata.handle_updates(context, &read);
                out.extend(event.map(|event| Discovered::locate(settings, keys, event, common, context)));
                out.extend(keys.as_mut().and_then(|keys| keys.handle_updates(context)));
            }
        }
    }

    /// Time has passed: the calls to make now, as many as `budget` allows.
    pub(super) fn handle_tick(
        &mut self,
        common: &Common,
        context: &mut Context<'_>,
        (budget, tokens): FetchMeans<'_>,
        out: &mut Vec<SourceEvent>,
    ) -> Vec<(DocumentKind, HttpCall)> {
        let mut made = Vec::new();
        match self {
            Self::Inline(_) => {}
            Self::Jwks(keys) => made.extend(keys.handle_tick(context, (budget, tokens), out)),
            Self::Discovery(discovered) => {
                let Discovered { settings, metadata, keys } = &mut **discovered;
                let read = |body: &[u8]| settings.metadata.read(body, Member::KeySet);
                let (event, call) = metadata.handle_tick((budget, tokens), context, &read);
                made.extend(call.map(|call| (DocumentKind::Metadata, call)));
                out.extend(event.map(|event| Discovered::locate(settings, keys, event, common, context)));
                if let Some(keys) = keys {
                    made.extend(keys.handle_tick(context, (budget, tokens), out));
                }
            }
        }
        made
    }

    pub(super) fn handle_reply(
        &mut self,
        kind: DocumentKind,
        reply: HttpReply,
        common: &Common,
        context: &mut Context<'_>,
    ) -> Option<SourceEvent> {
        match (self, kind) {
            (Self::Jwks(keys), DocumentKind::Keys) => keys.handle_reply(reply, context),
            (Self::Discovery(discovered), DocumentKind::Keys) => {
                let happened = discovered.keys.as_mut()?.handle_reply(reply, context)?;
                let is_missing = |error: &FetchError| error.is_not_found_here();
                if matches!(&happened.event.outcome, FetchOutcome::Failed(error) if is_missing(error)) {
                    // The keys are not where the metadata said: perhaps it says something else by now.
                    discovered.metadata.refresh(RefreshHint::Doubt);
                }
                Some(happened)
            }
            (Self::Discovery(discovered), DocumentKind::Metadata) => {
                let Discovered { settings, metadata, keys } = &mut **discovered;
                let read = |body: &[u8]| settings.metadata.read(body, Member::KeySet);
                let event = metadata.handle_reply(reply, context, &read)?;
                Some(Discovered::locate(settings, keys, event, common, context))
            }
            (Self::Inline(_), _) | (Self::Jwks(_), DocumentKind::Metadata) => None,
        }
    }
}

impl Discovered {
    /// Turns to the address that the metadata names.
    fn locate(
        settings: &Discovery,
        keys: &mut Option<KeyDocument>,
        event: DocumentEvent<Address>,
        common: &Common,
        context: &Context<'_>,
    ) -> SourceEvent {
        if event.is_expired() {
            // The issuer says no more that these are its keys.
            *keys = None;
        }
        let event = event.map(|address| {
            let jwks = Jwks {
                cluster: Rc::clone(&settings.jwks_cluster),
                schedule: settings.jwks_schedule.clone(),
                accepts_empty_set: settings.accepts_empty_set,
                client: settings.client_at(&address),
                address,
            };
            match keys {
                None => {
                    let definition = Self::definition(&jwks, settings, common);
                    *keys = Some(KeyDocument::new(definition, jwks.accepts_empty_set, common, context.now));
                }
                Some(keys) if keys.is_at(&jwks.address) => return None,
                Some(keys) => keys.document.move_to(Self::definition(&jwks, settings, common), context.now),
            }
            Some(SourceChange::Address)
        });
        SourceEvent { kind: DocumentKind::Metadata, event }
    }

    /// The key set that the metadata names.
    fn definition(jwks: &Jwks, settings: &Discovery, common: &Common) -> Definition {
        let identity = settings.metadata.identity();
        Definition { kind: "discovered jwks", identity, ..KeyDocument::definition(jwks, common) }
    }
}

impl KeyDocument {
    fn new(definition: Definition, accepts_empty_set: bool, common: &Common, now: Timestamp) -> Self {
        let document = Document::new(definition, common.sharing.as_ref(), common.me, now);
        Self {
            document,
            set: None,
            skipped: Default::default(),
            accepts_empty_set,
            key_bytes: common.key_bytes,
        }
    }

    fn definition(jwks: &Jwks, common: &Common) -> Definition {
        Definition {
            kind: "jwks",
            identity: jwks.address.url().into(),
            is_loose: jwks.accepts_empty_set,
            cluster: Rc::clone(&jwks.cluster),
            addresses: vec![jwks.address.clone()],
            schedule: jwks.schedule.clone(),
            max_bytes: common.document_bytes,
            client: jwks.client.clone(),
        }
    }

    fn is_at(&self, address: &Address) -> bool {
        self.document.definition().addresses.first() == Some(address)
    }

    fn handle_updates(&mut self, context: &mut Context<'_>) -> Option<SourceEvent> {
        let (believes, room) = (self.accepts_empty_set, self.key_bytes);
        let read = |body: &[u8]| read(body, believes, room);
        let event = self.document.handle_updates(context, &read);
        event.map(|event| self.take(event))
    }

    fn handle_tick(
        &mut self,
        context: &mut Context<'_>,
        (budget, tokens): FetchMeans<'_>,
        out: &mut Vec<SourceEvent>,
    ) -> Option<(DocumentKind, HttpCall)> {
        let (believes, room) = (self.accepts_empty_set, self.key_bytes);
        let read = |body: &[u8]| read(body, believes, room);
        let (event, call) = self.document.handle_tick((budget, tokens), context, &read);
        out.extend(event.map(|event| self.take(event)));
        call.map(|call| (DocumentKind::Keys, call))
    }

    fn handle_reply(&mut self, reply: HttpReply, context: &mut Context<'_>) -> Option<SourceEvent> {
        let (believes, room) = (self.accepts_empty_set, self.key_bytes);
        let read = |body: &[u8]| read(body, believes, room);
        let event = self.document.handle_reply(reply, context, &read)?;
        Some(self.take(event))
    }

    fn take(&mut self, event: DocumentEvent<ParsedKeySet>) -> SourceEvent {
        if event.is_expired() {
            self.set = None;
        }
        let event = event.map(|parsed| {
            self.set = Some(Rc::new(parsed.set));
            let skipped = (parsed.skipped.len(), parsed.skipped.to_string());
            let has_news = skipped.0 > 0 && skipped != self.skipped;
            self.skipped = skipped;
            let (skipped, private_members) = (parsed.skipped, parsed.private_members);
            Some(SourceChange::Keys { skipped, private_members, has_news })
        });
        SourceEvent { kind: DocumentKind::Keys, event }
    }
}

fn read(body: &[u8], accepts_empty_set: bool, room: usize) -> Result<ParsedKeySet, FetchError> {
    let parsed = KeySet::parse(body)?;
    if parsed.set.is_empty() {
        if !parsed.skipped.is_empty() {
            return Err(FetchError::NoUsableKey(parsed.skipped));
        }
        if !accepts_empty_set {
            return Err(FetchError::EmptySet);
        }
    }
    let bytes = parsed.set.size();
    if bytes > room {
        return Err(FetchError::NoRoom { bytes, share: room });
    }
    Ok(parsed)
}
