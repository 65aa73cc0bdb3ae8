//! Values of the audit record: bounded, and of visible ASCII, so that they stand in any log line, label or document as
//! they are, but for that format's own quotes.

use core::fmt::Write as _;
use core::ops::Deref;
use std::rc::Rc;

use serde::{Serialize, Serializer};

/// One field of the audit record: its key in filter state, and what it holds; empty where there is nothing to say.
pub type AuditEntry = (&'static str, AuditText);

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditText {
    /// A word of the code's.
    Fixed(&'static str),
    /// A name of the configuration's, or what a request or a token says.
    Shared(Rc<str>),
}

impl AuditText {
    /// Nothing.
    pub const EMPTY: Self = Self::Fixed("");

    /// A text of whatever origin: a byte that is neither visible ASCII nor a space is written `%` and two hexadecimal
    /// digits (RFC 3986 §2.1), as is `%` itself. What would be longer than [`MAX_AUDIT_TEXT`] is cut, and ends in `...`.
    pub fn of(text: &str) -> Self {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'$' | b'&'..=b'~');
        if text.len() <= MAX_AUDIT_TEXT && text.bytes().all(is_plain) {
            return if text.is_empty() { Self::EMPTY } else { Self::Shared(text.into()) };
        }
        let mut written = String::with_capacity(MAX_AUDIT_TEXT);
        for byte in text.bytes() {
            let before = written.len();
            if is_plain(byte) {
                written.push(char::from(byte));
            } else {
                // A string takes all that is written to it.
                let _ = write!(written, "%{byte:02X}");
            }
            if written.len() > MAX_AUDIT_TEXT {
                written.truncate(before);
                return Self::cut(written);
            }
        }
        Self::Shared(written.into())
    }

    /// Makes room for the dots, at the end of a character or of its escape.
    fn cut(mut text: String) -> Self {
        let most = MAX_AUDIT_TEXT.saturating_sub(CUT.len());
        while text.len() > most {
            let escape = text.len().checked_sub(3).filter(|at| text.as_bytes().get(*at) == Some(&b'%'));
            text.truncate(escape.unwrap_or(text.len().saturating_sub(1)));
        }
        text.push_str(CUT);
        Self::Shared(text.into())
    }
}

impl Deref for AuditText {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl Serialize for AuditText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl From<&Rc<str>> for AuditText {
    /// A name of the configuration's: it is short and plain already.
    fn from(name: &Rc<str>) -> Self {
        Self::Shared(Rc::clone(name))
    }
}

/// What Envoy's access logs, Prometheus' labels and `OpenTelemetry`'s attributes take without a setting, and the size
/// of a fact.
pub const MAX_AUDIT_TEXT: usize = 1024;
const CUT: &str = "...";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        AuditText::of(text).to_string()
    }

    #[test]
    fn all_but_visible_ascii_is_escaped() {
        assert_eq!(of(""), "");
        assert_eq!(of(r#"a "b", c\ =;'"#), r#"a "b", c\ =;'"#);
        assert_eq!(of("a\nb\r\0\t\u{7f}"), "a%0Ab%0D%00%09%7F");
        assert_eq!(of("gr\u{fc}n"), "gr%C3%BCn");
        assert_eq!(of("100%"), "100%25");
        assert_eq!(of("\u{202e}"), "%E2%80%AE");
    }

    #[test]
    fn a_text_of_1024_bytes_is_whole_and_a_longer_one_is_cut() {
        let longest = "x".repeat(1024);
        assert_eq!(of(&longest), longest);
        assert_eq!(of(&"x".repeat(1025)), format!("{}...", "x".repeat(1021)));
        assert_eq!(of(&"x".repeat(65_536)), format!("{}...", "x".repeat(1021)));
        // No half of an escape.
        assert_eq!(of(&"\n".repeat(341)), "%0A".repeat(341));
        assert_eq!(of(&format!("{}x", "\n".repeat(341))), format!("{}x", "%0A".repeat(341)));
        assert_eq!(of(&"\n".repeat(342)), format!("{}...", "%0A".repeat(340)));
        assert_eq!(of(&format!("xx{}", "\n".repeat(341))), format!("xx{}...", "%0A".repeat(339)));
    }
}
