//! Requests, written out before anything is measured.

use std::ops::Range;

/// Requests in one piece of memory.
#[derive(Default)]
pub(crate) struct Requests {
    bytes: Vec<u8>,
    places: Vec<(Range<usize>, Expectation)>,
}

/// What a filter that checks the token and its scope says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    Permitted,
    /// No token, or none that is valid.
    Unauthorized,
    /// One of more forged tokens than a filter may want to look at.
    Flood,
    /// A valid token without the scope.
    Forbidden,
}

impl Requests {
    /// Adds a request.
    pub(crate) fn add(&mut self, path: &str, headers: &str, token: Option<&str>, expectation: Expectation) {
        self.push(HOST, path, headers, token, expectation);
    }

    /// Adds a request to another host.
    pub(crate) fn add_to(&mut self, host: &str, path: &str, token: &str) {
        self.push(host, path, "", Some(token), Expectation::Permitted);
    }

    /// Adds a request to another host, without a token.
    pub(crate) fn add_outgoing(&mut self, host: &str) {
        self.push(host, PATH, "", None, Expectation::Permitted);
    }

    fn push(&mut self, host: &str, path: &str, headers: &str, token: Option<&str>, expectation: Expectation) {
        let start = self.bytes.len();
        self.bytes.extend(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}").into_bytes());
        if let Some(token) = token {
            self.bytes.extend(b"authorization: Bearer ");
            self.bytes.extend(token.as_bytes());
            self.bytes.extend(b"\r\n");
        }
        self.bytes.extend(b"\r\n");
        self.places.push((start..self.bytes.len(), expectation));
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// A request's bytes; none where there is no such request.
    pub(crate) fn bytes(&self, which: usize) -> &[u8] {
        self.places.get(which).and_then(|(place, _)| self.bytes.get(place.clone())).unwrap_or_default()
    }

    pub(crate) fn expectation(&self, which: usize) -> Expectation {
        self.places.get(which).map_or(Expectation::Unauthorized, |(_, expectation)| *expectation)
    }

    /// A request as text, its token left out.
    pub(crate) fn text(&self, which: usize) -> String {
        let text = String::from_utf8_lossy(self.bytes(which));
        let lines = text.lines().map(|line| line.split_once("Bearer ").map_or(line, |(start, _)| start));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The host of all requests but those that go out to many.
pub(crate) const HOST: &str = "orders.example";
/// The path that needs the scope.
pub(crate) const PATH: &str = "/orders";
/// Needs the scope too, and answers with what the upstream would have seen.
pub(crate) const ECHO_PATH: &str = "/orders/echo";
/// The path that needs nothing.
pub(crate) const PUBLIC_PATH: &str = "/healthz";
