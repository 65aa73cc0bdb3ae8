//! The pair encoding of the proxy-wasm ABI: header maps and lists in properties come in it.
//!
//! Little-endian: the count of pairs; for each pair the two sizes; then for each pair the two byte strings, each followed
//! by a NUL. The host is trusted, but what it encodes came from a client, so nothing here may trap.

use core::ops::Range;

/// Why bytes are not pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairsError {
    /// The bytes end before the pairs do.
    #[error("the encoding ends early")]
    Truncated,
    /// Bytes are left over after the last pair.
    #[error("bytes follow the last pair")]
    Trailing,
    /// More pairs than any request has.
    #[error("more than {MAX_PAIRS} pairs")]
    TooMany,
}

/// Where a pair's key and its value lie.
pub type Pair = (Range<usize>, Range<usize>);

/// Where each pair's key and value lie in `bytes`.
pub fn decode_pairs(bytes: &[u8]) -> Result<Vec<Pair>, PairsError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let count = read_u32(bytes, 0)?;
    if count > MAX_PAIRS {
        return Err(PairsError::TooMany);
    }
    // Each pair needs eight bytes of sizes: a count that the bytes cannot hold reserves no memory.
    let sizes_end = count.checked_mul(8).and_then(|n| n.checked_add(4)).ok_or(PairsError::Truncated)?;
    if bytes.len() < sizes_end {
        return Err(PairsError::Truncated);
    }
    let mut pairs = Vec::with_capacity(count);
    let mut at = sizes_end;
    for index in 0..count {
        let sizes = index.saturating_mul(8).saturating_add(4);
        let key = take(bytes, &mut at, read_u32(bytes, sizes)?)?;
        let value = take(bytes, &mut at, read_u32(bytes, sizes.saturating_add(4))?)?;
        pairs.push((key, value));
    }
    if at == bytes.len() { Ok(pairs) } else { Err(PairsError::Trailing) }
}

/// Encodes pairs as the host wants them. A text of 4 GiB and more would not fit, and none is.
pub fn encode_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Vec<u8> {
    let word = |size: usize| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = word(pairs.clone().count()).to_vec();
    for (key, value) in pairs.clone() {
        bytes.extend(word(key.len()));
        bytes.extend(word(value.len()));
    }
    for text in pairs.flat_map(|(key, value)| [key, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

fn read_u32(bytes: &[u8], at: usize) -> Result<usize, PairsError> {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(PairsError::Truncated)?;
    usize::try_from(u32::from_le_bytes(*word)).map_err(|_| PairsError::Truncated)
}

fn take(bytes: &[u8], at: &mut usize, size: usize) -> Result<Range<usize>, PairsError> {
    let end = at.checked_add(size).ok_or(PairsError::Truncated)?;
    if bytes.get(end) != Some(&0) {
        return Err(PairsError::Truncated);
    }
    let range = *at..end;
    *at = end.saturating_add(1);
    Ok(range)
}

/// Far above what Envoy lets through (100 headers by default, `max_headers_count` at most 10,000).
const MAX_PAIRS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(pairs: &[(&str, &str)]) -> Vec<u8> {
        encode_pairs(pairs.iter().copied())
    }

    #[test]
    fn pairs_are_found_where_they_lie() {
        let bytes = encode(&[("a", "bc"), ("", "d")]);
        let pairs = decode_pairs(&bytes).unwrap();
        let text: Vec<_> = pairs.iter().map(|(k, v)| (&bytes[k.clone()], &bytes[v.clone()])).collect();
        assert_eq!(text, [(&b"a"[..], &b"bc"[..]), (&b""[..], &b"d"[..])]);
    }

    #[test]
    fn every_truncation_is_an_error_and_none_traps() {
        let bytes = encode(&[("key", "value"), ("k", "")]);
        for end in 1..bytes.len() {
            assert!(decode_pairs(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused() {
        assert_eq!(decode_pairs(&[0xff, 0xff, 0xff, 0xff]), Err(PairsError::TooMany));
        assert_eq!(decode_pairs(&[0x10, 0x27, 0, 0]), Err(PairsError::Truncated));
        assert_eq!(decode_pairs(&[0x11, 0x27, 0, 0]), Err(PairsError::TooMany));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&[("a", "b")]);
        bytes.push(0);
        assert_eq!(decode_pairs(&bytes), Err(PairsError::Trailing));
    }
}
