//! The authority of a request (RFC 3986 §3.2), read so that no other spelling of a host is another host to us.
//!
//! What is no host is no authority: a server behind us that is less strict could take it for a name that a route
//! protects.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

/// A host name pattern, in the spelling of [`RequestAuthority`]: lower case, without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authority {
    /// This name; the port does not matter unless it is part of the pattern.
    Exact(Rc<str>),
    /// Any name that ends in this, which begins with a dot: `*.internal` is `.internal`.
    Suffix(Rc<str>),
}

/// Why a request's authority is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The host is neither a name nor an address.
    #[error("the authority is not a host with an optional port")]
    NoHost,
    /// What follows the colon is no port.
    #[error("the authority's port is not a number up to 65535")]
    NoPort,
    /// It is a host, in a spelling that Envoy takes for another one.
    #[error("the authority is spelled in a way that proxies may read as another host")]
    Spelling,
}

/// A request's host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestAuthority<'a> {
    /// A name in lower case without a dot at its end, or an address as it is written shortest.
    host: Cow<'a, str>,
    port: Option<u16>,
    is_plain: bool,
}

impl<'a> RequestAuthority<'a> {
    /// Reads an `:authority`: labels of letters, digits, `-` and `_`, at most one dot at their end; an IPv4 address; or
    /// an IPv6 address in brackets; then perhaps a colon and a port, which may be empty.
    ///
    /// # Errors
    /// [`AuthorityError::NoHost`] or [`AuthorityError::NoPort`].
    pub fn parse(authority: &'a [u8]) -> Result<Self, AuthorityError> {
        let text = str::from_utf8(authority).map_err(|_| AuthorityError::NoHost)?;
        let (host, rest, is_plain) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let (address, rest) = bracketed.split_once(']').ok_or(AuthorityError::NoHost)?;
                let parsed: Ipv6Addr = address.parse().map_err(|_| AuthorityError::NoHost)?;
                let host = format!("[{parsed}]");
                let is_plain = text.get(..host.len()).is_some_and(|raw| raw.eq_ignore_ascii_case(&host));
                (Cow::Owned(host), rest, is_plain)
            }
            None => {
                let colon = text.bytes().position(|byte| byte == b':').unwrap_or(text.len());
                let (host, rest) = text.split_at_checked(colon).ok_or(AuthorityError::NoHost)?;
                let name = host.strip_suffix('.').unwrap_or(host);
                if !is_name(name) {
                    return Err(AuthorityError::NoHost);
                }
                (in_lower_case(name), rest, name.len() == host.len())
            }
        };
        let (port, is_port_plain) = match rest.strip_prefix(':') {
            None if rest.is_empty() => (None, true),
            None => return Err(AuthorityError::NoPort),
            Some("") => (None, false),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let port = digits.parse().map_err(|_| AuthorityError::NoPort)?;
                (Some(port), !digits.starts_with('0'))
            }
            Some(_) => return Err(AuthorityError::NoPort),
        };
        Ok(Self { host, port, is_plain: is_plain && is_port_plain })
    }

    /// As [`RequestAuthority::parse`], where Envoy's choice of a route counts as well: it compares names letter by
    /// letter.
    ///
    /// # Errors
    /// Also [`AuthorityError::Spelling`]: a dot at the end, an empty port, one that begins with a zero, an address that
    /// could be shorter.
    pub fn parse_plain(authority: &'a [u8]) -> Result<Self, AuthorityError> {
        let authority = Self::parse(authority)?;
        if authority.is_plain() { Ok(authority) } else { Err(AuthorityError::Spelling) }
    }

    /// Whether it is spelt as a proxy spells it that compares letter by letter, but for their case.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The host as patterns spell it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// What its host ends in, each beginning with a dot, longest first: `.b.c` and `.c` of `a.b.c`.
    fn suffixes(&self) -> impl Iterator<Item = &str> {
        let host = &*self.host;
        let dots = host.bytes().enumerate().filter(|(_, byte)| *byte == b'.');
        dots.filter_map(|(place, _)| host.get(place..))
    }
}

impl Authority {
    /// Whether it matches each request that the other one matches.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(name), Self::Exact(other)) => {
                other.strip_prefix(&**name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            }
            (Self::Suffix(suffix), Self::Exact(other)) => {
                // The last colon of an IPv6 address without a port is within its brackets.
                let port = other.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
                port.map_or(&**other, |(host, _)| host).ends_with(&**suffix)
            }
            (Self::Suffix(suffix), Self::Suffix(other)) => other.ends_with(&**suffix),
            (Self::Exact(_), Self::Suffix(_)) => false,
        }
    }

    /// Whether a request's authority matches.
    pub fn matches(&self, authority: &RequestAuthority<'_>) -> bool {
        match self {
            Self::Exact(name) => match name.strip_prefix(authority.host()) {
                Some("") => true,
                Some(rest) => rest.strip_prefix(':').is_some_and(|port| is_port(port, authority.port())),
                None => false,
            },
            Self::Suffix(suffix) => {
                authority.host().len() > suffix.len() && authority.host().ends_with(&**suffix)
            }
        }
    }
}

/// Values by authority. A look-up takes as many steps as the host has labels, however many patterns there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByAuthority<T> {
    /// By name, `name:port`, and `name:` for a port that clients leave out.
    exact: HashMap<Rc<str>, T>,
    /// By what begins with a dot.
    suffixes: HashMap<Rc<str>, T>,
    any: T,
    has_ports: bool,
}

impl<T: Default> ByAuthority<T> {
    /// Hands each value that belongs to one of these authorities to `change`; of no authorities, the one that belongs
    /// to any.
    pub(crate) fn change(&mut self, authorities: &[Authority], mut change: impl FnMut(&mut T)) {
        if authorities.is_empty() {
            change(&mut self.any);
        }
        for authority in authorities {
            match authority {
                Authority::Exact(name) => {
                    change(self.exact.entry(Rc::clone(name)).or_default());
                    let port = name.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
                    self.has_ports |= port.is_some();
                    if let Some((host, _)) = port.filter(|(_, port)| is_port(port, None)) {
                        change(self.exact.entry(format!("{host}:").into()).or_default());
                    }
                }
                Authority::Suffix(suffix) => change(self.suffixes.entry(Rc::clone(suffix)).or_default()),
            }
        }
    }

    /// Whether some value belongs to a certain authority.
    pub(crate) fn names_any(&self) -> bool {
        !self.exact.is_empty() || !self.suffixes.is_empty()
    }

    /// The values that this authority has a part in, the most specific first: the host with its port, the host, its
    /// suffixes from the longest, and the one of any authority. Without an authority, that one.
    pub(crate) fn matching<'m, 'r>(
        &'m self,
        authority: Option<&'r RequestAuthority<'r>>,
    ) -> impl Iterator<Item = &'m T> + use<'m, 'r, T> {
        let with_port = authority.filter(|_| self.has_ports).and_then(|authority| {
            let port = authority.port().map(|port| port.to_string()).unwrap_or_default();
            self.exact.get(&*format!("{}:{port}", authority.host()))
        });
        let exact = authority.and_then(|authority| self.exact.get(authority.host()));
        let suffixes = authority.filter(|_| !self.suffixes.is_empty()).into_iter();
        let suffixes = suffixes.flat_map(RequestAuthority::suffixes);
        let by_suffix = suffixes.filter_map(|suffix| self.suffixes.get(suffix));
        with_port.into_iter().chain(exact).chain(by_suffix).chain([&self.any])
    }

    /// The most that `weight` gives in sum for the values that one authority has a part in, and the heaviest of these.
    pub(crate) fn heaviest(&self, weight: impl Fn(&T) -> usize) -> (usize, &T) {
        let exact = self.exact.keys().map(|name| Cow::Borrowed(&**name));
        // Below a suffix is a name that has no value of its own.
        let below = self.suffixes.keys().map(|suffix| Cow::Owned(format!("_{suffix}")));
        let mut most = (weight(&self.any), &self.any);
        for name in exact.chain(below) {
            let Ok(authority) = RequestAuthority::parse(name.as_bytes()) else { continue };
            let (mut sum, mut heaviest) = (0_usize, &self.any);
            for value in self.matching(Some(&authority)) {
                sum = sum.saturating_add(weight(value));
                heaviest = if weight(value) > weight(heaviest) { value } else { heaviest };
            }
            if sum > most.0 {
                most = (sum, heaviest);
            }
        }
        most
    }

    /// All values.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.exact.values_mut().chain(self.suffixes.values_mut()).chain([&mut self.any])
    }
}

/// Whether a pattern's port is this one; without one, whether clients leave it out (RFC 9110 §4.2.1, §4.2.2).
fn is_port(pattern: &str, port: Option<u16>) -> bool {
    match port {
        Some(port) => pattern.parse() == Ok(port),
        None => ["80", "443"].contains(&pattern),
    }
}

/// Labels with single dots between them (RFC 1123 §2.1, and the underscore that names in clusters have). One that ends
/// in a number is an IPv4 address in the one spelling that all servers share.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_number = |label: &str| {
        let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
        label.bytes().all(|byte| byte.is_ascii_digit())
            || hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    name.len() <= MAX_NAME_BYTES
        && name.split('.').all(is_label)
        && (!name.rsplit('.').next().is_some_and(is_number) || name.parse::<Ipv4Addr>().is_ok())
}

fn in_lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// What a name's 255 octets in DNS (RFC 1035 §2.3.4) are as a text; it bounds the suffixes that are looked up.
const MAX_NAME_BYTES: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authority: &str) -> Result<(String, Option<u16>), AuthorityError> {
        let authority = RequestAuthority::parse(authority.as_bytes())?;
        Ok((authority.host().to_owned(), authority.port()))
    }

    #[test]
    fn a_host_has_one_spelling() {
        for (authority, host, port) in [
            ("api.example", "api.example", None),
            ("API.Example.", "api.example", None),
            ("api.example:", "api.example", None),
            ("api.example.:0443", "api.example", Some(443)),
            ("a_b-c.svc:8080", "a_b-c.svc", Some(8080)),
            ("10.0.0.1:80", "10.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[0:0::0001]:80", "[::1]", Some(80)),
            ("[2001:DB8::A]:", "[2001:db8::a]", None),
        ] {
            assert_eq!(read(authority), Ok((host.to_owned(), port)), "{authority}");
        }
    }

    #[test]
    fn what_is_no_host_is_no_authority() {
        for authority in [
            "",
            ".",
            ".api.example",
            "api..example",
            "api.example..",
            "[api.example]",
            "[::1",
            "[fe80::1%25eth0]",
            "x@api.example",
            "api.example,",
            "api example",
            "api%2eexample",
            "api.example/",
            "b\u{e4}.example",
            "127.1",
            "010.0.0.1",
            "256.0.0.1",
            "0x7f.0.0.1",
            "2130706433",
            "0x7f000001",
        ] {
            assert_eq!(read(authority), Err(AuthorityError::NoHost), "{authority}");
        }
        for authority in
            ["a:x", "a:80:80", "a:443.", "a:-1", "a:+1", "a: 1", "a:65536", "[::1]80", "[::1]:x", "::1"]
        {
            let expected = if authority == "::1" { AuthorityError::NoHost } else { AuthorityError::NoPort };
            assert_eq!(read(authority), Err(expected), "{authority}");
        }
    }

    #[test]
    fn a_name_is_bounded() {
        let name = |bytes: usize| format!("{}a", "a.".repeat(bytes / 2));
        assert_eq!(name(MAX_NAME_BYTES).len(), MAX_NAME_BYTES);
        assert!(read(&name(MAX_NAME_BYTES)).is_ok());
        assert_eq!(read(&format!("a{}", name(MAX_NAME_BYTES))), Err(AuthorityError::NoHost));
    }

    #[test]
    fn a_proxy_that_compares_letter_by_letter_is_shown_one_spelling() {
        for plain in ["api.example", "API.Example", "api.example:8443", "[::1]:80", "[::A]"] {
            assert!(RequestAuthority::parse_plain(plain.as_bytes()).is_ok(), "{plain}");
        }
        for odd in ["api.example.", "api.example:", "api.example:080", "[0::1]", "[::1]:"] {
            let error = RequestAuthority::parse_plain(odd.as_bytes());
            assert_eq!(error, Err(AuthorityError::Spelling), "{odd}");
        }
    }

    #[test]
    fn the_most_specific_authority_comes_first() {
        let mut places: ByAuthority<Vec<u8>> = ByAuthority::default();
        let exact = |name: &str| Authority::Exact(name.into());
        let suffix = |name: &str| Authority::Suffix(name.into());
        for (place, patterns) in [
            vec![],
            vec![suffix(".example")],
            vec![suffix(".b.example")],
            vec![exact("a.b.example")],
            vec![exact("a.b.example:8443")],
            vec![exact("tls.example:443")],
        ]
        .into_iter()
        .enumerate()
        {
            places.change(&patterns, |value| value.push(u8::try_from(place).unwrap()));
        }
        for (authority, expected) in [
            ("A.b.example.:8443", &[4, 3, 2, 1, 0][..]),
            ("a.b.example", &[3, 2, 1, 0]),
            ("x.y.b.example", &[2, 1, 0]),
            ("b.example", &[1, 0]),
            ("example", &[0]),
            ("tls.example", &[5, 1, 0]),
            ("tls.example:", &[5, 1, 0]),
            ("tls.example:443", &[5, 1, 0]),
            ("tls.example:444", &[1, 0]),
        ] {
            let authority = RequestAuthority::parse(authority.as_bytes()).unwrap();
            let found: Vec<u8> = places.matching(Some(&authority)).flatten().copied().collect();
            assert_eq!(found, expected, "{authority:?}");
            let matches = [exact("tls.example:443"), exact("a.b.example"), suffix(".b.example")]
                .map(|pattern| pattern.matches(&authority));
            assert_eq!(matches, [5, 3, 2].map(|place| found.contains(&place)), "{authority:?}");
        }
        assert!(places.matching(None).flatten().eq(&[0]));
        assert_eq!(places.heaviest(Vec::len).0, 5);
    }
}
