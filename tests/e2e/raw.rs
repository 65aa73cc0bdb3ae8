//! Requests that no client library would send, byte by byte over HTTP/1.1.

use std::net::SocketAddr;
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

/// Sends bytes and reads what comes until the peer closes.
pub(crate) fn exchange(addr: SocketAddr, bytes: &[u8]) -> Answer {
    Answer::parse(&attachectl::http::raw(addr, bytes, PATIENCE).unwrap())
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

    fn parse(bytes: &[u8]) -> Self {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Self::default() };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: bytes[end + 4..].to_vec() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = unchunked(&answer.body);
        }
        answer
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { break };
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    body
}

const PATIENCE: Duration = Duration::from_secs(10);
