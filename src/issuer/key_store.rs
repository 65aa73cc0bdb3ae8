//! The keys of one issuer, from all of its sources. Sends nothing itself.
//!
//! A set is replaced only by a good one: while the issuer is down, the last good keys stay, up to a maximum. Fetches
//! for unknown keys are coalesced: at most one in
//! [`Schedule::unknown_key_interval`](crate::oauth::Schedule::unknown_key_interval), whatever the traffic and however
//! many threads there are.

use std::rc::Rc;

use super::settings::KeySource;
use super::source::{Common, DocumentKind, Source, SourceChange, SourceEvent};
use crate::base::{HttpCall, HttpReply, Secret, Timestamp};
use crate::jose::{Key, KeyId, KeySet, MAX_KEY_SET_BYTES, SkippedKeys};
use crate::oauth::{CallSummary, Document, DocumentEvent, FetchClient, FetchMeans, RefreshHint};
use crate::sharing::{Context, Sharing};

/// The keys of one issuer.
#[derive(Clone, Debug)]
pub struct KeyStore {
    common: Common,
    sources: Vec<Source>,
    keys: Option<Rc<KeySet>>,
    generation: u64,
    /// Since which generation each key has been there.
    since: Vec<(KeyId, u64)>,
}

/// One of the documents of a [`KeyStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IssuerDocument {
    /// The source, as the configuration counts them.
    pub source: usize,
    /// Which of its documents.
    pub kind: DocumentKind,
}

/// Something happened to one of the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerEvent {
    /// To which.
    pub document: IssuerDocument,
    /// What.
    pub event: DocumentEvent<IssuerChange>,
}

/// What is other about an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerChange {
    /// Its keys.
    Keys(KeyChange),
    /// The address of its keys that the metadata names.
    Address,
}

/// How the keys differ from those before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// How many keys are usable now.
    pub keys: usize,
    /// The names of those that are new; `None` for one without a name.
    pub added: Vec<Option<String>>,
    /// The names of those that are gone.
    pub removed: Vec<Option<String>>,
    /// The entries of the document that no signature could be verified with.
    pub skipped: SkippedKeys,
    /// Whether the document held private key material, which an issuer must never publish.
    pub private_members: bool,
}

/// How much an issuer's keys may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBounds {
    /// The most bytes of one document.
    pub document_bytes: usize,
    /// The most bytes that the keys of one source take in memory.
    pub key_bytes: usize,
}

impl KeyBounds {
    /// Equal shares for all of these, so that no issuer, however many there are, takes more than its own.
    pub fn for_sources<'a>(sources: impl Iterator<Item = &'a KeySource>) -> Self {
        let (mut key_sets, mut documents) = (0_usize, 0_usize);
        for source in sources {
            key_sets = key_sets.saturating_add(1);
            documents = documents.saturating_add(match source {
                KeySource::Inline(_) => 0,
                KeySource::Jwks(_) => 1,
                KeySource::Discovery(_) => 2,
            });
        }
        let share = |all: usize, parts: usize| all.checked_div(parts).unwrap_or(all);
        Self {
            document_bytes: share(MAX_DOCUMENTS_BYTES, documents).min(MAX_KEY_SET_BYTES),
            key_bytes: share(MAX_KEYS_BYTES, key_sets),
        }
    }
}

impl KeyStore {
    /// A store that fetches for the first time at once. `me` is random, and tells this thread from others of its
    /// process.
    pub fn new(
        sources: &[KeySource],
        bounds: KeyBounds,
        sharing: Option<Sharing>,
        me: u64,
        now: Timestamp,
    ) -> Self {
        let KeyBounds { document_bytes, key_bytes } = bounds;
        let common = Common { sharing, me, document_bytes, key_bytes };
        let sources: Vec<_> = sources.iter().map(|source| Source::new(source, &common, now)).collect();
        let mut store = Self { common, sources, keys: None, generation: 0, since: Vec::new() };
        store.keys = store.merged();
        store.count_generation(0);
        store
    }

    /// The current keys; `None` until the first have come, and when they are too old.
    pub fn keys(&self) -> Option<&Rc<KeySet>> {
        self.keys.as_ref()
    }

    /// Counts the sets there have been: what was verified under another number has to be held against the keys again.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether this key has been there ever since this generation: what it did not verify then, it does not verify now.
    pub fn has_had(&self, key: &KeyId, generation: u64) -> bool {
        self.since.iter().any(|(id, since)| id == key && *since <= generation)
    }

    /// Whether any keys come from a document that may change.
    pub fn is_remote(&self) -> bool {
        self.sources.iter().any(Source::is_remote)
    }

    /// When the oldest of the fetched key sets came.
    pub fn last_good(&self) -> Option<Timestamp> {
        self.sources.iter().filter_map(|source| source.key_document()?.last_good()).min()
    }

    /// How many fetches have failed in a row, of the document that is worst.
    pub fn failures(&self) -> u32 {
        self.documents().map(Document::failures).max().unwrap_or_default()
    }

    /// Whether a source has no keys that count now: a key of the same name may be among those that are missing.
    pub fn is_incomplete(&self) -> bool {
        self.sources.iter().any(|source| source.keys().is_none())
    }

    /// Whether all current sets were asked for after `then`, by the clock as it is `now`: a key id that they lack was
    /// unknown to the issuer after that.
    pub fn is_newer_than(&self, then: Timestamp, now: Timestamp) -> bool {
        let mut remote = self.sources.iter().filter(|source| source.is_remote());
        remote.all(|source| {
            let sent = source.key_document().and_then(Document::as_new_as);
            sent.is_some_and(|sent| sent >= then && sent <= now)
        })
    }

    /// The clock has been set back from `before`: the schedule begins anew, and no set counts as newer than a request.
    pub fn handle_clock_step(&mut self, before: Timestamp, now: Timestamp) {
        self.sources.iter_mut().for_each(|source| source.handle_clock_step(before, now));
    }

    /// A request waits for a key that is not here: asks for a fetch as soon as the interval allows.
    pub fn want_unknown_key(&mut self) {
        self.sources.iter_mut().for_each(|source| source.refresh(RefreshHint::Urgent));
    }

    /// A signature does not fit the key that it names: the issuer may have replaced the key and kept the name. Asks for
    /// a fetch ahead of its date, and no sooner than the shortest refresh: every client can forge a signature.
    pub fn want_changed_key(&mut self) {
        self.sources.iter_mut().for_each(|source| source.refresh(RefreshHint::Doubt));
    }

    /// When the next fetch will be sent at the earliest.
    pub fn next_attempt(&self) -> Timestamp {
        self.documents().map(Document::next_attempt).min().unwrap_or(Timestamp::MAX)
    }

    /// Whether an answer may come at any moment.
    pub fn is_under_way(&self) -> bool {
        self.documents().any(Document::is_under_way)
    }

    /// Makes sure that the leases can be taken.
    pub fn seed(&self, context: &Context<'_>) {
        self.documents().for_each(|document| document.seed(context));
    }

    /// There will be no more replies: lets other threads fetch what is under way here.
    pub fn handle_shutdown(&mut self, context: &Context<'_>) {
        self.sources.iter_mut().for_each(|source| source.handle_shutdown(context));
    }

    /// The numbers by which updates of the documents are told.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.documents().filter_map(Document::id)
    }

    /// The client whose token the fetch of one of them carries that is under way, and the header's value as it was sent.
    pub fn sent_credential(&self, document: IssuerDocument) -> Option<(&FetchClient, &Secret)> {
        self.sources.get(document.source)?.document(document.kind)?.sent_credential()
    }

    /// The number of one of them.
    pub fn id(&self, document: IssuerDocument) -> Option<u64> {
        self.sources.get(document.source)?.document(document.kind)?.id()
    }

    /// What to tell beside an event of one of them.
    pub fn summary(&self, document: IssuerDocument, now: Timestamp) -> Option<CallSummary> {
        Some(self.sources.get(document.source)?.document(document.kind)?.summary(now))
    }

    /// Another thread may have fetched something.
    pub fn handle_updates(&mut self, context: &mut Context<'_>) -> Vec<IssuerEvent> {
        let mut events = Vec::new();
        for index in 0..self.sources.len() {
            let mut happened = Vec::new();
            let Some(source) = self.sources.get_mut(index) else { continue };
            source.handle_updates(&self.common, context, &mut happened);
            events.extend(happened.into_iter().map(|event| self.take(index, event)));
        }
        events
    }

    /// Time has passed: what happened, and the calls to make now, as many as `budget` allows. A fetch whose reply never
    /// came is given up here.
    pub fn handle_tick(
        &mut self,
        (budget, tokens): FetchMeans<'_>,
        context: &mut Context<'_>,
    ) -> (Vec<IssuerEvent>, Vec<(IssuerDocument, HttpCall)>) {
        let (mut events, mut made) = (Vec::new(), Vec::new());
        for index in 0..self.sources.len() {
            let mut happened = Vec::new();
            let Some(source) = self.sources.get_mut(index) else { continue };
            let sent = source.handle_tick(&self.common, context, (budget, tokens), &mut happened);
            made.extend(sent.into_iter().map(|(kind, call)| (IssuerDocument { source: index, kind }, call)));
            events.extend(happened.into_iter().map(|event| self.take(index, event)));
        }
        (events, made)
    }

    /// Takes the reply to a call; `None` when it is no longer waited for.
    pub fn handle_reply(
        &mut self,
        document: IssuerDocument,
        reply: HttpReply,
        context: &mut Context<'_>,
    ) -> Option<IssuerEvent> {
        let source = self.sources.get_mut(document.source)?;
        let event = source.handle_reply(document.kind, reply, &self.common, context)?;
        Some(self.take(document.source, event))
    }

    fn take(&mut self, source: usize, SourceEvent { kind, event }: SourceEvent) -> IssuerEvent {
        if event.is_expired() {
            self.adopt();
        }
        let event = event.map(|change| match change {
            SourceChange::Keys { skipped, private_members, has_news } => match self.adopt() {
                Some(change) => Some(IssuerChange::Keys(KeyChange { skipped, private_members, ..change })),
                // The keys are what they were, and no longer a secret of the issuer's, or others are not usable.
                None if private_members || has_news => {
                    let keys = self.keys.as_ref().map_or(0, |keys| keys.len());
                    let change = KeyChange { keys, skipped, private_members, ..KeyChange::default() };
                    Some(IssuerChange::Keys(change))
                }
                None => None,
            },
            SourceChange::Address => Some(IssuerChange::Address),
        });
        IssuerEvent { document: IssuerDocument { source, kind }, event }
    }

    /// Makes the sources' keys the issuer's; `None` when they are what they were.
    fn adopt(&mut self) -> Option<KeyChange> {
        let (old, new) = (self.keys.take(), self.merged());
        let lacks = |set: Option<&Rc<KeySet>>, key: &Key| set.is_none_or(|set| !set.contains(&key.id()));
        let names = |from: Option<&Rc<KeySet>>, other: Option<&Rc<KeySet>>| -> Vec<Option<String>> {
            let keys = from.into_iter().flat_map(|set| set.iter());
            keys.filter(|key| lacks(other, key)).map(|key| key.kid().map(str::to_owned)).collect()
        };
        let change = KeyChange {
            keys: new.as_ref().map_or(0, |set| set.len()),
            added: names(new.as_ref(), old.as_ref()),
            removed: names(old.as_ref(), new.as_ref()),
            ..KeyChange::default()
        };
        let is_same = old.is_some() == new.is_some() && change.added.is_empty() && change.removed.is_empty();
        self.keys = new;
        if is_same {
            return None;
        }
        self.count_generation(self.generation.saturating_add(1));
        Some(change)
    }

    fn count_generation(&mut self, generation: u64) {
        self.generation = generation;
        let keys = self.keys.iter().flat_map(|keys| keys.iter());
        let since = keys.map(|key| {
            let id = key.id();
            let known = self.since.iter().find(|(known, _)| *known == id);
            known.copied().unwrap_or((id, generation))
        });
        self.since = since.collect();
    }

    fn merged(&self) -> Option<Rc<KeySet>> {
        let mut sets = self.sources.iter().filter_map(Source::keys);
        let first = sets.next()?;
        let mut sets = sets.peekable();
        if sets.peek().is_none() {
            return Some(Rc::clone(first));
        }
        let all: Vec<&KeySet> = core::iter::once(first).chain(sets).map(|set| &**set).collect();
        Some(Rc::new(KeySet::united(&all)))
    }

    fn documents(&self) -> impl Iterator<Item = &Document> {
        self.sources.iter().flat_map(Source::documents)
    }
}

/// What all key sets of a filter take in memory: [`MAX_KEYS`](crate::jose::MAX_KEYS) of the largest keys for each of 64
/// sources; for each of a thousand, a dozen RSA keys of 4096 bits.
pub const MAX_KEYS_BYTES: usize = 56 * 1024 * 1024;
/// What all published documents of a filter take in the host: the largest for 256 sources, 64 KiB for each of a
/// thousand.
pub const MAX_DOCUMENTS_BYTES: usize = 64 * 1024 * 1024;
