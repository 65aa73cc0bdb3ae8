//! From the host's bytes to a [`Value`]. Envoy hands over a `StringValue`'s text, or a `Struct` as serialized protobuf;
//! Istio and Envoy Gateway send JSON text.

use prost::Message as _;
use prost_types::value::Kind;

use super::error::ConfigErrors;
use super::value::Value;

/// Reads JSON text or a serialized `Struct`. No document is both: a `Struct` begins with the byte of a line feed, but
/// the next members of it are control characters, which JSON text cannot hold.
pub(super) fn read(document: &[u8]) -> Result<Value, ConfigErrors> {
    if document.len() > MAX_CONFIG_BYTES {
        return Err(ConfigErrors::one(format!("the document is larger than {MAX_CONFIG_BYTES} bytes")));
    }
    if document.trim_ascii().is_empty() {
        return Err(ConfigErrors::one("the document is empty: give the plugin a `configuration`"));
    }
    let json = match serde_json::from_slice(document) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let looks_like_text = document.trim_ascii_start().starts_with(b"{")
        && document.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace());
    match prost_types::Struct::decode(document) {
        Ok(fields) if !looks_like_text => Ok(object(fields)),
        // The text of serde_json's errors quotes names of syntax, never values.
        Ok(_) | Err(_) => Err(ConfigErrors::one(format!("neither JSON nor a protobuf Struct: {json}"))),
    }
}

fn object(fields: prost_types::Struct) -> Value {
    Value::Object(fields.fields.into_iter().map(|(name, field)| (name, value(field))).collect())
}

fn value(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::NumberValue(value)) => Value::Float(value),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => Value::List(list.values.into_iter().map(self::value).collect()),
        Some(Kind::StructValue(fields)) => object(fields),
    }
}

/// Ten thousand routes take two to three megabytes.
pub const MAX_CONFIG_BYTES: usize = 8 * 1024 * 1024;
