//! The token of one client: obtained, kept fresh, shared with the process, purged. Sends nothing itself.
//!
//! The old token serves until its own end less a margin, whatever happens to its renewal, and never after.

use std::rc::Rc;

use prost::Message;

use super::endpoint::{BreakerChange, EndpointState};
use super::lifetime::{Lifetime, MIN_RENEWAL, expiry};
use super::settings::{Client, Obtain};
use super::token::{IssuedTokens, MAX_KNOWN_TOKENS, RecentTokens, Token};
use super::unauthorized::{Purge, UnauthorizedReport};
use crate::base::{CallBudget, HttpCall, HttpReply, Secret, Timestamp};
use crate::oauth::{Asked, FaultClass, Timetable, TokenAnswer, TokenFault, fits_header};
use crate::sharing::{Context, FetchState, LeaseLookup, Publication, SingleFlight, Unreadable};

/// The token of one client.
#[derive(Debug)]
pub struct TokenStore {
    client: Rc<Client>,
    /// What the process shares of it; `None`: nothing.
    flight: Option<SingleFlight>,
    token: Option<Token>,
    /// When the newest token that we have had was asked for, whether or not it still counts.
    newest: Timestamp,
    /// The same by the clock before it was set back: what was published then says nothing any more about how long it lives.
    outdated: Option<Timestamp>,
    ring: RecentTokens,
    timetable: Timetable,
    under_way: Option<Timestamp>,
    /// A request has needed it since it was obtained.
    is_needed: bool,
    max_token_bytes: usize,
    failed_acquisitions: u32,
}

/// Something happened to a client's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEvent {
    /// How many attempts had failed in a row before.
    pub failures: u32,
    /// What.
    pub what: TokenChange,
    /// What it did to the endpoint's breaker.
    pub breaker: BreakerChange,
    /// How long the request took, if it was ours.
    pub took: Option<core::time::Duration>,
}

/// What happened to a client's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenChange {
    /// There is a new one.
    Obtained {
        /// How long it lives.
        lifetime: core::time::Duration,
        /// How many of the scopes that were asked for it lacks.
        missing_scopes: usize,
        /// Another thread obtained it.
        is_shared: bool,
    },
    /// None was obtained; what there is stays.
    Failed(TokenFault),
    /// What another thread should have left is not to be believed.
    Refused(Unreadable),
    /// It expired before there was a new one.
    Expired,
}

impl TokenStore {
    pub(super) fn new(
        client: Rc<Client>,
        flight: Option<SingleFlight>,
        max_token_bytes: usize,
        now: Timestamp,
    ) -> Self {
        Self {
            client,
            flight,
            token: None,
            newest: Timestamp::EPOCH,
            outdated: None,
            ring: RecentTokens::default(),
            timetable: Timetable::new(now),
            under_way: None,
            is_needed: false,
            max_token_bytes,
            failed_acquisitions: 0,
        }
    }

    /// The token, if it may be put on a request now.
    pub fn token(&self, now: Timestamp) -> Option<&Token> {
        self.token.as_ref().filter(|token| token.counts(now))
    }

    /// The token, whether or not it still counts.
    pub fn held(&self) -> Option<&Token> {
        self.token.as_ref()
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
        self.flight.as_ref().map(SingleFlight::id)
    }

    pub(super) fn seed(&self, context: &Context<'_>) {
        if let Some(flight) = &self.flight {
            flight.seed(context.shared);
        }
    }

    /// An upstream has answered 401 to a token of ours. Once per token: it is not ours any more when it is purged.
    pub(super) fn handle_unauthorized(&mut self, complaint: &UnauthorizedReport) -> Option<Purge> {
        let ours = self.token.as_ref().filter(|ours| ours.fingerprint == complaint.token)?;
        if !complaint.should_purge(ours, self.failures()) {
            return Some(Purge::Retained);
        }
        self.token = None;
        self.is_needed = true;
        self.timetable.mark_due(complaint.now);
        Some(Purge::Purged)
    }

    /// Another thread may have obtained a token.
    pub(super) fn handle_updates(
        &mut self,
        issued: &mut IssuedTokens,
        context: &mut Context<'_>,
    ) -> Option<TokenEvent> {
        let LeaseLookup::Found(claim) = self.flight.as_ref()?.look(context.shared, context.now) else {
            return None;
        };
        self.heed(claim.standing, issued, context)
    }

    /// Time has passed: gives up what is lost, lets go of what has expired, and says what to send if that is due and nobody else is
    /// at it.
    pub(super) fn handle_tick(
        &mut self,
        budget: &mut CallBudget,
        endpoint: &mut EndpointState,
        issued: &mut IssuedTokens,
        context: &mut Context<'_>,
    ) -> (Option<TokenEvent>, Option<HttpCall>) {
        let is_wanted = self.client.obtain == Obtain::AtStart || self.is_needed;
        if let Some(expired) = self.token.take_if(|token| !token.counts(context.now)) {
            // However soon a token expires, the next one is not asked for in a loop.
            self.timetable.mark_due(context.now.max(expired.sent.after(MIN_RENEWAL)));
            // A token that nobody has needed again is missed by nobody.
            return (is_wanted.then(|| self.event(TokenChange::Expired)), None);
        }
        if let Some(sent) = self.under_way {
            let is_lost = context.now >= sent.after(endpoint.timeout().saturating_add(LOST_AFTER));
            let event = is_lost
                .then(|| self.conclude(Err((TokenFault::Lost, None)), sent, endpoint, issued, context));
            return (event, None);
        }
        if budget.is_spent()
            || !is_wanted
            || context.now < self.next_attempt()
            || endpoint.address().is_none()
        {
            return (None, None);
        }
        let mut event = None;
        let mut lease = None;
        if let Some(flight) = self.flight.clone() {
            match flight.look(context.shared, context.now) {
                LeaseLookup::NoSharedState => {}
                LeaseLookup::Again => return (None, None),
                LeaseLookup::Found(claim) => {
                    event = self.heed(claim.standing, issued, context);
                    if claim.is_held || context.now < self.next_attempt() {
                        // Whoever waits is told when there may be a token: the breaker has a say in that.
                        endpoint.heed(context);
                        self.failed_acquisitions = 0;
                        return (event, None);
                    }
                    lease = Some((flight, claim));
                }
            }
        }
        if !endpoint.admit(context) {
            return (event, None);
        }
        if let Some((flight, claim)) = lease {
            let hold = endpoint.timeout().saturating_add(LOST_AFTER);
            let has_taken = flight.take(context.shared, &claim, context.now, hold);
            self.failed_acquisitions = if has_taken { 0 } else { self.failed_acquisitions.saturating_add(1) };
            // A memory that keeps no lease must not keep us from a token.
            if !has_taken && self.failed_acquisitions < MAX_FAILED_ACQUISITIONS {
                endpoint.record(Some(&TokenFault::NotSent), context);
                return (event, None);
            }
        }
        match endpoint.call(&self.client.request, None, context) {
            Ok(call) => {
                budget.spend();
                self.under_way = Some(context.now);
                self.timetable.send(context.now);
                (event, Some(call))
            }
            Err(fault) => {
                (Some(self.conclude(Err((fault, None)), context.now, endpoint, issued, context)), None)
            }
        }
    }

    /// Takes the reply to the request that is under way.
    pub(super) fn handle_reply(
        &mut self,
        reply: HttpReply,
        endpoint: &mut EndpointState,
        issued: &mut IssuedTokens,
        context: &mut Context<'_>,
    ) -> Option<TokenEvent> {
        let sent = self.under_way?;
        let asked =
            Asked { request: &self.client.request, subject: None, max_token_bytes: self.max_token_bytes };
        let answer = TokenAnswer::read(reply, asked, context.now).and_then(|answer| {
            let expires = expiry(answer.token.expose(), answer.expires_in, sent, &self.client.lifetime);
            if expires <= context.now {
                Err((TokenFault::ExpiredAtIssue, None))
            } else {
                Ok((answer, expires))
            }
        });
        Some(self.conclude(answer, sent, endpoint, issued, context))
    }

    /// The clock has been set back from `before`: dates of the old one mean nothing, and what we hold is renewed at once. It has
    /// no longer to live than it had.
    pub(super) fn handle_clock_step(&mut self, before: Timestamp, now: Timestamp) {
        self.timetable.reset(now);
        let newest = core::mem::take(&mut self.newest);
        self.outdated = Some(newest).filter(|newest| *newest > Timestamp::EPOCH).or(self.outdated);
        self.under_way = None;
        if let Some(token) = &mut self.token {
            token.lifetime.until = now.after(token.lifetime.until.since(before));
            token.lifetime.expires = now.after(token.lifetime.expires.since(before));
            token.sent = Timestamp::EPOCH;
        }
    }

    /// There will be no reply any more: another thread may ask at once.
    pub(super) fn handle_shutdown(&mut self, context: &Context<'_>) {
        if self.under_way.take().is_some() {
            self.give_back(context);
        }
    }

    fn conclude(
        &mut self,
        answer: Result<(TokenAnswer, Timestamp), (TokenFault, Option<core::time::Duration>)>,
        sent: Timestamp,
        endpoint: &mut EndpointState,
        issued: &mut IssuedTokens,
        context: &mut Context<'_>,
    ) -> TokenEvent {
        let failures = self.failures();
        let took = self.under_way.take().map(|sent| context.now.since(sent));
        let breaker = endpoint.record(answer.as_ref().err().map(|(fault, _)| fault), context);
        let what = match answer {
            Ok((answer, expires)) => {
                self.adopt(&answer.token, sent, expires, issued, context);
                self.publish(&answer.token, sent, expires, context);
                TokenChange::Obtained {
                    lifetime: expires.since(sent),
                    missing_scopes: answer.missing_scopes,
                    is_shared: false,
                }
            }
            Err((fault, pause)) => {
                let is_slow = fault.class() == FaultClass::Configuration;
                if fault == TokenFault::NotSent {
                    self.timetable.fail_to_send(context.now, context.jitter);
                } else {
                    let slowly = if is_slow { SLOW_RETRY } else { core::time::Duration::ZERO };
                    let asked = pause.unwrap_or_default();
                    self.timetable.fail(asked.max(slowly), context.now, context.jitter);
                    if let Some(until) = self.token(context.now).map(|token| token.lifetime.until) {
                        // What is mended while the token at hand still serves is found before requests go without. Each pause is half
                        // of what is left, so that a server that refuses is asked a few times more, and not every second.
                        let half = until.since(context.now).checked_div(2).unwrap_or_default();
                        let latest = context.now.after(half.max(SHORTEST_RETRY));
                        self.timetable.try_again_by(latest, asked, context.now);
                    }
                }
                TokenChange::Failed(fault)
            }
        };
        self.give_back(context);
        TokenEvent { failures, what, breaker, took }
    }

    /// Takes over what another thread has obtained, if it is newer than what we have had.
    fn heed(
        &mut self,
        standing: FetchState,
        issued: &mut IssuedTokens,
        context: &mut Context<'_>,
    ) -> Option<TokenEvent> {
        let failures = self.failures();
        let event = |what| Some(TokenEvent { failures, what, breaker: BreakerChange::None, took: None });
        if standing.published > self.newest {
            let shared = self.flight.as_ref()?.published(context.shared, context.now);
            let shared = shared.and_then(|publication| match publication {
                Some(publication) if self.is_news(publication.sent) => self.read(&publication).map(Some),
                Some(_) | None => Ok(None),
            });
            match shared {
                Ok(Some((token, sent, expires))) if expires > context.now => {
                    self.adopt(&token, sent, expires, issued, context);
                    return event(TokenChange::Obtained {
                        lifetime: expires.since(sent),
                        missing_scopes: 0,
                        is_shared: true,
                    });
                }
                // It is known, and not looked at again.
                Ok(Some((_, sent, _))) => self.newest = sent,
                Ok(None) => {}
                Err(why) => {
                    // Once, and not at every tick.
                    self.newest = standing.published;
                    self.timetable.heed(&standing);
                    return event(TokenChange::Refused(why));
                }
            }
        }
        self.timetable.heed(&standing);
        None
    }

    fn is_news(&self, sent: Timestamp) -> bool {
        sent > self.newest && self.outdated != Some(sent)
    }

    /// What another thread has published: the token, when it was asked for, and when it expires.
    fn read(&self, publication: &Publication) -> Result<(Secret, Timestamp, Timestamp), Unreadable> {
        let shared = SharedToken::decode(publication.body.expose()).map_err(|_| Unreadable::Encoding)?;
        let token = Secret::new(shared.token);
        let text = token.expose();
        if text.is_empty() || text.len() > self.max_token_bytes || !fits_header(text) {
            return Err(Unreadable::Encoding);
        }
        let longest = expiry(text, Some(super::MAX_LIFETIME), publication.sent, &self.client.lifetime);
        Ok((token, publication.sent, Timestamp::from_nanos(shared.expires).min(longest)))
    }

    fn adopt(
        &mut self,
        token: &Secret,
        sent: Timestamp,
        expires: Timestamp,
        issued: &mut IssuedTokens,
        context: &mut Context<'_>,
    ) {
        let lifetime = Lifetime::new(sent, expires, &self.client.lifetime, context.jitter);
        let token = Token::new(&self.client, token, sent, lifetime, issued);
        issued.remember(&mut self.ring, token.fingerprint, MAX_KNOWN_TOKENS);
        self.timetable.settle_until(sent, lifetime.renewal);
        self.newest = self.newest.max(sent);
        self.is_needed = false;
        self.token = Some(token);
    }

    fn publish(&self, token: &Secret, sent: Timestamp, expires: Timestamp, context: &Context<'_>) {
        if let Some(flight) = &self.flight {
            let shared = SharedToken { token: token.expose().to_vec(), expires: expires.nanos() };
            let publication = Publication {
                sent,
                received: context.now,
                freshness: None,
                unchanged: 0,
                entity_tag: None,
                origin: String::new(),
                body: Secret::new(shared.encode_to_vec()),
            };
            flight.publish(context.shared, &publication, context.now, context.random);
        }
    }

    fn give_back(&self, context: &Context<'_>) {
        if let Some(flight) = &self.flight {
            flight.give_back(context.shared, self.timetable.standing(self.newest), context.now);
        }
    }

    fn event(&self, what: TokenChange) -> TokenEvent {
        TokenEvent { failures: self.failures(), what, breaker: BreakerChange::None, took: None }
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
/// What somebody has to mend is not mended within seconds, and servers lock out who keeps trying wrong secrets.
const SLOW_RETRY: core::time::Duration = core::time::Duration::from_secs(60);
/// Envoy answers every call within its timeout; this only keeps a fault there from stopping renewals for ever.
const LOST_AFTER: core::time::Duration = core::time::Duration::from_secs(10);
/// Somebody takes a lease that several want; a second of ticks in which nobody could is a memory that does not work.
const MAX_FAILED_ACQUISITIONS: u32 = 10;
