//! Strict base64url (RFC 7515 §2): no padding, no whitespace, no non-zero trailing bits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The bytes that `text` encodes, or `None` when it is not the one encoding of any bytes.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    decode_into(text, &mut bytes).map(|()| bytes)
}

/// As [`decode`], behind what `bytes` holds already.
pub(super) fn decode_into(text: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    URL_SAFE_NO_PAD.decode_vec(text, bytes).ok()
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_in_result)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_encoding_of_some_bytes_is_decoded() {
        assert_eq!(decode(b""), Some(vec![]));
        assert_eq!(decode(b"-_8"), Some(vec![0xfb, 0xff]));
        assert_eq!(decode(b"AA"), Some(vec![0]));
        for text in ["A", "AAAAA", "AA==", "AA=", "AB", "AAB", "+/8", "A A", "AA\n", "A\u{e9}A", "AA\0"] {
            assert_eq!(decode(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(decode(b"\xff\xff\xff\xff"), None);
    }

    #[test]
    fn every_last_character_that_leaves_bits_over_is_refused() {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let ends = |before: &[u8]| {
            alphabet.iter().filter(|last| decode(&[before, &[**last]].concat()).is_some()).count()
        };
        assert_eq!(ends(b"A"), 4);
        assert_eq!(ends(b"AA"), 16);
        assert_eq!(ends(b"AAA"), 64);
    }
}
