//! What the filter does about the issuers' documents: fetches that are due, and what other threads have fetched.

use super::{Filter, Target, World};
use crate::base::{CallId, Effect};
use crate::issuer::{KeyStore, Outcome, Report};
use crate::policy::IssuerId;
use crate::sharing::News;
use crate::telemetry::fetch_line;

impl Filter {
    /// Looks at what other threads have fetched since the last time.
    pub(super) fn take_news(&mut self, world: World<'_>, effects: &mut Vec<Effect>) {
        let news = self.group.news(world.process);
        if news != News::None {
            let concerns = |store: &KeyStore| store.ids().any(|id| news.concerns(id));
            let places = self.stores.iter().enumerate().filter(|(_, store)| concerns(store));
            self.to_look_at.extend(places.map(|(index, _)| index));
        }
        self.look_at_some(world, effects);
    }

    /// As many as one callback may take, since each may cost the reading of a document.
    pub(super) fn look_at_some(&mut self, world: World<'_>, effects: &mut Vec<Effect>) {
        for _ in 0..MAX_LOOKS {
            let Some(index) = self.to_look_at.pop_first() else { break };
            let mut reports = Vec::new();
            let Some(store) = self.stores.get_mut(index) else { continue };
            store.handle_news(world.now, world.process, &mut self.jitter, &mut reports);
            self.take_reports(index, reports, world, effects);
        }
    }

    /// Sends what is due: a few calls at a tick, and each store has its turn.
    pub(super) fn fetch(&mut self, world: World<'_>, effects: &mut Vec<Effect>) {
        let mut calls = MAX_CALLS_PER_TICK;
        let first = self.first_store;
        for index in (first..self.stores.len()).chain(0..first) {
            let mut reports = Vec::new();
            let Some(store) = self.stores.get_mut(index) else { continue };
            let could_call = calls > 0;
            let made =
                store.handle_tick(world.now, world.process, &mut self.jitter, &mut calls, &mut reports);
            if could_call && calls == 0 {
                self.first_store = index.saturating_add(1);
            }
            for (place, call) in made {
                let id = self.call_id(Target { issuer: index, place });
                effects.push(Effect::Call { id, call });
            }
            self.take_reports(index, reports, world, effects);
        }
    }

    /// A number for a call. An earlier call for the same document has been given up: its reply is nobody's.
    fn call_id(&mut self, target: Target) -> CallId {
        self.calls.retain(|_, other| *other != target);
        self.next_call = self.next_call.wrapping_add(1);
        self.calls.insert(self.next_call, target);
        CallId(self.next_call)
    }

    /// Tells of what happened to an issuer's documents, and lets others know of what this thread fetched.
    pub(super) fn take_reports(
        &mut self,
        index: usize,
        reports: Vec<Report>,
        world: World<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(issuer), Some(settings)) = (IssuerId::at(index), self.settings.issuers.get(index)) else {
            return;
        };
        for report in reports {
            self.metrics.record_report(Some(issuer), &report);
            let is_new = match &report.outcome {
                Outcome::Changed(_) | Outcome::Unchanged | Outcome::Moved => true,
                Outcome::Failed(_) | Outcome::Elsewhere(_) | Outcome::Refused(_) | Outcome::Expired => false,
            };
            if is_new {
                self.waiting.make_ready(issuer);
            }
            let document = self.stores.get(index).and_then(|store| store.id(report.place));
            if let Some(document) = document.filter(|_| is_new && !report.is_shared) {
                self.group.spread_news(document, world.process, world.now);
            }
            if let Outcome::Refused(why) = &report.outcome {
                effects.extend(self.reports.refused(&settings.name, *why, world.now));
            }
            // All threads see a document grow too old, and one tells of it.
            if report.outcome != Outcome::Expired || self.group.is_speaker() {
                effects.extend(fetch_line(&settings.name, &report));
            }
        }
    }
}

/// The most calls that one tick makes: with a thousand issuers, all are asked within seconds, and none of it at once.
const MAX_CALLS_PER_TICK: usize = 32;
/// The most issuers that one callback reads the documents of: a key set of ten keys takes half a millisecond.
const MAX_LOOKS: usize = 32;
