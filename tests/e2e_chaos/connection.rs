//! One connection over HTTP/1.1 that is kept from request to request. Repeats nothing: an answer that does not come is what
//! these tests look for.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    answered: u32,
    is_closing: bool,
}

/// What counts of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) has_retry_after: bool,
}

impl Connection {
    pub(crate) fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: Vec::new(), answered: 0, is_closing: false })
    }

    /// Whether another request may go over it: now and then the next one gets a connection, and with it perhaps a worker, anew.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.is_closing && self.answered < MAX_REQUESTS
    }

    /// Sends a request and reads the whole answer.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request)?;
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some((answer, length, is_last)) = parse(&self.received)? {
                self.received.drain(..length);
                self.answered += 1;
                self.is_closing = is_last;
                return Ok(answer);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.received.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

/// The answer, how long it is and whether it is the connection's last; none until it is whole.
fn parse(bytes: &[u8]) -> Result<Option<(Answer, usize, bool)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let body = field("content-length:").and_then(|length| length.parse::<usize>().ok());
    let (Some(status), Some(body)) = (status, body) else {
        return Err(Error::new(ErrorKind::InvalidData, format!("no status or no length: {head}")));
    };
    let length = end + 4 + body;
    let answer = Answer { status, has_retry_after: field("retry-after:").is_some() };
    Ok((bytes.len() >= length).then_some((answer, length, field("connection:") == Some("close"))))
}

/// Few enough that every worker sees connections, enough that most requests meet one that is open.
const MAX_REQUESTS: u32 = 100;
/// Longer than any request of these tests waits in the filter.
const PATIENCE: Duration = Duration::from_secs(40);
