//! How an answer's body is coded for its way (RFC 9110 §8.4). Nothing here decodes: we ask for every answer as it is.

use super::http::Headers;

/// A content coding that an answer has, although it was asked for as it is ([`ACCEPT_IDENTITY`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum ContentCoding {
    /// `gzip`, or `x-gzip`, which is the same (RFC 9110 §8.4.1.3).
    #[strum(to_string = "gzip", serialize = "x-gzip")]
    Gzip,
    /// `deflate`.
    Deflate,
    /// `br` (RFC 7932).
    #[strum(serialize = "br")]
    Brotli,
    /// `zstd` (RFC 8878).
    #[strum(serialize = "zstd")]
    Zstandard,
    /// Another one. Its name is the server's text, and not shown.
    #[strum(serialize = "a coding that is not known here")]
    Other,
}

impl ContentCoding {
    /// The first coding of an answer, if it has one.
    pub fn of(headers: &Headers) -> Option<Self> {
        let names = headers.values("content-encoding").flat_map(|value| value.split(|byte| *byte == b','));
        let mut codings = names.map(<[u8]>::trim_ascii).filter(|name| {
            // `identity` is not a coding. It does not belong in an answer, but servers write it all the same.
            !name.is_empty() && !name.eq_ignore_ascii_case(b"identity")
        });
        let name = codings.next()?.to_ascii_lowercase();
        Some(str::from_utf8(&name).ok().and_then(|name| name.parse().ok()).unwrap_or(Self::Other))
    }
}

/// The header that asks for an answer as it is. Without it a server may code the answer in any way (RFC 9110 §12.5.3).
pub const ACCEPT_IDENTITY: (&str, &str) = ("accept-encoding", "identity");

#[cfg(test)]
mod tests {
    use super::*;

    fn coding(values: &[&str]) -> Option<ContentCoding> {
        ContentCoding::of(&values.iter().map(|value| ("content-encoding", *value)).collect())
    }

    #[test]
    fn an_answer_as_it_is_has_no_coding() {
        assert_eq!(ContentCoding::of(&Headers::default()), None);
        for value in ["", " ", "identity", "Identity", "identity, identity", ","] {
            assert_eq!(coding(&[value]), None, "{value:?}");
        }
    }

    #[test]
    fn a_coding_is_known_by_its_name_in_any_case_and_place() {
        for (value, name) in [
            ("gzip", "gzip"),
            ("GZIP", "gzip"),
            ("x-gzip", "gzip"),
            ("deflate", "deflate"),
            (" br ", "br"),
            ("zstd", "zstd"),
            ("identity, gzip", "gzip"),
            ("compress", "a coding that is not known here"),
            ("\u{1b}[31m", "a coding that is not known here"),
        ] {
            assert_eq!(coding(&[value]).unwrap().to_string(), name, "{value:?}");
        }
        assert_eq!(coding(&["identity", "br"]), Some(ContentCoding::Brotli));
    }
}
