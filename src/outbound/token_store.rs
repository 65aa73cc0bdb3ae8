//! The token of one client: obtained, kept fresh, shared with the process, purged. Sends nothing itself.
//!
//! The old token serves until its own end less a margin, whatever happens to its renewal, and never after.

use std::rc::Rc;

use prost::Message;

use super::endpoint::StoreTurn;
use super::event::{BreakerChange, TokenChange, TokenEvent};
use super::issued_token::{IssuedToken, SentRequest};
use super::lifetime::{Lifetime, MIN_RENEWAL, expiry};
use super::settings::{Client, Obtain};
use super::token::{IssuedTokens, MAX_KNOWN_TOKENS, RecentTokens, Token};
use super::unauthorized::{Purge, UnauthorizedReport};
use crate::base::{CallBudget, HttpCall, HttpReply, Secret, Timestamp};
use crate::oauth::{GrantedScopes, Timetable, TokenFailure, TokenFault, fits_header};
use crate::sharing::{Context, FetchState, Publication, SingleFlight, Unreadable};

/// The token of one client.
#[derive(Debug)]
pub struct TokenStore {
    client: Rc<Client>,
    flight: SingleFlight,
    token: Option<Token>,
    /// When the newest token that we have had was asked for, whether or not it still counts.
    newest: Option<Timestamp>,
    /// The same by the clock before it was set back: what was published then says nothing any more about how long it
    /// lives.
    outdated: Option<Timestamp>,
    ring: RecentTokens,
    timetable: Timetable,
    under_way: Option<Timestamp>,
    /// An upstream has answered 401 to the token, and it is not used while the next one is asked for.
    is_set_aside: bool,
    /// It is used again, and requests may wait for it.
    is_restored: bool,
    /// A request has needed it since it was obtained.
    is_needed: bool,
    max_token_bytes: usize,
}

impl TokenStore {
    pub(super) fn new(
        client: Rc<Client>,
        flight: SingleFlight,
        max_token_bytes: usize,
        now: Timestamp,
    ) -> Self {
        Self {
            client,
            flight,
            token: None,
            newest: None,
            outdated: None,
            ring: RecentTokens::default(),
            timetable: Timetable::new(now),
            under_way: None,
            is_set_aside: false,
            is_restored: false,
            is_needed: false,
            max_token_bytes,
        }
    }

    /// The token, if it may be put on a request now.
    pub fn token(&self, now: Timestamp) -> Option<&Token> {
        self.token.as_ref().filter(|token| !self.is_set_aside && token.counts(now))
    }

    /// The token, whether or not it still counts.
    pub fn held(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// How much is left, in percent, of the time in which the token is to be renewed: 100 until its renewal is due, and
    /// while no request needs it; 0 where requests go without. None is asked for in vain unless a request needs it,
    /// perhaps of another thread.
    pub fn margin_left(&self, now: Timestamp) -> u8 {
        if !self.is_wanted() && self.failures() == 0 {
            return 100;
        }
        self.token(now).map_or(0, |token| token.lifetime.margin_left(now))
    }

    fn is_wanted(&self) -> bool {
        self.client.obtain == Obtain::AtStart || self.is_needed
    }

    /// A request needs the token.
    pub(super) fn want(&mut self) {
        self.is_needed = true;
    }

    /// Whether an answer may come at any moment.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// When the next request is sent at the earliest.
    pub(super) fn next_attempt(&self) -> Timestamp {
        self.timetable.next()
    }

    /// How many attempts have failed in a row.
    pub fn failures(&self) -> u32 {
        self.timetable.failures()
    }

    pub(super) fn id(&self) -> Option<u64> {
        self.flight.id()
    }

    pub(super) fn seed(&self, context: &Context<'_>) {
        self.flight.seed(context);
    }

    /// An upstream has answered 401 to a token of ours. Once per token, while the next one is asked for.
    pub(super) fn handle_unauthorized(&mut self, report: &UnauthorizedReport) -> Option<Purge> {
        let is_in_use = !self.is_set_aside;
        let ours = self.token.as_ref().filter(|ours| is_in_use && ours.fingerprint == report.token)?;
        if !report.should_purge(ours, self.failures()) {
            return Some(Purge::Retained);
        }
        self.is_set_aside = true;
        self.is_needed = true;
        self.timetable.mark_due(report.now);
        Some(Purge::Purged)
    }

    /// Uses the token again that was set aside: the next one cannot be had, and other upstreams may accept it.
    fn restore(&mut self) {
        self.is_restored |= core::mem::take(&mut self.is_set_aside);
    }

    /// Whether the token is used again that was set aside; told once.
    pub(super) fn take_restored(&mut self) -> bool {
        core::mem::take(&mut self.is_restored)
    }

    /// Another thread may have obtained a token.
    pub(super) fn handle_updates(
        &mut self,
        issued: &mut IssuedTokens,
        context: &mut Context<'_>,
    ) -> Option<TokenEvent> {
        let lease = self.flight.look(context).found()?;
        let event = self.sync_from(lease.state, issued, context);
        if self.failures() > 0 {
            self.restore();
        }
        event
    }

    /// Time has passed: gives up what is lost, lets go of what has expired, and says what to send if that is due and no
    /// other thread is at it.
    pub(super) fn handle_tick(
        &mut self,
        budget: &mut CallBudget,
        turn: &mut StoreTurn<'_, '_>,
    ) -> (Option<TokenEvent>, Option<HttpCall>) {
        let is_wanted = self.is_wanted();
        if let Some(expired) = self.token.take_if(|token| !token.counts(turn.context.now)) {
            // However soon a token expires, the next one is not asked for in a loop.
            self.timetable.mark_due(turn.context.now.max(expired.sent.after(MIN_RENEWAL)));
            // A token that no request has needed again is missed by none.
            return (is_wanted.then(|| self.event(TokenChange::Expired)), None);
        }
        if self.failures() > 0 || !turn.endpoint.is_available(turn.context.now) {
            self.restore();
        }
        if let Some(sent) = self.under_way {
            let is_lost = turn.context.now >= sent.after(self.flight.hold());
            let event = is_lost.then(|| self.conclude(Err(TokenFault::Lost.into()), turn));
            return (event, None);
        }
        if budget.is_spent()
            || !is_wanted
            || turn.context.now < self.next_attempt()
            || turn.endpoint.address().is_none()
        {
            return (None, None);
        }
        let lookup = self.flight.look(turn.context);
        let lease = lookup.found();
        let event = lease.and_then(|lease| self.sync_from(lease.state, turn.issued, turn.context));
        if lease.is_some_and(|lease| lease.is_held) || turn.context.now < self.next_attempt() {
            // A request that waits is told when there may be a token: the breaker has a say in that.
            turn.endpoint.sync(turn.context);
            self.flight.defer();
            return (event, None);
        }
        if !turn.endpoint.admit(turn.context) {
            return (event, None);
        }
        if !self.flight.acquire(lookup, turn.context) {
            turn.endpoint.record(Some(&TokenFault::NotSent), turn.context);
            return (event, None);
        }
        match turn.endpoint.call(&self.client.request, None, turn.context) {
            Ok(call) => {
                budget.spend();
                self.under_way = Some(turn.context.now);
                self.timetable.send(turn.context.now);
                (event, Some(call))
            }
            Err(fault) => (Some(self.conclude(Err(fault.into()), turn)), None),
        }
    }

    /// Takes the reply to the request that is under way.
    pub(super) fn handle_reply(
        &mut self,
        reply: HttpReply,
        turn: &mut StoreTurn<'_, '_>,
    ) -> Option<TokenEvent> {
        let sent = self.under_way?;
        let (client, max_token_bytes) = (&self.client, self.max_token_bytes);
        let answer =
            SentRequest { client, sent, subject: None, max_token_bytes }.read(reply, turn.context.now);
        Some(self.conclude(answer, turn))
    }

    /// The clock has been set back from `before`: dates of the old one mean nothing, and what we hold is renewed at
    /// once. It has no longer to live than it had.
    pub(super) fn handle_clock_step(&mut self, before: Timestamp, now: Timestamp) {
        self.timetable.reset(now);
        self.outdated = self.newest.take().or(self.outdated);
        self.under_way = None;
        if let Some(token) = &mut self.token {
            token.lifetime.until = now.after(token.lifetime.until.since(before));
            token.lifetime.expires = now.after(token.lifetime.expires.since(before));
            token.lifetime.renewal = now.after(token.lifetime.renewal.since(before));
            token.sent = Timestamp::EPOCH;
        }
    }

    /// There will be no reply any more: another thread may ask at once.
    pub(super) fn handle_shutdown(&mut self, context: &Context<'_>) {
        if self.under_way.take().is_some() {
            self.release(context);
        }
    }

    fn conclude(
        &mut self,
        answer: Result<IssuedToken, TokenFailure>,
        turn: &mut StoreTurn<'_, '_>,
    ) -> TokenEvent {
        let failures = self.failures();
        let took = self.under_way.take().map(|sent| turn.context.now.since(sent));
        let breaker = turn.endpoint.record(answer.as_ref().err().map(|failure| &failure.fault), turn.context);
        let change = match answer {
            Ok(token) => {
                self.adopt(&token, turn.issued, turn.context);
                self.publish(&token, turn.context);
                TokenChange::obtained(&token, false)
            }
            Err(TokenFailure { fault, retry_after }) => {
                let pause = retry_after.unwrap_or_default();
                self.timetable.fail_for(&fault, pause, turn.context);
                self.restore();
                let until = self.token(turn.context.now).map(|token| token.lifetime.until);
                if let Some(until) = until.filter(|_| !fault.is_unsent()) {
                    // What is mended while the token at hand still serves is found before requests go without. Each
                    // pause is half of what is left, so that a server that refuses is asked a few times more, and not
                    // every second.
                    let half = until.since(turn.context.now).checked_div(2).unwrap_or_default();
                    let latest = turn.context.now.after(half.max(SHORTEST_RETRY));
                    self.timetable.try_again_by(latest, pause, turn.context.now);
                }
                TokenChange::Failed(fault)
            }
        };
        self.release(turn.context);
        TokenEvent { failures, change, breaker, took }
    }

    /// Takes over what another thread has obtained, if it is newer than what we have had.
    fn sync_from(
        &mut self,
        state: FetchState,
        issued: &mut IssuedTokens,
        context: &mut Context<'_>,
    ) -> Option<TokenEvent> {
        let failures = self.failures();
        let event = |change| Some(TokenEvent { failures, change, breaker: BreakerChange::None, took: None });
        if state.published > self.newest {
            let shared = self.flight.published(context);
            let shared = shared.and_then(|publication| match publication {
                Some(publication) if self.is_news(publication.sent) => self.read(&publication).map(Some),
                Some(_) | None => Ok(None),
            });
            match shared {
                Ok(Some(token)) if token.expires > context.now => {
                    self.adopt(&token, issued, context);
                    return event(TokenChange::obtained(&token, true));
                }
                // It is known, and not looked at again.
                Ok(Some(token)) => self.newest = Some(token.sent),
                Ok(None) => {}
                Err(why) => {
                    // Once, and not at every tick.
                    self.newest = state.published;
                    self.timetable.sync_from(&state);
                    return event(TokenChange::Rejected(why));
                }
            }
        }
        self.timetable.sync_from(&state);
        None
    }

    fn is_news(&self, sent: Timestamp) -> bool {
        Some(sent) > self.newest && self.outdated != Some(sent)
    }

    /// What another thread has published.
    fn read(&self, publication: &Publication) -> Result<IssuedToken, Unreadable> {
        let shared = SharedToken::decode(publication.body.expose()).map_err(|_| Unreadable::Encoding)?;
        let token = Secret::new(shared.token);
        let text = token.expose();
        if text.is_empty() || text.len() > self.max_token_bytes || !fits_header(text) {
            return Err(Unreadable::Encoding);
        }
        let sent = publication.sent;
        let longest = expiry(text, Some(super::MAX_LIFETIME), sent, &self.client.lifetime);
        let expires = Timestamp::from_nanos(shared.expires).min(longest);
        Ok(IssuedToken { token, sent, expires, scopes: GrantedScopes::default() })
    }

    fn adopt(&mut self, token: &IssuedToken, issued: &mut IssuedTokens, context: &mut Context<'_>) {
        let sent = token.sent;
        let lifetime = Lifetime::new(sent, token.expires, &self.client.lifetime, context.jitter);
        let token = Token::new(&self.client, &token.token, sent, lifetime, issued);
        issued.remember(&mut self.ring, token.fingerprint, MAX_KNOWN_TOKENS);
        self.timetable.settle_until(sent, lifetime.renewal);
        self.newest = self.newest.max(Some(sent));
        self.is_needed = false;
        self.is_set_aside = false;
        self.token = Some(token);
    }

    fn publish(&self, token: &IssuedToken, context: &Context<'_>) {
        if !self.flight.is_shared() {
            return;
        }
        let shared = SharedToken { token: token.token.expose().to_vec(), expires: token.expires.nanos() };
        let publication = Publication {
            sent: token.sent,
            received: context.now,
            freshness: None,
            unchanged: 0,
            entity_tag: None,
            origin: String::new(),
            body: Secret::new(shared.encode_to_vec()),
        };
        self.flight.publish(&publication, context);
    }

    fn release(&self, context: &Context<'_>) {
        self.flight.release(self.timetable.state(self.newest), context);
    }

    fn event(&self, change: TokenChange) -> TokenEvent {
        TokenEvent { failures: self.failures(), change, breaker: BreakerChange::None, took: None }
    }
}

/// A token as the threads of a process share it.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
struct SharedToken {
    #[prost(bytes = "vec", tag = "1")]
    token: Vec<u8>,
    #[prost(fixed64, tag = "2")]
    expires: u64,
}

/// As short as the first pause after a failure: halves of what is left would come ever faster.
const SHORTEST_RETRY: core::time::Duration = core::time::Duration::from_millis(250);
