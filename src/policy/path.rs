//! The path of a request, read so that we and the upstream cannot understand it differently.
//!
//! A path that servers disagree about (`//`, `..`, `%2f`, `;` and their like) is not repaired: its odd [`PathFeatures`]
//! are named, and a route has to allow each of them by name. Segments are compared after percent-decoding.

use std::borrow::Cow;

/// Why a request has no path that a route could match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// There is no `:path`, or it does not begin with a slash (`OPTIONS *`, `CONNECT`).
    #[error("the request has no absolute path")]
    NotAbsolute,
    /// The path holds a character that no URI may hold (RFC 3986 §2), a fragment included.
    #[error("the path holds a character that is not allowed in a URI")]
    BadCharacter,
    /// The path has more than [`RequestPath::MAX_SEGMENTS`] segments.
    #[error("the path has more than {} segments", RequestPath::MAX_SEGMENTS)]
    TooManySegments,
}

/// Odd things in a path, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathFeatures(u16);

impl PathFeatures {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// `//`.
    pub const EMPTY_SEGMENT: Self = Self(1);
    /// A segment `.` or `..`, escaped or not.
    pub const DOT_SEGMENT: Self = Self(1 << 1);
    /// `%2f`.
    pub const ENCODED_SLASH: Self = Self(1 << 2);
    /// `%5c`.
    pub const ENCODED_BACKSLASH: Self = Self(1 << 3);
    /// `%2e`.
    pub const ENCODED_DOT: Self = Self(1 << 4);
    /// `%00` and the escapes of other control characters.
    pub const ENCODED_CONTROL: Self = Self(1 << 5);
    /// `\`.
    pub const BACKSLASH: Self = Self(1 << 6);
    /// `;`, escaped or not: some servers cut a segment there.
    pub const SEMICOLON: Self = Self(1 << 7);
    /// A `%` without two hexadecimal digits, or escapes that are not UTF-8.
    pub const BAD_ESCAPE: Self = Self(1 << 8);
    /// An escape of a visible character that a path may hold as it is: `%3A`, `%40`, `%69`.
    pub const NEEDLESS_ESCAPE: Self = Self(1 << 9);
    /// An escape with a lower-case digit: `%c3`.
    pub const LOWER_CASE_ESCAPE: Self = Self(1 << 10);
    /// What is only another spelling of a path (RFC 3986 §6.2.2): the same one to those who decode it, and
    /// another one to those who compare bytes, as Envoy does when it chooses its route.
    pub const SPELLINGS: Self = Self::NEEDLESS_ESCAPE.with(Self::LOWER_CASE_ESCAPE);

    /// Every feature with the name by which a route allows it.
    pub const NAMES: [(&'static str, Self); 11] = [
        ("empty_segment", Self::EMPTY_SEGMENT),
        ("dot_segment", Self::DOT_SEGMENT),
        ("encoded_slash", Self::ENCODED_SLASH),
        ("encoded_backslash", Self::ENCODED_BACKSLASH),
        ("encoded_dot", Self::ENCODED_DOT),
        ("encoded_control", Self::ENCODED_CONTROL),
        ("backslash", Self::BACKSLASH),
        ("semicolon", Self::SEMICOLON),
        ("bad_escape", Self::BAD_ESCAPE),
        ("needless_escape", Self::NEEDLESS_ESCAPE),
        ("lower_case_escape", Self::LOWER_CASE_ESCAPE),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set but for the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The first feature of this set that `allowed` lacks, by name.
    pub fn first_not_in(self, allowed: Self) -> Option<&'static str> {
        let others = self.0 & !allowed.0;
        if others == 0 {
            return None;
        }
        Self::NAMES.iter().find(|(_, bit)| bit.0 & others != 0).map(|(name, _)| *name)
    }

    fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A path without its query, and what is odd about it.
#[derive(Clone, Copy, Debug)]
pub struct RequestPath<'a> {
    raw: &'a str,
    features: PathFeatures,
    has_escapes: bool,
}

impl<'a> RequestPath<'a> {
    /// Reads a `:path`; what follows the first `?` is left aside.
    ///
    /// # Errors
    /// [`PathError`], under which every request is denied whatever its route.
    pub fn parse(path: &'a [u8]) -> Result<Self, PathError> {
        let raw = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        // The plain path, by far the most common one, is looked at once.
        let (mut slashes, mut is_plain, mut has_escapes, mut before) = (0_usize, true, false, 0);
        for byte in raw {
            match byte {
                b'/' => {
                    slashes = slashes.saturating_add(1);
                    is_plain &= before != b'/';
                }
                // Backslash is no URI character either, but it is common enough to deserve its own name.
                b'.' | b';' | b'\\' => is_plain = false,
                b'%' => (is_plain, has_escapes) = (false, true),
                b'#' => return Err(PathError::BadCharacter),
                b'!'..=b'~' => {}
                _ => return Err(PathError::BadCharacter),
            }
            before = *byte;
        }
        let raw = str::from_utf8(raw).map_err(|_| PathError::BadCharacter)?;
        if !raw.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        if slashes > Self::MAX_SEGMENTS {
            return Err(PathError::TooManySegments);
        }
        let features = if is_plain { PathFeatures::NONE } else { features(raw) };
        Ok(Self { raw, features, has_escapes })
    }

    /// What is odd about it.
    pub fn features(&self) -> PathFeatures {
        self.features
    }

    /// The path as it came.
    pub fn as_str(&self) -> &'a str {
        self.raw
    }

    /// Its segments, percent-decoded: `/a/b%20c/` gives `a`, `b c` and an empty one.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'a, str>> + Clone + use<'a> {
        Segments { rest: self.raw.strip_prefix('/'), has_escapes: self.has_escapes }
    }

    /// Whether it has an escape, so that its segments are not simply parts of it.
    pub(super) fn has_escapes(&self) -> bool {
        self.has_escapes
    }

    /// The path `/`.
    pub const ROOT: RequestPath<'static> =
        RequestPath { raw: "/", features: PathFeatures::NONE, has_escapes: false };

    /// Deeper than any API we know of; bounds the work of one look-up.
    pub const MAX_SEGMENTS: usize = 128;
}

/// The segments of a path, one by one.
#[derive(Clone)]
struct Segments<'a> {
    rest: Option<&'a str>,
    has_escapes: bool,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        let rest = self.rest?;
        // Segments are short: a search that is made for long texts takes longer to begin.
        let slash = rest.bytes().position(|byte| byte == b'/');
        let segment = slash.and_then(|slash| rest.get(..slash)).unwrap_or(rest);
        self.rest = slash.and_then(|slash| rest.get(slash.saturating_add(1)..));
        Some(if self.has_escapes { decode(segment).0 } else { Cow::Borrowed(segment) })
    }
}

fn features(raw: &str) -> PathFeatures {
    let mut features = PathFeatures::NONE;
    let mut segments = raw.strip_prefix('/').unwrap_or_default().split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            features.add(PathFeatures::EMPTY_SEGMENT);
        }
        if segment.contains('\\') {
            features.add(PathFeatures::BACKSLASH);
        }
        let (decoded, escapes) = decode(segment);
        features.add(escapes);
        if decoded.contains(';') {
            features.add(PathFeatures::SEMICOLON);
        }
        // An escaped slash or backslash separates for a server that decodes first, and `..;` is `..` for one that cuts
        // parameters off: each piece is looked at as such a server would.
        let mut pieces = decoded.split(['/', '\\']).peekable();
        while let Some(piece) = pieces.next() {
            if matches!(piece.split(';').next(), Some("." | "..")) {
                features.add(PathFeatures::DOT_SEGMENT);
            }
            if piece.is_empty() && pieces.peek().is_some() {
                features.add(PathFeatures::EMPTY_SEGMENT);
            }
        }
    }
    features
}

/// Percent-decodes one segment, and tells what is odd about its escapes. What is no escape stays as it is, and what is
/// no UTF-8 is replaced, so that the rest of the segment is still looked at.
pub(super) fn decode(segment: &str) -> (Cow<'_, str>, PathFeatures) {
    let mut features = PathFeatures::NONE;
    if !segment.contains('%') {
        return (Cow::Borrowed(segment), features);
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut ahead = rest.clone();
        let digits = (ahead.next(), ahead.next());
        let (Some(high), Some(low)) = (digits.0.and_then(hex_digit), digits.1.and_then(hex_digit)) else {
            features.add(PathFeatures::BAD_ESCAPE);
            bytes.push(byte);
            continue;
        };
        rest = ahead;
        if [digits.0, digits.1].iter().flatten().any(u8::is_ascii_lowercase) {
            features.add(PathFeatures::LOWER_CASE_ESCAPE);
        }
        let byte = high << 4 | low;
        features.add(match byte {
            b'/' => PathFeatures::ENCODED_SLASH,
            b'\\' => PathFeatures::ENCODED_BACKSLASH,
            b'.' => PathFeatures::ENCODED_DOT,
            0..=0x1f | 0x7f => PathFeatures::ENCODED_CONTROL,
            // As they are, they would begin something else.
            b'%' | b'?' | b'#' => PathFeatures::NONE,
            b'!'..=b'~' => PathFeatures::NEEDLESS_ESCAPE,
            _ => PathFeatures::NONE,
        });
        bytes.push(byte);
    }
    let text = String::from_utf8(bytes).unwrap_or_else(|error| {
        features.add(PathFeatures::BAD_ESCAPE);
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    });
    (Cow::Owned(text), features)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd(path: &str) -> Vec<&'static str> {
        let features = RequestPath::parse(path.as_bytes()).unwrap().features();
        PathFeatures::NAMES.iter().filter(|(_, bit)| features.0 & bit.0 != 0).map(|(name, _)| *name).collect()
    }

    #[test]
    fn plain_paths_have_no_odd_features() {
        for path in [
            "/",
            "/orders",
            "/orders/",
            "/a%20b%25%23%3F",
            "/caf%C3%A9",
            "/a.b/c.tar.gz",
            "/.well-known/x",
            "/...",
            "/a?x=../;%2f//",
        ] {
            assert!(odd(path).is_empty(), "{path}");
        }
    }

    #[test]
    fn every_odd_feature_is_named() {
        for (path, names) in [
            ("//a", &["empty_segment"][..]),
            ("/a//b", &["empty_segment"]),
            ("/a/../b", &["dot_segment"]),
            ("/a/.", &["dot_segment"]),
            ("/a/%2e%2E/b", &["dot_segment", "encoded_dot", "lower_case_escape"]),
            ("/a/.%2E/b", &["dot_segment", "encoded_dot"]),
            ("/a%2fb", &["encoded_slash", "lower_case_escape"]),
            ("/a%2Fb", &["encoded_slash"]),
            ("/a%5Cb", &["encoded_backslash"]),
            ("/a\\b", &["backslash"]),
            ("/a\\..\\b", &["dot_segment", "backslash"]),
            ("/a%2F..%2Fb", &["dot_segment", "encoded_slash"]),
            ("/..%2Fb", &["dot_segment", "encoded_slash"]),
            ("/a%5C%2E.", &["dot_segment", "encoded_backslash", "encoded_dot"]),
            ("/a%2F%2Fb", &["empty_segment", "encoded_slash"]),
            ("/a;x=1", &["semicolon"]),
            ("/a%3Bx", &["semicolon", "needless_escape"]),
            ("/a/..;/b", &["dot_segment", "semicolon"]),
            ("/a%00", &["encoded_control"]),
            ("/a%0D%0A", &["encoded_control"]),
            ("/a%", &["bad_escape"]),
            ("/a%2", &["bad_escape"]),
            ("/a%zz", &["bad_escape"]),
            ("/a%C0%AF", &["bad_escape"]),
            ("/a%FF", &["bad_escape"]),
            ("/%zz%2F..%2Fa", &["dot_segment", "encoded_slash", "bad_escape"]),
            ("/..%3B%FF", &["dot_segment", "semicolon", "bad_escape", "needless_escape"]),
            ("/caf%c3%A9", &["lower_case_escape"]),
            ("/orders%3Abatch", &["needless_escape"]),
        ] {
            assert_eq!(odd(path), names, "{path}");
        }
    }

    /// So that in front of a proxy that compares bytes, each path has one spelling.
    #[test]
    fn a_visible_character_has_one_spelling() {
        for byte in b'!'..=b'~' {
            let escaped = format!("/a%{byte:02X}b");
            let raw = [b"/a", &[byte][..], b"b"].concat();
            let may_be_raw = RequestPath::parse(&raw).is_ok_and(|path| path.segments().count() == 1);
            let is_separator = [b'/', b'?', b'%', b'#'].contains(&byte);
            assert_eq!(may_be_raw, ![b'/', b'#'].contains(&byte), "{}", char::from(byte));
            let is_odd = !odd(&escaped).is_empty();
            assert_eq!(is_odd, !is_separator || byte == b'/', "{escaped}: {:?}", odd(&escaped));
        }
    }

    #[test]
    fn what_is_no_absolute_path_is_an_error() {
        let error = |path: &[u8]| RequestPath::parse(path).unwrap_err();
        assert_eq!(error(b""), PathError::NotAbsolute);
        assert_eq!(error(b"*"), PathError::NotAbsolute);
        assert_eq!(error(b"?x"), PathError::NotAbsolute);
        assert_eq!(error(b"http://a/b"), PathError::NotAbsolute);
        assert_eq!(error(b"/a b"), PathError::BadCharacter);
        assert_eq!(error(b"/a#b"), PathError::BadCharacter);
        assert_eq!(error("/ä".as_bytes()), PathError::BadCharacter);
        assert_eq!(error(b"/a\x00"), PathError::BadCharacter);
    }

    #[test]
    fn segments_are_bounded() {
        let path = "/a".repeat(RequestPath::MAX_SEGMENTS);
        assert_eq!(
            RequestPath::parse(path.as_bytes()).unwrap().segments().count(),
            RequestPath::MAX_SEGMENTS
        );
        let path = "/a".repeat(RequestPath::MAX_SEGMENTS + 1);
        assert_eq!(RequestPath::parse(path.as_bytes()).unwrap_err(), PathError::TooManySegments);
    }

    #[test]
    fn segments_are_decoded_once() {
        let path = RequestPath::parse(b"/%6frders/a%252fb/").unwrap();
        assert_eq!(path.segments().collect::<Vec<_>>(), ["orders", "a%2fb", ""]);
    }
}
