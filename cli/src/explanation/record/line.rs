//! One line of an access log.

use std::borrow::Cow;
use std::collections::BTreeMap;

use attache::telemetry::AuditField;
use serde_json::Value;

/// The fields that are looked at, as texts.
#[derive(Clone, Debug, Default)]
pub struct Record {
    fields: BTreeMap<&'static str, String>,
}

/// Why a line is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is too long.
    #[error("longer than {} KiB", MAX_LINE / 1024)]
    TooLong,
    /// It is no JSON object.
    #[error("not a JSON object")]
    NoObject,
    /// A field that is looked at is a list or an object.
    #[error("`{0}` is neither a text nor a number")]
    Field(&'static str),
}

impl Record {
    /// Reads it.
    ///
    /// # Errors
    /// It is no record.
    pub fn parse(line: &str) -> Result<Self, Fault> {
        if line.len() > MAX_LINE {
            return Err(Fault::TooLong);
        }
        let Ok(Value::Object(members)) = serde_json::from_str(line) else { return Err(Fault::NoObject) };
        let mut fields = BTreeMap::new();
        for name in AuditField::ALL.map(AuditField::word).into_iter().chain(OTHERS) {
            let value = members.get(name).or_else(|| members.get(&format!("{PREFIX}{name}")));
            let text = match value {
                None | Some(Value::Null) => continue,
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                Some(Value::Bool(value)) => value.to_string(),
                Some(Value::Array(_) | Value::Object(_)) => return Err(Fault::Field(name)),
            };
            // Envoy writes a dash where there is nothing.
            if !text.is_empty() && text != "-" {
                fields.insert(name, text);
            }
        }
        let mut record = Self { fields };
        record.read_decision();
        Ok(record)
    }

    /// What a field says; `None` where it says nothing.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The words of a field.
    pub(super) fn words(&self, name: &str) -> Vec<&str> {
        self.text(name).unwrap_or_default().split_ascii_whitespace().collect()
    }

    /// Whether the filter has cut a field that was too long.
    pub(super) fn is_cut(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text.len() >= MIN_CUT && text.ends_with("..."))
    }

    /// Logs without audit fields have `wasm.attache.decision`: `outcome=deny reason=expired route=a issuer=b`.
    fn read_decision(&mut self) {
        let Some(decision) = self.fields.remove("decision") else { return };
        // A log with it may have Envoy's route as `route`.
        for name in DECISION {
            self.fields.remove(name);
        }
        for word in decision.split_ascii_whitespace() {
            let Some((name, text)) = word.split_once('=') else { continue };
            let Some(name) = DECISION.into_iter().find(|one| *one == name) else { continue };
            let is_said = !text.is_empty() && !(text == "none" && (name == "route" || name == "issuer"));
            if is_said {
                self.fields.insert(name, text.to_owned());
            }
        }
    }
}

/// A text as the filter logs it: what is not visible ASCII, and `%` itself, in percent-encoding.
pub(super) fn logged(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'$' | b'&'..=b'~');
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut logged = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            logged.push(char::from(byte));
        } else {
            logged.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(logged)
}

/// What Envoy adds to the audit fields, and what logs without audit fields have.
const OTHERS: [&str; 4] = ["time", "method", "status", "decision"];
/// What `wasm.attache.decision` says.
const DECISION: [&str; 4] = ["outcome", "reason", "route", "issuer"];
/// How the filter's state is named in Envoy, where a log keeps that.
const PREFIX: &str = "wasm.attache.audit.";
/// A field of the filter has a kilobyte at most; a path and headers beside them may be longer.
pub(super) const MAX_LINE: usize = 256 * 1024;
/// A field of the filter has 1024 bytes at most, and is cut before an escape.
const MIN_CUT: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_far_as_it_says_something() {
        let line = r#"{"outcome":"deny","reason":"expired","status":401,"issuer":"-","route":null,"client":"",
            "wasm.attache.audit.work":"cached","other":{"a":[1]}}"#;
        let record = Record::parse(line).unwrap();
        for (name, text) in [
            ("outcome", Some("deny")),
            ("status", Some("401")),
            ("issuer", None),
            ("route", None),
            ("work", Some("cached")),
        ] {
            assert_eq!(record.text(name), text, "{name}");
        }
    }

    #[test]
    fn a_decision_stands_for_its_fields() {
        let line = r#"{"decision":"outcome=deny reason=expired route=orders issuer=none other=1 x","route":"envoys"}"#;
        let record = Record::parse(line).unwrap();
        assert_eq!(record.text("outcome"), Some("deny"));
        assert_eq!(record.text("reason"), Some("expired"));
        assert_eq!(record.text("route"), Some("orders"));
        assert_eq!(record.text("issuer"), None);
        let line = r#"{"decision":null,"outcome":"permit","route":"b"}"#;
        let record = Record::parse(line).unwrap();
        assert_eq!((record.text("outcome"), record.text("route")), (Some("permit"), Some("b")));
    }

    #[test]
    fn names_are_compared_as_they_are_logged() {
        assert_eq!(logged("a b~!$&"), "a b~!$&");
        assert_eq!(logged("100%\né\u{7f}"), "100%25%0A%C3%A9%7F");
    }

    #[test]
    fn what_is_no_record_is_told() {
        assert_eq!(Record::parse("[]").unwrap_err(), Fault::NoObject);
        assert_eq!(Record::parse("").unwrap_err(), Fault::NoObject);
        assert_eq!(Record::parse(&"[".repeat(10_000)).unwrap_err(), Fault::NoObject);
        assert_eq!(Record::parse(r#"{"route":{}}"#).unwrap_err(), Fault::Field("route"));
        let longest = |bytes: usize| format!("{{\"x\":\"{}\"}}", "a".repeat(bytes.saturating_sub(8)));
        assert!(Record::parse(&longest(MAX_LINE)).is_ok());
        assert_eq!(Record::parse(&longest(MAX_LINE + 1)).unwrap_err(), Fault::TooLong);
    }
}
