//! Whatever an issuer, its callers, the clock, Envoy and other modules do in whatever order: what must never happen, does not.
//!
//! The issuer's set of version `v` has the keys `v` and `v + 1`. Documents are sealed; all else in shared data is fair game.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use attache::base::{HttpCall, HttpReply, StreamId};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::proxy::{Request, START, Signer, TICK, Time as _, good, jwks, status, with};
use crate::threads::{Lease, Threads, header_of, long, scheduled, sealed};

#[derive(Clone, Debug)]
enum Step {
    /// So many ticks.
    Pass(u8),
    Request(Index, Key),
    /// The issuer replaces its older key.
    Rotate,
    /// What the issuer does from now on.
    Become(Mode),
    /// The oldest call that is under way is answered.
    Reply,
    Kill(Index),
    Join,
    Reload(Index),
    SetBack(u8),
    /// Another module writes these bytes to one of the values.
    Plant(Index, Vec<u8>),
    /// Another module writes a lease that can be read.
    Forge(u8, u8, u8),
    Clear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Good,
    Status(u16),
    Reset,
    NotSent,
    Html,
    Empty,
    Silent,
}

#[derive(Clone, Copy, Debug)]
enum Key {
    /// One that the issuer has now.
    Current(bool),
    /// One that it has withdrawn, so many versions ago.
    Withdrawn(u8),
    /// One that it will have.
    ToCome,
    /// A stranger's, under a name that it has.
    Forged,
    /// A stranger's, under a name of its own.
    Stranger,
}

fn step() -> impl Strategy<Value = Step> {
    let index = || any::<Index>();
    let mode = prop::sample::select(vec![
        Mode::Good,
        Mode::Good,
        Mode::Good,
        Mode::Status(503),
        Mode::Status(404),
        Mode::Status(304),
        Mode::Reset,
        Mode::NotSent,
        Mode::Html,
        Mode::Empty,
        Mode::Silent,
    ]);
    let key = prop_oneof![
        4 => any::<bool>().prop_map(Key::Current),
        3 => (1..4_u8).prop_map(Key::Withdrawn),
        2 => Just(Key::ToCome),
        1 => Just(Key::Forged),
        1 => Just(Key::Stranger),
    ];
    let bytes = prop::collection::vec(any::<u8>(), 0..80);
    prop_oneof![
        8 => (1..30_u8).prop_map(Step::Pass),
        2 => (100..255_u8).prop_map(Step::Pass),
        12 => (index(), key).prop_map(|(thread, key)| Step::Request(thread, key)),
        3 => Just(Step::Rotate),
        4 => mode.prop_map(Step::Become),
        2 => Just(Step::Reply),
        1 => index().prop_map(Step::Kill),
        2 => Just(Step::Join),
        1 => index().prop_map(Step::Reload),
        1 => (2..30_u8).prop_map(Step::SetBack),
        2 => (index(), bytes).prop_map(|(at, bytes)| Step::Plant(at, bytes)),
        1 => any::<(u8, u8, u8)>().prop_map(|(until, failures, pause)| Step::Forge(until, failures, pause)),
        1 => Just(Step::Clear),
    ]
}

/// The issuer, and what it has told to whom.
struct Issuer {
    version: usize,
    mode: Mode,
    /// The time that has really passed.
    time: Duration,
    /// When which version was told.
    told: Vec<(Duration, usize)>,
    /// When it was asked, and whether that went well.
    asked: Vec<(Duration, bool)>,
}

impl Issuer {
    fn document(&mut self) -> HttpReply {
        self.told.push((self.time, self.version));
        let keys = [signer(self.version), signer(self.version + 1)];
        let tag = format!("\"{}\"", self.version);
        with(good(&jwks(&[&keys[0], &keys[1]])), &[("etag", &tag), ("cache-control", "max-age=15")])
    }

    fn answer(&mut self, call: &HttpCall) -> Option<HttpReply> {
        self.asked.push((self.time, self.mode == Mode::Good));
        Some(match self.mode {
            Mode::Good => {
                let tag = format!("\"{}\"", self.version);
                let document = self.document();
                if header_of(call, "if-none-match") == Some(&tag) { status(304) } else { document }
            }
            // Wrong if nothing was asked for, or if the document is another one: an issuer that lies about it says what it had.
            Mode::Status(304) => status(if header_of(call, "if-none-match").is_some() { 503 } else { 304 }),
            Mode::Status(code) => status(code),
            Mode::Reset => HttpReply::Reset,
            Mode::NotSent => HttpReply::NotSent,
            Mode::Html => good("<html>"),
            Mode::Empty => good(r#"{"keys":[]}"#),
            Mode::Silent => return None,
        })
    }
}

/// Issued long before the clock is ever set back to.
fn token(key: &Signer, number: usize) -> String {
    long(key).claim("iat", START - 1_000_000).claim("jti", number).sign()
}

fn signer(number: usize) -> Signer {
    Signer::new(&format!("k{number}"))
}

fn settings() -> Value {
    let mut config = scheduled(json!({
        "refresh": "20s", "min_refresh": "5s", "max_staleness": "30s", "unknown_key_interval": "2s", "timeout": "2s",
    }));
    config["inbound"]["waiting"] = json!({ "deadline": "3s" });
    sealed(config, "SEAL")
}

const DEADLINE: Duration = Duration::from_secs(3);
/// `refresh` and `max_staleness`.
const LIFE: Duration = Duration::from_secs(50);
const INTERVAL: Duration = Duration::from_secs(2);
/// A document that was lost is there again after two refreshes: one may say that it has not changed.
const FORGOTTEN: Duration = Duration::from_secs(40);

struct Waiter {
    thread: usize,
    stream: StreamId,
    since: Duration,
    /// The key that signed its token, if it is one of the issuer's.
    key: Option<usize>,
    /// The issuer had the key when the request came.
    was_current: bool,
}

struct Run {
    threads: Threads,
    issuer: Rc<RefCell<Issuer>>,
    waiters: Vec<Waiter>,
    set_back: Duration,
    /// Until when documents of the clock before it was set back may turn up.
    unsettled: Duration,
    /// From when to when something else than requests may cause calls.
    disturbed: Vec<(Duration, Duration)>,
    requests: usize,
}

impl Run {
    fn new() -> Self {
        let issuer = Issuer {
            version: 10,
            mode: Mode::Good,
            time: Duration::ZERO,
            told: Vec::new(),
            asked: Vec::new(),
        };
        let issuer = Rc::new(RefCell::new(issuer));
        let mut threads = Threads::new(&settings(), 3);
        let answering = Rc::clone(&issuer);
        threads.script("idp", move |call| answering.borrow_mut().answer(call));
        Self {
            threads,
            issuer,
            waiters: Vec::new(),
            set_back: Duration::ZERO,
            unsettled: Duration::ZERO,
            disturbed: vec![(Duration::ZERO, Duration::ZERO)],
            requests: 0,
        }
    }

    fn time(&self) -> Duration {
        self.issuer.borrow().time
    }

    /// Something has happened that is felt for so long, and then as long as a lost call and its lease.
    fn disturb(&mut self, felt: Duration) {
        let now = self.time();
        self.disturbed.push((now, now + felt + 15.secs()));
    }

    fn pick(&self, index: Index) -> Option<usize> {
        let alive = self.threads.alive();
        (!alive.is_empty()).then(|| alive[index.index(alive.len())])
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Pass(ticks) => (0..*ticks).for_each(|_| self.pass()),
            Step::Request(thread, key) => {
                if let Some(thread) = self.pick(*thread) {
                    self.request(thread, *key);
                }
            }
            Step::Rotate => self.issuer.borrow_mut().version += 1,
            Step::Become(mode) => self.issuer.borrow_mut().mode = *mode,
            Step::Reply => {
                if self.threads.alive().into_iter().any(|number| self.threads[number].is_asking()) {
                    let document = self.issuer.borrow_mut().document();
                    self.threads.reply(document);
                    self.disturb(Duration::ZERO);
                }
            }
            Step::Kill(thread) => {
                if let Some(thread) = self.pick(*thread) {
                    self.threads.kill(thread);
                    self.waiters.retain(|waiter| waiter.thread != thread);
                    self.disturb(Duration::ZERO);
                }
            }
            Step::Join if self.threads.alive().len() < 5 => {
                self.threads.join();
                self.disturb(Duration::ZERO);
            }
            Step::Join => {}
            Step::Reload(thread) => {
                if let Some(thread) = self.pick(*thread) {
                    self.threads.reload(thread, &settings());
                    self.look(true);
                    self.disturb(Duration::ZERO);
                }
            }
            Step::SetBack(seconds) => {
                let by = u64::from(*seconds).secs();
                self.threads.set_back(by);
                self.set_back += by;
                self.unsettled = self.unsettled.max(self.time() + by + DEADLINE);
                self.disturb(by + FORGOTTEN);
                self.threads.tick();
            }
            Step::Plant(at, bytes) => {
                let names = self.threads.memory.names();
                if !names.is_empty() {
                    self.threads.memory.plant(&names[at.index(names.len())], bytes);
                    self.threads.call_news();
                    self.disturb(FORGOTTEN);
                }
            }
            Step::Forge(until, failures, pause) => {
                if self.threads.memory.names().iter().any(|name| name.ends_with("/lease")) {
                    let ahead = |tenths: u8| self.threads.ahead((u64::from(tenths) * 100).ms());
                    let lease = Lease {
                        holder: 1,
                        until: ahead(*until),
                        sent: ahead(0),
                        failures: u32::from(failures % 4),
                        not_before: ahead(*pause),
                        published: ahead(0),
                    };
                    self.threads.forge_lease(&lease);
                    self.disturb(26.secs() + FORGOTTEN);
                }
            }
            Step::Clear => {
                self.threads.memory.clear();
                self.disturb(FORGOTTEN);
            }
        }
        self.look(false);
    }

    fn pass(&mut self) {
        self.issuer.borrow_mut().time += TICK;
        self.threads.pass(TICK);
        self.threads.tick();
        self.look(true);
    }

    fn request(&mut self, thread: usize, key: Key) {
        // Nothing is sent at the very moment at which a request comes.
        self.issuer.borrow_mut().time += 1.ms();
        self.threads.pass(1.ms());
        let version = self.issuer.borrow().version;
        let (signer, number) = match key {
            Key::Current(newer) => (signer(version + usize::from(newer)), Some(version + usize::from(newer))),
            Key::Withdrawn(ago) => (signer(version - usize::from(ago)), Some(version - usize::from(ago))),
            Key::ToCome => (signer(version + 3), Some(version + 3)),
            Key::Forged => (Signer::unnamed("evil").named(Some(&format!("k{version}"))), None),
            Key::Stranger => (Signer::new("evil"), None),
        };
        let was_current = matches!(key, Key::Current(_));
        self.requests += 1;
        // Tokens of current keys are new ones; others come again and again, as in caches and retry loops.
        let jti = if was_current { self.requests } else { 0 };
        let answer = self.threads[thread].request(Request::get("/orders").bearer(&token(&signer, jti)));
        let waiter = |stream| Waiter { thread, stream, since: self.time(), key: number, was_current };
        match answer.tells().as_str() {
            "waiting" => {
                let waiter = waiter(answer.waiting());
                self.waiters.push(waiter);
            }
            told => self.judge(&waiter(StreamId(0)), told),
        }
    }

    /// What must never be told.
    fn judge(&self, waiter: &Waiter, told: &str) {
        let issuer = self.issuer.borrow();
        if told == "forwarded" {
            let number = waiter.key.expect("no token but the issuer's is accepted");
            let has_told = |(at, version): &(Duration, usize)| {
                (*version..=version + 1).contains(&number) && *at + LIFE + self.set_back + TICK >= issuer.time
            };
            assert!(issuer.told.iter().any(has_told), "k{number} counts no more, and is accepted");
            return;
        }
        assert!(["401", "503"].contains(&&told[..3]), "{told}");
        let is_current =
            waiter.key.is_some_and(|number| (issuer.version..=issuer.version + 1).contains(&number));
        let is_denied = told.starts_with("401") && issuer.time > self.unsettled;
        assert!(!(is_denied && waiter.was_current && is_current), "a good key is refused: {told}");
    }

    /// Looks at those who wait. After a tick none has waited for longer than it should.
    fn look(&mut self, has_ticked: bool) {
        let now = self.time();
        for waiter in core::mem::take(&mut self.waiters) {
            let told = self.threads[waiter.thread].answer(waiter.stream).tells();
            if told == "waiting" {
                assert!(!has_ticked || now < waiter.since + DEADLINE, "a request is forgotten");
                self.waiters.push(waiter);
            } else {
                self.judge(&waiter, &told);
            }
        }
    }

    /// Where no thread has come, gone or meddled for a while, the issuer is asked no more often than it should be.
    fn count_calls(&self) {
        let issuer = self.issuer.borrow();
        for pair in issuer.asked.windows(2) {
            let [(first, went_well), (second, _)] = [pair[0], pair[1]];
            let is_calm = |(from, to): &(Duration, Duration)| *from > second || *to < first;
            if went_well && self.disturbed.iter().all(is_calm) {
                assert!(second >= first + INTERVAL, "asked at {first:?} and {second:?}");
            }
        }
        let mut seconds = BTreeMap::<u64, usize>::new();
        issuer.asked.iter().for_each(|(at, _)| *seconds.entry(at.as_secs()).or_default() += 1);
        let most = seconds.values().max().copied().unwrap_or_default();
        assert!(most <= 40, "{most} calls in a second");
    }

    /// All is well again: then all is well.
    fn settle(&mut self) {
        self.issuer.borrow_mut().mode = Mode::Good;
        self.threads.join();
        self.disturb(Duration::ZERO);
        // A lost call, its lease, the longest forged pause, the longest backoff, and a refresh.
        (0..1_000).for_each(|_| self.pass());
        assert!(self.waiters.is_empty());
        let version = self.issuer.borrow().version;
        for number in [version, version + 1] {
            self.threads.all_tell(&token(&signer(number), 0), "forwarded");
        }
        for number in 0..version {
            let told = self.threads.get("/orders", &token(&signer(number), 0));
            assert!(!told.contains(&"forwarded".to_owned()), "k{number} was withdrawn: {told:?}");
        }
        let before = self.threads.calls("idp");
        (0..200).for_each(|_| self.pass());
        // Fifteen seconds, ahead of their end; and once more for the tokens just sent.
        assert!(self.threads.calls("idp") - before <= 3, "{:?}", self.threads.pauses());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_key_is_believed_that_should_not_be_and_no_request_is_forgotten(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut run = Run::new();
        steps.iter().for_each(|step| run.take(step));
        run.count_calls();
        run.settle();
        run.count_calls();
    }
}
