//! One document that is fetched over HTTP and kept fresh, by one thread for all: when it is asked for, how long it
//! counts, and what an outage does to it. What it says is its reader's business.

mod shared;
mod summary;

use core::time::Duration;

use sha2::{Digest as _, Sha256};

use super::address::Address;
use super::definition::Definition;
use super::event::{DocumentEvent, FetchOutcome, Read};
use super::fetch::{Answer, FetchError};
use super::fetch_client::{Credential, FetchMeans};
use super::timetable::{RefreshHint, Timetable, pause};
use crate::base::{Headers, HttpCall, HttpReply, Jitter, Secret, Timestamp, entity_tag, freshness};
use crate::sharing::{Context, Publication, PublicationUse, Sharing, SingleFlight};

/// A document and its fetches.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    definition: Definition,
    flight: SingleFlight,
    /// What another thread's publications are good for.
    publications: PublicationUse,
    /// The address that is asked next.
    address: usize,
    /// How many addresses in a row have said that it is not there.
    not_found: usize,
    /// The address that was asked last.
    asked: usize,
    /// What the one before it has said, of the same attempt.
    elsewhere: Option<(String, FetchError)>,
    under_way: Option<UnderWay>,
    held: Option<Held>,
    /// Whether a fetch of our own has ended since what we have came, or since we began.
    has_tried: bool,
    /// A publication has been seen that is past its lifetime: it counts only where a fetch of our own brings nothing
    /// newer.
    is_outdated_there: bool,
    /// When the last good answer came, whether or not it still counts.
    last_good: Option<Timestamp>,
    /// How far the clock had come before it was set back: what others did until then, by the old clock or the new one,
    /// tells nothing about what is newer than a request.
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

#[derive(Clone, Debug)]
struct UnderWay {
    sent: Timestamp,
    /// What was the last one when this was sent.
    last_sent: Option<Timestamp>,
    /// We asked only whether the document has changed.
    is_conditional: bool,
    /// What the fetch carries to be let in.
    credential: Option<Secret>,
}

impl Document {
    /// A document that is fetched at once. `me` is random, and tells this thread from others of its process.
    pub(crate) fn new(definition: Definition, sharing: Option<&Sharing>, me: u64, now: Timestamp) -> Self {
        let flight = definition.flight(sharing, me);
        let publications = sharing.map_or(PublicationUse::Confirm, Sharing::publication_use);
        Self::with(definition, flight, publications, now)
    }

    fn with(
        definition: Definition,
        flight: SingleFlight,
        publications: PublicationUse,
        now: Timestamp,
    ) -> Self {
        Self {
            definition,
            flight,
            publications,
            address: 0,
            not_found: 0,
            asked: 0,
            elsewhere: None,
            under_way: None,
            held: None,
            has_tried: false,
            is_outdated_there: false,
            last_good: None,
            old_clock: Timestamp::EPOCH,
            timetable: Timetable::new(now),
        }
    }

    /// Moves to another definition: what we have counts until the new address has answered, and no longer than it did.
    /// Its identity stays.
    pub(crate) fn move_to(&mut self, definition: Definition, now: Timestamp) {
        let moved = Self::with(definition, self.flight.clone(), self.publications, now);
        let held = self.held.take().map(|held| Held {
            sent: Timestamp::EPOCH,
            as_new_as: Timestamp::EPOCH,
            // There is nothing of the new address yet that another thread could confirm.
            defers_until: match self.publications {
                PublicationUse::Adopt => held.defers_until,
                PublicationUse::Confirm => Timestamp::EPOCH,
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

    /// How many fetches have failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.timetable.failures()
    }

    pub(crate) fn refresh(&mut self, hint: RefreshHint) {
        self.timetable.refresh(hint);
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
            held.defers_until = match self.publications {
                PublicationUse::Adopt => held.defers_until.min(now.after(refresh)),
                PublicationUse::Confirm => Timestamp::EPOCH,
            };
        }
        // Whether it was sent before or after a request cannot be told any more.
        self.under_way = None;
    }

    /// Makes sure that the lease can be taken.
    pub(crate) fn seed(&self, context: &Context<'_>) {
        self.flight.seed(context);
    }

    /// There will be no reply any more: another thread may fetch at once.
    pub(crate) fn handle_shutdown(&mut self, context: &Context<'_>) {
        if self.under_way.take().is_some() {
            self.release(context);
        }
    }

    /// The number by which updates of it are told.
    pub(crate) fn id(&self) -> Option<u64> {
        self.flight.id()
    }

    /// Another thread may have fetched it.
    pub(crate) fn handle_updates<T>(
        &mut self,
        context: &mut Context<'_>,
        read: Read<'_, T>,
    ) -> Option<DocumentEvent<T>> {
        let lease = self.flight.look(context).found()?;
        self.sync_from(lease.state, context, read)
    }

    /// Time has passed: gives up what is lost, lets go of what is too old, and says what to fetch if that is due and no
    /// other thread is at it. Another call is sent only where `budget` allows it.
    pub(crate) fn handle_tick<T>(
        &mut self,
        (budget, tokens): FetchMeans<'_>,
        context: &mut Context<'_>,
        read: Read<'_, T>,
    ) -> (Option<DocumentEvent<T>>, Option<HttpCall>) {
        let failures = self.failures();
        if self.held.as_ref().is_some_and(|held| context.now >= held.until) {
            self.held = None;
            self.timetable.mark_due(context.now);
            return (Some(DocumentEvent::own(failures, FetchOutcome::Expired)), None);
        }
        if let Some(under_way) = &self.under_way {
            let event = (context.now >= under_way.sent.after(self.flight.hold())).then(|| {
                self.under_way = None;
                DocumentEvent::own(failures, self.fail(FetchError::Lost, None, context))
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
        let lookup = self.flight.look(context);
        let lease = lookup.found();
        let event = lease.and_then(|lease| self.sync_from(lease.state, context, read));
        if !self.is_due(context.now) {
            return (event, None);
        }
        let waits = lease.is_some_and(|lease| self.waits_for_others(&lease, context.now));
        // The lease is for who can fetch at once.
        let credential = if waits { None } else { self.definition.credential(tokens, context.now) };
        let Some(credential) = credential else {
            self.flight.defer();
            return (event, None);
        };
        if !self.flight.acquire(lookup, context) {
            return (event, None);
        }
        budget.spend();
        (event, Some(self.send(credential, context.now)))
    }

    /// Takes the reply to the call that is under way.
    pub(crate) fn handle_reply<T>(
        &mut self,
        reply: HttpReply,
        context: &mut Context<'_>,
        read: Read<'_, T>,
    ) -> Option<DocumentEvent<T>> {
        let failures = self.failures();
        let under_way = self.under_way.take()?;
        let outcome =
            match Answer::read(reply, under_way.is_conditional, self.definition.max_bytes, context.now) {
                Answer::Failed(error, pause) => {
                    if error.is_unsent() {
                        self.timetable.cancel(under_way.last_sent);
                    }
                    self.fail(error, pause, context)
                }
                Answer::NotModified(headers) => {
                    if self.renew(under_way.sent, &headers, context) {
                        FetchOutcome::Unchanged
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
                        origin: self.definition.address(self.address).map(Address::url).unwrap_or_default(),
                        body: Secret::new(body),
                    };
                    if self.last_good_sent().is_some_and(|newest| newest > publication.sent) {
                        // Another thread was faster, with a newer one.
                        self.release(context);
                        return Some(DocumentEvent::own(failures, FetchOutcome::Unchanged));
                    }
                    match self.hold(&publication, digest, context, read) {
                        Ok(outcome) => {
                            self.publish(&publication, context);
                            outcome
                        }
                        Err(error) => self.fail(error, None, context),
                    }
                }
            };
        Some(DocumentEvent::own(failures, outcome))
    }

    /// Whether a fetch may be sent now, for all that we know.
    fn is_due(&self, now: Timestamp) -> bool {
        let is_insisting = self.publications == PublicationUse::Adopt && !self.defers(now);
        is_insisting || now >= self.next_attempt()
    }

    /// Reads a document and keeps it, and sets the next date.
    fn hold<T>(
        &mut self,
        publication: &Publication,
        digest: Digest,
        context: &mut Context<'_>,
        read: Read<'_, T>,
    ) -> Result<FetchOutcome<T>, FetchError> {
        let outcome = match self.held_as(&digest) {
            Some(_) => FetchOutcome::Unchanged,
            None => FetchOutcome::Changed(read(publication.body.expose())?),
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
        Ok(outcome)
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
        self.not_found = 0;
        self.elsewhere = None;
        self.is_outdated_there = false;
        self.last_good = Some(good.received);
        self.timetable.settle_until(good.sent, due);
    }

    fn fail<T>(
        &mut self,
        error: FetchError,
        pause: Option<Duration>,
        context: &mut Context<'_>,
    ) -> FetchOutcome<T> {
        if error.is_unsent() {
            self.has_tried = true;
            self.timetable.fail_to_send(context);
        } else {
            self.not_found = self.not_found.saturating_add(1);
            let addresses = self.definition.addresses.len();
            if error.is_not_found_here() && addresses > 1 {
                self.address = self.address.saturating_add(1).checked_rem(addresses).unwrap_or_default();
            }
            if error.is_not_found_here() && self.not_found < addresses {
                // The other address is part of the same attempt: the lease stays ours.
                self.timetable.try_next_location(context.now);
                self.elsewhere = Some((self.asked_url(), error.clone()));
                return FetchOutcome::NotFoundHere(error);
            }
            self.not_found = 0;
            self.has_tried = true;
            self.timetable.fail(pause.unwrap_or_default(), context);
        }
        self.release(context);
        FetchOutcome::Failed(error)
    }

    fn send(&mut self, credential: Option<Credential>, now: Timestamp) -> HttpCall {
        let entity_tag = self.held.as_ref().and_then(|held| held.entity_tag.clone());
        self.under_way = Some(UnderWay {
            sent: now,
            last_sent: self.timetable.send(now),
            is_conditional: entity_tag.is_some(),
            credential: credential.as_ref().map(|(_, value)| value.clone()),
        });
        if self.not_found == 0 {
            self.elsewhere = None;
        }
        self.asked = self.address;
        self.definition.call(self.address, entity_tag, credential)
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
