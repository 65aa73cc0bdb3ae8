//! Claims that become headers. Two claims that differ never become the same header: what reads it decides by it.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::base::{MAX_HEADER_TEXT, is_header_text};
use crate::claims::{ClaimError, ClaimPath};
use crate::jose::{Json, Object};

/// A claim that the upstream gets as a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedClaim {
    /// The claim.
    pub claim: ClaimPath,
    /// The type that it must have.
    pub kind: ForwardedType,
    /// How its text is written.
    pub encoding: TextEncoding,
    /// The header, lower case; removed from every request first.
    pub header: Rc<str>,
}

/// The type that a claim must have to become a header: `5` and `"5"` would be one text, `["a","b"]` and `"a b"`
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedType {
    /// A string, as it is.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list of strings, with this ASCII character between them.
    Strings {
        /// The character; no string of the list may hold it.
        separator: u8,
    },
    /// Any value but `null`, as JSON of ASCII characters and without spaces between them.
    Json,
}

/// How the text of a claim is written into a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextEncoding {
    /// As it is; a text that a header cannot hold is not written.
    Plain,
    /// Its UTF-8 bytes in base64url without padding (RFC 4648 §5).
    Base64url,
}

impl ForwardedClaim {
    /// The text of the header; `None` when the claim is absent, of another type, or cannot stand in a header.
    ///
    /// # Errors
    /// [`ClaimError::Malformed`] when the claim names the client or the token, by RFC 7519 or RFC 9068 as a string, and
    /// is none: without its header the upstream would not know which client it serves.
    pub fn text(&self, claims: &Object<'_>) -> Result<Option<Rc<str>>, ClaimError> {
        let claim = match self.claim.find(claims) {
            None | Some(Json::Null) => return Ok(None),
            Some(claim) => claim,
        };
        let text = match (self.kind, claim) {
            (ForwardedType::String, Json::String(text)) => self.encoding.header_text(text),
            (ForwardedType::Json, value) => {
                let mut text = String::new();
                write_json(value, &mut text).and_then(|()| self.encoding.header_text(&text))
            }
            (ForwardedType::String, _) => {
                return self.name_of_client().map_or(Ok(None), |claim| Err(ClaimError::Malformed { claim }));
            }
            // Other numbers have lost digits on the way.
            (ForwardedType::Integer, Json::Number(number)) if number.is_u64() || number.is_i64() => {
                header_text(&number.to_string())
            }
            (ForwardedType::Boolean, Json::Bool(value)) => header_text(if *value { "true" } else { "false" }),
            (ForwardedType::Strings { separator }, Json::Array(items)) => {
                joined(items, separator).and_then(|text| header_text(&text))
            }
            (ForwardedType::Integer | ForwardedType::Boolean | ForwardedType::Strings { .. }, _) => None,
        };
        Ok(text)
    }

    fn name_of_client(&self) -> Option<&'static str> {
        let name = self.claim.top_level()?;
        NAMES_OF_CLIENTS.into_iter().find(|claim| *claim == name)
    }
}

/// The strings with the separator between them, unless one of them is empty or holds it: then another list would read
/// the same.
fn joined(items: &[Json<'_>], separator: u8) -> Option<String> {
    let mut text = String::new();
    for (index, item) in items.iter().enumerate() {
        let word = item.as_str().filter(|word| !word.is_empty() && !word.as_bytes().contains(&separator))?;
        // A header holds no more: nothing is joined that will not be sent.
        if text.len() > MAX_HEADER_TEXT {
            return None;
        }
        if index > 0 {
            text.push(char::from(separator));
        }
        text.push_str(word);
    }
    Some(text)
}

impl TextEncoding {
    fn header_text(self, text: &str) -> Option<Rc<str>> {
        match self {
            Self::Plain => header_text(text),
            // A header holds no more: nothing is encoded that will not be sent.
            Self::Base64url if text.is_empty() || text.len() > MAX_HEADER_TEXT => None,
            Self::Base64url => header_text(&URL_SAFE_NO_PAD.encode(text)),
        }
    }
}

/// Writes a value as JSON that is all ASCII. `None` where it holds a number that has lost digits on the way, so that
/// another one would read the same, and where it is longer than a header may be.
fn write_json(value: &Json<'_>, text: &mut String) -> Option<()> {
    match value {
        Json::Null => text.push_str("null"),
        Json::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Json::Number(number) if number.is_u64() || number.is_i64() => text.push_str(&number.to_string()),
        Json::Number(_) => return None,
        Json::String(string) => write_string(string, text),
        Json::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write_json(item, text)?;
            }
            text.push(']');
        }
        Json::Object(object) => {
            text.push('{');
            for (index, (name, value)) in object.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write_string(name, text);
                text.push(':');
                write_json(value, text)?;
            }
            text.push('}');
        }
    }
    (text.len() <= MAX_HEADER_TEXT).then_some(())
}

/// A string between quotes (RFC 8259 §7): what is not visible ASCII is escaped.
fn write_string(string: &str, text: &mut String) {
    text.push('"');
    for unit in string.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => text.extend(['\\', char::from(byte)]),
            Ok(byte @ b' '..=b'~') => text.push(char::from(byte)),
            Ok(_) | Err(_) => {
                text.push_str("\\u");
                let digits = [12_u32, 8, 4, 0].map(|shift| (u32::from(unit) >> shift) & 0xf);
                text.extend(digits.into_iter().filter_map(|digit| char::from_digit(digit, 16)));
            }
        }
    }
    text.push('"');
}

/// A text that a header field can hold as it is.
fn header_text(text: &str) -> Option<Rc<str>> {
    is_header_text(text).then(|| text.into())
}

/// RFC 7519 §4.1.2 and §4.1.7, RFC 9068 §2.2.
const NAMES_OF_CLIENTS: [&str; 3] = ["sub", "jti", "client_id"];

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ForwardedType; 5] = [
        ForwardedType::String,
        ForwardedType::Integer,
        ForwardedType::Boolean,
        ForwardedType::Strings { separator: b' ' },
        ForwardedType::Strings { separator: b',' },
    ];

    fn read(name: &str, kind: ForwardedType, claim: &str) -> Result<Option<String>, ClaimError> {
        read_as(name, kind, TextEncoding::Plain, claim)
    }

    fn read_as(
        name: &str,
        kind: ForwardedType,
        encoding: TextEncoding,
        claim: &str,
    ) -> Result<Option<String>, ClaimError> {
        let header = "x-claim".into();
        let forwarded = ForwardedClaim { claim: ClaimPath::new(&[name]).unwrap(), kind, encoding, header };
        let claims = format!(r#"{{"{name}":{claim}}}"#);
        let text = forwarded.text(&Object::parse(claims.as_bytes()).unwrap())?;
        Ok(text.map(|text| text.to_string()))
    }

    fn text(kind: ForwardedType, claim: &str) -> Option<String> {
        read("c", kind, claim).unwrap()
    }

    #[test]
    fn a_claim_has_a_text_where_it_is_of_the_type_that_is_named() {
        let list = |separator| ForwardedType::Strings { separator };
        for (kind, claim, expected) in [
            (ForwardedType::String, r#""orders service""#, "orders service"),
            (ForwardedType::String, r#""5""#, "5"),
            (ForwardedType::Integer, "42", "42"),
            (ForwardedType::Integer, "-9223372036854775808", "-9223372036854775808"),
            (ForwardedType::Integer, "18446744073709551615", "18446744073709551615"),
            (ForwardedType::Boolean, "true", "true"),
            (ForwardedType::Boolean, "false", "false"),
            (list(b' '), r#"["a","b"]"#, "a b"),
            (list(b','), r#"["a b","c"]"#, "a b,c"),
            (list(b'|'), r#"["a"]"#, "a"),
        ] {
            assert_eq!(text(kind, claim).as_deref(), Some(expected), "{claim}");
        }
        let longest = "a".repeat(MAX_HEADER_TEXT);
        assert_eq!(text(ForwardedType::String, &format!("\"{longest}\"")), Some(longest));
    }

    #[test]
    fn what_has_no_text_that_a_header_could_hold_becomes_none() {
        let long = format!(r#""{}""#, "a".repeat(MAX_HEADER_TEXT + 1));
        let half = "a".repeat(MAX_HEADER_TEXT / 2);
        let lists = format!(r#"["{half}","{half}"]"#);
        for claim in [
            "null",
            "1.5",
            "1.0",
            "1e3",
            "18446744073709551616",
            "{}",
            "[]",
            r#""""#,
            r#""a\r\nb: c""#,
            r#""ä""#,
            r#"" a""#,
            r#"[""]"#,
            r#"["a",""]"#,
            r#"["a","b c,d"]"#,
            r#"["a",null]"#,
            "[1]",
            "[[]]",
            &long,
            &lists,
        ] {
            for kind in KINDS {
                assert_eq!(text(kind, claim), None, "{claim} as {kind:?}");
            }
        }
    }

    /// Under one entry of the configuration, one text stands for one claim.
    #[test]
    fn two_claims_that_differ_never_become_one_text() {
        let claims = [
            "5",
            "\"5\"",
            "[\"5\"]",
            "true",
            "\"true\"",
            "[\"true\"]",
            "[\"a\",\"b\"]",
            "\"a b\"",
            "\"a,b\"",
            "[\"a b\"]",
            "[\"a,b\"]",
            "[\"a\",\"b\",\"c\"]",
            "[\"a\",\"b c\"]",
            "[\"a,b\",\"c\"]",
            "\"a b c\"",
            "[\"\",\"a\"]",
            "\"a\"",
            "[\"a\"]",
        ];
        let plain = KINDS.into_iter().chain([ForwardedType::Json]).map(|kind| (kind, TextEncoding::Plain));
        let encoded =
            [ForwardedType::String, ForwardedType::Json].map(|kind| (kind, TextEncoding::Base64url));
        for (kind, encoding) in plain.chain(encoded) {
            let text = |claim: &&str| read_as("c", kind, encoding, claim).unwrap();
            let mut texts: Vec<_> = claims.iter().filter_map(text).collect();
            let all = texts.len();
            texts.sort_unstable();
            texts.dedup();
            assert!(all > 0 && texts.len() == all, "{kind:?} {encoding:?}: {texts:?}");
        }
    }

    #[test]
    fn a_claim_of_any_type_becomes_json_of_ascii() {
        for (claim, expected) in [
            (r#"{ "b" : [1, -2, true, null, {}], "a": "x y" }"#, r#"{"b":[1,-2,true,null,{}],"a":"x y"}"#),
            (r#""gr\u00fcn \ud83d\ude00""#, r#""gr\u00fcn \ud83d\ude00""#),
            ("\"\u{fc}\u{7f}\u{1f600}\"", r#""\u00fc\u007f\ud83d\ude00""#),
            (r#""a\"\\\/\r\n\t\u0000""#, r#""a\"\\/\u000d\u000a\u0009\u0000""#),
            (r#"" ""#, r#"" ""#),
            (r#""""#, r#""""#),
            ("18446744073709551615", "18446744073709551615"),
            ("false", "false"),
            ("[]", "[]"),
        ] {
            let written = text(ForwardedType::Json, claim);
            assert_eq!(written.as_deref(), Some(expected), "{claim}");
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(claim), value(expected), "{claim}");
        }
    }

    /// `1.0000000000000000001` would be the same `1.0`.
    #[test]
    fn json_with_a_number_that_is_not_whole_becomes_no_header() {
        for claim in ["1.5", "1.0", "1e3", "-0", "18446744073709551616", r#"{"a":[{"b":0.1}]}"#, "null"] {
            assert_eq!(text(ForwardedType::Json, claim), None, "{claim}");
        }
    }

    #[test]
    fn text_that_is_encoded_may_be_any_and_fills_a_header_at_most() {
        let encoded = |kind, claim: &str| read_as("c", kind, TextEncoding::Base64url, claim).unwrap();
        let expected = [
            (ForwardedType::String, "\"gr\u{fc}n\"", Some("Z3LDvG4")),
            (ForwardedType::String, r#""a\r\nb: c""#, Some("YQ0KYjogYw")),
            (ForwardedType::String, r#"" ""#, Some("IA")),
            (ForwardedType::String, r#""""#, None),
            (ForwardedType::String, "5", None),
            (ForwardedType::Json, "5", Some("NQ")),
            (ForwardedType::Json, r#"{"a":"\u00fc"}"#, Some("eyJhIjoiXHUwMGZjIn0")),
        ];
        for (kind, claim, expected) in expected {
            assert_eq!(encoded(kind, claim).as_deref(), expected, "{claim}");
        }
        // Three bytes are four characters.
        let longest = MAX_HEADER_TEXT / 4 * 3;
        let of = |bytes: usize| format!("\"{}\"", "a".repeat(bytes));
        let fits = encoded(ForwardedType::String, &of(longest)).unwrap();
        assert_eq!(fits.len(), MAX_HEADER_TEXT);
        assert_eq!(encoded(ForwardedType::String, &of(longest + 1)), None);
        assert!(text(ForwardedType::Json, &of(MAX_HEADER_TEXT - 2)).is_some());
        assert_eq!(text(ForwardedType::Json, &of(MAX_HEADER_TEXT - 1)), None);
    }

    #[test]
    fn who_a_caller_is_must_be_a_string_where_it_is_forwarded_as_one() {
        for name in ["sub", "jti", "client_id"] {
            for claim in ["5", "{}", "[]", r#"["a","b"]"#, "false"] {
                let malformed = Err(ClaimError::Malformed { claim: name });
                assert_eq!(read(name, ForwardedType::String, claim), malformed, "{name} {claim}");
            }
            assert_eq!(read(name, ForwardedType::String, "null"), Ok(None));
            assert_eq!(read(name, ForwardedType::Integer, "5"), Ok(Some("5".to_owned())));
        }
        assert_eq!(read("tier", ForwardedType::String, "5"), Ok(None));
    }
}
