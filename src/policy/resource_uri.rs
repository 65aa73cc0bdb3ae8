//! The URIs by which MCP messages name resources. Servers take them apart in different ways (some by the URL standard,
//! some by their bytes, some as the path of a file), and so find one resource by several URIs.

use std::borrow::Cow;

use url::Url;

/// Whether a URI is written as the URL standard and RFC 3986 §6.2.2 write it, so that no server changes it.
pub fn is_normal_uri(uri: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    let has_needless_escape = || {
        uri.split('%').skip(1).any(|rest| {
            let Some(escape) = rest.get(..2) else { return true };
            let byte = u8::from_str_radix(escape, 16);
            escape.bytes().any(|digit| !matches!(digit, b'0'..=b'9' | b'A'..=b'F'))
                || byte.is_ok_and(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        })
    };
    uri.bytes().all(is_allowed)
        && !has_needless_escape()
        && Url::parse(uri).is_ok_and(|url| url.as_str() == uri)
}

/// What is left of a URI in normal form when all that some server may ignore or decode is ignored and decoded. Two
/// URIs of which the same is left may name one resource.
pub(super) fn essence(uri: &str) -> Vec<u8> {
    let uri = uri.split('#').next().unwrap_or_default();
    // The path of a file is read without what RFC 8089 knows no meaning of.
    let is_file = uri.starts_with("file:");
    let uri = if is_file { uri.split('?').next().unwrap_or_default() } else { uri };
    let decoded = unescaped(uri);
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    segments.join(&b'/')
}

fn unescaped(uri: &str) -> Cow<'_, [u8]> {
    if !uri.contains('%') {
        return Cow::Borrowed(uri.as_bytes());
    }
    let mut parts = uri.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let escape = part.get(..2).and_then(|escape| u8::from_str_radix(escape, 16).ok());
        bytes.extend(escape);
        bytes.extend(part.get(2..).unwrap_or_default().bytes());
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normal_uri_has_one_spelling() {
        for uri in [
            "file:///reports/2026",
            "https://example.com/a?b=c#d",
            "orders://Open/a%2Fb",
            "ui://widget",
            "urn:isbn:0451450523",
            "notes://a@b.c/%C3%A9,d",
        ] {
            assert!(is_normal_uri(uri), "{uri}");
        }
        for uri in [
            "",
            "reports",
            "/reports/2026",
            "FILE:///reports/2026",
            "file:/reports/2026",
            "file://localhost/reports/2026",
            "file:///./reports/2026",
            "file:///x/../reports/2026",
            "file:///%2e/reports/2026",
            "file:///x/%2E%2E/reports/2026",
            "file:\\\\\\reports\\2026",
            " file:///reports/2026",
            "file:///reports/2026\n",
            "file:///rep\torts/2026",
            "file:///reports/2026\0",
            "file:///%72eports/2026",
            "file:///reports%2f2026",
            "file:///reports/2026%",
            "file:///reports/2026%4",
            "file:///reports/2026%zz",
            "file:///reports/2026%+1",
            "file:///r\u{e9}ports",
            "file:///a b",
            "file:///a^b",
            "https://example.com",
            "https://example.com:443/",
            "https://EXAMPLE.com/",
            "https://@example.com/",
            "https://example.com/?'",
            "https://0x7f.1/",
        ] {
            assert!(!is_normal_uri(uri), "{uri:?}");
        }
    }

    #[test]
    fn what_some_server_ignores_or_decodes_makes_no_other_essence() {
        let essence_of = |uri: &str| {
            assert!(is_normal_uri(uri), "{uri}");
            essence(uri)
        };
        let report = essence_of("file:///reports/2026,a");
        for uri in [
            "file:///reports/2026,a/",
            "file:///reports//2026,a",
            "file:///reports/2026%2Ca",
            "file:///reports%2F2026,a",
            "file:///reports%5C2026,a",
            "file:///x/..%2Freports/2026,a",
            "file:///reports/2026,a?x",
            "file:///reports/2026,a#x",
        ] {
            assert_eq!(essence_of(uri), report, "{uri}");
        }
        for uri in ["file:///reports/2026,A", "file:///reports/2026,a%2525", "http://reports/2026,a"] {
            assert_ne!(essence_of(uri), report, "{uri}");
        }
        assert_ne!(essence_of("db://t?id=1"), essence_of("db://t?id=2"));
    }
}
