//! The plugin on one thread: configuration, ticks, replies to our calls.

use core::hash::{BuildHasher, Hasher};
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::abi::{self, Buffer, Map};
use super::crypto::EnvoyCrypto;
use super::http::Request;
use super::metrics::Numbers;
use super::perform;
use super::process::HostProcess;
use crate::base::{CallId, Effect, Headers, HttpCall, HttpReply, Level, RequestHead, StreamId};
use crate::config::{self, Environment};
use crate::filter::{Filter, Outcome, World};
use crate::jose::{Algorithm, AlgorithmSet};
use crate::sharing::QueueId;

/// The root context.
pub struct Root {
    id: u32,
    shared: Rc<RefCell<Shared>>,
    /// The calls that are under way, by the host's number.
    calls: HashMap<u32, CallId>,
}

/// What the root context and its requests share. Borrowed only while an event is handled, never across a host call that could
/// come back.
#[derive(Default)]
pub(super) struct Shared {
    filter: Option<Configured>,
    numbers: Numbers,
}

struct Configured {
    filter: Filter,
    crypto: EnvoyCrypto,
}

impl Root {
    /// A root context that is not configured: its requests are answered 500.
    pub fn new(id: u32) -> Self {
        Self { id, shared: Rc::default(), calls: HashMap::new() }
    }

    /// Hands an event to the filter and performs what comes of it, and what comes of that.
    fn handle(&mut self, event: impl FnOnce(&mut Configured, &mut Vec<Effect>)) {
        let mut effects = self.effects_of(event);
        // The filter does not ask again at once for what was not sent, so this ends.
        while !effects.is_empty() {
            let not_sent: Vec<CallId> =
                effects.into_iter().filter_map(|effect| self.perform(effect).err()).collect();
            effects = self.effects_of(|configured, effects| {
                for id in not_sent {
                    configured.reply(id, HttpReply::NotSent, effects);
                }
            });
        }
    }

    fn effects_of(&self, event: impl FnOnce(&mut Configured, &mut Vec<Effect>)) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Ok(mut shared) = self.shared.try_borrow_mut()
            && let Some(configured) = &mut shared.filter
        {
            event(configured, &mut effects);
        }
        effects
    }

    /// Performs an effect; the error is a call that the host did not take.
    fn perform(&mut self, effect: Effect) -> Result<(), CallId> {
        match effect {
            Effect::Call { id, call } => return self.dispatch(id, &call).ok_or(id),
            Effect::Forward { stream, edits, annotation } => self.on_stream(stream, || {
                let done = perform::edit(&edits, &annotation).and_then(|()| abi::continue_request());
                if done.is_err() {
                    perform::fail("a waiting request cannot go on");
                }
            }),
            Effect::Respond { stream, response, annotation } => {
                self.on_stream(stream, || perform::respond(&response, &annotation));
            }
            Effect::Count { .. } | Effect::Gauge { .. } | Effect::Log { .. } => {
                if let Ok(mut shared) = self.shared.try_borrow_mut() {
                    shared.perform(effect);
                }
            }
        }
        Ok(())
    }

    /// Acts on a request that waits, if it is still there.
    fn on_stream(&self, stream: StreamId, act: impl FnOnce()) {
        if abi::set_effective_context(stream.0).is_ok() {
            act();
            // Back to where the callback was; it cannot be gone.
            let _ = abi::set_effective_context(self.id);
        }
    }

    /// `None` when the host does not take the call.
    fn dispatch(&mut self, id: CallId, call: &HttpCall) -> Option<()> {
        let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = (!call.body.is_empty()).then_some(&*call.body);
        // The SDK's own wrapper, because it must know of the call to hand over the reply. The host answers with no other
        // status than those that it lists: Ok, BadArgument (unknown cluster) and InternalFailure (no healthy host).
        let number =
            hostcalls::dispatch_http_call(&call.cluster, headers, body, vec![], call.timeout).ok()?;
        self.calls.insert(number, id);
        Some(())
    }
}

impl Context for Root {
    fn on_http_call_response(
        &mut self,
        token_id: u32,
        num_headers: usize,
        body_size: usize,
        _num_trailers: usize,
    ) {
        let Some(id) = self.calls.remove(&token_id) else { return };
        let reply = reply(num_headers, body_size);
        self.handle(|configured, effects| configured.reply(id, reply, effects));
    }

    fn on_done(&mut self) -> bool {
        self.handle(|configured, effects| {
            let Configured { filter, crypto } = configured;
            filter.handle_shutdown(world(crypto), effects);
        });
        true
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _plugin_configuration_size: usize) -> bool {
        // An empty buffer is a status of its own to some hosts: the reader says what is missing then.
        let document = abi::buffer(Buffer::Configuration, config::MAX_CONFIG_BYTES.saturating_add(1));
        match config::parse(&document.unwrap_or_default(), &HostEnvironment) {
            Ok(config) => {
                // Envoy configures a root context once; should it do so again, nobody is forgotten.
                self.on_done();
                let crypto = EnvoyCrypto::new();
                abi::log(Level::Info, &format!("configured; {}", engines(crypto.offloaded())));
                let filter = Filter::new(&config, seed(), abi::now(), &HostProcess);
                let configured = Configured { filter, crypto };
                let Ok(mut shared) = self.shared.try_borrow_mut() else { return false };
                shared.filter = Some(configured);
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

    fn on_tick(&mut self) {
        self.handle(|configured, effects| {
            let Configured { filter, crypto } = configured;
            filter.handle_tick(world(crypto), effects);
        });
    }

    fn on_queue_ready(&mut self, queue_id: u32) {
        self.handle(|configured, effects| {
            let Configured { filter, crypto } = configured;
            filter.handle_wake(QueueId(queue_id), world(crypto), effects);
        });
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request::new(context_id, Rc::clone(&self.shared))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Shared {
    pub(super) fn reads_route_metadata(&self) -> bool {
        self.filter.as_ref().is_some_and(|configured| configured.filter.reads_route_metadata())
    }

    pub(super) fn request(&mut self, stream: StreamId, head: RequestHead) -> Option<(Outcome, Vec<Effect>)> {
        let configured = self.filter.as_mut()?;
        let mut effects = Vec::new();
        let Configured { filter, crypto } = configured;
        let outcome = filter.handle_request(stream, head, world(crypto), &mut effects);
        Some((outcome, effects))
    }

    pub(super) fn perform_here(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.perform(effect);
        }
    }

    pub(super) fn end(&mut self, stream: StreamId) {
        if let Some(configured) = &mut self.filter {
            configured.filter.handle_stream_end(stream);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Count { name, by } => self.numbers.count(&name, by),
            Effect::Gauge { name, value } => self.numbers.set(&name, value),
            Effect::Log { level, line } => abi::log(level, &line),
            Effect::Call { .. } | Effect::Forward { .. } | Effect::Respond { .. } => {}
        }
    }
}

impl Configured {
    fn reply(&mut self, id: CallId, reply: HttpReply, effects: &mut Vec<Effect>) {
        self.filter.handle_reply(id, reply, world(&self.crypto), effects);
    }
}

fn world(crypto: &EnvoyCrypto) -> World<'_> {
    World { now: abi::now(), crypto, process: &HostProcess }
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

/// Sixteen random bytes: the standard library's hash keys come from the host, and a keyed hash of nothing is as random as they.
fn seed() -> [u8; 16] {
    let random = || RandomState::new().build_hasher().finish().to_le_bytes();
    let mut seed = [0; 16];
    for (byte, random) in seed.iter_mut().zip(random().into_iter().chain(random())) {
        *byte = random;
    }
    seed
}

/// How late a fetch, a deadline or a counter may be.
const TICK_MILLIS: u32 = 100;
