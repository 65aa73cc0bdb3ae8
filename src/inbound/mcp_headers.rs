//! What the headers of an MCP message say: from protocol version 2026-07-28 on, what it asks for.

use std::borrow::Cow;

use base64ct::{Base64, Encoding as _};

use crate::base::Headers;
use crate::policy::McpCall;

/// Why a message's headers are none to judge it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum McpHeaderError {
    /// `MCP-Protocol-Version` is there more than once.
    #[error("`mcp-protocol-version` is there more than once")]
    Version,
    /// `Mcp-Method` is not there once, or is no method.
    #[error("`mcp-method` is not there once, with a method")]
    Method,
    /// `Mcp-Name` is not there once, or is no name.
    #[error("`mcp-name` is not there once, with a name in ASCII or in `=?base64?...?=`")]
    Name,
}

/// What the headers of a message say.
#[derive(Debug)]
pub(super) struct HeaderCall<'a> {
    method: &'a str,
    name: Option<Cow<'a, str>>,
}

impl<'a> HeaderCall<'a> {
    pub(super) fn read(headers: &'a Headers) -> Result<Self, McpHeaderError> {
        let method = only(headers, METHOD).and_then(visible).ok_or(McpHeaderError::Method)?;
        let is_there = headers.first(NAME).is_some();
        let name = match McpCall::named_by(method) {
            Some(_) if is_there || MUST_BE_NAMED.contains(&method) => {
                Some(only(headers, NAME).and_then(decoded).ok_or(McpHeaderError::Name)?)
            }
            None if headers.values(NAME).nth(1).is_some() => return Err(McpHeaderError::Name),
            Some(_) | None => None,
        };
        Ok(Self { method, name })
    }

    /// Whether a body that asks for this says the same, as far as the headers say anything.
    pub(super) fn agrees_with(&self, call: McpCall<'_>) -> bool {
        self.method == call.method && self.name.as_deref().is_none_or(|name| call.name == Some(name))
    }

    pub(super) fn call(&self) -> McpCall<'_> {
        McpCall { method: self.method, name: self.name.as_deref() }
    }
}

/// Whether a message says a version whose headers say what it asks for, or a later one.
pub(super) fn is_new(headers: &Headers) -> Result<bool, McpHeaderError> {
    let mut versions = headers.values(VERSION);
    let version = versions.next();
    if versions.next().is_some() {
        return Err(McpHeaderError::Version);
    }
    // Versions are dates. What is none is judged by what is in the body, whatever a server makes of it.
    let is_date = |text: &&[u8]| {
        let is_fit = |(index, byte): (usize, &u8)| match index {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        };
        text.len() == FIRST_WITH_HEADERS.len() && text.iter().enumerate().all(is_fit)
    };
    Ok(version.filter(is_date).is_some_and(|version| version >= FIRST_WITH_HEADERS.as_bytes()))
}

/// The value of a header that is there once and is not empty.
fn only<'a>(headers: &'a Headers, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.values(name);
    let value = values.next().filter(|value| !value.is_empty())?;
    if values.next().is_none() { Some(value) } else { None }
}

/// A text of visible ASCII.
fn visible(value: &[u8]) -> Option<&str> {
    if value.iter().all(u8::is_ascii_graphic) { str::from_utf8(value).ok() } else { None }
}

/// A name as it is, or one in `=?base64?…?=`.
fn decoded(value: &[u8]) -> Option<Cow<'_, str>> {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~');
    let text = str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| is_plain(&byte)))?;
    let Some(coded) = text.strip_prefix("=?").and_then(|text| text.strip_suffix("?=")) else {
        return Some(Cow::Borrowed(text));
    };
    let bytes = Base64::decode_vec(coded.strip_prefix("base64?")?).ok()?;
    // A reader in C may end a text at a control character.
    let is_plain = |name: &String| !name.is_empty() && !name.contains(char::is_control);
    String::from_utf8(bytes).ok().filter(is_plain).map(Cow::Owned)
}

/// Whether the body is said to be JSON, once, in UTF-8 (RFC 8259 §8.1).
pub(super) fn is_json(headers: &Headers) -> bool {
    let Some(value) = only(headers, "content-type").and_then(|value| str::from_utf8(value).ok()) else {
        return false;
    };
    let mut parts = value.split(';').map(|part| part.trim_matches([' ', '\t']));
    let is_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        Some(_) => true,
        None => parameter.is_empty(),
    };
    parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) && parts.all(is_utf8)
}

pub(super) fn length(headers: &Headers) -> Option<usize> {
    str::from_utf8(headers.first("content-length")?).ok()?.parse().ok()
}

/// The headers that count. What a server takes for one of them may not be there.
pub(super) const HEADERS: [&str; 3] = [VERSION, METHOD, NAME];
const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
/// The methods whose messages have a name in their headers: later versions do not ask for more.
const MUST_BE_NAMED: [&str; 3] = ["tools/call", "prompts/get", "resources/read"];
/// The first version whose messages say in headers what they ask for.
const FIRST_WITH_HEADERS: &str = "2026-07-28";

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        fields.iter().copied().collect()
    }

    #[test]
    fn a_version_is_new_by_its_date() {
        let new = |values: &[&str]| {
            let fields: Vec<_> = values.iter().map(|value| (VERSION, *value)).collect();
            is_new(&headers(&fields))
        };
        for version in ["2026-07-28", "2026-07-29", "2027-01-01", "9999-99-99"] {
            assert_eq!(new(&[version]), Ok(true), "{version}");
        }
        for version in
            ["2025-11-25", "2026-07-27", "", "2026-7-28", "2026-07-28 ", "x026-07-28", "2026-07-281"]
        {
            assert_eq!(new(&[version]), Ok(false), "{version}");
        }
        assert_eq!(new(&[]), Ok(false));
        assert_eq!(new(&["2026-07-28", "2026-07-28"]), Err(McpHeaderError::Version));
    }

    #[test]
    fn a_name_is_plain_or_coded_and_nothing_between() {
        let name = |value: &str| decoded(value.as_bytes()).map(Cow::into_owned);
        assert_eq!(name("orders.delete").as_deref(), Some("orders.delete"));
        assert_eq!(name("a b").as_deref(), Some("a b"));
        assert_eq!(name("=?base64?b3JkZXJzLmRlbGV0ZQ==?=").as_deref(), Some("orders.delete"));
        assert_eq!(name("=?base64?Y2Fmw6k=?=").as_deref(), Some("caf\u{e9}"));
        for value in [
            "=?base64?b3JkZXJzLmRlbGV0ZQ?=",
            "=?base64?b3JkZXJzLmRlbGV0ZR==?=",
            "=?base64?b3Jk ZXJz?=",
            "=?BASE64?YQ==?=",
            "=?utf-8?q?a?=",
            "=?base64??=",
            "=?base64?YQBi?=",
            "=?base64?YQo=?=",
            "=?base64?_w==?=",
            "=?base64?/w==?=",
            "=??=",
            "caf\u{e9}",
            "a\tb",
        ] {
            assert_eq!(name(value), None, "{value}");
        }
        // Whoever looks for a name that begins so looks for it in vain, and has the base route's rule.
        assert_eq!(name("=?base64?YQ==").as_deref(), Some("=?base64?YQ=="));
    }

    #[test]
    fn each_header_is_there_once() {
        let read = |fields: &[(&str, &str)]| {
            let headers = headers(fields);
            HeaderCall::read(&headers).map(|call| (call.method.to_owned(), call.name.map(Cow::into_owned)))
        };
        let (call, a) = ((METHOD, "tools/call"), (NAME, "a"));
        assert_eq!(read(&[call, a]), Ok(("tools/call".to_owned(), Some("a".to_owned()))));
        assert_eq!(read(&[(METHOD, "tools/list")]), Ok(("tools/list".to_owned(), None)));
        assert_eq!(read(&[(METHOD, "tools/list"), a]), Ok(("tools/list".to_owned(), None)));
        for fields in [&[a][..], &[call, call, a], &[(METHOD, ""), a], &[(METHOD, "tools/call "), a]] {
            assert_eq!(read(fields), Err(McpHeaderError::Method), "{fields:?}");
        }
        for fields in [&[call][..], &[call, a, a], &[call, (NAME, "")], &[(METHOD, "tools/list"), a, a]] {
            assert_eq!(read(fields), Err(McpHeaderError::Name), "{fields:?}");
        }
    }

    #[test]
    fn the_body_is_json_in_utf_8() {
        let json = |values: &[&str]| {
            let fields: Vec<_> = values.iter().map(|value| ("content-type", *value)).collect();
            is_json(&headers(&fields))
        };
        for value in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json ; profile=x;",
        ] {
            assert!(json(&[value]), "{value}");
        }
        for value in [
            "",
            "text/plain",
            "application/jsonx",
            "application/json; charset=utf-16",
            "application/json; charset",
            "application/json, text/plain",
            "application/json; charset=utf-7; charset=utf-8",
        ] {
            assert!(!json(&[value]), "{value}");
        }
        assert!(!json(&[]) && !json(&["application/json", "application/json"]));
    }
}
