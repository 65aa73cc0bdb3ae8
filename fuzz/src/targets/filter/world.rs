//! The world: threads, servers, callers and the clock; takes events, and carries out commands as a host does.

use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use attache::base::{
    CallId, Command, Edit, Headers, HttpCall, HttpReply, Jitter, Observation, Outcome, RequestHead, Response,
    StreamId, Timestamp, encode_pairs,
};
use attache::config::Config;
use attache::filter::Filter;
use attache::sharing::Context;

use super::document::{EXCHANGED_HEADER, MAX_WAITING_INBOUND, MAX_WAITING_OUTBOUND, Shape, Sharing};
use super::event::{Event, Fault, RequestEvent};
use super::oracle::{Asked, Metadata, SUBJECT_HEADER};
use super::servers::{IssuedToken, Servers, TOKEN_WORD};
use super::tokens::Tokens;
use crate::engine::Hashing;
use crate::environment::SECRET_WORD;
use crate::process::{Memory, Thread};
use crate::random::Drawn;
use crate::signer::START;

pub(super) struct World {
    pub(super) shape: Shape,
    pub(super) tokens: Rc<Tokens>,
    pub(super) servers: Servers,
    pub(super) now: Timestamp,
    /// Time since the beginning, on a clock that is never set.
    pub(super) elapsed: Duration,
    pub(super) clock_was_set: bool,
    config: Rc<Config>,
    memory: Rc<Memory>,
    workers: Vec<Worker>,
    random: Drawn,
    streams: u32,
}

/// A thread with its filter.
struct Worker {
    filter: Filter,
    process: Thread,
    jitter: Jitter,
    waiting: BTreeMap<u32, Asked>,
    /// With the time at which each is given up.
    calls: Vec<(CallId, HttpCall, Duration)>,
    /// Requests that were forwarded and may still be answered.
    forwarded: Vec<u32>,
    last_replied: Option<CallId>,
    /// On the clock that is never set.
    last_tick: Duration,
    /// Our own tokens as requests carried them, with how many had been issued then.
    sent: Vec<Sent>,
}

#[derive(Clone)]
struct Sent {
    header: &'static str,
    value: Vec<u8>,
    issued: u32,
}

impl World {
    pub(super) fn new(shape: Shape, version: u8) -> Self {
        let memory: Rc<Memory> = Rc::default();
        let config = shape.config();
        let now = Timestamp::from_secs(START);
        let random = Drawn::new();
        let workers = (1..).take(shape.threads).map(|number| {
            let process = Thread { memory: Rc::clone(&memory), number };
            let seed = [number as u8; 16];
            let mut jitter = Jitter::new(seed);
            let mut context = Context {
                now,
                stopwatch: &(),
                crypto: &Hashing,
                random: &random,
                shared: &process,
                jitter: &mut jitter,
                observations: &mut Vec::new(),
            };
            Worker {
                filter: Filter::new(&config, seed, &mut context),
                process,
                jitter,
                waiting: BTreeMap::new(),
                calls: Vec::new(),
                forwarded: Vec::new(),
                last_replied: None,
                last_tick: Duration::ZERO,
                sent: Vec::new(),
            }
        });
        let workers = workers.collect();
        Self {
            shape,
            tokens: TOKENS.with(Rc::clone),
            servers: Servers::new(version),
            now,
            elapsed: Duration::ZERO,
            clock_was_set: false,
            workers,
            config,
            memory,
            random,
            streams: 0,
        }
    }

    /// All calls are answered well, until there are no more.
    pub(super) fn warm_up(&mut self) {
        for _ in 0..3 {
            self.take(&Event::Ticks(0));
            for thread in 0..self.workers.len() {
                while !self.workers[thread].calls.is_empty() {
                    self.reply(thread, 0, Fault::NONE);
                }
            }
        }
    }

    pub(super) fn take(&mut self, event: &Event<'_>) {
        let thread = |number: &u8| usize::from(*number) % self.workers.len();
        match event {
            Event::Request(request) => self.request(thread(&request.thread), request),
            Event::Reply { thread: number, which, fault } => self.reply(thread(number), *which, *fault),
            Event::Ticks(count) => (0..=*count).for_each(|_| self.tick_all()),
            Event::Jump(length) => {
                let unit = [1, 37, 1000, 60_000][usize::from(length & 3)];
                self.go_on(Duration::from_millis(u64::from(*length) * unit));
            }
            Event::Back(length) => self.set_clock_back(Duration::from_secs(2 + u64::from(*length) * 3)),
            Event::Wake { thread: number } => self.wake(thread(number)),
            Event::End { thread: number, which } => self.end_stream(thread(number), *which),
            Event::Answer { thread: number, which, is_good } => {
                let thread = thread(number);
                let forwarded = &self.workers[thread].forwarded;
                if let Some(at) = usize::from(*which).checked_rem(forwarded.len()) {
                    let (stream, status) = (StreamId(forwarded[at]), if *is_good { 200 } else { 401 });
                    let _ = self.workers[thread].filter.carries_token(stream);
                    self.with(thread, |filter, context, _| {
                        filter.handle_response(stream, status, context);
                    });
                }
            }
            Event::Reload { thread: number } => self.reload(thread(number)),
            Event::Plant { .. } | Event::Copy { .. } | Event::Damage { .. } => self.meddle(event),
            Event::Version(version) => self.servers.version = *version,
            Event::Late { thread: number, which } => {
                let thread = thread(number);
                let unknown = CallId(u32::from(*which) + 1000);
                let id = self.workers[thread].last_replied.filter(|_| which & 1 == 0).unwrap_or(unknown);
                let body = Ok(br#"{"keys":[]}"#.to_vec());
                let reply = HttpReply::Response { status: 200, headers: Headers::default(), body };
                self.with(thread, |filter, context, commands| {
                    filter.handle_reply(id, reply, context, commands)
                });
            }
        }
        self.check_bounds();
    }

    /// Both deadlines pass: no request is left, neither before nor after each filter's end.
    pub(super) fn end(&mut self) {
        (0..22).for_each(|_| self.take(&Event::Ticks(0)));
        for thread in 0..self.workers.len() {
            assert_eq!(self.workers[thread].filter.waiting(), 0, "a request is left");
            self.reload(thread);
        }
        self.check_bounds();
    }

    fn request(&mut self, thread: usize, event: &RequestEvent<'_>) {
        self.streams += 1;
        let stream = self.streams;
        let (authority, cluster) = destination(event.destination, event.second_token);
        let is_tls = event.second_token & 31 != 31;
        let (metadata, pairs) = metadata(event);
        let mut fields = Fields::new(event, &self.tokens);
        match event.extra {
            1 => fields.add(SUBJECT_HEADER, b"s1"),
            2 => fields.add("x-odd", event.free),
            3 => fields.add("cookie", event.free),
            REPLAYS.. => self.replay(thread, event, &mut fields),
            _ => {}
        }
        fields.add(":method", METHODS[usize::from(event.method)].as_bytes());
        fields.add(":authority", authority.as_bytes());
        let head = RequestHead {
            headers: fields.all.iter().map(|(name, value)| (name, value)).collect(),
            route_metadata: pairs,
            cluster: (!cluster.is_empty()).then(|| cluster.as_bytes().to_vec()),
            cluster_tls: is_tls.then(|| b"asserted".to_vec()),
            ..RequestHead::default()
        };
        let asked = Asked {
            head: head.clone(),
            tokens: fields.tokens,
            authority,
            cluster,
            is_tls,
            metadata,
            earliest: self.now.secs(),
            latest: self.now.secs(),
            keys_as_of: self.workers[thread].last_tick,
            since: self.elapsed,
            second_deadline: None,
        };
        let outcome =
            self.with(thread, |filter, context, _| filter.handle_request(StreamId(stream), head, context));
        match outcome {
            Some(Outcome::Forward { edits, annotation, .. }) => {
                self.forward(thread, stream, asked, &edits, annotation.as_deref());
            }
            Some(Outcome::Respond { response, annotation, .. }) => self.refuse(&response, &annotation),
            Some(Outcome::AwaitBody { .. }) => panic!("no route asks for messages"),
            None => drop(self.workers[thread].waiting.insert(stream, asked)),
        }
    }

    /// A token of ours comes back, to another destination perhaps: a redirect brings it, or an upstream that we sent it to. The thread
    /// knows its last few of each client.
    fn replay(&self, thread: usize, event: &RequestEvent<'_>, fields: &mut Fields) {
        let issued = self.servers.issued();
        let is_known = |sent: &&Sent| issued - sent.issued < KNOWN_FOR;
        let sent: Vec<&Sent> = self.workers[thread].sent.iter().filter(is_known).collect();
        let Some(at) = usize::from(event.extra).checked_rem(sent.len()).filter(|_| !self.clock_was_set)
        else {
            return;
        };
        fields.all.retain(|(name, _)| name != sent[at].header);
        fields.add(sent[at].header, &sent[at].value);
    }

    fn forward(
        &mut self,
        thread: usize,
        stream: u32,
        asked: Asked,
        edits: &[Edit],
        annotation: Option<&str>,
    ) {
        self.check_secrecy(annotation.unwrap_or_default());
        let (earliest, latest) = (asked.earliest.min(self.now.secs()), asked.latest.max(self.now.secs()));
        self.check_forward(&Asked { earliest, latest, ..asked }, edits);
        let issued = self.servers.issued();
        let worker = &mut self.workers[thread];
        for edit in edits {
            let Edit::Set(name, value) = edit else { continue };
            if IssuedToken::find(value.as_bytes()).is_some() {
                let header = if &**name == EXCHANGED_HEADER { EXCHANGED_HEADER } else { "authorization" };
                worker.sent.push(Sent { header, value: value.as_bytes().to_vec(), issued });
            }
        }
        worker.forwarded.push(stream);
        if worker.forwarded.len() > 32 {
            worker.forwarded.remove(0);
        }
        if worker.sent.len() > 8 {
            worker.sent.remove(0);
        }
    }

    fn refuse(&self, response: &Response, annotation: &str) {
        assert!(response.status >= 400, "{response:?}");
        self.check_secrecy(annotation);
        assert!(![TOKEN_WORD, SECRET_WORD].iter().any(|word| response.body.contains(word)));
        response.headers.iter().for_each(|(_, value)| self.check_secrecy(value));
    }

    /// One line, without a secret, a token of ours or a caller's.
    fn check_secrecy(&self, text: &str) {
        assert!(
            ![TOKEN_WORD, SECRET_WORD].iter().any(|word| text.contains(word)),
            "a secret is told: {text}"
        );
        assert!(!text.contains(['\n', '\r']), "two lines: {text:?}");
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if text.split(|c: char| !u8::try_from(c).is_ok_and(is_part)).all(|word| word.len() < TOLD_BYTES) {
            return;
        }
        for token in self.tokens.all.iter().filter(|token| token.text.len() > TOLD_BYTES) {
            let end = &token.text[token.text.len() - TOLD_BYTES..];
            assert!(!text.contains(end), "a caller's token is told: {text}");
        }
    }

    fn reply(&mut self, thread: usize, which: u8, fault: Fault<'_>) {
        let calls = &mut self.workers[thread].calls;
        let Some(at) = usize::from(which).checked_rem(calls.len()) else { return };
        let (id, call, _) = calls.remove(at);
        let answer = self.servers.answer(&call, &self.tokens, self.now);
        let mut body = answer.body;
        let (at, free) = (usize::from(fault.at).min(body.len()), fault.free);
        let mut status = 200;
        match fault.kind {
            5 => drop(body.splice(at..(at + free.len()).min(body.len()), free.iter().copied())),
            6 => drop(body.splice(at..at, free.iter().copied())),
            7 => body.truncate(at),
            8 => body = free.to_vec(),
            9 => status = [304, 400, 401, 403, 404, 429, 500, 503][usize::from(fault.at & 7)],
            10 => {
                status = [400, 401, 403, 304][usize::from(fault.at & 3)];
                body = br#"{"error":"invalid_grant"}"#.to_vec();
            }
            _ => {}
        }
        if let Some(token) = answer.token.filter(|_| (5..=8).contains(&fault.kind)) {
            self.servers.forget_expiry(token);
        }
        match status {
            304 => self.servers.serve_again(self.elapsed),
            _ if fault.kind < 10 => self.servers.serve(answer.keys, self.elapsed),
            _ => {}
        }
        let headers: &[(&str, &[u8])] = match fault.headers {
            1 => &[("cache-control", b"max-age=5")],
            2 => &[("retry-after", b"3")],
            3 => &[("etag", b"\"x\"")],
            4 => &[("cache-control", free), ("age", free)],
            5 => &[("retry-after", free), ("etag", free)],
            6 => &[("cache-control", b"no-store")],
            _ => &[],
        };
        let headers: Headers = headers.iter().copied().collect();
        let reply = match fault.kind {
            11 => HttpReply::Reset,
            12 => HttpReply::NotSent,
            13 => HttpReply::Response { status: 200, headers, body: Err(10_000_000) },
            14 => HttpReply::Response { status: 0, headers, body: Ok(Vec::new()) },
            _ => HttpReply::Response { status, headers, body: Ok(body) },
        };
        self.workers[thread].last_replied = Some(id);
        self.with(thread, |filter, context, commands| filter.handle_reply(id, reply, context, commands));
    }

    fn tick_all(&mut self) {
        self.go_on(Duration::from_millis(100));
        for thread in 0..self.workers.len() {
            self.tick(thread);
            self.check_bounds();
        }
        (0..self.workers.len()).for_each(|thread| self.wake(thread));
    }

    fn tick(&mut self, thread: usize) {
        let elapsed = self.elapsed;
        let overdue = |(_, _, end): &(CallId, HttpCall, Duration)| *end <= elapsed;
        while let Some(at) = self.workers[thread].calls.iter().position(overdue) {
            let (id, ..) = self.workers[thread].calls.remove(at);
            let reply =
                HttpReply::Response { status: 504, headers: Headers::default(), body: Ok(Vec::new()) };
            self.with(thread, |filter, context, commands| filter.handle_reply(id, reply, context, commands));
        }
        self.workers[thread].last_tick = elapsed;
        self.with(thread, Filter::handle_tick);
        self.note_time();
        // A request waits for keys, then for a token, each for a deadline at most.
        for (stream, asked) in &mut self.workers[thread].waiting {
            match asked.second_deadline {
                None if elapsed >= asked.since + DEADLINE => asked.second_deadline = Some(elapsed + DEADLINE),
                Some(end) => assert!(elapsed < end, "request {stream} is forgotten"),
                None => {}
            }
        }
    }

    fn wake(&mut self, thread: usize) {
        for _ in 0..64 {
            let number = self.workers[thread].process.number;
            let Some(queue) = self.memory.message_for(number) else { return };
            self.with(thread, |filter, context, commands| filter.handle_wake(queue, context, commands));
        }
        panic!("a thread wakes itself without end");
    }

    fn go_on(&mut self, by: Duration) {
        self.now = self.now.after(by);
        self.elapsed += by;
        self.note_time();
    }

    fn set_clock_back(&mut self, by: Duration) {
        (0..self.workers.len()).for_each(|thread| self.tick(thread));
        self.now = self.now.before(by);
        self.clock_was_set = true;
        self.elapsed += Duration::from_millis(300);
        (0..self.workers.len()).for_each(|thread| self.tick(thread));
    }

    /// What waits may be decided about now.
    fn note_time(&mut self) {
        let now = self.now.secs();
        for asked in self.workers.iter_mut().flat_map(|worker| worker.waiting.values_mut()) {
            asked.earliest = asked.earliest.min(now);
            asked.latest = asked.latest.max(now);
        }
    }

    fn end_stream(&mut self, thread: usize, which: u8) {
        let worker = &mut self.workers[thread];
        let streams: Vec<u32> = worker.waiting.keys().chain(&worker.forwarded).copied().collect();
        let Some(at) = usize::from(which).checked_rem(streams.len()) else { return };
        let stream = streams[at];
        worker.waiting.remove(&stream);
        worker.forwarded.retain(|other| *other != stream);
        worker.filter.handle_stream_end(StreamId(stream));
    }

    fn reload(&mut self, thread: usize) {
        self.with(thread, Filter::handle_shutdown);
        let seed = [(thread as u8 + 1).wrapping_add(self.streams as u8).wrapping_mul(2); 16];
        let worker = &mut self.workers[thread];
        assert!(worker.waiting.is_empty(), "a request is left");
        worker.jitter = Jitter::new(seed);
        let mut context = Context {
            now: self.now,
            stopwatch: &(),
            crypto: &Hashing,
            random: &self.random,
            shared: &worker.process,
            jitter: &mut worker.jitter,
            observations: &mut Vec::new(),
        };
        worker.filter = Filter::new(&self.config, seed, &mut context);
        worker.last_tick = self.elapsed;
        worker.calls.clear();
        worker.forwarded.clear();
        worker.sent.clear();
    }

    fn meddle(&mut self, event: &Event<'_>) {
        if !self.shape.sharing.stands_planting() {
            return;
        }
        match *event {
            Event::Plant { which, value } => {
                if let Some(name) = self.memory.name(which) {
                    self.memory.plant(&name, value);
                }
            }
            Event::Copy { from, to } => {
                if let (Some(from), Some(to)) = (self.memory.name(from), self.memory.name(to)) {
                    self.memory.plant(&to, &self.memory.value(&from));
                }
            }
            Event::Damage { which, how } => {
                let Some(name) = self.memory.name(which) else { return };
                let mut value = self.memory.value(&name);
                let at = usize::from(how) % value.len().max(1);
                match how {
                    0 => return self.memory.remove(&name),
                    _ if how & 1 == 0 => value.truncate(at),
                    _ => value
                        .iter_mut()
                        .skip(at)
                        .take(1)
                        .for_each(|byte| *byte = byte.wrapping_add(1 << (how & 7))),
                }
                self.memory.plant(&name, &value);
            }
            _ => {}
        }
    }

    fn with<T>(
        &mut self,
        thread: usize,
        act: impl FnOnce(&mut Filter, &mut Context<'_>, &mut Vec<Command>) -> T,
    ) -> T {
        let (mut observations, mut commands) = (Vec::new(), Vec::new());
        let Worker { filter, process, jitter, .. } = &mut self.workers[thread];
        let mut context = Context {
            now: self.now,
            stopwatch: &(),
            crypto: &Hashing,
            random: &self.random,
            shared: process,
            jitter,
            observations: &mut observations,
        };
        let result = act(filter, &mut context, &mut commands);
        for observation in observations {
            match observation {
                Observation::Log { line, .. } => self.check_secrecy(&line),
                Observation::Count { .. }
                | Observation::Gauge { .. }
                | Observation::Adjust { .. }
                | Observation::Sample { .. } => {}
            }
        }
        self.perform(thread, commands);
        result
    }

    fn perform(&mut self, thread: usize, commands: Vec<Command>) {
        let mut made = 0;
        for command in commands {
            match command {
                Command::Call { id, call } => {
                    made += 1;
                    assert!(!call.timeout.is_zero(), "a call without end");
                    let end = self.elapsed + call.timeout;
                    let calls = &mut self.workers[thread].calls;
                    assert!(calls.iter().all(|(other, ..)| *other != id), "one number for two calls");
                    calls.push((id, call, end));
                    assert!(calls.len() <= 64, "calls without bound");
                }
                Command::Reset { stream, annotation, .. } => {
                    self.check_secrecy(&annotation);
                    let worker = &mut self.workers[thread];
                    worker.waiting.remove(&stream.0);
                    worker.forwarded.retain(|other| *other != stream.0);
                    worker.filter.handle_stream_end(stream);
                }
                Command::Resume { stream, outcome } => {
                    let asked = self.workers[thread].waiting.remove(&stream.0).expect("it waits");
                    match outcome {
                        Outcome::Forward { edits, annotation, .. } => {
                            self.forward(thread, stream.0, asked, &edits, annotation.as_deref());
                        }
                        Outcome::Respond { response, annotation, .. } => self.refuse(&response, &annotation),
                        Outcome::AwaitBody { .. } => panic!("no route asks for messages"),
                    }
                }
            }
        }
        assert!(made <= 32, "{made} calls at once");
    }

    fn check_bounds(&self) {
        for worker in &self.workers {
            assert_eq!(worker.filter.waiting(), worker.waiting.len(), "which requests wait");
            assert!(
                worker.waiting.len() <= 2 * MAX_WAITING_INBOUND + MAX_WAITING_OUTBOUND,
                "more wait than may"
            );
        }
        let (values, queues) = self.memory.size();
        assert!(values <= 64 && queues <= 80, "shared data grows: {values} values, {queues} queues");
        assert!(
            self.shape.sharing != Sharing::None || values + queues == 0,
            "shared although nothing is to be"
        );
    }
}

/// A request's headers as they grow, and the callers' tokens in them.
struct Fields {
    all: Vec<(String, Vec<u8>)>,
    tokens: Vec<usize>,
}

impl Fields {
    fn new(event: &RequestEvent<'_>, tokens: &Tokens) -> Self {
        let usual = ["/orders", "/admin", "/any", "/partner", "/orders", "/any", "/healthz", "/trial"];
        let is_usual = event.path < 192;
        let paths = if is_usual { &usual[..] } else { PATHS };
        // What comes back of ours is sent where no caller has to show a token.
        let path =
            if event.extra >= REPLAYS { "/healthz" } else { paths[usize::from(event.path) % paths.len()] };
        let mut path = path.as_bytes().to_vec();
        let mut cookie = Vec::new();
        let mut fields = Self { all: Vec::new(), tokens: Vec::new() };
        let second_place = if event.second_token > 240 { event.place >> 3 } else { NOWHERE };
        for (token, place) in [(event.token, event.place), (event.second_token, second_place)] {
            let usual = [0, 1, 5, 8];
            let index = usize::from(token);
            let index = if token < 100 { usual[index & 3] } else { index % tokens.all.len() };
            let text = tokens.all[index].text.as_bytes();
            match place & 7 {
                0..=3 => fields.add("authorization", &[b"Bearer ", text].concat()),
                4 => fields.add("x-token", text),
                5 => {
                    path.push(if path.contains(&b'?') { b'&' } else { b'?' });
                    path.extend([b"access_token=", text].concat());
                }
                6 => cookie.extend([b"token=", text, b"; "].concat()),
                _ => continue,
            }
            fields.tokens.push(index);
        }
        if !cookie.is_empty() {
            fields.add("cookie", &cookie);
        }
        fields.add(":path", &path);
        fields
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        self.all.push((name.to_owned(), value.to_vec()));
    }
}

fn destination(chosen: u8, other: u8) -> (&'static str, &'static str) {
    match chosen {
        0..=7 => ("api.example", ""),
        8..=17 => ("a.internal", "ca"),
        18..=27 => ("b.internal", "cb"),
        28..=47 => ("c.internal", "cc"),
        48 | 49 => ("A.internal:80", "ca"),
        50 => ("c.internal.", "cc"),
        51 => ("x.a.internal", "ca"),
        52 => ("b.internal:x", "cb"),
        chosen => (AUTHORITIES[usize::from(chosen) % 8], CLUSTERS[usize::from(chosen ^ other) % 8]),
    }
}

fn metadata(event: &RequestEvent<'_>) -> (Metadata, Option<Vec<u8>>) {
    let pairs = |pairs: &[(&str, &str)]| Some(encode_pairs(pairs.iter().copied()));
    match event.extra {
        4 => (Metadata::AdminOfCorp, pairs(&[("scopes", "orders:admin"), ("issuers", "corp")])),
        5 => (Metadata::Partner, pairs(&[("any_scope", "orders:read"), ("issuers", "partner")])),
        6 => (Metadata::Nothing, pairs(&[("client", "a")])),
        7 => (Metadata::Nothing, pairs(&[("client", "c")])),
        8 => (Metadata::Unknown, Some(event.free.to_vec())),
        _ => (Metadata::Nothing, None),
    }
}

thread_local! {
    static TOKENS: Rc<Tokens> = Rc::new(Tokens::new());
}

const DEADLINE: Duration = Duration::from_secs(1);
/// The fewest tokens of ours that a thread is sure to know again, of whichever client.
const KNOWN_FOR: u32 = 12;
/// From here on, a request's extra is a token of ours.
const REPLAYS: u8 = 32;
const NOWHERE: u8 = 7;
/// So much of a token in a row is no coincidence.
const TOLD_BYTES: usize = 40;
const METHODS: [&str; 4] = ["GET", "POST", "OPTIONS", "HEAD"];
const PATHS: &[&str] = &[
    "/orders",
    "/admin",
    "/any",
    "/partner",
    "/healthz",
    "/internal",
    "/trial",
    "/trial/x",
    "/orders/",
    "//orders",
    "/%6frders",
    "/orders;x",
    "/internal/../orders",
    "/ADMIN",
    "/orders%2f",
    "/healthz/..%2forders",
    "/%68ealthz",
    "/admi%6e",
    "/",
    "*",
];
const AUTHORITIES: [&str; 8] = [
    "api.example",
    "a.internal",
    "b.internal",
    "c.internal",
    "A.internal:80",
    "c.internal.",
    "x.a.internal",
    "b.internal:x",
];
const CLUSTERS: [&str; 8] = ["", "ca", "cb", "cc", "idp", "sts", "tok", "other"];
