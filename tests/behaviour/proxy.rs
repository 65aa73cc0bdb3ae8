//! One filter, a virtual clock, and the issuers that it fetches keys from: what quinn's `Pair` is for connections.
//!
//! Time moves only by [`Proxy::advance`], which ticks as the host would. What the filter asks of the world is recorded;
//! a call to an issuer is answered at once by its [`Service`], or by [`Proxy::reply`] where the service is silent.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use attache::base::{
    AuditEntry, CallId, Command, Edit, Headers, HttpCall, HttpReply, Jitter, Level, Observation, Outcome,
    Random, RequestBody, RequestHead, Response, StateEntry, Stopwatch, StreamId, Timestamp, encode_pairs,
};
use attache::config::{self, Config, Environment};
use attache::filter::Filter;
use attache::jose::{Algorithm, Crypto, Engine, Key, RustCrypto, SignatureError, SigningError, SigningKey};
use attache::sharing::{Context, NoSharedState};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use ed25519_dalek::Signer as _;
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::jws;
use crate::process::{Memory, Thread};

/// When every test begins: 2027-01-15.
pub const START: u64 = 1_800_000_000;
/// How often the host ticks (`host/root.rs`).
pub const TICK: Duration = Duration::from_millis(100);

/// `5.minutes()`
pub trait Time {
    fn ms(self) -> Duration;
    fn secs(self) -> Duration;
    fn minutes(self) -> Duration;
    fn hours(self) -> Duration;
}

impl Time for u64 {
    fn ms(self) -> Duration {
        Duration::from_millis(self)
    }
    fn secs(self) -> Duration {
        Duration::from_secs(self)
    }
    fn minutes(self) -> Duration {
        Duration::from_secs(self * 60)
    }
    fn hours(self) -> Duration {
        Duration::from_secs(self * 3600)
    }
}

/// What answers at the end of a cluster.
#[derive(Clone)]
pub enum Service {
    /// Nothing, until [`Proxy::reply`].
    Silent,
    /// This, at once, whenever asked.
    Answers(HttpReply),
    /// What this makes of the call, at once; `None`: nothing, until [`Proxy::reply`].
    Scripted(Rc<Script>),
}

type Script = dyn Fn(&HttpCall) -> Option<HttpReply>;

impl Service {
    fn reply(&self, call: &HttpCall) -> Option<HttpReply> {
        match self {
            Self::Silent => None,
            Self::Answers(reply) => Some(reply.clone()),
            Self::Scripted(script) => script(call),
        }
    }
}

pub struct Proxy {
    filter: Filter,
    process: Thread,
    now: Timestamp,
    stopwatch: Stopped,
    crypto: Counting,
    jitter: Jitter,
    services: BTreeMap<String, Service>,
    under_way: Vec<(CallId, HttpCall)>,
    sent: Vec<(Timestamp, HttpCall)>,
    answers: BTreeMap<u32, Answer>,
    parked: BTreeMap<u32, Request>,
    resets: Vec<(u32, String)>,
    /// What the audit record says of them in the end.
    pub records_at_end: Vec<String>,
    counters: BTreeMap<String, u64>,
    defined: BTreeSet<String>,
    gauges: BTreeMap<String, u64>,
    samples: BTreeMap<String, Vec<u64>>,
    logs: Vec<(Level, String)>,
    /// What must never be seen in a log, a metric, an annotation or a refusal.
    secrets: Vec<String>,
    streams: u32,
    most_checks: u32,
}

impl Proxy {
    /// A proxy of this configuration, in which no issuer answers yet. Nothing has ticked.
    #[track_caller]
    pub fn new(config: &Value) -> Self {
        Self::at(config, Timestamp::from_secs(START))
    }

    #[track_caller]
    fn at(config: &Value, now: Timestamp) -> Self {
        Self::within(&Rc::default(), config, 7, now)
    }

    /// One thread of a process. `seed` tells threads apart.
    #[track_caller]
    pub fn within(process: &Rc<Memory>, config: &Value, seed: u16, now: Timestamp) -> Self {
        let environment: &dyn Environment = if process.has_vm_id() { &Variables } else { &Nameless };
        let config = config::parse(config.to_string().as_bytes(), environment);
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        config.notices().iter().for_each(|notice| assert!(config::NOTICES.contains(notice), "{notice:?}"));
        let process = Thread { memory: Rc::clone(process), number: seed };
        let [low, high] = seed.to_le_bytes();
        let mut seed = [low; 16];
        seed[15] ^= high;
        let crypto = Counting::default();
        let mut jitter = Jitter::new(seed);
        let mut context = Context {
            now,
            stopwatch: &(),
            crypto: &crypto,
            random: &Drawn,
            shared: &process,
            jitter: &mut jitter,
            observations: &mut Vec::new(),
        };
        Self {
            filter: Filter::new(&config, seed, &mut context),
            process,
            now,
            stopwatch: Stopped::default(),
            crypto,
            jitter,
            services: BTreeMap::new(),
            under_way: Vec::new(),
            sent: Vec::new(),
            answers: BTreeMap::new(),
            parked: BTreeMap::new(),
            resets: Vec::new(),
            records_at_end: Vec::new(),
            counters: BTreeMap::new(),
            defined: BTreeSet::new(),
            gauges: BTreeMap::new(),
            samples: BTreeMap::new(),
            logs: Vec::new(),
            secrets: Vec::new(),
            streams: 0,
            most_checks: 0,
        }
    }

    /// As [`Proxy::new`], with these keys served by the cluster `idp` and fetched a moment ago.
    #[track_caller]
    pub fn ready(config: &Value, keys: &[&Signer]) -> Self {
        let moment = Duration::from_millis(1);
        let mut proxy = Self::at(config, Timestamp::from_secs(START).before(moment));
        proxy.serve("idp", good(&jwks(keys)));
        proxy.tick();
        proxy.sleep(moment);
        proxy
    }

    /// From now on the cluster answers so.
    pub fn serve(&mut self, cluster: &str, reply: HttpReply) {
        self.services.insert(cluster.to_owned(), Service::Answers(reply));
    }

    /// From now on the cluster answers as this says.
    pub fn script(&mut self, cluster: &str, script: impl Fn(&HttpCall) -> Option<HttpReply> + 'static) {
        self.attach(cluster, Service::Scripted(Rc::new(script)));
    }

    /// From now on this is what answers at the end of the cluster.
    pub fn attach(&mut self, cluster: &str, service: Service) {
        self.services.insert(cluster.to_owned(), service);
    }

    /// From now on nothing comes back from the cluster until [`Proxy::reply`].
    pub fn silence(&mut self, cluster: &str) {
        self.services.insert(cluster.to_owned(), Service::Silent);
    }

    /// Hands in a request.
    #[track_caller]
    pub fn request(&mut self, request: Request) -> Answer {
        self.secrets.extend(request.secrets());
        self.streams += 1;
        let stream = StreamId(self.streams);
        let head = request.head();
        let mut outcome = self.handle(|filter, context, _| filter.handle_request(stream, head, context));
        if let (Some(Outcome::AwaitBody { most }), Some(body)) = (&outcome, &request.body) {
            let body =
                if body.len() <= *most { RequestBody::Whole(body.clone()) } else { RequestBody::TooLarge };
            let head = RequestHead { body: Some(body), ..request.head() };
            outcome = self.handle(|filter, context, _| filter.handle_request(stream, head, context));
            assert!(!matches!(outcome, Some(Outcome::AwaitBody { .. })), "asked for twice");
        }
        let answer = match outcome {
            Some(Outcome::Forward { edits, annotation, facts, audit }) => {
                forwarded(stream, &request, edits, annotation.as_deref().unwrap_or_default(), (facts, audit))
            }
            Some(Outcome::Respond { response, annotation, facts, audit }) => {
                refused(response, &annotation, (facts, audit))
            }
            Some(Outcome::AwaitBody { most }) => Answer::NeedsBody(most),
            None => {
                self.parked.insert(stream.0, request);
                Answer::Waiting(stream)
            }
        };
        self.scrub(&answer);
        // The host hands them over when its callback has returned.
        self.take_messages();
        answer
    }

    /// A GET with this token, and what came of it in a few words.
    #[track_caller]
    pub fn get(&mut self, path: &str, token: &str) -> String {
        self.request(Request::get(path).bearer(token)).tells()
    }

    /// What became of a request that waited.
    pub fn answer(&self, stream: StreamId) -> Answer {
        self.answers.get(&stream.0).cloned().unwrap_or(Answer::Waiting(stream))
    }

    /// The request is over: its client has gone.
    pub fn end(&mut self, stream: StreamId) {
        self.filter.handle_stream_end(stream);
    }

    /// The streams that were broken off, each with what an access log shows of it.
    pub fn resets(&self) -> &[(u32, String)] {
        &self.resets
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.filter.waiting()
    }

    /// Time passes, with a tick as often as the host has one; over long times fewer, which is all the same to timers of
    /// minutes.
    pub fn advance(&mut self, by: Duration) {
        let step = if by > Duration::from_secs(120) { Duration::from_secs(1) } else { TICK };
        let end = self.now.after(by);
        while self.now < end {
            self.now = self.now.after(step.min(end.since(self.now)));
            self.tick();
        }
    }

    /// Time passes until the cluster has been called so often.
    #[track_caller]
    pub fn advance_to_call(&mut self, cluster: &str, calls: usize) {
        for _ in 0..1_000_000 {
            if self.calls(cluster) >= calls {
                return;
            }
            self.advance(TICK);
        }
        panic!("{cluster} was called {} times only", self.calls(cluster));
    }

    /// The clock is set back, and nothing ticks.
    pub fn set_back(&mut self, by: Duration) {
        self.now = self.now.before(by);
    }

    /// Time passes and nothing ticks.
    pub fn sleep(&mut self, by: Duration) {
        self.now = self.now.after(by);
    }

    pub fn tick(&mut self) {
        self.handle(Filter::handle_tick);
        self.take_messages();
    }

    /// Hands over the messages in this thread's queues, as the host does at once.
    pub fn take_messages(&mut self) {
        while self.take_message() {}
    }

    /// Hands over one message, if there is one.
    pub fn take_message(&mut self) -> bool {
        let Some(queue) = self.process.memory.message_for(self.process.number) else { return false };
        self.handle(|filter, context, commands| filter.handle_wake(queue, context, commands));
        true
    }

    /// Whether a call is under way whose reply is still to be handed in.
    pub fn is_asking(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// The call that [`Proxy::reply`] answers.
    pub fn oldest_call(&self) -> Option<HttpCall> {
        self.under_way.first().map(|(_, call)| call.clone())
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// All calls, and when they were made.
    pub fn sent(&self) -> &[(Timestamp, HttpCall)] {
        &self.sent
    }

    /// The most signatures that one callback has checked.
    pub fn most_checks(&self) -> u32 {
        self.most_checks
    }

    /// Answers the oldest call that is under way.
    #[track_caller]
    pub fn reply(&mut self, reply: HttpReply) {
        assert!(!self.under_way.is_empty(), "no call is under way");
        let (id, _) = self.under_way.remove(0);
        self.hand_in(id, reply);
    }

    /// Hands in a reply to a call that was not made, or is over.
    pub fn hand_in(&mut self, id: CallId, reply: HttpReply) {
        self.handle(|filter, context, commands| filter.handle_reply(id, reply, context, commands));
        self.take_messages();
    }

    /// How many calls there have been to this cluster.
    pub fn calls(&self, cluster: &str) -> usize {
        self.sent.iter().filter(|(_, call)| &*call.cluster == cluster).count()
    }

    /// When calls were made, in milliseconds since the start.
    pub fn call_times(&self) -> Vec<u64> {
        let since = |at: &Timestamp| at.since(Timestamp::from_secs(START)).as_millis();
        self.sent.iter().map(|(at, _)| u64::try_from(since(at)).unwrap()).collect()
    }

    pub fn last_call(&self) -> &HttpCall {
        &self.sent.last().unwrap().1
    }

    /// How many signatures have been checked.
    pub fn signature_checks(&self) -> u32 {
        self.crypto.checks.get()
    }

    /// What comes from now on of asking for a signature.
    pub fn set_signing(&mut self, signing: Signing) {
        self.crypto.signing = signing;
    }

    /// A counter's value, by the name that the host gets.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or_default()
    }

    pub fn counters(&self) -> &BTreeMap<String, u64> {
        &self.counters
    }

    /// The counters that were there before they counted anything.
    pub fn defined(&self) -> &BTreeSet<String> {
        &self.defined
    }

    /// All metrics that the host knows: each one's kind and name.
    pub fn metrics(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let counters = self.counters.keys().chain(&self.defined).map(|name| ("counter", name));
        let gauges = self.gauges.keys().map(|name| ("gauge", name));
        counters.chain(gauges).chain(self.samples.keys().map(|name| ("histogram", name)))
    }

    pub fn gauge(&self, name: &str) -> Option<u64> {
        self.gauges.get(name).copied()
    }

    /// The values that a histogram has taken.
    pub fn samples(&self, name: &str) -> &[u64] {
        self.samples.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The upstream answers a request that was forwarded, and the request is over.
    pub fn upstream_answers(&mut self, forwarded: &Forwarded, status: u16) {
        let stream = StreamId(forwarded.stream);
        if self.filter.carries_token(stream) {
            self.handle(|filter, context, _| filter.handle_response(stream, status, context));
            self.take_messages();
        }
        self.filter.handle_stream_end(stream);
    }

    /// A text that must not be told.
    pub fn keep_secret(&mut self, text: &str) {
        self.secrets.push(text.to_owned());
    }

    /// Log lines of at least this level; `log` has the gravest one first.
    pub fn logs(&self, least: Level) -> Vec<&str> {
        self.logs.iter().filter(|(level, _)| *level <= least).map(|(_, line)| line.as_str()).collect()
    }

    /// The same lines without their ends: where was asked, what still works, what is next. `log_lines` has those.
    pub fn events(&self, least: Level) -> Vec<&str> {
        self.logs(least).into_iter().map(|line| line.split("; https://").next().unwrap()).collect()
    }

    /// From now on each event takes so long.
    pub fn take(&mut self, time: Duration) {
        self.stopwatch.takes.set(time);
    }

    /// How often the filter has asked how long an event takes.
    pub fn looks_at_stopwatch(&self) -> usize {
        self.stopwatch.looks.get()
    }

    /// This configuration's time is over: what waits is answered, and the metrics come without a tick.
    pub fn shut_down(&mut self) {
        self.handle(Filter::handle_shutdown);
    }

    /// Hands an event in, and carries out what comes of it.
    #[track_caller]
    fn handle<T>(&mut self, event: impl FnOnce(&mut Filter, &mut Context<'_>, &mut Vec<Command>) -> T) -> T {
        let (mut observations, mut commands) = (Vec::new(), Vec::new());
        self.stopwatch.now.set(self.now);
        let mut context = Context {
            now: self.now,
            stopwatch: &self.stopwatch,
            crypto: &self.crypto,
            random: &Drawn,
            shared: &self.process,
            jitter: &mut self.jitter,
            observations: &mut observations,
        };
        let before = self.crypto.checks.get();
        let result = event(&mut self.filter, &mut context, &mut commands);
        self.most_checks = self.most_checks.max(self.crypto.checks.get() - before);
        self.record(observations);
        self.perform(commands);
        result
    }

    #[track_caller]
    fn perform(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Call { id, call } => {
                    self.scrub_text(&format!("{call:?}"));
                    assert!(!call.timeout.is_zero(), "a call without a timeout never ends");
                    self.sent.push((self.now, call.clone()));
                    match self.services.get(&*call.cluster).and_then(|service| service.reply(&call)) {
                        Some(reply) => self.hand_in(id, reply),
                        None => self.under_way.push((id, call)),
                    }
                }
                Command::Resume { stream, outcome } => {
                    let request = self.parked.remove(&stream.0).expect("answered only once");
                    let answer = match outcome {
                        Outcome::Forward { edits, annotation, facts, audit } => {
                            self.scrub_text(&format!("{edits:?}"));
                            forwarded(
                                stream,
                                &request,
                                edits,
                                annotation.as_deref().unwrap_or_default(),
                                (facts, audit),
                            )
                        }
                        Outcome::Respond { response, annotation, facts, audit } => {
                            refused(response, &annotation, (facts, audit))
                        }
                        Outcome::AwaitBody { .. } => panic!("a body is asked for at once"),
                    };
                    self.scrub(&answer);
                    self.answers.insert(stream.0, answer);
                }
                Command::Reset { stream, annotation, audit } => {
                    self.records_at_end.push(recorded(&audit));
                    self.scrub_text(&annotation);
                    self.parked.remove(&stream.0);
                    assert!(self.resets.iter().all(|(other, _)| *other != stream.0), "reset twice");
                    self.resets.push((stream.0, annotation.to_string()));
                    // The host ends it when the event is over.
                    self.filter.handle_stream_end(stream);
                }
            }
        }
    }

    #[track_caller]
    fn record(&mut self, observations: Vec<Observation>) {
        for observation in observations {
            match observation {
                Observation::Count { name, by } => {
                    self.scrub_text(&name);
                    if by == 0 {
                        assert!(self.defined.insert(name.to_string()), "a count of nothing: {name}");
                        continue;
                    }
                    *self.counters.entry(name.to_string()).or_default() += by;
                }
                Observation::Gauge { name, value } => {
                    self.scrub_text(&name);
                    self.gauges.insert(name.to_string(), value);
                }
                Observation::Adjust { name, by } => {
                    assert!(by != 0 || !self.gauges.contains_key(&*name), "a change of nothing");
                    self.scrub_text(&name);
                    let gauge = self.gauges.entry(name.to_string()).or_default();
                    *gauge = gauge.checked_add_signed(by).expect("no fewer than none");
                }
                Observation::Sample { name, value } => {
                    self.scrub_text(&name);
                    self.samples.entry(name.to_string()).or_default().push(value);
                }
                Observation::Log { level, line } => {
                    self.scrub_text(&line);
                    crate::log_page::assert_listed(level, &line);
                    self.logs.push((level, line));
                }
            }
        }
    }

    #[track_caller]
    fn scrub(&self, answer: &Answer) {
        match answer {
            Answer::Forwarded(forwarded) => self.scrub_text(&forwarded.annotation),
            Answer::Refused(refused) => {
                self.scrub_text(&refused.annotation);
                self.scrub_text(&refused.response.body);
                self.scrub_text(refused.response.details);
                refused.response.headers.iter().for_each(|(_, value)| self.scrub_text(value));
            }
            Answer::Waiting(_) | Answer::NeedsBody(_) => {}
        }
    }

    /// Nothing that a client has sent as a token is ever told.
    #[track_caller]
    fn scrub_text(&self, text: &str) {
        for secret in &self.secrets {
            assert!(!text.contains(secret.as_str()), "a token's content is told: {text}");
        }
    }
}

#[track_caller]
fn forwarded(
    stream: StreamId,
    request: &Request,
    edits: Vec<Edit>,
    annotation: &str,
    (facts, audit): (Vec<StateEntry>, Vec<AuditEntry>),
) -> Answer {
    let mut headers = request.headers.clone();
    for edit in &edits {
        match edit {
            Edit::Remove(name) => headers.retain(|(field, _)| field != name.as_bytes()),
            Edit::Set(name, value) => {
                headers.retain(|(field, _)| field != name.as_bytes());
                headers.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
            }
        }
    }
    Answer::Forwarded(Forwarded {
        stream: stream.0,
        headers,
        edits,
        annotation: annotation.to_owned(),
        facts,
        audit,
    })
}

fn refused(
    response: Response,
    annotation: &str,
    (facts, audit): (Vec<StateEntry>, Vec<AuditEntry>),
) -> Answer {
    Answer::Refused(Refused { response, annotation: annotation.to_owned(), facts, audit })
}

/// A record without the fields that are empty, and without the time that it took.
fn recorded(entries: &[AuditEntry]) -> String {
    let said = entries.iter().filter(|(key, text)| !text.is_empty() && !key.ends_with(".duration_us"));
    let said = said.map(|(key, text)| format!("{}={}", key.strip_prefix("attache.audit.").unwrap(), &**text));
    said.collect::<Vec<_>>().join(" ")
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    Forwarded(Forwarded),
    Refused(Refused),
    Waiting(StreamId),
    /// Until the body has come, so many bytes of which are read.
    NeedsBody(usize),
}

#[derive(Clone, Debug)]
pub struct Forwarded {
    pub stream: u32,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub edits: Vec<Edit>,
    pub annotation: String,
    pub facts: Vec<StateEntry>,
    pub audit: Vec<AuditEntry>,
}

#[derive(Clone, Debug)]
pub struct Refused {
    pub response: Response,
    pub annotation: String,
    pub facts: Vec<StateEntry>,
    pub audit: Vec<AuditEntry>,
}

impl Answer {
    /// `forwarded`, `forwarded, would be expired`, `401 expired`, `waiting`.
    pub fn tells(&self) -> String {
        let reason = |annotation: &str| {
            let reason = annotation.split(' ').find_map(|part| part.strip_prefix("reason="));
            reason.unwrap_or_default().to_owned()
        };
        match self {
            Self::Forwarded(forwarded) if forwarded.annotation.contains("outcome=report") => {
                format!("forwarded, would be {}", reason(&forwarded.annotation))
            }
            Self::Forwarded(_) => "forwarded".to_owned(),
            Self::Refused(refused) => {
                format!("{} {}", refused.response.status, reason(&refused.annotation))
            }
            Self::Waiting(_) => "waiting".to_owned(),
            Self::NeedsBody(most) => format!("needs a body of {most} bytes"),
        }
    }

    /// What of it is in filter state: `client=orders-service route=orders`.
    pub fn facts(&self) -> String {
        let facts = match self {
            Self::Forwarded(forwarded) => &forwarded.facts[..],
            Self::Refused(refused) => &refused.facts[..],
            Self::Waiting(_) | Self::NeedsBody(_) => &[],
        };
        let facts =
            facts.iter().map(|(key, text)| format!("{}={text}", key.strip_prefix("attache.").unwrap()));
        facts.collect::<Vec<_>>().join(" ")
    }

    /// Its audit record, without the fields that are empty: `outcome=permit reason=ok`.
    pub fn audit(&self) -> String {
        let entries = match self {
            Self::Forwarded(forwarded) => &forwarded.audit[..],
            Self::Refused(refused) => &refused.audit[..],
            Self::Waiting(_) | Self::NeedsBody(_) => &[],
        };
        recorded(entries)
    }

    /// One field of it, if it is there.
    pub fn audited(&self, field: &str) -> Option<String> {
        let entries = match self {
            Self::Forwarded(forwarded) => &forwarded.audit[..],
            Self::Refused(refused) => &refused.audit[..],
            Self::Waiting(_) | Self::NeedsBody(_) => &[],
        };
        let entry = entries.iter().find(|(key, _)| key.strip_prefix("attache.audit.") == Some(field));
        entry.map(|(_, text)| text.to_string())
    }

    #[track_caller]
    pub fn forwarded(self) -> Forwarded {
        match self {
            Self::Forwarded(forwarded) => forwarded,
            other => panic!("expected the request to be forwarded: {other:?}"),
        }
    }

    #[track_caller]
    pub fn refused(self) -> Refused {
        match self {
            Self::Refused(refused) => refused,
            other => panic!("expected a refusal: {other:?}"),
        }
    }

    #[track_caller]
    pub fn waiting(self) -> StreamId {
        match self {
            Self::Waiting(stream) => stream,
            other => panic!("expected the request to wait: {other:?}"),
        }
    }
}

impl Forwarded {
    /// All values of a field that the upstream gets.
    pub fn upstream(&self, name: &str) -> Vec<String> {
        let values = self.headers.iter().filter(|(field, _)| field == name.as_bytes());
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

impl Refused {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str())
    }

    pub fn challenge(&self) -> Option<&str> {
        self.header("www-authenticate")
    }
}

/// A request as a client sends it and Envoy hands it over.
#[derive(Clone, Debug)]
pub struct Request {
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    metadata: Option<Vec<u8>>,
    host_metadata: Option<Vec<u8>>,
    has_body: bool,
    body: Option<Vec<u8>>,
    cluster: Option<String>,
    cluster_tls: Option<String>,
    route_name: Option<String>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        let request = Self {
            headers: Vec::new(),
            metadata: None,
            host_metadata: None,
            has_body: false,
            body: None,
            cluster: None,
            cluster_tls: None,
            route_name: None,
        };
        request.header(":method", method).header(":path", path).header(":authority", "api.example")
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Adds a field.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Removes every field of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(field, _)| field != name.as_bytes());
        self
    }

    pub fn authority(self, authority: &str) -> Self {
        self.without(":authority").header(":authority", authority)
    }

    /// Envoy's route carries this metadata under `attache`.
    pub fn metadata(self, pairs: &[(&str, &str)]) -> Self {
        self.raw_metadata(encode_pairs(pairs.iter().copied()))
    }

    /// The virtual host of Envoy's route carries this metadata under `attache`.
    pub fn host_metadata(mut self, pairs: &[(&str, &str)]) -> Self {
        self.host_metadata = Some(encode_pairs(pairs.iter().copied()));
        self
    }

    /// A body follows the headers.
    pub fn with_body(mut self) -> Self {
        self.has_body = true;
        self
    }

    /// This body follows the headers.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.with_body()
    }

    /// Envoy sends it to this cluster, whose metadata asserts TLS.
    pub fn to(self, cluster: &str) -> Self {
        self.unvouched(cluster).tls("asserted")
    }

    /// Envoy sends it to this cluster, whose metadata says nothing.
    pub fn unvouched(mut self, cluster: &str) -> Self {
        self.cluster = Some(cluster.to_owned());
        self
    }

    /// The cluster's metadata says this about TLS.
    pub fn tls(mut self, word: &str) -> Self {
        self.cluster_tls = Some(word.to_owned());
        self
    }

    /// Envoy's route has this name.
    pub fn route(mut self, name: &str) -> Self {
        self.route_name = Some(name.to_owned());
        self
    }

    pub fn raw_metadata(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.metadata = Some(bytes.into());
        self
    }

    pub fn head(&self) -> RequestHead {
        let headers: Headers = self.headers.iter().map(|(n, v)| (n, v)).collect();
        RequestHead {
            headers,
            route_metadata: self.metadata.clone(),
            virtual_host_metadata: self.host_metadata.clone(),
            has_body: self.has_body,
            body: None,
            cluster: self.cluster.clone().map(String::into_bytes),
            cluster_tls: self.cluster_tls.clone().map(String::into_bytes),
            route_name: self.route_name.clone().map(String::into_bytes),
        }
    }

    /// Long words in what looks like a credential.
    fn secrets(&self) -> Vec<String> {
        let fields = self.headers.iter().filter(|(name, _)| !name.starts_with(b":") || name == b":path");
        let texts = fields.filter_map(|(name, value)| {
            let text = str::from_utf8(value).ok()?;
            if name == b":path" { text.split_once('?').map(|(_, query)| query) } else { Some(text) }
        });
        let words =
            texts.flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)));
        words.filter(|word| word.len() >= 24).map(str::to_owned).collect()
    }
}

/// A signing key (Ed25519), always the same for a name.
#[derive(Clone, Debug)]
pub struct Signer {
    pub kid: Option<String>,
    key: ed25519_dalek::SigningKey,
}

impl Signer {
    pub fn new(kid: &str) -> Self {
        Self { kid: Some(kid.to_owned()), ..Self::unnamed(kid) }
    }

    /// A key without `kid`, made from `seed`.
    pub fn unnamed(seed: &str) -> Self {
        let seed: [u8; 32] = sha2::Sha256::digest(seed).into();
        Self { kid: None, key: ed25519_dalek::SigningKey::from_bytes(&seed) }
    }

    /// The same key under another name.
    pub fn named(&self, kid: Option<&str>) -> Self {
        Self { kid: kid.map(str::to_owned), key: self.key.clone() }
    }

    pub fn jwk(&self) -> Value {
        let x = Base64UrlUnpadded::encode_string(self.key.verifying_key().as_bytes());
        let mut jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// The private key as its owner keeps it.
    pub fn private_jwk(&self) -> String {
        let mut jwk = self.jwk();
        jwk["d"] = json!(Base64UrlUnpadded::encode_string(&self.key.to_bytes()));
        jwk.to_string()
    }

    /// Whether this key has signed that.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = ed25519_dalek::Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.key.verifying_key().verify_strict(message, &signature).is_ok())
    }

    /// Signs any bytes as header and claims.
    pub fn sign_raw(&self, header: &[u8], claims: &[u8]) -> String {
        jws::write_raw(header, claims, |message| self.signature(message)).unwrap()
    }

    fn signature(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(self.key.try_sign(message)?.to_vec())
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let (header, claims) = (json!({ "alg": "EdDSA" }), claims.clone());
        Token { signer: self.clone(), header, claims }.sign()
    }

    /// A good token of the issuer `corp`, for an hour.
    pub fn token(&self) -> Token {
        let mut header = json!({ "alg": "EdDSA", "typ": "at+jwt" });
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "orders-service", "client_id": "orders", "jti": "1",
            "iat": START, "exp": START + 3600, "scope": "orders:read",
        });
        Token { signer: self.clone(), header, claims }
    }
}

pub const ISSUER: &str = "https://idp.example";
pub const AUDIENCE: &str = "https://api.example";

/// A token to be signed.
#[derive(Clone, Debug)]
pub struct Token {
    signer: Signer,
    pub header: Value,
    pub claims: Value,
}

impl Token {
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    pub fn no_claim(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name);
        self
    }

    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    pub fn no_header(mut self, name: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(name);
        self
    }

    pub fn sign(&self) -> String {
        let [header, claims] = [&self.header, &self.claims].map(|part| part.as_object().unwrap());
        jws::write("EdDSA", header, claims, |message| self.signer.signature(message)).unwrap()
    }
}

/// A key set document.
pub fn jwks(keys: &[&Signer]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// 200 with this body.
pub fn good(body: &str) -> HttpReply {
    HttpReply::Response { status: 200, headers: Headers::default(), body: Ok(body.as_bytes().to_vec()) }
}

/// The reply with these headers.
pub fn with(reply: HttpReply, fields: &[(&str, &str)]) -> HttpReply {
    match reply {
        HttpReply::Response { status, body, .. } => {
            HttpReply::Response { status, headers: fields.iter().copied().collect(), body }
        }
        HttpReply::NotSent | HttpReply::ClusterUnknown | HttpReply::Reset => reply,
    }
}

/// This status with an empty body.
pub fn status(status: u16) -> HttpReply {
    HttpReply::Response { status, headers: Headers::default(), body: Ok(Vec::new()) }
}

/// The same reply with another status.
pub fn with_status(reply: HttpReply, status: u16) -> HttpReply {
    let HttpReply::Response { headers, body, .. } = reply else { panic!("{reply:?}") };
    HttpReply::Response { status, headers, body }
}

/// A reply of Envoy's own, as a call that reaches no server gets it.
pub fn local_reply(status: u16, body: &str) -> HttpReply {
    let length = body.len().to_string();
    let headers = [(":status", "503"), ("content-length", &length), ("content-type", "text/plain")];
    let headers = headers.into_iter().collect();
    HttpReply::Response { status, headers, body: Ok(body.as_bytes().to_vec()) }
}

/// One issuer and a few routes; `patch` is a JSON Merge Patch (RFC 7396) of the block `inbound`.
pub fn config(patch: Value) -> Value {
    let mut config = json!({ "inbound": {
        "issuers": [issuer(json!({}))],
        "routes": [
            { "name": "orders", "match": { "path": "/orders" }, "require": { "scopes": ["orders:read"] } },
            { "name": "admin", "match": { "path": "/admin" }, "require": { "scopes": ["orders:admin"] } },
            { "name": "whoami", "match": { "path": "/whoami" }, "require": { "authenticated": {} } },
            { "name": "health", "match": { "path": "/healthz" }, "public": {} },
            { "name": "closed", "match": { "prefix": "/internal" }, "deny": {} },
        ],
        "default": "deny",
        // What tests tell of a permit they have from there.
        "filter_state": "all",
    }});
    merge(&mut config["inbound"], patch);
    config
}

/// The issuer `corp` behind the cluster `idp`, patched.
pub fn issuer(patch: Value) -> Value {
    let mut issuer = json!({
        "name": "corp", "issuer": ISSUER, "audiences": [AUDIENCE],
        "keys": { "jwks": { "uri": "https://idp.example/jwks", "cluster": "idp" } },
    });
    merge(&mut issuer, patch);
    issuer
}

/// A second issuer, `partner`, behind the cluster `partner`.
pub fn partner() -> Value {
    issuer(json!({ "name": "partner", "issuer": "https://partner.example",
        "keys": { "jwks": { "uri": "https://partner.example/jwks", "cluster": "partner" } } }))
}

/// Patches a document (RFC 7396).
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let members = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

pub fn compile(config: &Value) -> Result<Config, config::ConfigErrors> {
    config::parse(config.to_string().as_bytes(), &Variables)
}

/// `HS_KEY` holds 64 bytes, `SEAL` and `OTHER_SEAL` 32 each, `CLIENT_SECRET` and `OTHER_SECRET` what their names say,
/// `OWN_KEY` and `OTHER_KEY` private keys; nothing else is set.
pub struct Variables;

impl Environment for Variables {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "HS_KEY" => Some(Base64UrlUnpadded::encode_string(&[9; 64])),
            "SEAL" => Some(Base64UrlUnpadded::encode_string(&[1; 32])),
            "OTHER_SEAL" => Some(Base64UrlUnpadded::encode_string(&[2; 32])),
            "CLIENT_SECRET" => Some(CLIENT_SECRET.to_owned()),
            "OTHER_SECRET" => Some(OTHER_SECRET.to_owned()),
            "OWN_KEY" => Some(Signer::new("own").private_jwk()),
            "OTHER_KEY" => Some(Signer::new("other").private_jwk()),
            _ => None,
        }
    }

    fn has_vm_id(&self) -> bool {
        true
    }
}

/// The same in a VM without a `vm_id`.
struct Nameless;

impl Environment for Nameless {
    fn variable(&self, name: &str) -> Option<String> {
        Variables.variable(name)
    }
}

/// With all that a form changes.
pub const CLIENT_SECRET: &str = "hunter2+plus:colon%percent ä&=end";
pub const OTHER_SECRET: &str = "correct-horse-battery-staple";

/// What comes of asking for a signature.
#[derive(Clone, Copy, Debug, Default)]
pub enum Signing {
    /// The signature.
    #[default]
    Signs,
    /// No engine signs.
    Refuses,
    /// A signature of no bytes.
    SignsNothing,
}

/// The portable engine, counted.
#[derive(Debug, Default)]
pub struct Counting {
    checks: Cell<u32>,
    signing: Signing,
}

impl Crypto for Counting {
    fn verify(
        &self,
        algorithm: Algorithm,
        key: &Key,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        self.checks.set(self.checks.get() + 1);
        RustCrypto.verify(algorithm, key, message, signature)
    }

    fn engine(&self, algorithm: Algorithm) -> Engine {
        RustCrypto.engine(algorithm)
    }

    fn sign(
        &self,
        algorithm: Algorithm,
        key: &SigningKey,
        message: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, SigningError> {
        match self.signing {
            Signing::Signs => RustCrypto.sign(algorithm, key, message, random),
            Signing::Refuses => Err(SigningError::Host),
            Signing::SignsNothing => Ok(Vec::new()),
        }
    }
}

/// A host for a filter that shares nothing, and of which only answers and observations count.
pub struct Host {
    jitter: Jitter,
    pub observations: Vec<Observation>,
}

impl Default for Host {
    fn default() -> Self {
        Self { jitter: Jitter::new([0; 16]), observations: Vec::new() }
    }
}

impl Host {
    pub fn at(&mut self, now: Timestamp) -> Context<'_> {
        let Self { jitter, observations } = self;
        let (crypto, shared) = (&RustCrypto, &NoSharedState);
        Context { now, stopwatch: &(), crypto, random: &Drawn, shared, jitter, observations }
    }
}

/// Each event takes as long as the test says. Counts how often it is looked at.
#[derive(Default)]
pub struct Stopped {
    now: Cell<Timestamp>,
    takes: Cell<Duration>,
    looks: Cell<usize>,
}

impl Stopwatch for Stopped {
    fn since(&self, start: Timestamp) -> Option<Duration> {
        self.looks.set(self.looks.get() + 1);
        Some(self.now.get().after(self.takes.get()).since(start))
    }
}

/// Bytes that only who counts along could guess.
pub(crate) struct Drawn;

impl Random for Drawn {
    fn fill(&self, bytes: &mut [u8]) {
        static DRAWN: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        for chunk in bytes.chunks_mut(8) {
            let drawn = DRAWN.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}
