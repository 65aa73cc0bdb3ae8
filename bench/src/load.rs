//! The load: one thread, a few connections that are kept, one request at a time on each. It never sleeps while it
//! measures, so that no worker pays for waking it.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::answer::Answer;
use crate::requests::{Expectation, Requests};
use crate::upstream::Upstream;

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// After so many requests.
    Count(usize),
    /// After this time.
    Time(Duration),
}

/// What a load saw.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) answers: usize,
    pub(crate) elapsed: Duration,
    /// In nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

/// Connections to one listener.
pub(crate) struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    sent: Instant,
    /// The request on the way, and how much of it is not written yet.
    current: usize,
    unwritten: usize,
    is_waiting: bool,
}

impl Load {
    /// Opens the connections.
    pub(crate) fn connect(addr: SocketAddr) -> Result<Self> {
        let poll = Poll::new().context("the kernel gives no epoll")?;
        let connections = (0..CONNECTIONS).map(|place| {
            let stream = std::net::TcpStream::connect(addr)
                .with_context(|| format!("no process listens at {addr}"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(place), Interest::READABLE | Interest::WRITABLE)?;
            Ok(Connection {
                stream,
                received: Vec::with_capacity(MAX_ANSWER),
                sent: Instant::now(),
                current: 0,
                unwritten: 0,
                is_waiting: false,
            })
        });
        let connections = connections.collect::<Result<_>>()?;
        Ok(Self { poll, events: Events::with_capacity(CONNECTIONS), connections })
    }

    /// Sends requests in turn, from the `cursor` on, and expects of each the answer that `status` names. The cursor
    /// moves on. Between them, serves the `upstream`, where the requests go to one.
    pub(crate) fn run(
        &mut self,
        requests: &Requests,
        cursor: &mut usize,
        extent: Extent,
        status: impl Fn(Expectation) -> &'static [u16],
        mut upstream: Option<&mut Upstream>,
    ) -> Result<Observation> {
        if let Some(upstream) = &mut upstream {
            upstream.join(self.poll.registry(), CONNECTIONS)?;
        }
        let observed = self.exchange(requests, cursor, extent, status, upstream.as_deref_mut());
        if let Some(upstream) = upstream {
            upstream.leave(self.poll.registry())?;
        }
        observed
    }

    fn exchange(
        &mut self,
        requests: &Requests,
        cursor: &mut usize,
        extent: Extent,
        status: impl Fn(Expectation) -> &'static [u16],
        mut upstream: Option<&mut Upstream>,
    ) -> Result<Observation> {
        ensure!(requests.len() > 0, "a load without requests");
        let mut latency = Histogram::new_with_bounds(1_000, MAX_LATENCY, 3)?;
        let start = Instant::now();
        let may_send = |sent: usize| match extent {
            Extent::Count(count) => sent < count,
            Extent::Time(time) => start.elapsed() < time,
        };
        let (mut sent, mut answers) = (0, 0);
        for connection in &mut self.connections {
            if may_send(sent) {
                connection.send(requests, next(cursor, requests.len()))?;
                sent += 1;
            }
        }
        let mut last = start;
        while answers < sent {
            self.poll.poll(&mut self.events, Some(Duration::ZERO))?;
            if self.events.is_empty() {
                ensure!(last.elapsed() < PATIENCE, "no answer in {} s", PATIENCE.as_secs());
                continue;
            }
            for event in &self.events {
                let Token(place) = event.token();
                if let Some(upstream) = upstream.as_deref_mut().filter(|_| place >= CONNECTIONS) {
                    upstream.handle(place, self.poll.registry(), CONNECTIONS)?;
                    continue;
                }
                let connection = self.connections.get_mut(place).context("an event of no connection")?;
                connection.write(requests)?;
                let Some(found) = connection.receive()? else { continue };
                last = Instant::now();
                latency.saturating_record(duration(last - connection.sent));
                check(requests, connection.current, found, &status)?;
                answers += 1;
                if may_send(sent) {
                    connection.send(requests, next(cursor, requests.len()))?;
                    sent += 1;
                }
            }
        }
        Ok(Observation { answers, elapsed: last - start, latency })
    }

    /// As [`Load::run`] for a time, while another load sends so many of its own requests a second, as long as it has a
    /// connection free.
    pub(crate) fn run_beside(
        &mut self,
        requests: &Requests,
        time: Duration,
        other: &mut Self,
        (flood, a_second): (&Requests, u32),
        status: impl Fn(Expectation) -> &'static [u16],
    ) -> Result<Observation> {
        let mut latency = Histogram::new_with_bounds(1_000, MAX_LATENCY, 3)?;
        let (mut cursor, mut flood_cursor, mut answers, mut flooded) = (0, 0, 0, 0_u32);
        for connection in &mut self.connections {
            connection.send(requests, next(&mut cursor, requests.len()))?;
        }
        let start = Instant::now();
        let mut last = start;
        while start.elapsed() < time {
            ensure!(last.elapsed() < PATIENCE, "no answer in {} s", PATIENCE.as_secs());
            for place in self.answered()? {
                let connection = &mut self.connections[place];
                connection.write(requests)?;
                let Some(found) = connection.receive()? else { continue };
                last = Instant::now();
                latency.saturating_record(duration(last - connection.sent));
                check(requests, connection.current, found, &status)?;
                answers += 1;
                connection.send(requests, next(&mut cursor, requests.len()))?;
            }
            for place in other.answered()? {
                let connection = &mut other.connections[place];
                connection.write(flood)?;
                let Some(found) = connection.receive()? else { continue };
                check(flood, connection.current, found, &status)?;
            }
            let due = start.elapsed().as_secs_f64() * f64::from(a_second);
            let free = other.connections.iter_mut().find(|connection| !connection.is_waiting);
            if let Some(connection) = free.filter(|_| f64::from(flooded) < due) {
                connection.send(flood, next(&mut flood_cursor, flood.len()))?;
                flooded += 1;
            }
        }
        // What is still on the way ends with its connection.
        Ok(Observation { answers, elapsed: start.elapsed(), latency })
    }

    /// The connections at which something has happened.
    fn answered(&mut self) -> Result<Vec<usize>> {
        self.poll.poll(&mut self.events, Some(Duration::ZERO))?;
        Ok(self.events.iter().map(|event| event.token().0).collect())
    }
}

/// An answer is one of those that are expected.
fn check(
    requests: &Requests,
    which: usize,
    found: u16,
    status: impl Fn(Expectation) -> &'static [u16],
) -> Result<()> {
    let expected = status(requests.expectation(which));
    ensure!(expected.contains(&found), "answered {found}, not {expected:?}, to:\n{}", requests.text(which));
    Ok(())
}

impl Connection {
    fn send(&mut self, requests: &Requests, which: usize) -> Result<()> {
        self.current = which;
        self.unwritten = requests.bytes(which).len();
        self.is_waiting = true;
        self.sent = Instant::now();
        self.write(requests)
    }

    fn write(&mut self, requests: &Requests) -> Result<()> {
        while self.unwritten > 0 {
            let bytes = requests.bytes(self.current);
            match self.stream.write(&bytes[bytes.len() - self.unwritten..]) {
                Ok(count) => self.unwritten -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(error).context("Envoy closed a connection while it was sent a request");
                }
            }
        }
        Ok(())
    }

    /// Reads what is there; the status, once the answer is whole.
    fn receive(&mut self) -> Result<Option<u16>> {
        let mut buffer = [0; MAX_ANSWER];
        while self.is_waiting {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("Envoy closed a connection on which a request was waiting"),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("Envoy closed a connection"),
            }
            ensure!(self.received.len() <= MAX_ANSWER, "an answer of more than {MAX_ANSWER} bytes");
            if let Some(answer) = Answer::parse(&self.received)? {
                ensure!(answer.length == self.received.len(), "more came than one answer");
                self.received.clear();
                self.is_waiting = false;
                return Ok(Some(answer.status));
            }
        }
        Ok(None)
    }
}

/// A duration in nanoseconds.
pub(crate) fn duration(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

fn next(cursor: &mut usize, length: usize) -> usize {
    let current = *cursor % length;
    *cursor = current + 1;
    current
}

/// Enough that the worker always finds a request, few enough that waiting in line does not hide the work.
const CONNECTIONS: usize = 16;
const MAX_ANSWER: usize = 16 << 10;
/// A minute in nanoseconds.
const MAX_LATENCY: u64 = 60_000_000_000;
const PATIENCE: Duration = Duration::from_secs(20);
