//! Tokens that the callers' own were exchanged for (RFC 8693), by the digest of the caller's token. They never leave this thread.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::endpoint::EndpointState;
use super::lifetime::{Lifetime, expiry};
use super::settings::Client;
use super::surroundings::Surroundings;
use super::token::{Fingerprint, Ring, Token};
use super::token_store::{Purge, TokenEvent, TokenNews};
use crate::base::{HttpCall, HttpReply, Secret, Timestamp};
use crate::oauth::{Asked, FaultClass, Timetable, TokenAnswer, TokenFault};

/// The SHA-256 of a caller's token.
pub type SubjectDigest = [u8; 32];

/// A caller's token, verified.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it is known by.
    pub digest: SubjectDigest,
    /// The token itself.
    pub token: Secret,
    /// When it expires, if it does: what it was exchanged for counts no longer.
    pub expires: Timestamp,
}

/// The exchanged tokens of one client.
#[derive(Debug)]
pub(super) struct ExchangeStore {
    client: Rc<Client>,
    entries: HashMap<SubjectDigest, Entry, FxBuildHasher>,
    /// The entries in the order of their last use.
    uses: BTreeMap<u64, SubjectDigest>,
    next_use: u64,
    bytes: usize,
    max_bytes: usize,
    ring: Ring,
    timetable: Timetable,
    under_way: usize,
}

#[derive(Debug)]
struct Entry {
    used: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// To be asked for.
    Wanted(Subject),
    /// Asked for.
    UnderWay {
        subject: Subject,
        sent: Timestamp,
    },
    Held(Token),
    /// The server does not accept the subject: it is not asked again until then.
    Refused(Timestamp),
}

/// What there is for a subject.
#[derive(Clone, Debug)]
pub(super) enum Exchanged {
    /// Its token.
    Token(Token),
    /// Nothing yet.
    Wait,
    /// Nothing, and there will be none.
    Refused,
    /// Nothing, and there is no room to ask for it.
    Full,
}

impl ExchangeStore {
    pub(super) fn new(client: Rc<Client>, max_bytes: usize, now: Timestamp) -> Self {
        Self {
            client,
            entries: HashMap::default(),
            uses: BTreeMap::new(),
            next_use: 0,
            bytes: 0,
            max_bytes,
            ring: Ring::default(),
            timetable: Timetable::new(now),
            under_way: 0,
        }
    }

    /// What there is for a subject; from now on it is wanted.
    pub(super) fn get(&mut self, subject: &Subject, now: Timestamp) -> Exchanged {
        self.next_use = self.next_use.saturating_add(1);
        let used = self.next_use;
        if let Some(entry) = self.entries.get_mut(&subject.digest) {
            self.uses.remove(&core::mem::replace(&mut entry.used, used));
            self.uses.insert(used, subject.digest);
            match &entry.state {
                State::Held(token) if token.counts(now) => return Exchanged::Token(token.clone()),
                State::Refused(until) if now < *until => return Exchanged::Refused,
                State::Wanted(_) | State::UnderWay { .. } => return Exchanged::Wait,
                State::Held(_) | State::Refused(_) => self.remove(&subject.digest),
            }
        }
        let size = subject.token.expose().len().saturating_add(ENTRY_BYTES);
        if !self.make_room(size) {
            return Exchanged::Full;
        }
        self.put(subject.digest, used, State::Wanted(subject.clone()));
        Exchanged::Wait
    }

    /// When the next request is sent at the earliest.
    pub(super) fn next_attempt(&self) -> Timestamp {
        self.timetable.next()
    }

    /// Whether an answer for this subject may come at any moment.
    pub(super) fn is_under_way(&self, subject: &SubjectDigest) -> bool {
        matches!(self.entries.get(subject), Some(Entry { state: State::UnderWay { .. }, .. }))
    }

    pub(super) fn failures(&self) -> u32 {
        self.timetable.failures()
    }

    /// An upstream has answered 401 to the token of this subject.
    pub(super) fn handle_unauthorized(
        &mut self,
        token: Fingerprint,
        subject: &SubjectDigest,
        interval: Duration,
        now: Timestamp,
    ) -> Option<Purge> {
        let State::Held(held) = &self.entries.get(subject)?.state else { return None };
        if held.fingerprint != token {
            return None;
        }
        if now < held.sent.after(interval) || self.failures() > 0 {
            return Some(Purge::HeldBack);
        }
        self.remove(subject);
        Some(Purge::Purged)
    }

    /// Time has passed: the requests to send now, at most `calls`, which is lowered by as many.
    pub(super) fn handle_tick(
        &mut self,
        calls: &mut usize,
        endpoint: &mut EndpointState,
        with: &mut Surroundings<'_>,
    ) -> (Vec<TokenEvent>, Vec<(SubjectDigest, HttpCall)>) {
        let (mut events, mut made) = (Vec::new(), Vec::new());
        let patience = endpoint.timeout().saturating_add(LOST_AFTER);
        let is_lost = |entry: &Entry| matches!(&entry.state, State::UnderWay { sent, .. } if with.now >= sent.after(patience));
        let lost: Vec<SubjectDigest> = if self.under_way == 0 {
            Vec::new()
        } else {
            self.entries.iter().filter(|(_, entry)| is_lost(entry)).map(|(digest, _)| *digest).collect()
        };
        for digest in lost {
            events.extend(self.conclude(digest, Err((TokenFault::Lost, None)), endpoint, with));
        }
        if !self.has_wanted() || with.now < self.next_attempt() || endpoint.address().is_none() {
            return (events, made);
        }
        let wanted: Vec<SubjectDigest> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.state, State::Wanted(_)))
            .map(|(digest, _)| *digest)
            .take(MAX_UNDER_WAY.saturating_sub(self.under_way).min(*calls))
            .collect();
        for digest in wanted {
            if !endpoint.admit(with) {
                break;
            }
            let Some(entry) = self.entries.get_mut(&digest) else { continue };
            let State::Wanted(subject) = &entry.state else { continue };
            let text = str::from_utf8(subject.token.expose()).unwrap_or_default();
            match endpoint.call(&self.client.request, Some(text), with) {
                Ok(call) => {
                    entry.state = State::UnderWay { subject: subject.clone(), sent: with.now };
                    self.under_way = self.under_way.saturating_add(1);
                    *calls = calls.saturating_sub(1);
                    made.push((digest, call));
                }
                Err(fault) => events.extend(self.conclude(digest, Err((fault, None)), endpoint, with)),
            }
        }
        (events, made)
    }

    /// Takes the reply to the request for this subject.
    pub(super) fn handle_reply(
        &mut self,
        digest: SubjectDigest,
        reply: HttpReply,
        endpoint: &mut EndpointState,
        with: &mut Surroundings<'_>,
    ) -> Option<TokenEvent> {
        let entry = self.entries.get(&digest)?;
        let State::UnderWay { subject, sent } = &entry.state else { return None };
        let (sent, subject_expires) = (*sent, subject.expires);
        let asked = Asked {
            scopes: &self.client.request.scopes,
            is_exchange: true,
            max_token_bytes: super::MAX_ACCESS_TOKEN_BYTES.min(self.max_bytes.saturating_sub(ENTRY_BYTES)),
        };
        let answer = TokenAnswer::read(reply, asked, with.now).and_then(|answer| {
            let rules = &self.client.lifetime;
            let own = expiry(answer.token.expose(), answer.expires_in, sent, rules);
            let expires = own.min(subject_expires);
            if expires <= with.now { Err((TokenFault::ExpiredAtIssue, None)) } else { Ok((answer, expires)) }
        });
        self.conclude(digest, answer.map(|(answer, expires)| (answer, sent, expires)), endpoint, with)
    }

    pub(super) fn handle_clock_step(&mut self, now: Timestamp) {
        self.timetable.begin_anew(now);
        // By which clock they expire, nobody can tell any more. What is under way comes back to nobody.
        self.entries.clear();
        self.uses.clear();
        (self.bytes, self.under_way) = (0, 0);
    }

    pub(super) fn handle_shutdown(&mut self) {
        self.under_way = 0;
    }

    fn conclude(
        &mut self,
        digest: SubjectDigest,
        answer: Result<(TokenAnswer, Timestamp, Timestamp), (TokenFault, Option<Duration>)>,
        endpoint: &mut EndpointState,
        with: &mut Surroundings<'_>,
    ) -> Option<TokenEvent> {
        let entry = self.entries.get(&digest)?;
        let used = entry.used;
        let sent = match &entry.state {
            State::UnderWay { sent, .. } => Some(*sent),
            State::Wanted(_) | State::Held(_) | State::Refused(_) => None,
        };
        let failures = self.failures();
        self.remove(&digest);
        let breaker = endpoint.record(answer.as_ref().err().map(|(fault, _)| fault), with);
        let what = match answer {
            Ok((answer, sent, expires)) => {
                let lifetime = Lifetime::new(sent, expires, &self.client.lifetime, with.jitter);
                let token = Token::new(&self.client.prefix, &answer.token, sent, lifetime, with.known);
                with.known.remember(&mut self.ring, token.fingerprint, MAX_KNOWN_EXCHANGED_TOKENS);
                self.timetable.settle_until(sent, with.now);
                if self.make_room(token.size().saturating_add(ENTRY_BYTES)) {
                    self.put(digest, used, State::Held(token));
                }
                TokenNews::Obtained {
                    lifetime: expires.since(sent),
                    missing_scopes: answer.missing_scopes,
                    is_shared: false,
                }
            }
            Err((fault, pause)) => {
                if fault.is_about_subject() {
                    // The server works, and others' tokens may be accepted.
                    self.put(digest, used, State::Refused(with.now.after(REFUSED_FOR)));
                } else if fault == TokenFault::NotSent {
                    self.timetable.fail_to_send(with.now, with.jitter);
                } else {
                    let is_slow = fault.class() == FaultClass::Configuration;
                    let slowly = if is_slow { SLOW_RETRY } else { Duration::ZERO };
                    self.timetable.fail(pause.unwrap_or_default().max(slowly), with.now, with.jitter);
                }
                TokenNews::Failed(fault)
            }
        };
        let took = sent.map(|sent| with.now.since(sent));
        Some(TokenEvent { failures, what, breaker, took })
    }

    fn has_wanted(&self) -> bool {
        self.entries.values().any(|entry| matches!(entry.state, State::Wanted(_)))
    }

    /// Drops those that were used longest ago until there is room; not those that somebody waits for.
    fn make_room(&mut self, size: usize) -> bool {
        if size > self.max_bytes {
            return false;
        }
        let is_full = |store: &Self| {
            store.entries.len() >= store.client.exchanged_tokens
                || store.bytes.saturating_add(size) > store.max_bytes
        };
        let mut oldest: Option<u64> = None;
        while is_full(self) {
            let from = oldest.map_or(0, |used| used.saturating_add(1));
            let Some((used, digest)) = self.uses.range(from..).next().map(|(used, digest)| (*used, *digest))
            else {
                return false;
            };
            oldest = Some(used);
            let is_idle = self
                .entries
                .get(&digest)
                .is_none_or(|entry| matches!(entry.state, State::Held(_) | State::Refused(_)));
            if is_idle {
                self.remove(&digest);
            }
        }
        true
    }

    fn put(&mut self, digest: SubjectDigest, used: u64, state: State) {
        let entry = Entry { used, state };
        self.bytes = self.bytes.saturating_add(entry.size());
        self.uses.insert(used, digest);
        self.entries.insert(digest, entry);
    }

    fn remove(&mut self, digest: &SubjectDigest) {
        if let Some(entry) = self.entries.remove(digest) {
            self.bytes = self.bytes.saturating_sub(entry.size());
            self.uses.remove(&entry.used);
            if matches!(entry.state, State::UnderWay { .. }) {
                self.under_way = self.under_way.saturating_sub(1);
            }
        }
    }
}

impl Entry {
    fn size(&self) -> usize {
        let own = match &self.state {
            State::Wanted(subject) | State::UnderWay { subject, .. } => subject.token.expose().len(),
            State::Held(token) => token.size(),
            State::Refused(_) => 0,
        };
        own.saturating_add(ENTRY_BYTES)
    }
}

/// What an entry takes besides its token, in both maps.
const ENTRY_BYTES: usize = 256;
/// The most exchanges at a time: enough for a burst of new callers, and no storm on the server.
pub const MAX_UNDER_WAY: usize = 32;
/// How long a subject that was refused is not asked for again.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// As for a client's own token: what somebody has to mend is not mended within seconds.
const SLOW_RETRY: Duration = Duration::from_secs(60);
/// Envoy answers every call within its timeout; this only keeps a fault there from holding a place for ever.
const LOST_AFTER: Duration = Duration::from_secs(10);
/// The exchanged tokens of one client that are known again: 24 bytes each.
pub const MAX_KNOWN_EXCHANGED_TOKENS: usize = 16_384;
