//! One document that is fetched over HTTP and kept fresh, by one thread for all: when it is asked for, how long it counts, and
//! what an outage does to it. What it says is its reader's business.

use core::time::Duration;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use super::address::Address;
use super::fetch::{Answer, FetchError};
use super::timetable::{Schedule, Timetable, Wish};
use crate::base::{Headers, HttpCall, HttpReply, Jitter, Timestamp, entity_tag, freshness};
use crate::sharing::{Flight, Look, Process, Publication, Sharing, Standing, Unreadable};

/// Which document. All of it but the schedule is its identity in the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) kind: &'static str,
    /// The cluster that carries the fetches.
    pub(super) cluster: Rc<str>,
    /// Where it may be: the next one is tried when a server says that it is not there. At least one.
    pub(super) places: Vec<Address>,
    pub(super) schedule: Schedule,
    /// The most bytes it may have.
    pub(super) max_bytes: usize,
}

/// What an event meets.
pub(super) struct Surroundings<'a> {
    pub(super) now: Timestamp,
    pub(super) process: &'a dyn Process,
    pub(super) jitter: &'a mut Jitter,
}

/// A document and its fetches.
#[derive(Clone, Debug)]
pub(super) struct Document {
    definition: Definition,
    /// What the process shares about it; `None`: nothing.
    flight: Option<Flight>,
    /// The place that is asked next.
    place: usize,
    /// How many places in a row have said that it is not there.
    elsewhere: usize,
    under_way: Option<UnderWay>,
    held: Option<Held>,
    timetable: Timetable,
}

/// What is known about the document that we have.
#[derive(Clone, Debug)]
struct Held {
    /// When it was asked for: it is at least as new as that.
    sent: Timestamp,
    received: Timestamp,
    /// When it no longer counts.
    until: Timestamp,
    digest: [u8; 32],
    entity_tag: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    sent: Timestamp,
    /// What was the last one when this was sent.
    last_sent: Option<Timestamp>,
    /// We asked only whether the document has changed.
    is_conditional: bool,
}

/// What happened to a document.
#[derive(Debug)]
pub(super) struct Event<T> {
    pub(super) news: News<T>,
    /// Another thread fetched it.
    pub(super) is_shared: bool,
}

#[derive(Debug)]
pub(super) enum News<T> {
    /// It is another one.
    New(T),
    /// It is what it was, as of now.
    Same,
    /// It could not be fetched; what there is stays.
    Failed(FetchError),
    /// What lies where another thread would have put it is not to be believed.
    Refused(Unreadable),
    /// It has been stale for too long, and counts no more.
    Expired,
}

/// Reads a document; an error counts as a failed fetch.
pub(super) type Read<'a, T> = &'a dyn Fn(&[u8]) -> Result<T, FetchError>;

impl<T> Event<T> {
    const fn ours(news: News<T>) -> Self {
        Self { news, is_shared: false }
    }
}

impl Definition {
    /// What the threads of a process share about it. `me` is random.
    pub(super) fn flight(&self, sharing: &Sharing, me: u64) -> Flight {
        let mut fields: Vec<&[u8]> = vec![self.kind.as_bytes(), self.cluster.as_bytes()];
        for place in &self.places {
            fields.extend([place.scheme.as_bytes(), place.authority.as_bytes(), place.path.as_bytes()]);
        }
        Flight::new(&fields, sharing.seal.clone(), me)
    }
}

impl Document {
    /// A document that is fetched at once.
    pub(super) fn new(definition: Definition, flight: Option<Flight>, now: Timestamp) -> Self {
        Self {
            definition,
            flight,
            place: 0,
            elsewhere: 0,
            under_way: None,
            held: None,
            timetable: Timetable::new(now),
        }
    }

    /// Moves to another definition: what we have counts until the new place has answered, and no longer than it did.
    pub(super) fn move_to(&mut self, definition: Definition, flight: Option<Flight>, now: Timestamp) {
        let moved = Self::new(definition, flight, now);
        let held = self.held.take().map(|held| Held {
            sent: Timestamp::EPOCH,
            digest: [0; 32],
            entity_tag: None,
            ..held
        });
        *self = Self { held, ..moved };
    }

    pub(super) fn definition(&self) -> &Definition {
        &self.definition
    }

    /// When what we have was asked for.
    pub(super) fn last_good_sent(&self) -> Option<Timestamp> {
        self.held.as_ref().map(|held| held.sent)
    }

    /// When what we have came.
    pub(super) fn last_good(&self) -> Option<Timestamp> {
        self.held.as_ref().map(|held| held.received)
    }

    /// How many fetches have failed in a row.
    pub(super) fn failures(&self) -> u32 {
        self.timetable.failures()
    }

    pub(super) fn wish(&mut self, wish: Wish) {
        self.timetable.wish(wish);
    }

    /// When the next fetch is sent at the earliest.
    pub(super) fn next_attempt(&self) -> Timestamp {
        self.timetable.next_attempt(&self.definition.schedule)
    }

    /// Whether an answer may come at any moment.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The clock has been set back: the schedule begins anew, and nothing counts as newer than a request.
    pub(super) fn handle_clock_step(&mut self, now: Timestamp) {
        self.timetable.begin_anew(now);
        let staleness =
            self.definition.schedule.refresh.saturating_add(self.definition.schedule.max_staleness);
        if let Some(held) = &mut self.held {
            held.sent = Timestamp::EPOCH;
            held.received = held.received.min(now);
            held.until = held.until.min(now.after(staleness));
        }
        if let Some(under_way) = &mut self.under_way {
            under_way.sent = under_way.sent.min(now);
        }
    }

    /// Takes over what the process has before anything is fetched, and makes sure that the lease can be taken.
    pub(super) fn handle_start<T>(
        &mut self,
        with: &mut Surroundings<'_>,
        read: Read<'_, T>,
    ) -> Option<Event<T>> {
        self.flight.as_ref()?.seed(with.process);
        self.handle_news(with, read)
    }

    /// Another thread may have fetched it.
    pub(super) fn handle_news<T>(
        &mut self,
        with: &mut Surroundings<'_>,
        read: Read<'_, T>,
    ) -> Option<Event<T>> {
        let Look::Claim(claim) = self.flight.as_ref()?.look(with.process, with.now) else { return None };
        self.heed(claim.standing, with, read)
    }

    /// Time has passed: gives up what is lost, lets go of what is too old, and says what to fetch if that is due and nobody else
    /// is at it. `may_send` is false when this is not the moment for another call.
    pub(super) fn handle_tick<T>(
        &mut self,
        may_send: bool,
        with: &mut Surroundings<'_>,
        read: Read<'_, T>,
    ) -> (Option<Event<T>>, Option<HttpCall>) {
        if self.held.as_ref().is_some_and(|held| with.now >= held.until) {
            self.held = None;
            self.timetable.fall_due(with.now);
            return (Some(Event::ours(News::Expired)), None);
        }
        if let Some(under_way) = self.under_way {
            let patience = self.definition.schedule.timeout.saturating_add(LOST_AFTER);
            let event = (with.now >= under_way.sent.after(patience)).then(|| {
                self.under_way = None;
                Event::ours(self.fail(FetchError::Lost, None, with))
            });
            return (event, None);
        }
        if !may_send || with.now < self.next_attempt() {
            return (None, None);
        }
        let mut event = None;
        if let Some(flight) = self.flight.clone() {
            match flight.look(with.process, with.now) {
                Look::Again => return (None, None),
                Look::Alone => {}
                Look::Claim(claim) => {
                    event = self.heed(claim.standing, with, read);
                    let hold = self.definition.schedule.timeout.saturating_add(LOST_AFTER);
                    if with.now < self.next_attempt()
                        || claim.is_held
                        || !flight.take(with.process, &claim, with.now, hold)
                    {
                        return (event, None);
                    }
                }
            }
        }
        (event, Some(self.send(with.now)))
    }

    /// Takes the reply to the call that is under way.
    pub(super) fn handle_reply<T>(
        &mut self,
        reply: HttpReply,
        with: &mut Surroundings<'_>,
        read: Read<'_, T>,
    ) -> Option<Event<T>> {
        let under_way = self.under_way.take()?;
        let news = match Answer::read(reply, under_way.is_conditional, self.definition.max_bytes, with.now) {
            Answer::Failed(error, pause) => {
                if error == FetchError::NotSent {
                    self.timetable.take_back(under_way.last_sent);
                }
                self.fail(error, pause, with)
            }
            Answer::NotModified(headers) => {
                if self.renew(under_way.sent, &headers, with) {
                    News::Same
                } else {
                    self.fail(FetchError::Status(304), None, with)
                }
            }
            Answer::Document(headers, body) => {
                let publication = Publication {
                    sent: under_way.sent,
                    received: with.now,
                    freshness: freshness(&headers, with.now),
                    entity_tag: entity_tag(&headers).map(str::to_owned),
                    place: u32::try_from(self.place).unwrap_or_default(),
                    body,
                };
                match self.hold(&publication, with.jitter, read) {
                    Ok(news) => {
                        self.publish(&publication, with);
                        news
                    }
                    Err(error) => self.fail(error, None, with),
                }
            }
        };
        Some(Event::ours(news))
    }

    /// Brings what we know to what the process knows.
    fn heed<T>(
        &mut self,
        standing: Standing,
        with: &mut Surroundings<'_>,
        read: Read<'_, T>,
    ) -> Option<Event<T>> {
        self.timetable.heed(&standing);
        if Some(standing.published) <= self.last_good_sent().or(Some(Timestamp::EPOCH)) {
            return None;
        }
        let is_shared = true;
        let publication = match self.flight.as_ref()?.published(with.process, with.now) {
            Ok(publication) => publication?,
            Err(why) => return Some(Event { news: News::Refused(why), is_shared }),
        };
        let is_too_large = publication.body.len() > self.definition.max_bytes;
        let is_older = Some(publication.sent) <= self.last_good_sent();
        if is_older || is_too_large || with.now >= self.counts_until(&publication) {
            return None;
        }
        let news = self.hold(&publication, with.jitter, read).ok()?;
        self.place = usize::try_from(publication.place).unwrap_or_default();
        Some(Event { news, is_shared })
    }

    /// Reads a document and keeps it, and sets the next date.
    fn hold<T>(
        &mut self,
        publication: &Publication,
        jitter: &mut Jitter,
        read: Read<'_, T>,
    ) -> Result<News<T>, FetchError> {
        let digest: [u8; 32] = Sha256::digest(&publication.body).into();
        let is_same = self.held.as_ref().is_some_and(|held| held.digest == digest);
        let news = if is_same { News::Same } else { News::New(read(&publication.body)?) };
        let lifetime = self.definition.schedule.lifetime(publication.freshness);
        self.held = Some(Held {
            sent: publication.sent,
            received: publication.received,
            until: self.counts_until(publication),
            digest,
            entity_tag: publication.entity_tag.clone(),
        });
        self.elsewhere = 0;
        self.timetable.settle(publication.sent, publication.received, lifetime, jitter);
        Ok(news)
    }

    /// What we have is as good as new; `false` when it has become too old meanwhile.
    fn renew(&mut self, sent: Timestamp, headers: &Headers, with: &mut Surroundings<'_>) -> bool {
        let stated = freshness(headers, with.now);
        let lifetime = self.definition.schedule.lifetime(stated);
        let staleness = self.definition.schedule.max_staleness;
        let Some(held) = &mut self.held else { return false };
        held.sent = sent;
        held.received = with.now;
        held.until = with.now.after(lifetime.saturating_add(staleness));
        let digest = held.digest;
        self.elsewhere = 0;
        self.timetable.settle(sent, with.now, lifetime, with.jitter);
        let Some(flight) = &self.flight else { return true };
        // The others need the document with its new date. Where it is gone, the next fetch asks for all of it.
        match flight.published(with.process, with.now) {
            Ok(Some(there)) if <[u8; 32]>::from(Sha256::digest(&there.body)) == digest => {
                let renewed = Publication { sent, received: with.now, freshness: stated, ..there };
                self.publish(&renewed, with);
            }
            Ok(_) | Err(_) => {
                if let Some(held) = &mut self.held {
                    held.entity_tag = None;
                }
                self.give_back(with.process);
            }
        }
        true
    }

    fn fail<T>(
        &mut self,
        error: FetchError,
        pause: Option<Duration>,
        with: &mut Surroundings<'_>,
    ) -> News<T> {
        if error == FetchError::NotSent {
            self.timetable.fail_to_send(with.now, with.jitter);
        } else {
            self.elsewhere = self.elsewhere.saturating_add(1);
            let places = self.definition.places.len();
            if error.is_elsewhere() && places > 1 {
                self.place = self.place.saturating_add(1).checked_rem(places).unwrap_or_default();
            }
            if error.is_elsewhere() && self.elsewhere < places {
                // The other place is part of the same attempt.
                self.timetable.fail_for_now(with.now);
            } else {
                self.elsewhere = 0;
                self.timetable.fail(pause.unwrap_or_default(), with.now, with.jitter);
            }
        }
        self.give_back(with.process);
        News::Failed(error)
    }

    fn send(&mut self, now: Timestamp) -> HttpCall {
        let entity_tag = self.held.as_ref().and_then(|held| held.entity_tag.clone());
        self.under_way = Some(UnderWay {
            sent: now,
            last_sent: self.timetable.send(now),
            is_conditional: entity_tag.is_some(),
        });
        let place = self.definition.places.get(self.place).or_else(|| self.definition.places.first());
        let text = |part: fn(&Address) -> &str| place.map(part).unwrap_or_default().to_owned();
        let mut headers = vec![
            (":method", "GET".to_owned()),
            (":scheme", text(|place| place.scheme)),
            (":authority", text(|place| &place.authority)),
            (":path", text(|place| &place.path)),
            ("accept", "application/jwk-set+json, application/json".to_owned()),
            ("user-agent", concat!("attache/", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        headers.extend(entity_tag.map(|tag| ("if-none-match", tag)));
        HttpCall {
            cluster: Rc::clone(&self.definition.cluster),
            headers,
            body: Vec::new(),
            timeout: self.definition.schedule.timeout,
        }
    }

    fn publish(&self, publication: &Publication, with: &Surroundings<'_>) {
        if let Some(flight) = &self.flight {
            flight.publish(with.process, publication, with.now);
        }
        self.give_back(with.process);
    }

    fn give_back(&self, process: &dyn Process) {
        if let Some(flight) = &self.flight {
            let published = self.last_good_sent().unwrap_or_default();
            flight.give_back(process, self.timetable.standing(published));
        }
    }

    fn counts_until(&self, publication: &Publication) -> Timestamp {
        let lifetime = self.definition.schedule.lifetime(publication.freshness);
        publication.received.after(lifetime.saturating_add(self.definition.schedule.max_staleness))
    }
}

/// Envoy answers every call within its timeout; this only keeps a fault there from stopping refreshes for ever.
const LOST_AFTER: Duration = Duration::from_secs(10);
