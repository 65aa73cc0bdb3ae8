//! Requests that no client library would send, byte by byte over HTTP/1.1.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer, or none: the peer closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 0 when nothing came.
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Sends a request line and header lines as they are, and reads the answer.
pub(crate) fn send(addr: SocketAddr, request_line: &[u8], headers: &[&[u8]]) -> Answer {
    let mut bytes = request_line.to_vec();
    for line in [&b"host: orders.example"[..], b"connection: close"].iter().chain(headers) {
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(line);
    }
    bytes.extend_from_slice(b"\r\n\r\n");
    exchange(addr, &bytes)
}

/// Gets a path, whatever bytes it is of.
pub(crate) fn get(addr: SocketAddr, path: impl AsRef<[u8]>, headers: &[&[u8]]) -> Answer {
    send(addr, &[b"GET ", path.as_ref(), b" HTTP/1.1"].concat(), headers)
}

/// Sends bytes and reads one answer.
pub(crate) fn exchange(addr: SocketAddr, bytes: &[u8]) -> Answer {
    exchange_within(addr, bytes, PATIENCE)
}

/// The same for requests that may not be whole, so that none may come.
pub(crate) fn exchange_within(addr: SocketAddr, bytes: &[u8], patience: Duration) -> Answer {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    // Envoy may answer and close before it has read everything.
    let _ = stream.write_all(bytes);
    let (mut received, mut buffer) = (Vec::new(), [0; 16 << 10]);
    // Envoy keeps the connection for a moment after its answer, so its end is not waited for.
    loop {
        if let Some(answer) = Answer::parse(&received, bytes.starts_with(b"HEAD ")) {
            return answer;
        }
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => received.extend_from_slice(&buffer[..count]),
            _ => return Answer::default(),
        }
    }
}

impl Answer {
    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// None until it is whole.
    fn parse(bytes: &[u8], is_head: bool) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: Vec::new() };
        let body = &bytes[end + 4..];
        if is_head {
            return Some(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = unchunked(body)?;
        } else {
            let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
            answer.body = body.get(..length)?.to_vec();
        }
        Some(answer)
    }
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
