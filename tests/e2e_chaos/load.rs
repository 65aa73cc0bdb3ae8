//! Requests all the time, on many connections, and a record of each. A lane is a number of connections that send the same
//! requests in turn; what a lane sends, and how fast, can be changed while it runs.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use attache_harness::wait::wait_for;

use crate::connection::Connection;
use crate::judge::{Kind, Record};

/// A running load. Ends when dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// A request to send again and again.
#[derive(Clone)]
pub(crate) struct Shot {
    kind: Kind,
    bytes: Arc<[u8]>,
}

struct Shared {
    addr: SocketAddr,
    epoch: Instant,
    stop: AtomicBool,
    /// No server listens before Envoy is up.
    is_up: AtomicBool,
    lanes: Vec<Lane>,
}

struct Lane {
    /// What it sends, and how often that was changed.
    aim: RwLock<(u64, Arc<[Shot]>)>,
    /// How long each connection takes for a request at least, in microseconds; 0: as long as the answer takes.
    pace: AtomicU64,
    callers: Vec<Caller>,
}

#[derive(Default)]
struct Caller {
    /// The aim of its request on the way; of its next one at the earliest.
    aim: AtomicU64,
    records: Mutex<Vec<Record>>,
}

impl Shot {
    pub(crate) fn new(kind: Kind, path: &str, token: Option<&str>) -> Self {
        let authorization =
            token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let text = format!("GET {path} HTTP/1.1\r\nhost: orders.example\r\n{authorization}\r\n");
        Self { kind, bytes: text.into_bytes().into() }
    }
}

impl Load {
    /// Starts lanes, each of so many connections with these requests. Envoy may come later.
    pub(crate) fn start(addr: SocketAddr, lanes: Vec<(usize, Vec<Shot>)>) -> Self {
        let lanes = lanes.into_iter().map(|(connections, shots)| Lane {
            aim: RwLock::new((0, shots.into())),
            pace: AtomicU64::new(0),
            callers: (0..connections).map(|_| Caller::default()).collect(),
        });
        let shared = Arc::new(Shared {
            addr,
            epoch: Instant::now(),
            stop: AtomicBool::new(false),
            is_up: AtomicBool::new(false),
            lanes: lanes.collect(),
        });
        let callers = shared.lanes.iter().enumerate();
        let callers = callers.flat_map(|(lane, of)| (0..of.callers.len()).map(move |caller| (lane, caller)));
        let threads = callers.map(|(lane, caller)| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.call(lane, caller))
        });
        let threads = threads.collect();
        Self { shared, threads }
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.shared.epoch.elapsed()
    }

    /// Waits until it is so late.
    pub(crate) fn until(&self, time: Duration) {
        let limit = time.saturating_sub(self.now()) + PATIENCE;
        let waited = wait_for("a time", limit, || Ok((self.now() >= time).then_some(())));
        waited.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// From now on the lane sends so many requests a second at most, on all its connections together.
    pub(crate) fn pace(&self, lane: usize, a_second: usize) {
        let lane = &self.shared.lanes[lane];
        let micros = lane.callers.len() * 1_000_000 / a_second;
        lane.pace.store(micros as u64, Ordering::SeqCst);
    }

    /// Changes what a lane sends; nothing at all, if there is nothing.
    pub(crate) fn aim(&self, lane: usize, shots: Vec<Shot>) {
        let mut aim = self.shared.lanes[lane].aim.write().unwrap();
        *aim = (aim.0 + 1, shots.into());
    }

    /// Waits until none of a lane's requests from before the last change is on its way.
    pub(crate) fn settle(&self, lane: usize) {
        let lane = &self.shared.lanes[lane];
        let current = lane.aim.read().unwrap().0;
        let is_settled = || lane.callers.iter().all(|caller| caller.aim.load(Ordering::SeqCst) >= current);
        wait_for("earlier requests' answers", PATIENCE, || Ok(is_settled().then_some(())))
            .unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Waits until the last answer on each of a lane's connections is such.
    pub(crate) fn every_last(&self, lane: usize, what: &str, is: impl Fn(&Record) -> bool) {
        let callers = &self.shared.lanes[lane].callers;
        let all = || callers.iter().all(|caller| caller.records.lock().unwrap().last().is_some_and(&is));
        wait_for(what, PATIENCE, || Ok(all().then_some(()))).unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Ends it and returns all that was sent, in order.
    pub(crate) fn finish(mut self) -> Vec<Record> {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().expect("a caller that does not panic");
        }
        let callers = self.shared.lanes.iter().flat_map(|lane| &lane.callers);
        let mut records: Vec<Record> =
            callers.flat_map(|caller| std::mem::take(&mut *caller.records.lock().unwrap())).collect();
        records.sort_by_key(|record| record.sent);
        records
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            // A scenario that failed has said so already.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn call(&self, lane: usize, caller: usize) {
        let lane = &self.lanes[lane];
        let mut connection: Option<Connection> = None;
        // Each caller begins elsewhere, so that they do not go in step.
        for turn in caller * 7.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let shot = {
                let aim = lane.aim.read().unwrap();
                lane.callers[caller].aim.store(aim.0, Ordering::SeqCst);
                (!aim.1.is_empty()).then(|| aim.1[turn % aim.1.len()].clone())
            };
            let Some(shot) = shot else {
                std::thread::sleep(IDLE);
                continue;
            };
            let mut open = match connection.take().filter(Connection::is_fresh) {
                Some(open) => Some(open),
                None => self.connect(),
            };
            let sent = self.epoch.elapsed();
            let answer = open.as_mut().and_then(|open| open.exchange(&shot.bytes).ok());
            let record = Record { kind: shot.kind, sent, received: self.epoch.elapsed(), answer };
            if self.is_up.load(Ordering::SeqCst) {
                lane.callers[caller].records.lock().unwrap().push(record);
            }
            // What is left of an answer that did not come whole is no beginning of another.
            connection = open.filter(|_| answer.is_some());
            let pace = Duration::from_micros(lane.pace.load(Ordering::SeqCst));
            std::thread::sleep(pace.saturating_sub(self.epoch.elapsed() - sent));
        }
    }

    fn connect(&self) -> Option<Connection> {
        let limit = if self.is_up.load(Ordering::SeqCst) { Duration::ZERO } else { PATIENCE };
        let open = wait_for("a listener", limit, || {
            let open = Connection::open(self.addr).ok();
            Ok(open.map(Some).or_else(|| self.stop.load(Ordering::SeqCst).then_some(None)))
        });
        let open = open.ok().flatten();
        if open.is_some() {
            self.is_up.store(true, Ordering::SeqCst);
        }
        open
    }
}

/// How often a lane that sends nothing looks whether it has something to send.
const IDLE: Duration = Duration::from_millis(1);
/// A slow machine, busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
