//! What stands in for an API-management plane: it takes what OTLP/HTTP brings (in JSON), from whoever has an access
//! token, counts it, and has the faults that a plane may have.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use socket2::SockRef;

/// A plane that listens or is away. It keeps what it has counted.
pub(crate) struct Plane {
    address: SocketAddr,
    state: Arc<State>,
    listening: Option<Listening>,
}

/// What goes wrong with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It answers with this status, and takes nothing.
    Answer(u16),
    /// It does not answer, and takes nothing.
    Silence,
    /// It resets the connection, and takes nothing.
    Reset,
    /// It takes what came, and resets the connection in place of an answer.
    AnswerLost,
}

/// What the plane has.
#[derive(Clone, Default)]
pub(crate) struct Taken {
    /// Requests by their labels: client, API, route, method and class of the status.
    pub(crate) counts: BTreeMap<String, u64>,
    /// How many of them have a duration.
    pub(crate) durations: u64,
    /// The records, each once, by their identifiers.
    pub(crate) records: BTreeMap<String, Value>,
    /// Batches of counts that came again, and were told by their identifiers.
    pub(crate) batches_again: u64,
    /// Records that came again.
    pub(crate) records_again: u64,
    batches: BTreeSet<String>,
    /// Requests that the fault met.
    pub(crate) failed: u64,
    /// Requests without a live access token.
    pub(crate) strangers: u64,
}

struct State {
    is_live: Box<dyn Fn(&str) -> bool + Send + Sync>,
    fault: Mutex<Fault>,
    taken: Mutex<Taken>,
}

struct Listening {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Plane {
    /// `is_live` says whether an access token is one of the issuer's.
    pub(crate) fn start(is_live: impl Fn(&str) -> bool + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (fault, taken) = (Mutex::new(Fault::None), Mutex::default());
        let state = Arc::new(State { is_live: Box::new(is_live), fault, taken });
        let listening = Some(Listening::start(listener, &state));
        Ok(Self { address, state, listening })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn fault(&self, fault: Fault) {
        *lock(&self.state.fault) = fault;
    }

    /// Stops listening.
    pub(crate) fn leave(&mut self) {
        self.listening = None;
    }

    /// Listens again.
    pub(crate) fn come_back(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).context("the plane's own port")?;
        self.listening = Some(Listening::start(listener, &self.state));
        Ok(())
    }

    /// What it has so far.
    pub(crate) fn taken(&self) -> Taken {
        lock(&self.state.taken).clone()
    }

    /// Forgets what it has counted, but not which batches and records it has had.
    pub(crate) fn forget(&self) {
        let mut taken = lock(&self.state.taken);
        let (batches, strangers) = (std::mem::take(&mut taken.batches), taken.strangers);
        *taken = Taken { batches, strangers, ..Taken::default() };
    }
}

impl Listening {
    fn start(listener: TcpListener, state: &Arc<State>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, state) = (Arc::clone(&is_over), Arc::clone(state));
        let thread = std::thread::spawn(move || accept(&listener, &over, &state));
        Self { is_over, thread }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        while !self.thread.is_finished() {
            std::thread::sleep(TURN);
        }
    }
}

fn accept(listener: &TcpListener, is_over: &Arc<AtomicBool>, state: &Arc<State>) {
    listener.set_nonblocking(true).expect("a socket of this process");
    while !is_over.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(TURN);
            continue;
        };
        let (over, state) = (Arc::clone(is_over), Arc::clone(state));
        std::thread::spawn(move || {
            // A connection that ends in the middle of a request is one of the faults.
            let _ = serve(&stream, &over, &state);
        });
    }
}

/// Answers the requests of one connection, until it ends, the plane leaves, or a fault ends it.
fn serve(stream: &TcpStream, is_over: &AtomicBool, state: &State) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        stream.set_read_timeout(Some(TURN))?;
        while !is_over.load(Ordering::Relaxed) && reader.fill_buf().is_err() {}
        if is_over.load(Ordering::Relaxed) {
            return reset(stream);
        }
        stream.set_read_timeout(None)?;
        let Some(message) = Message::read(&mut reader)? else { return Ok(()) };
        let fault = *lock(&state.fault);
        if !(state.is_live)(&message.token) {
            lock(&state.taken).strangers += 1;
            answer(stream, 401)?;
            continue;
        }
        if matches!(fault, Fault::None | Fault::AnswerLost) {
            lock(&state.taken).take(&message)?;
        }
        if fault != Fault::None {
            lock(&state.taken).failed += 1;
        }
        match fault {
            Fault::None => answer(stream, 200)?,
            Fault::Answer(status) => answer(stream, status)?,
            Fault::Reset | Fault::AnswerLost => return reset(stream),
            Fault::Silence => {
                while !is_over.load(Ordering::Relaxed) && *lock(&state.fault) == fault {
                    std::thread::sleep(TURN);
                }
                return reset(stream);
            }
        }
    }
}

fn answer(mut stream: &TcpStream, status: u16) -> Result<()> {
    let head =
        format!("HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}");
    Ok(stream.write_all(head.as_bytes())?)
}

fn reset(stream: &TcpStream) -> Result<()> {
    Ok(SockRef::from(stream).set_linger(Some(Duration::ZERO))?)
}

/// A request.
struct Message {
    token: String,
    body: Value,
}

impl Message {
    /// Reads the next one; none when the connection has ended.
    fn read(reader: &mut impl BufRead) -> Result<Option<Self>> {
        let (mut length, mut token, mut line) = (0, String::new(), String::new());
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "authorization" => {
                    value.trim().strip_prefix("Bearer ").unwrap_or_default().clone_into(&mut token);
                }
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        Ok(Some(Self { token, body: serde_json::from_slice(&body).context("a body of JSON")? }))
    }
}

impl Taken {
    fn take(&mut self, message: &Message) -> Result<()> {
        for resource in list(&message.body, "resourceMetrics") {
            let batch = attribute(&resource["resource"], "batch_id");
            if !self.batches.insert(batch) {
                self.batches_again += 1;
                continue;
            }
            for metric in list(resource, "scopeMetrics").flat_map(|scope| list(scope, "metrics")) {
                for point in list(&metric["sum"], "dataPoints") {
                    let count: u64 = point["asInt"].as_str().context("a whole number")?.parse()?;
                    *self.counts.entry(labels(point)).or_default() += count;
                }
                for point in list(&metric["histogram"], "dataPoints") {
                    let count: u64 = point["count"].as_str().context("a whole number")?.parse()?;
                    self.durations += count;
                }
            }
        }
        let resources = list(&message.body, "resourceLogs");
        for record in resources.flat_map(|all| list(all, "scopeLogs")).flat_map(|all| list(all, "logRecords"))
        {
            if self.records.insert(attribute(record, "record_id"), record.clone()).is_some() {
                self.records_again += 1;
            }
        }
        Ok(())
    }

    /// How many requests were counted.
    pub(crate) fn counted(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// What a point says of its requests: `client api route method class`.
fn labels(point: &Value) -> String {
    LABELS.map(|name| attribute(point, name)).join(" ")
}

/// An attribute of a resource, a record or a point; empty if there is none.
pub(crate) fn attribute(of: &Value, name: &str) -> String {
    let found = list(of, "attributes").find(|attribute| attribute["key"] == name);
    found.and_then(|found| found["value"]["stringValue"].as_str()).unwrap_or_default().to_owned()
}

fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const LABELS: [&str; 5] = ["client", "api", "route", "method", "status_class"];
const TURN: Duration = Duration::from_millis(5);
