//! HTTP as plain values: what a request says, what we answer, what we ask of others.

use core::ops::Range;
use core::time::Duration;
use std::rc::Rc;

use super::pairs::{Pair, PairsError, decode_pairs};

/// Header fields in the order in which they came, repeated ones included, as bytes: a client may send any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    bytes: Vec<u8>,
    fields: Vec<Pair>,
}

impl Headers {
    /// Reads the host's encoding without copying a field.
    pub fn from_pairs(bytes: Vec<u8>) -> Result<Self, PairsError> {
        let fields = decode_pairs(&bytes)?;
        Ok(Self { bytes, fields })
    }

    /// Adds a field. Names are lower case, as Envoy gives them.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = self.append(name.as_ref());
        let value = self.append(value.as_ref());
        self.fields.push((name, value));
    }

    /// All fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (self.slice(name), self.slice(value)))
    }

    /// The values of every field of this name.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(field, _)| *field == name.as_bytes()).map(|(_, value)| value)
    }

    /// The value of the first field of this name.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(field, _)| *field == name.as_bytes()).map(|(_, value)| value)
    }

    /// How many bytes of memory the fields take.
    pub fn size(&self) -> usize {
        let entry = size_of::<Pair>();
        self.bytes.len().saturating_add(self.fields.len().saturating_mul(entry))
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in fields {
            headers.push(name, value);
        }
        headers
    }
}

/// What the host knows of a request when its headers have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// All headers, pseudo-headers (`:method`, `:path`, `:authority`) included.
    pub headers: Headers,
    /// The route's metadata under `attache`, in the host's pair encoding; `None` when there is none.
    pub route_metadata: Option<Vec<u8>>,
}

/// A change to the headers of a request that goes on to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Removes every field of this name.
    Remove(Rc<str>),
    /// Puts one field of this name in place of any there were.
    Set(Rc<str>, Rc<str>),
}

/// An answer of our own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Why, as one word for the host's access log.
    pub details: &'static str,
    /// Header fields; nothing in them comes from the client unescaped.
    pub headers: Vec<(&'static str, String)>,
    /// The body, possibly empty.
    pub body: String,
    /// The grpc-status that a gRPC caller gets instead of the HTTP status.
    pub grpc_status: Option<u32>,
}

/// A call that we make through one of the host's clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// The cluster that carries the call.
    pub cluster: Rc<str>,
    /// Header fields, pseudo-headers included.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty for a GET.
    pub body: Vec<u8>,
    /// After this time the host answers 504 in the other side's place. Never zero, which would mean none.
    pub timeout: Duration,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpReply {
    /// An answer, possibly the host's own 503 (no connection) or 504 (timeout).
    Response {
        /// The HTTP status; 0 when the field was missing or no number.
        status: u16,
        /// Header fields, pseudo-headers included.
        headers: Headers,
        /// The body, or how large it is when it is larger than the caller wanted.
        body: Result<Vec<u8>, usize>,
    },
    /// The stream ended without an answer.
    Reset,
    /// The host did not take the call: unknown cluster or no healthy host.
    NotSent,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::encode_pairs;

    #[test]
    fn fields_keep_their_order_and_their_repetitions() {
        let pairs = [("a", "1"), ("b", ""), ("a", "2"), ("", "x")];
        let decoded = Headers::from_pairs(encode_pairs(pairs.into_iter())).unwrap();
        let pushed: Headers = pairs.into_iter().collect();
        let texts = |headers: &Headers| -> Vec<(Vec<u8>, Vec<u8>)> {
            headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
        };
        assert_eq!(texts(&decoded), texts(&pushed));
        assert_eq!(decoded.values("a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(decoded.first("a"), Some(&b"1"[..]));
        assert_eq!(decoded.first("b"), Some(&b""[..]));
        assert_eq!((decoded.first("A"), decoded.first("c")), (None, None));
    }

    #[test]
    fn the_size_counts_bytes_and_fields() {
        let mut headers = Headers::default();
        assert_eq!(headers.size(), 0);
        headers.push("name", "value");
        assert_eq!(headers.size(), 9 + size_of::<Pair>());
        headers.push("", "");
        assert_eq!(headers.size(), 9 + 2 * size_of::<Pair>());
    }
}
