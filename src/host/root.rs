//! The plugin on one thread: configuration, ticks, replies to our calls.

use std::collections::HashMap;

use super::abi::{self, Buffer, Map};
use super::crypto::EnvoyCrypto;
use super::metrics::Numbers;
use super::perform;
use super::process::HostProcess;
use super::random::HostRandom;
use crate::base::{
    CallId, Effect, Headers, HttpCall, HttpReply, Level, Needs, Random as _, RequestHead, Secret, StreamId,
    encode_pairs,
};
use crate::config::{self, Environment};
use crate::filter::{Filter, Outcome, World};
use crate::jose::{Algorithm, AlgorithmSet};
use crate::sharing::QueueId;

/// A root context: one configuration of the plugin.
pub(super) struct Root {
    id: u32,
    configured: Option<Configured>,
    needs: Needs,
    numbers: Numbers,
    /// The calls that are under way, by the host's number.
    calls: HashMap<u32, CallId>,
}

struct Configured {
    filter: Filter,
    crypto: EnvoyCrypto,
}

impl Root {
    /// A root context that is not configured: its requests are answered 500.
    pub(super) fn new(id: u32) -> Self {
        Self {
            id,
            configured: None,
            needs: Needs::default(),
            numbers: Numbers::default(),
            calls: HashMap::new(),
        }
    }

    /// The host's number of it.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Reads the configuration; `false` refuses it.
    pub(super) fn configure(&mut self) -> bool {
        // An empty buffer is a status of its own to some hosts: the reader says what is missing then.
        let document = abi::buffer(Buffer::Configuration, config::MAX_CONFIG_BYTES.saturating_add(1));
        match config::parse(&document.unwrap_or_default(), &HostEnvironment) {
            Ok(config) => {
                // Envoy configures a root context once; should it do so again, nobody is forgotten.
                self.shut_down();
                let crypto = EnvoyCrypto::new();
                abi::log(Level::Info, &format!("configured; {}", engines(crypto.offloaded())));
                if config.outbound.is_some() {
                    abi::log(Level::Info, &signers(crypto.signs()));
                }
                let filter = Filter::new(&config, seed(), abi::now(), &HostProcess);
                self.needs = filter.needs();
                self.configured = Some(Configured { filter, crypto });
                // Replies to an earlier configuration's calls are nobody's.
                self.calls.clear();
                abi::set_tick_period(TICK_MILLIS).is_ok()
            }
            Err(errors) => {
                for problem in &errors.0 {
                    abi::log(Level::Error, &format!("configuration refused: {problem}"));
                }
                false
            }
        }
    }

    /// Some time has passed.
    pub(super) fn tick(&mut self) {
        self.handle(|filter, world, effects| filter.handle_tick(world, effects));
    }

    /// There is a message in a queue.
    pub(super) fn wake(&mut self, queue: u32) {
        self.handle(|filter, world, effects| filter.handle_wake(QueueId(queue), world, effects));
    }

    /// A call has come to its end.
    pub(super) fn reply(&mut self, call: u32, num_headers: usize, body_size: usize) {
        let Some(id) = self.calls.remove(&call) else { return };
        let reply = reply(num_headers, body_size);
        self.handle(|filter, world, effects| filter.handle_reply(id, reply, world, effects));
    }

    /// There will be no more ticks.
    pub(super) fn shut_down(&mut self) {
        self.handle(|filter, world, effects| filter.handle_shutdown(world, effects));
    }

    /// What has to be looked for, beside a request's headers.
    pub(super) fn needs(&self) -> Needs {
        self.needs
    }

    /// Whether a request carries a token of ours, so that its response matters.
    pub(super) fn carries_token(&self, stream: StreamId) -> bool {
        self.configured.as_ref().is_some_and(|configured| configured.filter.carries_token(stream))
    }

    /// An upstream has answered such a request.
    pub(super) fn response(&mut self, stream: StreamId, status: u16) {
        let effects = self.effects_of(|filter, world, effects| {
            filter.handle_response(stream, status, world, effects);
        });
        effects.into_iter().for_each(|effect| self.tell(effect));
    }

    /// Decides about a request; `None` without a configuration.
    pub(super) fn request(&mut self, stream: StreamId, head: RequestHead) -> Option<Outcome> {
        let Configured { filter, crypto } = self.configured.as_mut()?;
        let mut effects = Vec::new();
        let outcome = filter.handle_request(stream, head, world(crypto), &mut effects);
        // Nothing that a request causes needs the root context: calls are made on the tick.
        effects.into_iter().for_each(|effect| self.tell(effect));
        Some(outcome)
    }

    /// A request is over, answered or not.
    pub(super) fn end(&mut self, stream: StreamId) {
        if let Some(configured) = &mut self.configured {
            configured.filter.handle_stream_end(stream);
        }
    }

    /// Hands an event to the filter and performs what comes of it, and what comes of that.
    fn handle(&mut self, event: impl FnOnce(&mut Filter, World<'_>, &mut Vec<Effect>)) {
        let mut effects = self.effects_of(event);
        // The filter does not ask again at once for what was not sent, so this ends.
        while !effects.is_empty() {
            let not_sent: Vec<CallId> =
                effects.into_iter().filter_map(|effect| self.perform(effect).err()).collect();
            effects = self.effects_of(|filter, world, effects| {
                for id in not_sent {
                    filter.handle_reply(id, HttpReply::NotSent, world, effects);
                }
            });
        }
    }

    fn effects_of(&mut self, event: impl FnOnce(&mut Filter, World<'_>, &mut Vec<Effect>)) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(Configured { filter, crypto }) = &mut self.configured {
            event(filter, world(crypto), &mut effects);
        }
        effects
    }

    /// Performs an effect; the error is a call that the host did not take.
    fn perform(&mut self, effect: Effect) -> Result<(), CallId> {
        match effect {
            Effect::Call { id, call } => return self.dispatch(id, &call).ok_or(id),
            Effect::Forward { stream, edits, annotation } => self.on_stream(stream, || {
                let done =
                    perform::edit(&edits, annotation.as_deref()).and_then(|()| abi::continue_request());
                if done.is_err() {
                    perform::fail("a waiting request cannot go on");
                }
            }),
            Effect::Respond { stream, response, annotation } => {
                self.on_stream(stream, || perform::respond(&response, &annotation));
            }
            Effect::Count { .. }
            | Effect::Gauge { .. }
            | Effect::Adjust { .. }
            | Effect::Sample { .. }
            | Effect::Log { .. } => self.tell(effect),
        }
        Ok(())
    }

    /// Performs what any context may.
    fn tell(&mut self, effect: Effect) {
        match effect {
            Effect::Count { name, by } => self.numbers.count(&name, by),
            Effect::Gauge { name, value } => self.numbers.set(&name, value),
            Effect::Adjust { name, by } => self.numbers.adjust(&name, by),
            Effect::Sample { name, value } => self.numbers.sample(&name, value),
            Effect::Log { level, line } => abi::log(level, &line),
            Effect::Call { .. } | Effect::Forward { .. } | Effect::Respond { .. } => {}
        }
    }

    /// Acts on a request that waits, if it is still there.
    fn on_stream(&self, stream: StreamId, act: impl FnOnce()) {
        if abi::set_effective_context(stream.0).is_ok() {
            act();
            // Back to where the callback was; it cannot be gone.
            let _ = abi::set_effective_context(self.id);
        }
    }

    /// `None` when the host does not take the call: the cluster is unknown, or has no healthy host.
    fn dispatch(&mut self, id: CallId, call: &HttpCall) -> Option<()> {
        let pairs = call.headers.iter().map(|(name, value)| (&**name, value.expose()));
        let headers = Secret::new(encode_pairs(pairs));
        let number =
            abi::http_call(&call.cluster, headers.expose(), call.body.expose(), call.timeout).ok()?;
        self.calls.insert(number, id);
        Some(())
    }
}

fn world(crypto: &EnvoyCrypto) -> World<'_> {
    World { now: abi::now(), crypto, random: &HostRandom, process: &HostProcess }
}

struct HostEnvironment;

impl Environment for HostEnvironment {
    #[allow(clippy::disallowed_methods, reason = "the rim is where the environment comes in")]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

fn reply(num_headers: usize, body_size: usize) -> HttpReply {
    let headers = abi::header_pairs(Map::CallReply).ok().and_then(|pairs| Headers::from_pairs(pairs).ok());
    let Some(headers) = headers.filter(|_| num_headers > 0) else { return HttpReply::Reset };
    let status =
        headers.first(":status").and_then(|text| str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0);
    let body = if body_size > Filter::MAX_REPLY_BYTES {
        Err(body_size)
    } else if body_size == 0 {
        Ok(Vec::new())
    } else {
        abi::buffer(Buffer::CallReply, body_size).map_err(|_| body_size)
    };
    HttpReply::Response { status, headers, body }
}

fn engines(offloaded: AlgorithmSet) -> String {
    let names: Vec<_> = offloaded.iter().map(Algorithm::name).collect();
    if names.is_empty() {
        "all signatures are checked by the portable engine".to_owned()
    } else {
        format!("Envoy checks the signatures of {}, the portable engine all others", names.join(", "))
    }
}

fn signers(offloaded: AlgorithmSet) -> String {
    let names: Vec<_> = offloaded.iter().map(Algorithm::name).collect();
    if names.is_empty() {
        "Envoy signs nothing: a client with an RSA key needs `portable_rsa: allow`".to_owned()
    } else {
        format!("Envoy signs {}, the portable engine all others", names.join(", "))
    }
}

fn seed() -> [u8; 16] {
    let mut seed = [0; 16];
    HostRandom.fill(&mut seed);
    seed
}

/// How late a fetch, a deadline or a counter may be.
const TICK_MILLIS: u32 = 100;
