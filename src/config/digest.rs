//! A number that tells two documents apart, for those that do not number themselves.

use core::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::value::Value;

/// 32 bits of a digest of what the document says: not of its bytes, since Envoy writes the members of a `Struct` in
/// another order at each start, and its numbers in another form than JSON has.
pub(super) fn version_of(document: &Value) -> u64 {
    let mut text = String::new();
    write_canonical(document, &mut text);
    u64::from(Sha256::digest(text).first_chunk::<4>().copied().map_or(0, u32::from_be_bytes))
}

/// Writes a value so that two are written alike only if they say the same: texts quoted, members by name.
fn write_canonical(value: &Value, out: &mut String) {
    // A `String` takes everything.
    let _ = match value {
        Value::Null => write!(out, "null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Integer(number) => write!(out, "{number}"),
        Value::Float(number) => write!(out, "{number}"),
        Value::String(text) => write!(out, "{text:?}"),
        Value::List(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            write!(out, "]")
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            out.push('{');
            for (name, value) in members {
                let _ = write!(out, "{name:?}:");
                write_canonical(value, out);
                out.push(',');
            }
            write!(out, "}}")
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(json: &str) -> u64 {
        version_of(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_order_of_members_and_the_form_of_numbers_do_not_count() {
        let one = version(r#"{"a": {"x": 1, "y": [true, null]}, "b": "c"}"#);
        assert_eq!(version(r#"{"b":"c","a":{"y":[true,null],"x":1.0}}"#), one);
        assert_ne!(one, 0);
    }

    #[test]
    fn all_else_counts() {
        let documents = [
            "{}",
            "[]",
            "null",
            r#""null""#,
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":["1,2"]}"#,
            r#"{"a":["1","2"]}"#,
            r#"{"a\":1,\"b":1}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":true}"#,
            r#"{"a":1.5}"#,
        ];
        let versions: std::collections::BTreeSet<u64> = documents.into_iter().map(version).collect();
        assert_eq!(versions.len(), documents.len());
    }
}
