//! The plugin on one thread: what its root context and its requests share. Events go to the filter, its effects to the host.

use core::cell::RefCell;
use core::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};

use super::crypto::EnvoyCrypto;
use super::metrics::Metrics;
use super::process::HostProcess;
use super::random::HostRandom;
use super::{clock, dispatcher, perform, raw};
use crate::base::{CallId, Effect, Headers, HttpCall, HttpReply, Needs, Random as _, RequestHead, StreamId};
use crate::config::{self, Environment};
use crate::filter::{Filter, Outcome, World};
use crate::jose::{Algorithm, AlgorithmSet};
use crate::sharing::QueueId;

/// One configuration of the plugin.
pub(super) struct Plugin {
    /// The root context's number.
    root: u32,
    configured: Option<Configured>,
    needs: Needs,
    metrics: Metrics,
}

struct Configured {
    filter: Filter,
    crypto: EnvoyCrypto,
}

/// `None` when a callback comes within another one: Envoy puts off what would, and no other host is known to do it.
pub(super) fn with<T>(plugin: &RefCell<Plugin>, act: impl FnOnce(&mut Plugin) -> T) -> Option<T> {
    match plugin.try_borrow_mut() {
        Ok(mut plugin) => Some(act(&mut plugin)),
        Err(_) => {
            log::error!("a callback within a callback is lost");
            None
        }
    }
}

impl Plugin {
    /// A plugin without a configuration: its requests are answered 500.
    pub(super) fn new(root: u32) -> Self {
        Self { root, configured: None, needs: Needs::default(), metrics: Metrics::default() }
    }

    /// Reads the configuration; `false` refuses it.
    pub(super) fn configure(&mut self) -> bool {
        self.prove_host_calls();
        let document = hostcalls::get_buffer(
            BufferType::PluginConfiguration,
            0,
            config::MAX_CONFIG_BYTES.saturating_add(1),
        );
        // Where there is none, the reader says what is missing.
        let document = document.ok().flatten().unwrap_or_default();
        match config::parse(&document, &HostEnvironment) {
            Ok(config) => {
                // Envoy configures a root context once; should it do so again, no request that waits is forgotten.
                self.shut_down();
                let crypto = EnvoyCrypto::new();
                log::info!("configured; {}", engines(crypto.offloaded()));
                if config.outbound.is_some() {
                    log::info!("{}", signers(crypto.signs()));
                }
                for (level, line) in config.notices() {
                    log::log!(level, "{line}");
                }
                let filter = Filter::new(&config, seed(), world(&crypto));
                self.needs = filter.needs();
                self.configured = Some(Configured { filter, crypto });
                true
            }
            Err(errors) => {
                for problem in &errors.0 {
                    log::error!("configuration refused: {problem}");
                }
                false
            }
        }
    }

    /// Makes each call of the SDK's that panics where a capability restriction leaves it out, and that nothing else makes while
    /// a configuration is read: it is refused then, and no VM is lost while it serves.
    fn prove_host_calls(&self) {
        let _ = hostcalls::set_tick_period(TICK);
        let _ = hostcalls::set_effective_context(self.root);
        // A root context has no request that could go on.
        let _ = hostcalls::resume_http_request();
        Metrics::prove_host_calls();
    }

    /// Some time has passed.
    pub(super) fn handle_tick(&mut self) {
        self.handle(|filter, world, effects| filter.handle_tick(world, effects));
    }

    /// There is a message in a queue.
    pub(super) fn handle_wake(&mut self, queue: u32) {
        self.handle(|filter, world, effects| filter.handle_wake(QueueId(queue), world, effects));
    }

    /// A call has come to its end.
    pub(super) fn handle_reply(&mut self, number: u32, num_headers: usize, body_size: usize) {
        let Some(id) = dispatcher::take_call(number) else { return };
        let reply = reply(num_headers, body_size);
        self.handle(|filter, world, effects| filter.handle_reply(id, reply, world, effects));
    }

    /// There will be no more ticks.
    pub(super) fn shut_down(&mut self) {
        self.handle(|filter, world, effects| filter.handle_shutdown(world, effects));
        self.configured = None;
        // The answers to its calls are for no other configuration.
        dispatcher::forget_calls(self.root);
    }

    /// What has to be looked for, beside a request's headers.
    pub(super) fn needs(&self) -> Needs {
        self.needs
    }

    /// Decides about a request; `None` without a configuration.
    pub(super) fn handle_request(&mut self, stream: StreamId, head: RequestHead) -> Option<Outcome> {
        let Configured { filter, crypto } = self.configured.as_mut()?;
        let mut effects = Vec::new();
        let outcome = filter.handle_request(stream, head, world(crypto), &mut effects);
        // Nothing that a request causes needs the root context: calls are made on the tick.
        effects.into_iter().for_each(|effect| self.tell(effect));
        Some(outcome)
    }

    /// Whether a request carries a token of ours, so that its response matters.
    pub(super) fn carries_token(&self, stream: StreamId) -> bool {
        self.configured.as_ref().is_some_and(|configured| configured.filter.carries_token(stream))
    }

    /// An upstream has answered such a request.
    pub(super) fn handle_response(&mut self, stream: StreamId, status: u16) {
        let effects = self.effects_of(|filter, world, effects| {
            filter.handle_response(stream, status, world, effects);
        });
        effects.into_iter().for_each(|effect| self.tell(effect));
    }

    /// A request is over, answered or not.
    pub(super) fn handle_stream_end(&mut self, stream: StreamId) {
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
                if perform::edit(&edits, annotation.as_deref()).is_err() {
                    perform::fail("a waiting request cannot go on");
                } else {
                    // It has been proved, and answers `Ok` alone.
                    let _ = hostcalls::resume_http_request();
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
            Effect::Count { name, by } => self.metrics.count(&name, by),
            Effect::Gauge { name, value } => self.metrics.set(&name, value),
            Effect::Adjust { name, by } => self.metrics.adjust(&name, by),
            Effect::Sample { name, value } => self.metrics.sample(&name, value),
            Effect::Log { level, line } => log::log!(level, "{line}"),
            Effect::Call { .. } | Effect::Forward { .. } | Effect::Respond { .. } => {}
        }
    }

    /// Acts on a request that waits, if it is still there.
    fn on_stream(&self, stream: StreamId, act: impl FnOnce()) {
        if hostcalls::set_effective_context(stream.0).is_ok() {
            act();
            // Back to where the callback was; it cannot be gone.
            let _ = hostcalls::set_effective_context(self.root);
        }
    }

    /// `None` when the host does not take the call: the cluster is unknown, or has no healthy host. The SDK leaves a copy of the
    /// header fields behind, a credential among them, that is not wiped: the memory that it lies in has the secret itself.
    fn dispatch(&self, id: CallId, call: &HttpCall) -> Option<()> {
        let headers =
            call.headers.iter().map(|(name, value)| Some((&**name, str::from_utf8(value.expose()).ok()?)));
        let headers = headers.collect::<Option<Vec<_>>>()?;
        // Zero would mean no timeout.
        let timeout = call.timeout.clamp(MIN_TIMEOUT, MAX_TIMEOUT);
        let body = Some(call.body.expose());
        let number = hostcalls::dispatch_http_call(&call.cluster, headers, body, Vec::new(), timeout).ok()?;
        dispatcher::call_made(self.root, number, id);
        Some(())
    }
}

fn world(crypto: &EnvoyCrypto) -> World<'_> {
    World { now: clock::now(), crypto, random: &HostRandom, process: &HostProcess }
}

struct HostEnvironment;

impl Environment for HostEnvironment {
    #[allow(clippy::disallowed_methods, reason = "the rim is where the environment comes in")]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn has_vm_id(&self) -> bool {
        hostcalls::get_property(vec!["plugin_vm_id"]).ok().flatten().is_some_and(|id| !id.is_empty())
    }
}

fn reply(num_headers: usize, body_size: usize) -> HttpReply {
    let headers = raw::header_pairs(MapType::HttpCallResponseHeaders);
    let headers = headers.ok().and_then(|pairs| Headers::from_pairs(pairs).ok());
    let Some(headers) = headers.filter(|_| num_headers > 0) else { return HttpReply::Reset };
    let status =
        headers.first(":status").and_then(|text| str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0);
    let body = if body_size > Filter::MAX_REPLY_BYTES {
        Err(body_size)
    } else if body_size == 0 {
        Ok(Vec::new())
    } else {
        let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body_size);
        body.ok().flatten().ok_or(body_size)
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
const TICK: Duration = Duration::from_millis(100);
/// The host counts whole milliseconds, and takes 0 for none.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// As many milliseconds as the host can count.
const MAX_TIMEOUT: Duration = Duration::from_millis(0xffff_ffff);
