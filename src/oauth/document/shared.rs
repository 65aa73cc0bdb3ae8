//! What the threads of a process do for each other about a document: what a lease holds back, and what a publication is worth.

use core::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Digest, Document, Held};
use crate::base::{Jitter, Timestamp};
use crate::oauth::address::Address;
use crate::oauth::event::{Event, News, Read};
use crate::oauth::timetable::pause;
use crate::sharing::{Context, FetchState, Lease, Publication, Trust};

impl Document {
    /// Whether a lease and a pause of other threads may hold a fetch of ours back. They may be forged, so not for ever.
    pub(super) fn defers(&self, now: Timestamp) -> bool {
        let is_deferring = |held: &Held| now < held.defers_until;
        match self.trust {
            // What is past its lifetime, here or there, counts only when a fetch of our own has brought nothing newer.
            Trust::Adopts => {
                self.has_tried || (!self.is_outdated_there && self.held.as_ref().is_none_or(is_deferring))
            }
            // Others can spare us a fetch that would bring what we have, and no other.
            Trust::Confirms => !self.timetable.is_wanted() && self.held.as_ref().is_some_and(is_deferring),
        }
    }

    /// Whether another thread is at it, or pauses after a failure.
    pub(super) fn waits_for_others(&self, claim: &Lease, now: Timestamp) -> bool {
        // A thread that takes publications over has heeded the pause already.
        let is_pausing = self.trust == Trust::Confirms && now < claim.standing.not_before;
        (claim.is_held || is_pausing) && self.defers(now)
    }

    /// Brings what we know to what the process knows.
    pub(super) fn heed<T>(
        &mut self,
        standing: FetchState,
        context: &mut Context<'_>,
        read: Read<'_, T>,
    ) -> Option<Event<T>> {
        match self.trust {
            Trust::Adopts => self.adopt(standing, context, read),
            Trust::Confirms => self.confirm(standing, context),
        }
    }

    /// Takes over what another thread has published, if it is newer than what we have.
    fn adopt<T>(
        &mut self,
        standing: FetchState,
        context: &mut Context<'_>,
        read: Read<'_, T>,
    ) -> Option<Event<T>> {
        self.timetable.heed(&standing);
        if Some(standing.published) <= self.last_good_sent().or(Some(Timestamp::EPOCH)) {
            return None;
        }
        let is_shared = true;
        let publication = match self.flight.as_ref()?.published(context.shared, context.now) {
            Ok(publication) => publication?,
            Err(why) => return Some(Event { news: News::Refused(why), is_shared }),
        };
        let url = |place: &Address| place.url() == publication.origin;
        let place = self.definition.places.iter().position(url)?;
        let is_too_large = publication.body.expose().len() > self.definition.max_bytes;
        let is_older = Some(publication.sent) <= self.last_good_sent();
        if is_older || is_too_large || context.now >= self.counts_until(&publication) {
            return None;
        }
        if context.now >= self.is_fresh_until(&publication) && !self.has_tried {
            // Perhaps it was put back there, and a key that has been withdrawn since with it.
            self.is_outdated_there = true;
            return None;
        }
        let digest = Sha256::digest(publication.body.expose()).into();
        let news = self.hold(&publication, digest, context, read).ok()?;
        if let Some(held) = self.held.as_mut().filter(|_| publication.received <= self.old_clock) {
            held.as_new_as = Timestamp::EPOCH;
        }
        self.place = place;
        Some(Event { news, is_shared })
    }

    /// Lets what another thread has published stand for a fetch of ours, if it is what we have, byte for byte. It is no newer by
    /// that, and counts no longer: whoever wrote it knows what we have, and nothing else is known of them.
    fn confirm<T>(&mut self, standing: FetchState, context: &mut Context<'_>) -> Option<Event<T>> {
        let schedule = &self.definition.schedule;
        let held = self.held.as_mut()?;
        if standing.published <= held.sent.max(held.compared) {
            return None;
        }
        held.compared = standing.published;
        let is_shared = true;
        let there = match self.flight.as_ref()?.published(context.shared, context.now) {
            Ok(there) => there?,
            Err(why) => return Some(Event { news: News::Refused(why), is_shared }),
        };
        let digest: Digest = Sha256::digest(there.body.expose()).into();
        if there.sent <= held.sent || digest != held.digest {
            return None;
        }
        held.unchanged = held.unchanged.saturating_add(1);
        let lifetime = schedule.lifetime(there.freshness, held.unchanged);
        let due =
            there.received.min(context.now).after(pause(lifetime, schedule.min_refresh, context.jitter));
        self.timetable.put_off(due.min(held.defers_until));
        self.last_good = self.last_good.max(Some(there.received.min(context.now)));
        Some(Event { news: News::Confirmed, is_shared })
    }

    pub(super) fn publish(&self, publication: &Publication, context: &mut Context<'_>) {
        if let Some(flight) = &self.flight {
            flight.publish(context.shared, publication, context.now, context.random);
        }
        self.give_back(context);
    }

    /// Shows the others the document that is there with its new date. Where it is gone, the next fetch asks for all of it.
    pub(super) fn republish(&mut self, renewed: Publication, digest: &Digest, context: &mut Context<'_>) {
        let Some(flight) = &self.flight else { return };
        match flight.published(context.shared, context.now) {
            Ok(Some(there)) if Digest::from(Sha256::digest(there.body.expose())) == *digest => {
                let Publication { entity_tag, origin, body, .. } = there;
                self.publish(&Publication { entity_tag, origin, body, ..renewed }, context);
            }
            Ok(_) | Err(_) => {
                if let Some(held) = &mut self.held {
                    held.entity_tag = None;
                }
                self.give_back(context);
            }
        }
    }

    pub(super) fn give_back(&self, context: &Context<'_>) {
        if let Some(flight) = &self.flight {
            let published = self.last_good_sent().unwrap_or_default();
            flight.give_back(context.shared, self.timetable.standing(published), context.now);
        }
    }

    pub(super) fn defers_until(&self, publication: &Publication, jitter: &mut Jitter) -> Timestamp {
        match self.trust {
            // Long enough for whoever is at it rightly, and for the end of a lease that nobody gives back.
            Trust::Adopts => self.is_fresh_until(publication).after(self.hold_time()),
            Trust::Confirms => {
                let lifetime = self.is_fresh_until(publication).since(publication.received);
                let half = |duration: Duration| duration.checked_div(2).unwrap_or_default();
                // Well before it counts no more.
                let longest = lifetime
                    .saturating_mul(MAX_CONFIRMED_LIFETIMES)
                    .min(lifetime.saturating_add(half(self.definition.schedule.max_staleness)));
                publication.received.after(jitter.between(half(longest), longest))
            }
        }
    }
}

/// Where a publication only confirms, each thread fetches for itself after at most so many lifetimes, and not all at once. With a
/// few threads that is no more than what their turns come to, and a withdrawn key stops all the same.
const MAX_CONFIRMED_LIFETIMES: u32 = 4;
