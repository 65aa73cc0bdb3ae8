//! Claims that become headers. Two claims that differ never become the same header: what reads it decides by it.

use std::rc::Rc;

use crate::claims::{ClaimError, ClaimPath};
use crate::jose::{Json, Object};

/// A claim that the upstream gets as a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedClaim {
    /// The claim.
    pub claim: ClaimPath,
    /// The type that it must have.
    pub kind: ForwardedType,
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
            (ForwardedType::String, Json::String(text)) => header_text(text),
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

/// A text that a header field can hold as it is: only visible ASCII and inner spaces, at most 1,024 bytes, never empty.
fn header_text(text: &str) -> Option<Rc<str>> {
    let is_visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (is_visible && !text.is_empty() && text.len() <= MAX_HEADER_TEXT && text.trim() == text)
        .then(|| text.into())
}

/// RFC 7519 §4.1.2 and §4.1.7, RFC 9068 §2.2.
const NAMES_OF_CLIENTS: [&str; 3] = ["sub", "jti", "client_id"];
/// Well under what servers take for one header field (8 KB).
const MAX_HEADER_TEXT: usize = 1024;

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
        let forwarded =
            ForwardedClaim { claim: ClaimPath::new(&[name]).unwrap(), kind, header: "x-claim".into() };
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
        for kind in KINDS {
            let mut texts: Vec<_> = claims.iter().filter_map(|claim| text(kind, claim)).collect();
            let all = texts.len();
            texts.sort_unstable();
            texts.dedup();
            assert!(all > 0 && texts.len() == all, "{kind:?}: {texts:?}");
        }
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
