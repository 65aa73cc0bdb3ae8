//! The plugin on one thread: what its root context and its requests share. Events go to the filter, its commands and
//! observations to the host.

use core::cell::{Cell, RefCell};
use core::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, Status};

use super::crypto::EnvoyCrypto;
use super::observations::{HostMetrics, write};
use super::random::HostRandom;
use super::shared_state::HostSharedState;
use super::{clock, dispatcher, perform, raw};
use crate::base::{
    AuditEntry, CallId, Command, Headers, HttpCall, HttpReply, Jitter, Needs, Observation, Outcome,
    Random as _, RequestHead, StreamId,
};
use crate::config::{self, Config, Environment};
use crate::filter::Filter;
use crate::sharing::{Context, QueueId};
use crate::telemetry::{AuditField, DECLARE, HostFault, Message};

/// One configuration of the plugin.
pub(super) struct Plugin {
    /// The root context's number.
    root: u32,
    configured: Option<Configured>,
    needs: Needs,
    metrics: HostMetrics,
    bodies: Bodies,
    /// A field of an audit record was not written, and that has been told.
    is_unrecorded: Cell<bool>,
}

/// Whether the host shows bodies of requests that are paused. It does not say so before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Bodies {
    #[default]
    Unknown,
    /// It has shown one.
    Shown,
    /// A request ended without, and that has been told.
    Missed,
}

struct Configured {
    filter: Filter,
    crypto: EnvoyCrypto,
    jitter: Jitter,
}

/// `None` when a callback comes within another one: Envoy puts off what would, and no other host is known to do it.
pub(super) fn with<T>(plugin: &RefCell<Plugin>, act: impl FnOnce(&mut Plugin) -> T) -> Option<T> {
    match plugin.try_borrow_mut() {
        Ok(mut plugin) => Some(act(&mut plugin)),
        Err(_) => {
            write(&Message::Host(HostFault::EventLost));
            None
        }
    }
}

impl Plugin {
    /// A plugin without a configuration: its requests are answered 500.
    pub(super) fn new(root: u32) -> Self {
        let (needs, metrics) = (Needs::default(), HostMetrics::default());
        let (bodies, is_unrecorded) = (Bodies::default(), Cell::default());
        Self { root, configured: None, needs, metrics, bodies, is_unrecorded }
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
            Ok(config) if config.ends_streams() && raw::close_request().is_err() => {
                write(&Message::Refused(NO_CLOSE_STREAM));
                false
            }
            Ok(config) => {
                HostMetrics::prove_host_calls(&config.plugin);
                // Envoy configures a root context once; should it do so again, no request that waits is forgotten.
                self.shut_down();
                config.audit.fields().for_each(|field| declare(field, &config));
                let crypto = EnvoyCrypto::new();
                let (plugin, version) = (&*config.plugin, config.version);
                write(&Message::Configured { plugin, version, checked: crypto.offloaded() });
                if config.outbound.is_some() {
                    write(&Message::Signs(crypto.signs()));
                }
                let notices = config.notices().into_iter();
                notices.for_each(|notice| write(&Message::Notice(notice.level, notice.text)));
                let seed = seed();
                let mut jitter = Jitter::new(seed);
                // Nothing that happens at the start is worth a line.
                let mut observations = Vec::new();
                let filter =
                    Filter::new(&config, seed, &mut context(&crypto, &mut jitter, &mut observations));
                self.needs = filter.needs();
                self.configured = Some(Configured { filter, crypto, jitter });
                true
            }
            Err(errors) => {
                for problem in &errors.0 {
                    write(&Message::Refused(&problem.to_string()));
                }
                false
            }
        }
    }

    /// Makes each call of the SDK's that panics where a capability restriction leaves it out, and that nothing else
    /// makes while a configuration is read: it is refused then, and no VM is lost while it serves.
    fn prove_host_calls(&self) {
        let _ = hostcalls::set_tick_period(TICK);
        let _ = hostcalls::set_effective_context(self.root);
        // A root context has no request that could go on.
        let _ = hostcalls::resume_http_request();
    }

    /// Some time has passed.
    pub(super) fn handle_tick(&mut self) {
        self.handle_and_perform(Filter::handle_tick);
    }

    /// There is a message in a queue.
    pub(super) fn handle_wake(&mut self, queue: u32) {
        self.handle_and_perform(|filter, context, commands| {
            filter.handle_wake(QueueId(queue), context, commands);
        });
    }

    /// A call has come to its end.
    pub(super) fn handle_reply(&mut self, number: u32, num_headers: usize, body_size: usize) {
        let Some(id) = dispatcher::take_call(number) else { return };
        let reply = reply(num_headers, body_size);
        self.handle_and_perform(|filter, context, commands| {
            filter.handle_reply(id, reply, context, commands);
        });
    }

    /// There will be no more ticks.
    pub(super) fn shut_down(&mut self) {
        self.handle_and_perform(Filter::handle_shutdown);
        self.configured = None;
        // The answers to its calls are for no other configuration.
        dispatcher::forget_calls(self.root);
    }

    /// What has to be looked for, beside a request's headers.
    pub(super) fn needs(&self) -> Needs {
        self.needs
    }

    /// Decides about a request, or has it wait.
    ///
    /// # Errors
    /// Without a configuration.
    pub(super) fn handle_request(
        &mut self,
        stream: StreamId,
        head: RequestHead,
    ) -> Result<Option<Outcome>, HostFault> {
        let outcome = self.handle(|filter, context| filter.handle_request(stream, head, context));
        outcome.ok_or(HostFault::NotConfigured)
    }

    /// Whether a request carries a token of ours, so that its response matters.
    pub(super) fn carries_token(&self, stream: StreamId) -> bool {
        self.configured.as_ref().is_some_and(|configured| configured.filter.carries_token(stream))
    }

    /// An upstream has answered such a request.
    pub(super) fn handle_response(&mut self, stream: StreamId, status: u16) {
        self.handle(|filter, context| filter.handle_response(stream, status, context));
    }

    /// The body of a request that is held back comes.
    pub(super) fn note_body(&mut self) {
        self.bodies = Bodies::Shown;
    }

    /// A request is over, and nothing of the body came that it was held back for. Clients can cause that at will, so it
    /// is told once, and only while no body has ever come.
    pub(super) fn note_missing_body(&mut self) {
        if self.bodies == Bodies::Unknown {
            self.bodies = Bodies::Missed;
            write(&Message::Host(HostFault::BodyNotShown));
        }
    }

    /// Writes an audit record. What cannot be written is told once, and costs no request.
    pub(super) fn record(&self, audit: &[AuditEntry]) {
        if perform::record(audit).is_err() && !self.is_unrecorded.replace(true) {
            write(&Message::Host(HostFault::AuditNotWritten));
        }
    }

    /// A request is over, answered or not.
    pub(super) fn handle_stream_end(&mut self, stream: StreamId) {
        if let Some(configured) = &mut self.configured {
            configured.filter.handle_stream_end(stream);
        }
    }

    /// Hands an event to the filter, and makes known what it observes; `None` without a configuration.
    fn handle<T>(&mut self, event: impl FnOnce(&mut Filter, &mut Context<'_>) -> T) -> Option<T> {
        let Configured { filter, crypto, jitter } = self.configured.as_mut()?;
        let mut observations = Vec::new();
        let result = event(filter, &mut context(crypto, jitter, &mut observations));
        observations.into_iter().for_each(|observation| self.metrics.record(observation));
        Some(result)
    }

    /// Hands an event of the root context to the filter, and performs what it commands, and what comes of that.
    fn handle_and_perform(&mut self, event: impl FnOnce(&mut Filter, &mut Context<'_>, &mut Vec<Command>)) {
        let mut commands = Vec::new();
        self.handle(|filter, context| event(filter, context, &mut commands));
        // The filter does not ask again at once for what was not sent, so this ends.
        while !commands.is_empty() {
            let not_sent: Vec<(CallId, HttpReply)> =
                commands.drain(..).filter_map(|command| self.perform(command).err()).collect();
            self.handle(|filter, context| {
                for (id, reply) in not_sent {
                    filter.handle_reply(id, reply, context, &mut commands);
                }
            });
        }
    }

    /// Performs a command; the error is a call that the host did not take.
    fn perform(&self, command: Command) -> Result<(), (CallId, HttpReply)> {
        match command {
            Command::Call { id, call } => return self.dispatch(id, &call).map_err(|reply| (id, reply)),
            Command::Resume { stream, outcome } => self.on_stream(stream, || match outcome {
                Outcome::Forward { edits, annotation, facts, audit } => {
                    self.record(&audit);
                    if let Err(why) = perform::edit(&edits, annotation.as_deref(), &facts) {
                        perform::fail(why);
                    } else {
                        dispatcher::let_go(stream.0);
                        // It has been proved, and answers `Ok` alone.
                        let _ = hostcalls::resume_http_request();
                    }
                }
                Outcome::Respond { response, annotation, facts, audit } => {
                    self.record(&audit);
                    perform::respond(&response, &annotation, &facts);
                }
                // A body is asked for when a request comes, and never again.
                Outcome::AwaitBody { .. } => perform::fail(HostFault::WaitingNotResumed),
            }),
            Command::Reset { stream, annotation, audit } => self.on_stream(stream, || {
                self.record(&audit);
                perform::reset(&annotation);
            }),
        }
        Ok(())
    }

    /// Acts on a request, if it is still there.
    fn on_stream(&self, stream: StreamId, act: impl FnOnce()) {
        if hostcalls::set_effective_context(stream.0).is_ok() {
            act();
            // Back to where the callback was; it cannot be gone.
            let _ = hostcalls::set_effective_context(self.root);
        }
    }

    /// The error is why the host does not take the call. The SDK leaves a copy of the header fields behind, a
    /// credential among them, that is not wiped: the memory that it lies in has the secret itself.
    fn dispatch(&self, id: CallId, call: &HttpCall) -> Result<(), HttpReply> {
        let headers =
            call.headers.iter().map(|(name, value)| Some((&**name, str::from_utf8(value.expose()).ok()?)));
        let headers = headers.collect::<Option<Vec<_>>>().ok_or(HttpReply::NotSent)?;
        // Zero would mean no timeout.
        let timeout = call.timeout.clamp(MIN_TIMEOUT, MAX_TIMEOUT);
        let body = Some(call.body.expose());
        let sent = hostcalls::dispatch_http_call(&call.cluster, headers, body, Vec::new(), timeout);
        // No pseudo-header is missing, so a bad argument is the cluster.
        let why = |status| {
            if status == Status::BadArgument { HttpReply::ClusterUnknown } else { HttpReply::NotSent }
        };
        let number = sent.map_err(why)?;
        dispatcher::call_made(self.root, number, id);
        Ok(())
    }
}

/// Has a field of the audit record be a string that no other module overwrites, where the host can do that; elsewhere
/// it is one like any other.
fn declare(field: AuditField, config: &Config) {
    let _ = hostcalls::call_foreign_function(DECLARE, Some(&field.declaration(config.is_final(field))));
}

fn context<'a>(
    crypto: &'a EnvoyCrypto,
    jitter: &'a mut Jitter,
    observations: &'a mut Vec<Observation>,
) -> Context<'a> {
    let (random, shared) = (&HostRandom, &HostSharedState);
    Context {
        now: clock::now(),
        stopwatch: &clock::HostStopwatch,
        crypto,
        random,
        shared,
        jitter,
        observations,
    }
}

struct HostEnvironment;

impl Environment for HostEnvironment {
    #[allow(clippy::disallowed_methods, reason = "the rim is where the environment comes in")]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn has_vm_id(&self) -> bool {
        property("plugin_vm_id").is_some()
    }

    fn plugin_name(&self) -> Option<String> {
        let name = property("plugin_name").or_else(|| property("plugin_root_id"))?;
        String::from_utf8(name).ok()
    }
}

/// A property of the plugin, unless it is empty.
fn property(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_property(vec![name]).ok().flatten().filter(|value| !value.is_empty())
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

fn seed() -> [u8; 16] {
    let mut seed = [0; 16];
    HostRandom.fill(&mut seed);
    seed
}

/// A stream that could not be ended would outlive its token unnoticed.
const NO_CLOSE_STREAM: &str =
    "inbound: streams cannot be ended: a capability restriction leaves `proxy_close_stream` out";
/// How late a fetch, a deadline or a counter may be.
const TICK: Duration = Duration::from_millis(100);
/// The host counts whole milliseconds, and takes 0 for none.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// As many milliseconds as the host can count.
const MAX_TIMEOUT: Duration = Duration::from_millis(0xffff_ffff);
