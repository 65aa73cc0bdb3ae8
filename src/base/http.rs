//! HTTP as plain values: what a request says, what we answer, what we ask of others.

use core::time::Duration;
use std::rc::Rc;

use super::Secret;
use super::connection::{CONNECTION_HEADERS, connection_options, is_connection_header};
use super::pairs::{NameFilter, Pairs, PairsError, decode_pairs, encode_pairs};

/// Whether a header field can hold a text as it is, so that every reader takes the same text out of it: at most 1,024
/// bytes of visible ASCII, with spaces inside only (RFC 9110 §5.5), and never empty.
pub fn is_header_text(text: &str) -> bool {
    let is_visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_visible && !text.is_empty() && text.len() <= MAX_HEADER_TEXT && text.trim_ascii() == text
}

/// The request's `x-request-id`, by which its answer, its log lines and its audit record are found: one word of visible
/// ASCII of at most 128 bytes. Anything else is none: a client may send any, unless Envoy replaces it.
pub fn request_id(head: &RequestHead) -> Option<&str> {
    let id = head.headers.first("x-request-id")?;
    let is_word = !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.iter().all(u8::is_ascii_graphic);
    if is_word { str::from_utf8(id).ok() } else { None }
}

/// Header fields in the order in which they came, repeated ones included, as bytes: a client may send any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// In the host's encoding, which has been read to its end once.
    pairs: Vec<u8>,
}

impl Headers {
    /// Takes over the host's encoding.
    pub fn from_pairs(pairs: Vec<u8>) -> Result<Self, PairsError> {
        decode_pairs(&pairs)?;
        Ok(Self { pairs })
    }

    /// All fields in their order.
    pub fn iter(&self) -> Pairs<'_> {
        Pairs::of(&self.pairs)
    }

    /// The values of every field of this name, which is lower case, as Envoy gives names.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().values(name)
    }

    /// The value of the first field of this name.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// The fields whose name may be one of these, in their order.
    pub fn fields<'a>(&'a self, names: NameFilter) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.iter().of_names(names)
    }

    /// Whether a field of these names the header `name` as one that ends at the next hop.
    pub fn is_hop_by_hop(&self, name: &str) -> bool {
        let names = CONNECTION_HEADERS.into_iter().fold(NameFilter::default(), NameFilter::with);
        let mut values = self.fields(names).filter(|(name, _)| is_connection_header(name));
        let is_named = |option: &[u8]| option.eq_ignore_ascii_case(name.as_bytes());
        values.any(|(_, value)| connection_options(value).any(is_named))
    }

    /// How many bytes of memory the fields take.
    pub fn size(&self) -> usize {
        self.pairs.len()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let fields: Vec<(N, V)> = fields.into_iter().collect();
        Self { pairs: encode_pairs(fields.iter().map(|(name, value)| (name, value))) }
    }
}

/// What the host knows of a request when its headers have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// All headers, pseudo-headers (`:method`, `:path`, `:authority`) included.
    pub headers: Headers,
    /// The route's metadata under `attache`, in the host's pair encoding; `None` when there is none.
    pub route_metadata: Option<Vec<u8>>,
    /// The same of the virtual host that the route is in.
    pub virtual_host_metadata: Option<Vec<u8>>,
    /// A body follows the headers, or may.
    pub has_body: bool,
    /// The cluster that the request goes to, as far as that is decided.
    pub cluster: Option<Vec<u8>>,
    /// What that cluster's metadata says under `attache`, `tls`.
    pub cluster_tls: Option<Vec<u8>>,
    /// The name of Envoy's route.
    pub route_name: Option<Vec<u8>>,
    /// The body, where it was asked for ([`Outcome::AwaitBody`](super::Outcome::AwaitBody)) and has come.
    pub body: Option<RequestBody>,
}

/// The body of a request that is held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// All of it.
    Whole(Vec<u8>),
    /// It is larger than what was asked for.
    TooLarge,
}

impl RequestHead {
    /// How many bytes of memory it takes.
    pub fn size(&self) -> usize {
        let metadata = [&self.route_metadata, &self.virtual_host_metadata];
        let own = metadata.into_iter().chain([&self.cluster, &self.cluster_tls, &self.route_name]);
        own.flatten().fold(self.headers.size(), |sum, bytes| sum.saturating_add(bytes.len()))
    }
}

/// What of a request the host has to look for, beside its headers: each costs a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// [`RequestHead::route_metadata`].
    pub route_metadata: bool,
    /// [`RequestHead::virtual_host_metadata`].
    pub virtual_host_metadata: bool,
    /// [`RequestHead::cluster`] and [`RequestHead::cluster_tls`].
    pub cluster: bool,
    /// [`RequestHead::route_name`].
    pub route_name: bool,
}

/// A change to the headers of a request that goes on to the upstream. Its `Debug` shows no value: it may be a token.
#[derive(Clone, derive_more::Debug, PartialEq, Eq)]
pub enum Edit {
    /// Removes every field of this name.
    #[debug("Remove({_0})")]
    Remove(Rc<str>),
    /// Puts one field of this name in place of any there were.
    #[debug("Set({_0}, ..)")]
    Set(Rc<str>, Rc<str>),
}

impl Edit {
    /// The field that it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Remove(name) | Self::Set(name, _) => name,
        }
    }
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
    /// Header fields, pseudo-headers included. Any may be a credential.
    pub headers: Vec<(Rc<str>, Secret)>,
    /// The body; empty for a GET. It may hold a credential.
    pub body: Secret,
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
    /// The host did not take the call: no host of the cluster is healthy.
    NotSent,
    /// The host did not take the call: it knows no cluster of this name.
    ClusterUnknown,
}

/// A UUID has 36 characters, and some prefix theirs with the name of a service.
const MAX_REQUEST_ID: usize = 128;
/// Well under what servers take for one header field (8 KB).
pub const MAX_HEADER_TEXT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_their_repetitions() {
        let pairs = [("a", "1"), ("b", ""), ("a", "2"), ("", "x")];
        let decoded = Headers::from_pairs(encode_pairs(pairs.into_iter())).unwrap();
        assert_eq!(decoded, pairs.into_iter().collect());
        let texts = decoded.iter().map(|(name, value)| (str::from_utf8(name), str::from_utf8(value)));
        assert!(texts.eq(pairs.map(|(name, value)| (Ok(name), Ok(value)))));
        assert_eq!(decoded.values("a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(decoded.first("a"), Some(&b"1"[..]));
        assert_eq!(decoded.first("b"), Some(&b""[..]));
        assert_eq!((decoded.first("A"), decoded.first("c")), (None, None));
    }

    #[test]
    fn a_header_is_hop_by_hop_where_a_connection_field_names_it() {
        let is_named = |field: &str, value: &str| {
            let headers: Headers = [("a", "authorization"), (field, value)].into_iter().collect();
            headers.is_hop_by_hop("authorization")
        };
        for value in ["authorization", "upgrade, Authorization", "a,\tauthorization ,b"] {
            assert!(is_named("connection", value) && is_named("proxy-connection", value), "{value}");
            assert!(!is_named("x-connection", value) && !is_named("user-agent", value));
        }
        for value in ["", "upgrade", "authorization2", "x-authorization", "authorization;q=1"] {
            assert!(!is_named("connection", value), "{value}");
        }
    }

    #[test]
    fn an_id_of_a_request_is_one_word_of_128_bytes_at_most() {
        let id = |text: &str| {
            let headers = [("x-request-id", text), ("x-request-id", "second")].into_iter().collect();
            request_id(&RequestHead { headers, ..RequestHead::default() }).map(str::to_owned)
        };
        let longest = "x".repeat(128);
        for word in ["4f3e", "a\"b,c", &longest] {
            assert_eq!(id(word).as_deref(), Some(word));
        }
        for odd in ["", "a b", "a\nb", "gr\u{fc}n", "\u{7f}", &"x".repeat(129)] {
            assert_eq!(id(odd), None, "{odd}");
        }
        assert_eq!(request_id(&RequestHead::default()), None);
    }

    #[test]
    fn the_size_counts_bytes_and_fields() {
        let size = |fields: &[(&str, &str)]| fields.iter().copied().collect::<Headers>().size();
        // Two sizes of four bytes, and a NUL behind each text.
        assert_eq!(size(&[("name", "value")]), 4 + 9 + 10);
        assert_eq!(size(&[("name", "value"), ("", "")]), 4 + 9 + 2 * 10);
        assert_eq!(Headers::default().size(), 0);
    }
}
