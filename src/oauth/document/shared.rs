//! What the threads of a process do for each other about a document: what a lease holds back, and what a publication is
//! worth.

use core::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Digest, Document, Held};
use crate::base::{Jitter, Timestamp};
use crate::oauth::address::Address;
use crate::oauth::event::{DocumentEvent, FetchOutcome, Read};
use crate::oauth::timetable::pause;
use crate::sharing::{Context, FetchState, Lease, Publication, PublicationUse};

impl Document {
    /// Whether a lease and a pause of other threads may hold a fetch of ours back. They may be forged, so not for ever.
    pub(super) fn defers(&self, now: Timestamp) -> bool {
        let is_deferring = |held: &Held| now < held.defers_until;
        match self.publications {
            // What is past its lifetime, here or there, counts only when a fetch of our own has brought nothing newer.
            PublicationUse::Adopt => {
                self.has_tried || (!self.is_outdated_there && self.held.as_ref().is_none_or(is_deferring))
            }
            // Others can spare us a fetch that would bring what we have, and no other.
            PublicationUse::Confirm => {
                !self.timetable.is_wanted() && self.held.as_ref().is_some_and(is_deferring)
            }
        }
    }

    /// Whether another thread is at it, or pauses after a failure.
    pub(super) fn waits_for_others(&self, lease: &Lease, now: Timestamp) -> bool {
        // A thread that takes publications over has taken the pause over already.
        let is_pausing = self.publications == PublicationUse::Confirm && now < lease.state.not_before;
        (lease.is_held || is_pausing) && self.defers(now)
    }

    /// Brings what we know to what the process knows.
    pub(super) fn sync_from<T>(
        &mut self,
        state: FetchState,
        context: &mut Context<'_>,
        read: Read<'_, T>,
    ) -> Option<DocumentEvent<T>> {
        match self.publications {
            PublicationUse::Adopt => self.adopt(state, context, read),
            PublicationUse::Confirm => self.confirm(state, context),
        }
    }

    /// Takes over what another thread has published, if it is newer than what we have.
    fn adopt<T>(
        &mut self,
        state: FetchState,
        context: &mut Context<'_>,
        read: Read<'_, T>,
    ) -> Option<DocumentEvent<T>> {
        let failures = self.failures();
        self.timetable.sync_from(&state);
        if state.published <= self.last_good_sent() {
            return None;
        }
        let publication = match self.flight.published(context) {
            Ok(publication) => publication?,
            Err(why) => return Some(DocumentEvent::shared(failures, FetchOutcome::Rejected(why))),
        };
        let url = |address: &Address| address.url() == publication.origin;
        let address = self.definition.addresses.iter().position(url)?;
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
        let outcome = self.hold(&publication, digest, context, read).ok()?;
        if let Some(held) = self.held.as_mut().filter(|_| publication.received <= self.old_clock) {
            held.as_new_as = Timestamp::EPOCH;
        }
        self.address = address;
        self.asked = address;
        Some(DocumentEvent::shared(failures, outcome))
    }

    /// Lets what another thread has published stand for a fetch of ours, if it is what we have, byte for byte. It is no
    /// newer by that, and counts no longer: its writer knows what we have, and nothing else is known of it.
    fn confirm<T>(&mut self, state: FetchState, context: &mut Context<'_>) -> Option<DocumentEvent<T>> {
        let failures = self.failures();
        let schedule = &self.definition.schedule;
        let held = self.held.as_mut()?;
        let published = state.published?;
        if published <= held.sent.max(held.compared) {
            return None;
        }
        held.compared = published;
        let there = match self.flight.published(context) {
            Ok(there) => there?,
            Err(why) => return Some(DocumentEvent::shared(failures, FetchOutcome::Rejected(why))),
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
        Some(DocumentEvent::shared(failures, FetchOutcome::Confirmed))
    }

    pub(super) fn publish(&self, publication: &Publication, context: &mut Context<'_>) {
        self.flight.publish(publication, context);
        self.release(context);
    }

    /// Shows the others the document that is there with its new date. Where it is gone, the next fetch asks for all of
    /// it.
    pub(super) fn republish(&mut self, renewed: Publication, digest: &Digest, context: &mut Context<'_>) {
        if !self.flight.is_shared() {
            return;
        }
        match self.flight.published(context) {
            Ok(Some(there)) if Digest::from(Sha256::digest(there.body.expose())) == *digest => {
                let Publication { entity_tag, origin, body, .. } = there;
                self.publish(&Publication { entity_tag, origin, body, ..renewed }, context);
            }
            Ok(_) | Err(_) => {
                if let Some(held) = &mut self.held {
                    held.entity_tag = None;
                }
                self.release(context);
            }
        }
    }

    /// Gives the lease back.
    pub(super) fn release(&self, context: &Context<'_>) {
        self.flight.release(self.timetable.state(self.last_good_sent()), context);
    }

    pub(super) fn defers_until(&self, publication: &Publication, jitter: &mut Jitter) -> Timestamp {
        match self.publications {
            // Long enough for a thread that is at it rightly, and for the end of a lease that is never given back.
            PublicationUse::Adopt => self.is_fresh_until(publication).after(self.flight.hold()),
            PublicationUse::Confirm => {
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

/// Where a publication only confirms, each thread fetches for itself after at most so many lifetimes, and not all at
/// once. With a few threads that is no more than what their turns come to, and a withdrawn key stops all the same.
const MAX_CONFIRMED_LIFETIMES: u32 = 4;
