//! The pair encoding of the proxy-wasm ABI: header maps and lists in properties come in it.
//!
//! Little-endian: the count of pairs; for each pair the two sizes; then for each pair the two byte strings, each followed
//! by a NUL. The host is trusted, but what it encodes came from a client, so nothing here may trap.

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

/// A key and its value.
type Pair<'b> = (&'b [u8], &'b [u8]);

/// Pairs of keys and values, one by one, read where they lie.
#[derive(Clone, Debug)]
pub struct Pairs<'b> {
    /// The sizes that are left, eight bytes a pair.
    sizes: &'b [[u8; 8]],
    /// The texts that are left.
    texts: &'b [u8],
}

impl<'b> Pairs<'b> {
    /// The pairs that `bytes` hold, once [`decode_pairs`] has found them good; of other bytes, those before the first fault.
    pub(super) fn of(bytes: &'b [u8]) -> Self {
        Self::start(bytes).unwrap_or(Self { sizes: &[], texts: &[] })
    }

    fn start(bytes: &'b [u8]) -> Result<Self, PairsError> {
        let Some((count, rest)) = bytes.split_first_chunk::<4>() else {
            return if bytes.is_empty() {
                Ok(Self { sizes: &[], texts: &[] })
            } else {
                Err(PairsError::Truncated)
            };
        };
        let count = size(*count)?;
        if count > MAX_PAIRS {
            return Err(PairsError::TooMany);
        }
        let (sizes, texts) = rest.split_at_checked(count.saturating_mul(8)).ok_or(PairsError::Truncated)?;
        Ok(Self { sizes: sizes.as_chunks().0, texts })
    }

    fn read(&mut self) -> Result<Option<Pair<'b>>, PairsError> {
        let Some((sizes, rest)) = self.sizes.split_first() else { return Ok(None) };
        self.sizes = rest;
        let [a, b, c, d, e, f, g, h] = *sizes;
        Ok(Some((self.take(size([a, b, c, d])?)?, self.take(size([e, f, g, h])?)?)))
    }

    fn take(&mut self, size: usize) -> Result<&'b [u8], PairsError> {
        let (text, rest) = self.texts.split_at_checked(size).ok_or(PairsError::Truncated)?;
        self.texts = rest.strip_prefix(&[0]).ok_or(PairsError::Truncated)?;
        Ok(text)
    }
}

impl<'b> Iterator for Pairs<'b> {
    type Item = Pair<'b>;

    fn next(&mut self) -> Option<Pair<'b>> {
        self.read().ok().flatten()
    }
}

/// The pairs that `bytes` hold.
///
/// # Errors
/// When any of them does not lie in the bytes, or something else does.
pub fn decode_pairs(bytes: &[u8]) -> Result<Pairs<'_>, PairsError> {
    let pairs = Pairs::start(bytes)?;
    let mut all = pairs.clone();
    while all.read()?.is_some() {}
    if all.texts.is_empty() { Ok(pairs) } else { Err(PairsError::Trailing) }
}

/// Encodes pairs as the host wants them. A text of 4 GiB and more would not fit, and none is.
pub fn encode_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: impl Iterator<Item = (N, V)> + Clone) -> Vec<u8> {
    let word = |size: usize| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = word(pairs.clone().count()).to_vec();
    for (key, value) in pairs.clone() {
        bytes.extend(word(key.as_ref().len()));
        bytes.extend(word(value.as_ref().len()));
    }
    for (key, value) in pairs {
        for text in [key.as_ref(), value.as_ref()] {
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
    }
    bytes
}

fn size(word: [u8; 4]) -> Result<usize, PairsError> {
    usize::try_from(u32::from_le_bytes(word)).map_err(|_| PairsError::Truncated)
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
        let pairs: Vec<_> = decode_pairs(&bytes).unwrap().collect();
        assert_eq!(pairs, [(&b"a"[..], &b"bc"[..]), (&b""[..], &b"d"[..])]);
    }

    #[test]
    fn every_truncation_is_an_error_and_none_traps() {
        let bytes = encode(&[("key", "value"), ("k", "")]);
        for end in 1..bytes.len() {
            assert!(decode_pairs(&bytes[..end]).is_err(), "cut at {end}");
            assert!(Pairs::of(&bytes[..end]).count() < 2, "cut at {end}");
        }
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused() {
        let error = |bytes: &[u8]| decode_pairs(bytes).map(Iterator::count).unwrap_err();
        assert_eq!(error(&[0xff, 0xff, 0xff, 0xff]), PairsError::TooMany);
        assert_eq!(error(&[0x10, 0x27, 0, 0]), PairsError::Truncated);
        assert_eq!(error(&[0x11, 0x27, 0, 0]), PairsError::TooMany);
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&[("a", "b")]);
        bytes.push(0);
        assert_eq!(decode_pairs(&bytes).map(Iterator::count), Err(PairsError::Trailing));
    }
}
