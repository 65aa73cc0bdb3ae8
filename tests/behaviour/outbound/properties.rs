//! Whatever token endpoints, upstreams, callers and the clock do in whatever order: no token goes where it is not at home or when it
//! has expired, no request is forgotten, and no endpoint is stormed.
//!
//! Three clients over two endpoints: `a` and `b` ask at `idp`, `c` on demand at `other`. Documents are sealed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use attache::base::{Headers, HttpCall, HttpReply, StreamId};
use base64ct::{Base64, Encoding as _};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::{client, keep_secrets, to, with_clients};
use crate::proxy::{Answer, Forwarded, Request, Signer, TICK, Time as _, good, status, with};
use crate::threads::{Threads, header_of, sealed};

#[derive(Clone, Debug)]
enum Step {
    /// So many ticks.
    Pass(u8),
    /// A request for this client's destination.
    Request(Index, u8),
    /// A request for this client's destination that carries a token which the other one has carried.
    Redirected(Index, u8),
    /// A request for one client's authority at another one's cluster.
    Astray(Index, u8),
    /// An upstream answers one of the requests.
    Answer(Index, u16),
    /// What both endpoints do from now on.
    Become(Mode),
    /// The oldest call that is under way is answered.
    Reply(Mode),
    /// A client goes away.
    End(Index),
    Kill(Index),
    Join,
    Reload(Index),
    SetBack(u8),
    SetForward(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Tokens that live for so many seconds.
    Good(u16),
    /// A JWT that expires within a second.
    Brief,
    Status(u16),
    LeaveAlone,
    Refused,
    Reset,
    NotSent,
    Html,
    Silent,
}

fn mode() -> impl Strategy<Value = Mode> {
    prop::sample::select(vec![
        Mode::Good(3600),
        Mode::Good(20),
        Mode::Good(2),
        Mode::Good(1),
        Mode::Brief,
        Mode::Status(503),
        Mode::Status(429),
        Mode::LeaveAlone,
        Mode::Refused,
        Mode::Reset,
        Mode::NotSent,
        Mode::Html,
        Mode::Silent,
    ])
}

fn step() -> impl Strategy<Value = Step> {
    let index = || any::<Index>();
    let client = || 0..3_u8;
    prop_oneof![
        8 => (1..30_u8).prop_map(Step::Pass),
        3 => (100..255_u8).prop_map(Step::Pass),
        12 => (index(), client()).prop_map(|(thread, client)| Step::Request(thread, client)),
        3 => (index(), client()).prop_map(|(thread, client)| Step::Redirected(thread, client)),
        2 => (index(), client()).prop_map(|(thread, client)| Step::Astray(thread, client)),
        6 => (index(), prop::sample::select(vec![200, 401, 401, 401, 503])).prop_map(|(at, code)| Step::Answer(at, code)),
        6 => mode().prop_map(Step::Become),
        3 => mode().prop_map(Step::Reply),
        2 => index().prop_map(Step::End),
        1 => index().prop_map(Step::Kill),
        2 => Just(Step::Join),
        1 => index().prop_map(Step::Reload),
        1 => (2..255_u8).prop_map(Step::SetBack),
        1 => (2..255_u8).prop_map(Step::SetForward),
    ]
}

const CLIENTS: [&str; 3] = ["a", "b", "c"];
const DEADLINE: Duration = Duration::from_secs(3);

fn settings() -> Value {
    let at_other = json!({ "obtain": "on_demand",
        "token_endpoint": { "uri": "https://other.example/token", "cluster": "other", "timeout": "2s" } });
    let clients = [client("a", json!({})), client("b", json!({})), client("c", at_other)];
    let patch = json!({ "waiting": { "deadline": "3s", "requests": 20 }, "purge_interval": "2s" });
    sealed(with_clients(&clients, patch), "SEAL")
}

/// Both endpoints, and the tokens that they have issued.
struct Server {
    mode: Mode,
    /// The time that has really passed.
    time: Duration,
    /// Whose each token is, and when it really expires.
    issued: BTreeMap<String, (String, Duration)>,
    asked: Vec<Duration>,
}

impl Server {
    fn answer(&mut self, call: &HttpCall, mode: Mode, clock: u64) -> Option<HttpReply> {
        let pair = header_of(call, "authorization").unwrap().strip_prefix("Basic ").unwrap().to_owned();
        let pair = String::from_utf8(Base64::decode_vec(&pair).unwrap()).unwrap();
        let client = pair.split_once(':').unwrap().0.to_owned();
        let number = self.issued.len();
        let mut issue = |token: String, lifetime: Duration| {
            let answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": lifetime.as_secs().max(1) });
            self.issued.insert(token, (client.clone(), self.time + lifetime));
            good(&answer.to_string())
        };
        Some(match mode {
            Mode::Good(lifetime) => {
                issue(format!("token-{number}-0123456789abcdef"), u64::from(lifetime).secs())
            }
            Mode::Brief => {
                let claims = json!({ "exp": Duration::from_nanos(clock).as_secs_f64() + 0.7, "n": number });
                issue(Signer::new("idp").sign(&claims), 700.ms())
            }
            Mode::Status(code) => status(code),
            Mode::LeaveAlone => with(status(503), &[("retry-after", "20")]),
            Mode::Refused => HttpReply::Response {
                status: 401,
                headers: Headers::default(),
                body: Ok(br#"{"error":"invalid_client"}"#.to_vec()),
            },
            Mode::Reset => HttpReply::Reset,
            Mode::NotSent => HttpReply::NotSent,
            Mode::Html => good("<html>"),
            Mode::Silent => return None,
        })
    }
}

struct Waiter {
    thread: usize,
    stream: StreamId,
    client: usize,
    since: Duration,
}

struct Run {
    threads: Threads,
    server: Rc<RefCell<Server>>,
    /// What the clock says, in nanoseconds.
    clock: Rc<RefCell<u64>>,
    waiters: Vec<Waiter>,
    /// Requests that upstreams have not answered.
    open: Vec<(usize, Forwarded)>,
    /// The last token that a request has carried.
    last: Option<String>,
    steps_of_the_clock: usize,
    set_back: Duration,
    /// How far the clock had been set back when a filter began: it believes what lies there by whichever clock.
    inherited: Duration,
    restarts: usize,
}

impl Run {
    fn new() -> Self {
        let server =
            Server { mode: Mode::Good(20), time: Duration::ZERO, issued: BTreeMap::new(), asked: Vec::new() };
        let server = Rc::new(RefCell::new(server));
        let mut threads = Threads::new(&settings(), 2);
        (0..2).for_each(|number| keep_secrets(&mut threads[number]));
        let clock = Rc::new(RefCell::new(threads.ago(Duration::ZERO)));
        for cluster in ["idp", "other"] {
            let (answering, clock) = (Rc::clone(&server), Rc::clone(&clock));
            threads.script(cluster, move |call| {
                let mut server = answering.borrow_mut();
                let (mode, time) = (server.mode, server.time);
                // What the host does not take asks no server.
                if mode != Mode::NotSent {
                    server.asked.push(time);
                }
                server.answer(call, mode, *clock.borrow())
            });
        }
        Self {
            threads,
            server,
            clock,
            waiters: Vec::new(),
            open: Vec::new(),
            last: None,
            steps_of_the_clock: 0,
            set_back: Duration::ZERO,
            inherited: Duration::ZERO,
            restarts: 2,
        }
    }

    fn time(&self) -> Duration {
        self.server.borrow().time
    }

    fn move_clock(&mut self) {
        *self.clock.borrow_mut() = self.threads.ago(Duration::ZERO);
    }

    fn pick(&self, index: Index) -> Option<usize> {
        let alive = self.threads.alive();
        (!alive.is_empty()).then(|| alive[index.index(alive.len())])
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Pass(ticks) => (0..*ticks).for_each(|_| self.pass()),
            Step::Request(thread, client) => self.request(*thread, usize::from(*client), |request| request),
            Step::Redirected(thread, client) => {
                let last = self.last.clone();
                self.request(*thread, usize::from(*client), |request| match last {
                    Some(token) => request.bearer(&token),
                    None => request,
                });
            }
            Step::Astray(thread, client) => self.astray(*thread, usize::from(*client)),
            Step::Answer(at, code) => {
                if !self.open.is_empty() {
                    let (thread, forwarded) = self.open.remove(at.index(self.open.len()));
                    self.threads[thread].upstream_answers(&forwarded, *code);
                    self.threads.deliver();
                }
            }
            Step::Become(mode) => self.server.borrow_mut().mode = *mode,
            Step::Reply(mode) => self.reply(*mode),
            Step::End(at) => {
                if !self.waiters.is_empty() {
                    let waiter = self.waiters.remove(at.index(self.waiters.len()));
                    self.threads[waiter.thread].end(waiter.stream);
                }
            }
            Step::Kill(thread) => {
                if let Some(thread) = self.pick(*thread) {
                    self.threads.kill(thread);
                    self.waiters.retain(|waiter| waiter.thread != thread);
                    self.open.retain(|(of, _)| *of != thread);
                }
            }
            Step::Join => {
                if self.threads.alive().len() < 4 {
                    let number = self.threads.join();
                    keep_secrets(&mut self.threads[number]);
                    self.begin();
                }
            }
            Step::Reload(thread) => {
                if let Some(thread) = self.pick(*thread) {
                    let number = self.threads.reload(thread, &settings());
                    keep_secrets(&mut self.threads[number]);
                    self.look(true);
                    self.open.retain(|(of, _)| *of != thread);
                    self.begin();
                }
            }
            Step::SetBack(seconds) => {
                self.threads.set_back(u64::from(*seconds).secs());
                self.set_back += u64::from(*seconds).secs();
                self.step_clock();
            }
            Step::SetForward(seconds) => {
                self.threads.pass(u64::from(*seconds).secs());
                self.step_clock();
            }
        }
        self.look(false);
    }

    fn begin(&mut self) {
        self.restarts += 1;
        self.inherited = self.set_back;
    }

    fn step_clock(&mut self) {
        self.steps_of_the_clock += 1;
        self.move_clock();
        self.threads.tick();
    }

    fn pass(&mut self) {
        self.server.borrow_mut().time += TICK;
        self.threads.pass(TICK);
        self.move_clock();
        self.threads.tick();
        self.look(true);
    }

    fn request(&mut self, thread: Index, client: usize, dress: impl FnOnce(Request) -> Request) {
        let Some(thread) = self.pick(thread) else { return };
        let answer = self.threads[thread].request(dress(to(CLIENTS[client])));
        self.threads.deliver();
        match answer {
            Answer::Waiting(stream) => {
                let since = self.time();
                self.waiters.push(Waiter { thread, stream, client, since });
            }
            answer => self.judge(thread, client, answer),
        }
    }

    fn astray(&mut self, thread: Index, client: usize) {
        let Some(thread) = self.pick(thread) else { return };
        let mut request = to(CLIENTS[client]).to(CLIENTS[(client + 1) % 3]);
        if let Some(token) = &self.last {
            request = request.bearer(token);
        }
        let forwarded = self.threads[thread].request(request).forwarded();
        // A token that only another thread has held is a stranger's here; sealed, all threads hold all of them in the end.
        let is_known = self.threads.alive().len() == 1;
        assert!(!is_known || forwarded.upstream("authorization").len() <= 1);
        assert!(forwarded.edits.iter().all(|edit| matches!(edit, attache::base::Edit::Remove(_))));
    }

    fn reply(&mut self, mode: Mode) {
        let asking = self.threads.alive().into_iter().find(|number| self.threads[*number].is_asking());
        let Some(number) = asking else { return };
        let Some(call) = self.threads[number].oldest_call() else { return };
        let clock = *self.clock.borrow();
        let reply = self.server.borrow_mut().answer(&call, mode, clock);
        if let Some(reply) = reply {
            self.threads[number].reply(reply);
            self.threads.deliver();
        }
    }

    /// What must never be done.
    fn judge(&mut self, thread: usize, client: usize, answer: Answer) {
        match answer {
            Answer::Forwarded(forwarded) => {
                let values = forwarded.upstream("authorization");
                assert_eq!(values.len(), 1, "{values:?}");
                let token = values[0].strip_prefix("Bearer ").unwrap().to_owned();
                {
                    let server = self.server.borrow();
                    let (owner, expires) = &server.issued[&token];
                    assert_eq!(owner, CLIENTS[client], "a token of another client");
                    // A clock that is set back between two ticks hides up to a tick.
                    let spared = TICK * u32::try_from(self.steps_of_the_clock).unwrap() + self.inherited;
                    assert!(
                        server.time < *expires + spared,
                        "{token} expired at {expires:?}, it is {:?}",
                        server.time
                    );
                }
                self.last = Some(token);
                self.open.push((thread, forwarded));
            }
            Answer::Refused(refused) => {
                assert!([400, 503].contains(&refused.response.status), "{}", refused.annotation);
                let is_callers = refused.annotation.contains("caller_credential");
                assert_eq!(refused.response.status == 400, is_callers);
            }
            Answer::Waiting(_) | Answer::NeedsBody(_) => {}
        }
    }

    /// Looks at those who wait. After a tick none has waited for longer than it should.
    fn look(&mut self, has_ticked: bool) {
        let now = self.time();
        for waiter in core::mem::take(&mut self.waiters) {
            match self.threads[waiter.thread].answer(waiter.stream) {
                Answer::Waiting(_) => {
                    assert!(!has_ticked || now < waiter.since + DEADLINE + TICK, "a request is forgotten");
                    self.waiters.push(waiter);
                }
                answer => self.judge(waiter.thread, waiter.client, answer),
            }
        }
    }

    /// A second costs each client a request at most, but for what starts anew.
    fn count_calls(&self) {
        let server = self.server.borrow();
        let most = 3 * (usize::try_from(server.time.as_secs()).unwrap() + 2)
            + 3 * 12 * (self.restarts + self.steps_of_the_clock);
        assert!(server.asked.len() <= most, "{} calls in {:?}", server.asked.len(), server.time);
    }

    /// All is well again: then all is well.
    fn settle(&mut self) {
        self.server.borrow_mut().mode = Mode::Good(3600);
        if self.threads.alive().is_empty() {
            self.threads.join();
            self.begin();
        }
        // `c` is needed from now on. Of a client that no request needs, a lease or pause whose thread is gone stays in shared
        // data; written before the clock was set back, it would hold requests back once more when the clock comes to its time.
        for number in self.threads.alive() {
            let _ = self.threads[number].request(to("c"));
            self.threads.deliver();
        }
        // A lost call, its lease, the longest pause, and a token that is refused for a minute.
        (0..1_000).for_each(|_| self.pass());
        for number in self.threads.alive() {
            let waits = self.threads[number].request(to("c"));
            self.threads.deliver();
            drop(waits);
        }
        (0..20).for_each(|_| self.pass());
        assert!(self.waiters.is_empty());
        for number in self.threads.alive() {
            for (client, name) in CLIENTS.iter().enumerate() {
                let answer = self.threads[number].request(to(name));
                assert_eq!(answer.tells(), "forwarded", "{name}");
                self.judge(number, client, answer);
            }
        }
        let before = self.server.borrow().asked.len();
        (0..600).for_each(|_| self.pass());
        assert!(self.server.borrow().asked.len() - before <= 3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_token_goes_astray_and_no_request_is_forgotten(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut run = Run::new();
        steps.iter().for_each(|step| run.take(step));
        run.count_calls();
        run.settle();
    }
}
