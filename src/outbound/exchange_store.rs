//! Tokens that the callers' own were exchanged for (RFC 8693), by the digest of the caller's token. They never leave
//! this thread.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::endpoint::StoreTurn;
use super::event::{BreakerChange, TokenChange, TokenEvent};
use super::issued_token::{IssuedToken, MAX_ACCESS_TOKEN_BYTES, SentRequest};
use super::lifetime::Lifetime;
use super::settings::Client;
use super::subject::{Subject, SubjectDigest};
use super::token::{IssuedTokens, RecentTokens, Token};
use super::unauthorized::{Purge, UnauthorizedReport};
use crate::base::{CallBudget, HttpCall, HttpReply, Timestamp};
use crate::oauth::{Timetable, TokenFailure, TokenFault};

/// The exchanged tokens of one client.
#[derive(Debug)]
pub(super) struct ExchangeStore {
    client: Rc<Client>,
    bounds: ExchangeBounds,
    entries: HashMap<SubjectDigest, Entry, FxBuildHasher>,
    /// The entries with an outcome, in the order of their last use.
    uses: BTreeMap<u64, SubjectDigest>,
    next_use: u64,
    /// The subjects to be asked for, first come, first served.
    wanted: VecDeque<SubjectDigest>,
    /// The subjects that are asked for.
    under_way: Vec<SubjectDigest>,
    /// What entries with an outcome take.
    bytes: usize,
    /// What the others take.
    pending_bytes: usize,
    /// Tokens that were kept.
    ring: RecentTokens,
    timetable: Timetable,
}

/// The bounds of a store, besides the number of its tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExchangeBounds {
    /// What tokens, and subjects that were refused, may take.
    pub(super) bytes: usize,
    /// What subjects may take that wait for their tokens. One may always wait.
    pub(super) pending_bytes: usize,
    /// How many tokens that are kept no longer are known again.
    pub(super) known: usize,
}

#[derive(Debug)]
struct Entry {
    /// Zero while it has no outcome.
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

/// Something about each of some subjects.
type BySubject<T> = Vec<(SubjectDigest, T)>;

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
    pub(super) fn new(client: Rc<Client>, bounds: ExchangeBounds, now: Timestamp) -> Self {
        Self {
            client,
            bounds,
            entries: HashMap::default(),
            uses: BTreeMap::new(),
            next_use: 0,
            wanted: VecDeque::new(),
            under_way: Vec::new(),
            bytes: 0,
            pending_bytes: 0,
            ring: RecentTokens::default(),
            timetable: Timetable::new(now),
        }
    }

    /// What there is for a subject; from now on it is wanted, if `may_wait`: where the endpoint cannot be asked in
    /// time, nothing is written down.
    pub(super) fn get(
        &mut self,
        subject: &Subject,
        may_wait: bool,
        issued: &mut IssuedTokens,
        now: Timestamp,
    ) -> Exchanged {
        if let Some(entry) = self.entries.get_mut(&subject.digest) {
            let found = match &entry.state {
                State::Held(token) if token.counts(now) => Exchanged::Token(token.clone()),
                State::Refused(until) if now < *until => Exchanged::Refused,
                State::Wanted(_) | State::UnderWay { .. } => return Exchanged::Wait,
                State::Held(_) | State::Refused(_) => Exchanged::Wait,
            };
            if !matches!(found, Exchanged::Wait) {
                self.next_use = self.next_use.saturating_add(1);
                self.uses.remove(&core::mem::replace(&mut entry.used, self.next_use));
                self.uses.insert(self.next_use, subject.digest);
                return found;
            }
            self.remove(&subject.digest, issued);
        }
        if !may_wait {
            return Exchanged::Wait;
        }
        let size = subject.token.expose().len().saturating_add(ENTRY_BYTES);
        let pending = self.wanted.len().saturating_add(self.under_way.len());
        let is_full = pending >= self.client.exchanged_tokens
            || self.pending_bytes.saturating_add(size) > self.bounds.pending_bytes;
        if is_full && pending > 0 {
            return Exchanged::Full;
        }
        self.put(subject.digest, State::Wanted(subject.clone()), issued);
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
        report: &UnauthorizedReport,
        subject: &SubjectDigest,
        issued: &mut IssuedTokens,
    ) -> Option<Purge> {
        let State::Held(held) = &self.entries.get(subject)?.state else { return None };
        if held.fingerprint != report.token {
            return None;
        }
        if !report.should_purge(held, self.failures()) {
            return Some(Purge::Retained);
        }
        self.remove(subject, issued);
        Some(Purge::Purged)
    }

    /// Time has passed: the requests to send now, as many as `budget` allows.
    pub(super) fn handle_tick(
        &mut self,
        budget: &mut CallBudget,
        turn: &mut StoreTurn<'_, '_>,
    ) -> (BySubject<TokenEvent>, BySubject<HttpCall>) {
        let (mut events, mut made) = (Vec::new(), Vec::new());
        let mut happened =
            |digest, event: Option<TokenEvent>| events.extend(event.map(|event| (digest, event)));
        let patience = turn.endpoint.patience();
        let is_lost = |digest: &&SubjectDigest| match self.entries.get(*digest).map(|entry| &entry.state) {
            Some(State::UnderWay { sent, .. }) => turn.context.now >= sent.after(patience),
            Some(State::Wanted(_) | State::Held(_) | State::Refused(_)) | None => false,
        };
        let lost: Vec<SubjectDigest> = self.under_way.iter().filter(is_lost).copied().collect();
        for digest in lost {
            happened(digest, self.conclude(digest, Err(TokenFault::Lost.into()), turn));
        }
        while !budget.is_spent()
            && self.under_way.len() < MAX_UNDER_WAY
            && turn.context.now >= self.next_attempt()
        {
            let Some(digest) = self.wanted.front().copied() else { break };
            let Some(State::Wanted(subject)) = self.entries.get(&digest).map(|entry| &entry.state) else {
                self.wanted.pop_front();
                continue;
            };
            let subject = subject.clone();
            if subject.expires <= turn.context.now {
                // It has waited for too long, and is not asked about.
                happened(digest, Some(self.refuse(digest, turn)));
                continue;
            }
            if !turn.endpoint.admit(turn.context) {
                break;
            }
            self.wanted.pop_front();
            let text = str::from_utf8(subject.token.expose()).unwrap_or_default();
            match turn.endpoint.call(&self.client.request, Some(text), turn.context) {
                Ok(call) => {
                    if let Some(entry) = self.entries.get_mut(&digest) {
                        entry.state = State::UnderWay { subject, sent: turn.context.now };
                    }
                    self.under_way.push(digest);
                    budget.spend();
                    made.push((digest, call));
                }
                Err(fault) => happened(digest, self.conclude(digest, Err(fault.into()), turn)),
            }
        }
        (events, made)
    }

    /// Takes the reply to the request for this subject.
    pub(super) fn handle_reply(
        &mut self,
        digest: SubjectDigest,
        reply: HttpReply,
        turn: &mut StoreTurn<'_, '_>,
    ) -> Option<TokenEvent> {
        let entry = self.entries.get(&digest)?;
        let State::UnderWay { subject, sent } = &entry.state else { return None };
        let max_token_bytes = MAX_ACCESS_TOKEN_BYTES.min(self.longest_token());
        let request =
            SentRequest { client: &self.client, sent: *sent, subject: Some(subject), max_token_bytes };
        let answer = request.read(reply, turn.context.now);
        self.conclude(digest, answer, turn)
    }

    pub(super) fn handle_clock_step(&mut self, issued: &mut IssuedTokens, now: Timestamp) {
        self.timetable.reset(now);
        // By which clock they expire cannot be told any more. No reply to what is under way is taken.
        let all: Vec<SubjectDigest> = self.entries.keys().copied().collect();
        all.iter().for_each(|digest| self.remove(digest, issued));
        self.wanted.clear();
    }

    pub(super) fn handle_shutdown(&mut self) {
        self.under_way.clear();
    }

    fn conclude(
        &mut self,
        digest: SubjectDigest,
        answer: Result<IssuedToken, TokenFailure>,
        turn: &mut StoreTurn<'_, '_>,
    ) -> Option<TokenEvent> {
        let sent = match &self.entries.get(&digest)?.state {
            State::UnderWay { sent, .. } => Some(*sent),
            State::Wanted(_) | State::Held(_) | State::Refused(_) => None,
        };
        let failures = self.failures();
        self.remove(&digest, turn.issued);
        // What is wrong with one subject says nothing about the endpoint but that it answers.
        let fault =
            answer.as_ref().err().map(|failure| &failure.fault).filter(|fault| !fault.is_about_subject());
        let breaker = turn.endpoint.record(fault, turn.context);
        let change = match answer {
            Ok(answer) => {
                let lifetime =
                    Lifetime::new(answer.sent, answer.expires, &self.client.lifetime, turn.context.jitter);
                let token = Token::new(&self.client, &answer.token, answer.sent, lifetime, turn.issued);
                self.timetable.settle_until(answer.sent, turn.context.now);
                if self.make_room(token.size().saturating_add(ENTRY_BYTES), turn.issued) {
                    self.put(digest, State::Held(token), turn.issued);
                }
                TokenChange::obtained(&answer, false)
            }
            Err(TokenFailure { fault, retry_after }) => {
                if fault.is_about_subject() {
                    // The server works, and others' tokens may be accepted.
                    self.put_refusal(digest, turn.issued, turn.context.now);
                } else {
                    self.timetable.fail_for(&fault, retry_after.unwrap_or_default(), turn.context);
                }
                TokenChange::Failed(fault)
            }
        };
        let took = sent.map(|sent| turn.context.now.since(sent));
        Some(TokenEvent { failures, change, breaker, took })
    }

    /// The endpoint need not be asked about this subject.
    fn refuse(&mut self, digest: SubjectDigest, turn: &mut StoreTurn<'_, '_>) -> TokenEvent {
        self.wanted.retain(|other| *other != digest);
        self.remove(&digest, turn.issued);
        self.put_refusal(digest, turn.issued, turn.context.now);
        let change = TokenChange::Failed(TokenFault::ExpiredAtIssue);
        TokenEvent { failures: self.failures(), change, breaker: BreakerChange::None, took: None }
    }

    fn put_refusal(&mut self, digest: SubjectDigest, issued: &mut IssuedTokens, now: Timestamp) {
        if self.make_room(ENTRY_BYTES, issued) {
            self.put(digest, State::Refused(now.after(REFUSED_FOR)), issued);
        }
    }

    /// The longest token for which there can be room.
    fn longest_token(&self) -> usize {
        let beside = ENTRY_BYTES.saturating_add(size_of::<Token>()).saturating_add(self.client.prefix.len());
        self.bounds.bytes.saturating_sub(beside)
    }

    /// Drops those that were used longest ago until there is room.
    fn make_room(&mut self, size: usize, issued: &mut IssuedTokens) -> bool {
        if size > self.bounds.bytes {
            return false;
        }
        while self.uses.len() >= self.client.exchanged_tokens
            || self.bytes.saturating_add(size) > self.bounds.bytes
        {
            let Some(digest) = self.uses.values().next().copied() else { return false };
            self.remove(&digest, issued);
        }
        true
    }

    fn put(&mut self, digest: SubjectDigest, state: State, issued: &mut IssuedTokens) {
        let mut entry = Entry { used: 0, state };
        match &entry.state {
            State::Wanted(_) | State::UnderWay { .. } => {
                self.pending_bytes = self.pending_bytes.saturating_add(entry.size());
                self.wanted.push_back(digest);
            }
            State::Held(_) | State::Refused(_) => {
                self.bytes = self.bytes.saturating_add(entry.size());
                self.next_use = self.next_use.saturating_add(1);
                entry.used = self.next_use;
                self.uses.insert(entry.used, digest);
            }
        }
        if let State::Held(token) = &entry.state {
            issued.hold(token.fingerprint);
        }
        self.entries.insert(digest, entry);
    }

    /// A caller that removes one that is wanted has taken it off that list.
    fn remove(&mut self, digest: &SubjectDigest, issued: &mut IssuedTokens) {
        let Some(entry) = self.entries.remove(digest) else { return };
        match &entry.state {
            State::Wanted(_) | State::UnderWay { .. } => {
                self.pending_bytes = self.pending_bytes.saturating_sub(entry.size());
                self.under_way.retain(|other| other != digest);
            }
            State::Held(_) | State::Refused(_) => {
                self.bytes = self.bytes.saturating_sub(entry.size());
                self.uses.remove(&entry.used);
            }
        }
        if let State::Held(token) = &entry.state {
            // Requests that carry it may still come back.
            issued.remember(&mut self.ring, token.fingerprint, self.bounds.known);
            issued.let_go(token.fingerprint);
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
/// The exchanged tokens of all clients that are known again although they are kept no longer, in equal shares, beside
/// [`MAX_KNOWN_TOKENS`](super::MAX_KNOWN_TOKENS) for each client: some 64 bytes each.
pub const MAX_KNOWN_EXCHANGED_TOKENS: usize = 16_384;

#[cfg(test)]
#[path = "exchange_store_tests.rs"]
mod tests;
