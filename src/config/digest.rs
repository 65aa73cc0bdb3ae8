//! A number that tells two documents apart, for those that do not number themselves.

use sha2::{Digest as _, Sha256};

use super::value::Value;

/// 32 bits of a digest of what the document says: not of its bytes, since Envoy writes the members of a `Struct` in
/// another order at each start.
pub(super) fn version_of(document: &Value) -> u64 {
    let mut digest = Sha256::new();
    add(document, &mut digest);
    u64::from(digest.finalize().first_chunk::<4>().copied().map_or(0, u32::from_be_bytes))
}

/// Adds a value: its kind, how long it is, and what it holds, so that no two are written alike. Members come by name.
fn add(value: &Value, digest: &mut Sha256) {
    match value {
        Value::Null => digest.update(b"n"),
        Value::Bool(value) => digest.update([b'b', u8::from(*value)]),
        Value::Integer(number) => {
            digest.update(b"i");
            digest.update(number.to_be_bytes());
        }
        Value::Float(number) => {
            digest.update(b"f");
            digest.update(number.to_bits().to_be_bytes());
        }
        Value::String(text) => add_text(b"s", text, digest),
        Value::List(items) => {
            digest.update(b"[");
            items.iter().for_each(|item| add(item, digest));
            digest.update(b"]");
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            digest.update(b"{");
            for (name, value) in members {
                add_text(b"m", name, digest);
                add(value, digest);
            }
            digest.update(b"}");
        }
    }
}

fn add_text(kind: &[u8], text: &str, digest: &mut Sha256) {
    digest.update(kind);
    // Documents have at most 8 MiB.
    digest.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    digest.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(json: &str) -> u64 {
        version_of(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn neither_the_order_of_members_nor_white_space_counts() {
        let one = version(r#"{"a": {"x": 1, "y": [true, null]}, "b": "c"}"#);
        assert_eq!(version(r#"{"b":"c","a":{"y":[true,null],"x":1}}"#), one);
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
