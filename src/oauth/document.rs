//! One document that is fetched over HTTP and kept fresh, by one thread for all: when it is asked for, how long it counts, and
//! what an outage does to it. What it says is its reader's business.

mod shared;

use core::time::Duration;

use sha2::{Digest as _, Sha256};

use super::address::Address;
use super::definition::Definition;
use super::event::{Event, News, Read};
use super::fetch::{Answer, FetchError};
use super::timetable::{RefreshHint, Timetable, pause};
use crate::base::{
    CallBudget, Headers, HttpCall, HttpReply, Jitter, Secret, Timestamp, entity_tag, freshness,
};
use crate::sharing::{Context, LeaseLookup, Publication, Sharing, SingleFlight, Trust};

/// A document and its fetches.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    definition: Definition,
    /// What the process shares about it; `None`: nothing.
    flight: Option<SingleFlight>,
    /// What another thread's publication is worth.
    trust: Trust,
    /// The place that is asked next.
    place: usize,
    /// How many places in a row have said that it is not there.
    elsewhere: usize,
    under_way: Option<UnderWay>,
    /// How often in a row a lease that nobody held could not be taken.
    failed_acquisitions: u32,
    held: Option<Held>,
    /// Whether a fetch of our own has ended since what we have came, or since we began.
    has_tried: bool,
    /// A publication has been seen that is past its lifetime: it counts only where a fetch of our own brings nothing newer.
    is_outdated_there: bool,
    /// When the last good answer came, whether or not it still counts.
    last_good: Option<Timestamp>,
    /// How far the clock had come before it was set back: what others did until then, by the old clock or the new one, tells
    /// nothing about what is newer than a request.
    old_clock: Timestamp,
    timetable: Timetable,
}

/// What is known about the document that we have.
#[derive(Clone, Debug)]
struct Held {
    /// When it was asked for.
    sent: Timestamp,
    /// It is at least as new as that by our clock.
    as_new_as: Timestamp,
    /// When it no longer counts.
    until: Timestamp,
    /// Until then a fetch of ours may wait for what other threads do.
    defers_until: Timestamp,
    /// When the newest publication that it was held against was asked for.
    compared: Timestamp,
    /// How often in a row it has come back as it was.
    unchanged: u32,
    digest: Digest,
    entity_tag: Option<String>,
}

/// SHA-256 of a document.
type Digest = [u8; 32];

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    sent: Timestamp,
    /// What was the last one when this was sent.
    last_sent: Option<Timestamp>,
    /// We asked only whether the document has changed.
    is_conditional: bool,
}

impl Document {
    /// A document that is fetched at once. `me` is random, and tells this thread from others of its process.
    pub(crate) fn new(definition: Definition, sharing: Option<&Sharing>, me: u64, now: Timestamp) -> Self {
        let flight = sharing.map(|sharing| definition.flight(sharing, me));
        let trust = sharing.map_or(Trust::Confirms, Sharing::trust);
        Self::with(definition, flight, trust, now)
    }

    fn with(definition: Definition, flight: Option<SingleFlight>, trust: Trust, now: Timestamp) -> Self {
        Self {
            definition,
            flight,
            trust,
            place: 0,
            elsewhere: 0,
            under_way: None,
            failed_acquisitions: 0,
            held: None,
            has_tried: false,
            is_outdated_there: false,
            last_good: None,
            old_clock: Timestamp::EPOCH,
            timetable: Timetable::new(now),
        }
    }

    /// Moves to another definition: what we have counts until the new place has answered, and no longer than it did.
    /// Its identity stays.
    pub(crate) fn move_to(&mut self, definition: Definition, now: Timestamp) {
        let moved = Self::with(definition, self.flight.clone(), self.trust, now);
        let held = self.held.take().map(|held| Held {
            sent: Timestamp::EPOCH,
            as_new_as: Timestamp::EPOCH,
            // There is nothing of the new place yet that another thread could confirm.
            defers_until: match self.trust {
                Trust::Adopts => held.defers_until,
                Trust::Confirms => Timestamp::EPOCH,
            },
            digest: [0; 32],
            entity_tag: None,
            ..held
        });
        *self = Self { held, last_good: self.last_good, ..moved };
    }

    pub(crate) fn definition(&self) -> &Definition {
        &self.definition
    }

    /// What we have is at least as new as that.
    pub(crate) fn as_new_as(&self) -> Option<Timestamp> {
        self.held.as_ref().map(|held| held.as_new_as)
    }

    /// When what we have was asked for.
    fn last_good_sent(&self) -> Option<Timestamp> {
        self.held.as_ref().map(|held| held.sent)
    }

    /// When the last good answer came.
    pub(crate) fn last_good(&self) -> Option<Timestamp> {
        self.last_good
    }

    /// How many fetches have failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.timetable.failures()
    }

    pub(crate) fn wish(&mut self, wish: RefreshHint) {
        self.timetable.wish(wish);
    }

    /// When the next fetch is sent at the earliest.
    pub(crate) fn next_attempt(&self) -> Timestamp {
        if self.is_outdated_there && !self.has_tried {
            return Timestamp::EPOCH;
        }
        self.timetable.next_attempt(&self.definition.schedule)
    }

    /// Whether an answer may come at any moment.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The clock has been set back: the schedule begins anew, and nothing counts as newer than a request.
    pub(crate) fn handle_clock_step(&mut self, before: Timestamp, now: Timestamp) {
        self.old_clock = self.old_clock.max(before);
        self.timetable.reset(now);
        self.last_good = self.last_good.map(|last| last.min(now));
        self.has_tried = false;
        let refresh = self.definition.schedule.refresh;
        let staleness = refresh.saturating_add(self.definition.schedule.max_staleness);
        if let Some(held) = &mut self.held {
            held.sent = Timestamp::EPOCH;
            held.as_new_as = Timestamp::EPOCH;
            held.until = held.until.min(now.after(staleness));
            held.defers_until = match self.trust {
                Trust::Adopts => held.defers_until.min(now.after(refresh)),
                Trust::Confirms => Timestamp::EPOCH,
            };
        }
        // Whether it was sent before or after a request, nobody can tell any more.
        self.under_way = None;
    }

    /// Makes sure that the lease can be taken.
    pub(crate) fn seed(&self, context: &Context<'_>) {
        if let Some(flight) = &self.flight {
            flight.seed(context.shared);
        }
    }

    /// There will be no reply any more: another thread may fetch at once.
    pub(crate) fn handle_end(&mut self, context: &Context<'_>) {
        if self.under_way.take().is_some() {
            self.give_back(context);
        }
    }

    /// What the process knows it by in its news.
    pub(crate) fn id(&self) -> Option<u64> {
        self.flight.as_ref().map(SingleFlight::id)
    }

    /// Another thread may have fetched it.
    pub(crate) fn handle_updates<T>(
        &mut self,
        context: &mut Context<'_>,
        read: Read<'_, T>,
    ) -> Option<Event<T>> {
        let LeaseLookup::Found(claim) = self.flight.as_ref()?.look(context.shared, context.now) else {
            return None;
        };
        self.heed(claim.standing, context, read)
    }

    /// Time has passed: gives up what is lost, lets go of what is too old, and says what to fetch if that is due and nobody else
    /// is at it. Another call is sent only where `budget` allows it.
    pub(crate) fn handle_tick<T>(
        &mut self,
        budget: &mut CallBudget,
        context: &mut Context<'_>,
        read: Read<'_, T>,
    ) -> (Option<Event<T>>, Option<HttpCall>) {
        if self.held.as_ref().is_some_and(|held| context.now >= held.until) {
            self.held = None;
            self.timetable.mark_due(context.now);
            return (Some(Event::ours(News::Expired)), None);
        }
        if let Some(under_way) = self.under_way {
            let event = (context.now >= under_way.sent.after(self.hold_time())).then(|| {
                self.under_way = None;
                Event::ours(self.fail(FetchError::Lost, None, context))
            });
            return (event, None);
        }
        if self.has_tried && core::mem::take(&mut self.is_outdated_there) {
            // Nothing newer can be had at the moment.
            return (self.handle_updates(context, read), None);
        }
        if budget.is_spent() || !self.is_due(context.now) {
            return (None, None);
        }
        let mut event = None;
        if let Some(flight) = self.flight.clone() {
            let has_taken = match flight.look(context.shared, context.now) {
                LeaseLookup::NoSharedState => true,
                LeaseLookup::Again => false,
                LeaseLookup::Found(claim) => {
                    event = self.heed(claim.standing, context, read);
                    if !self.is_due(context.now) {
                        return (event, None);
                    }
                    if self.waits_for_others(&claim, context.now) {
                        self.failed_acquisitions = 0;
                        return (event, None);
                    }
                    flight.take(context.shared, &claim, context.now, self.hold_time())
                }
            };
            self.failed_acquisitions = if has_taken { 0 } else { self.failed_acquisitions.saturating_add(1) };
            // A memory that keeps no lease must not keep us from fetching.
            if !has_taken && self.failed_acquisitions < MAX_FAILED_ACQUISITIONS {
                return (event, None);
            }
        }
        budget.spend();
        (event, Some(self.send(context.now)))
    }

    /// Takes the reply to the call that is under way.
    pub(crate) fn handle_reply<T>(
        &mut self,
        reply: HttpReply,
        context: &mut Context<'_>,
        read: Read<'_, T>,
    ) -> Option<Event<T>> {
        let under_way = self.under_way.take()?;
        let news = match Answer::read(reply, under_way.is_conditional, self.definition.max_bytes, context.now)
        {
            Answer::Failed(error, pause) => {
                if error == FetchError::NotSent {
                    self.timetable.take_back(under_way.last_sent);
                }
                self.fail(error, pause, context)
            }
            Answer::NotModified(headers) => {
                if self.renew(under_way.sent, &headers, context) {
                    News::Same
                } else {
                    self.fail(FetchError::Status(304), None, context)
                }
            }
            Answer::Document(headers, body) => {
                let digest = Sha256::digest(&body).into();
                let publication = Publication {
                    sent: under_way.sent.min(context.now),
                    received: context.now,
                    freshness: freshness(&headers, context.now),
                    unchanged: self.held_as(&digest).map_or(0, |held| held.unchanged.saturating_add(1)),
                    entity_tag: entity_tag(&headers).map(str::to_owned),
                    origin: self.definition.place(self.place).map(Address::url).unwrap_or_default(),
                    body: Secret::new(body),
                };
                if self.last_good_sent().is_some_and(|newest| newest > publication.sent) {
                    // Another thread was faster, with a newer one.
                    self.give_back(context);
                    return Some(Event::ours(News::Same));
                }
                match self.hold(&publication, digest, context, read) {
                    Ok(news) => {
                        self.publish(&publication, context);
                        news
                    }
                    Err(error) => self.fail(error, None, context),
                }
            }
        };
        Some(Event::ours(news))
    }

    /// How long a fetch may take, until its reply is given up.
    fn hold_time(&self) -> Duration {
        self.definition.schedule.timeout.saturating_add(LOST_AFTER)
    }

    /// Whether a fetch may be sent now, for all that we know.
    fn is_due(&self, now: Timestamp) -> bool {
        let is_insisting = self.trust == Trust::Adopts && !self.defers(now);
        is_insisting || now >= self.next_attempt()
    }

    /// Reads a document and keeps it, and sets the next date.
    fn hold<T>(
        &mut self,
        publication: &Publication,
        digest: Digest,
        context: &mut Context<'_>,
        read: Read<'_, T>,
    ) -> Result<News<T>, FetchError> {
        let news = match self.held_as(&digest) {
            Some(_) => News::Same,
            None => News::New(read(publication.body.expose())?),
        };
        // One that is taken over past its lifetime was tried for already.
        self.has_tried &= context.now >= self.is_fresh_until(publication);
        self.held = Some(Held {
            sent: publication.sent,
            as_new_as: publication.sent,
            until: self.counts_until(publication),
            defers_until: self.defers_until(publication, context.jitter),
            compared: Timestamp::EPOCH,
            unchanged: publication.unchanged,
            digest,
            entity_tag: publication.entity_tag.clone(),
        });
        self.settle(publication, context.jitter);
        Ok(news)
    }

    /// What we have is as good as new; `false` when it has become too old meanwhile.
    fn renew(&mut self, sent: Timestamp, headers: &Headers, context: &mut Context<'_>) -> bool {
        let Some(mut held) = self.held.take() else { return false };
        held.unchanged = held.unchanged.saturating_add(1);
        let renewed = Publication {
            sent,
            received: context.now,
            freshness: freshness(headers, context.now),
            unchanged: held.unchanged,
            entity_tag: held.entity_tag.clone(),
            origin: String::new(),
            body: Secret::new([]),
        };
        held.sent = sent;
        held.as_new_as = sent;
        held.until = self.counts_until(&renewed);
        held.defers_until = self.defers_until(&renewed, context.jitter);
        let digest = held.digest;
        self.held = Some(held);
        self.has_tried = false;
        self.settle(&renewed, context.jitter);
        self.republish(renewed, &digest, context);
        true
    }

    /// All is well until the next date.
    fn settle(&mut self, good: &Publication, jitter: &mut Jitter) {
        let schedule = &self.definition.schedule;
        let lifetime = schedule.lifetime(good.freshness, good.unchanged);
        let due = good.received.after(pause(lifetime, schedule.min_refresh, jitter));
        self.elsewhere = 0;
        self.is_outdated_there = false;
        self.last_good = Some(good.received);
        self.timetable.settle_until(good.sent, due);
    }

    fn fail<T>(&mut self, error: FetchError, pause: Option<Duration>, context: &mut Context<'_>) -> News<T> {
        if error == FetchError::NotSent {
            self.has_tried = true;
            self.timetable.fail_to_send(context.now, context.jitter);
        } else {
            self.elsewhere = self.elsewhere.saturating_add(1);
            let places = self.definition.places.len();
            if error.is_elsewhere() && places > 1 {
                self.place = self.place.saturating_add(1).checked_rem(places).unwrap_or_default();
            }
            if error.is_elsewhere() && self.elsewhere < places {
                // The other place is part of the same attempt: the lease stays ours.
                self.timetable.try_next_location(context.now);
                return News::Elsewhere(error);
            }
            self.elsewhere = 0;
            self.has_tried = true;
            self.timetable.fail(pause.unwrap_or_default(), context.now, context.jitter);
        }
        self.give_back(context);
        News::Failed(error)
    }

    fn send(&mut self, now: Timestamp) -> HttpCall {
        let entity_tag = self.held.as_ref().and_then(|held| held.entity_tag.clone());
        self.under_way = Some(UnderWay {
            sent: now,
            last_sent: self.timetable.send(now),
            is_conditional: entity_tag.is_some(),
        });
        self.definition.call(self.place, entity_tag)
    }

    /// What we have, if it is this.
    fn held_as(&self, digest: &Digest) -> Option<&Held> {
        self.held.as_ref().filter(|held| held.digest == *digest)
    }

    /// When its lifetime is over.
    fn is_fresh_until(&self, publication: &Publication) -> Timestamp {
        let lifetime = self.definition.schedule.lifetime(publication.freshness, publication.unchanged);
        publication.received.after(lifetime)
    }

    fn counts_until(&self, publication: &Publication) -> Timestamp {
        self.is_fresh_until(publication).after(self.definition.schedule.max_staleness)
    }
}

/// Somebody takes a lease that several want; a second of ticks in which nobody could is a memory that does not work.
const MAX_FAILED_ACQUISITIONS: u32 = 10;
/// Envoy answers every call within its timeout; this only keeps a fault there from stopping refreshes for ever.
const LOST_AFTER: Duration = Duration::from_secs(10);
