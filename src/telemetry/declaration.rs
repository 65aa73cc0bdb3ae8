//! The argument of Envoy's foreign function `declare_property`: what a key of filter state holds, and whether its first
//! value is its last. No host call is made here. Envoy: `source/extensions/common/wasm/declare_property.proto`.

use prost::encoding::{WireType, encode_key, encode_varint};

use super::audit::AuditField;

/// The name under which Envoy registers the function.
pub const DECLARE: &str = "declare_property";

impl AuditField {
    /// The function's argument, encoded: the field is a string, which lives as long as the filter chain. A request that
    /// Envoy sends through the chain again has new ones.
    pub fn declaration(self, is_read_only: bool) -> Vec<u8> {
        let name = self.key();
        let mut bytes = Vec::with_capacity(name.len().saturating_add(MAX_FRAMING));
        encode_key(NAME, WireType::LengthDelimited, &mut bytes);
        encode_varint(u64::try_from(name.len()).unwrap_or(u64::MAX), &mut bytes);
        bytes.extend_from_slice(name.as_bytes());
        for (tag, value) in [(READ_ONLY, u64::from(is_read_only)), (TYPE, STRING)] {
            encode_key(tag, WireType::Varint, &mut bytes);
            encode_varint(value, &mut bytes);
        }
        bytes
    }
}

const NAME: u32 = 1;
const READ_ONLY: u32 = 2;
const TYPE: u32 = 3;
/// `WasmType.String`. The life span that is not said is that of the filter chain.
const STRING: u64 = 1;
/// Three keys of one byte, a length of two, and two numbers of one.
const MAX_FRAMING: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_names_the_key_and_its_type() {
        let bytes = AuditField::Api.declaration(true);
        assert_eq!(bytes, *b"\x0a\x11attache.audit.api\x10\x01\x18\x01");
        assert_eq!(AuditField::Api.declaration(false), *b"\x0a\x11attache.audit.api\x10\x00\x18\x01");
        for field in AuditField::ALL {
            assert!(field.declaration(true).capacity() <= field.key().len() + MAX_FRAMING, "one allocation");
        }
    }
}
