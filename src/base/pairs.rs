//! The pair encoding of the proxy-wasm ABI: header maps and lists in properties come in it.
//!
//! Little-endian: the count of pairs; for each pair the two sizes; then for each pair the two byte strings, each
//! followed by a NUL. The host is trusted, but what it encodes came from a client, so nothing here may trap.

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
    /// All texts.
    texts: &'b [u8],
    /// Where the next pair's begin.
    at: usize,
}

/// Where a pair's texts lie. The sizes of all pairs come first, so that a walk need not touch the texts that it passes.
struct PairSpan {
    at: usize,
    key_size: usize,
    value_size: usize,
}

impl<'b> Pairs<'b> {
    /// The pairs that `bytes` hold, once [`decode_pairs`] has found them good; of other bytes, some.
    pub(super) fn of(bytes: &'b [u8]) -> Self {
        Self::start(bytes).unwrap_or(Self { sizes: &[], texts: &[], at: 0 })
    }

    /// The values under this key.
    pub(super) fn values(mut self, key: &str) -> impl Iterator<Item = &'b [u8]> {
        core::iter::from_fn(move || {
            while let Some(span) = self.step() {
                if span.key_size == key.len() && self.key(&span)? == key.as_bytes() {
                    return self.value(&span);
                }
            }
            None
        })
    }

    /// The pairs whose key may be one of these.
    pub(super) fn of_names(mut self, names: NameFilter) -> impl Iterator<Item = Pair<'b>> {
        core::iter::from_fn(move || {
            while let Some(span) = self.step() {
                if names.may_hold_length(span.key_size) {
                    let key = self.key(&span)?;
                    if names.may_hold(key) {
                        return Some((key, self.value(&span)?));
                    }
                }
            }
            None
        })
    }

    fn start(bytes: &'b [u8]) -> Result<Self, PairsError> {
        let Some((count, rest)) = bytes.split_first_chunk::<4>() else {
            return if bytes.is_empty() {
                Ok(Self { sizes: &[], texts: &[], at: 0 })
            } else {
                Err(PairsError::Truncated)
            };
        };
        let count = size(u32::from_le_bytes(*count).into());
        if count > MAX_PAIRS {
            return Err(PairsError::TooMany);
        }
        let (sizes, texts) = rest.split_at_checked(count.saturating_mul(8)).ok_or(PairsError::Truncated)?;
        Ok(Self { sizes: sizes.as_chunks().0, texts, at: 0 })
    }

    fn step(&mut self) -> Option<PairSpan> {
        let (sizes, rest) = self.sizes.split_first()?;
        // Both in one word, the key's size in its lower half.
        let sizes = u64::from_le_bytes(*sizes);
        let span = PairSpan {
            at: self.at,
            key_size: size(sizes & u64::from(u32::MAX)),
            value_size: size(sizes >> 32),
        };
        self.sizes = rest;
        // Nothing wraps in what has been decoded.
        self.at = span.value_at().wrapping_add(span.value_size).wrapping_add(1);
        Some(span)
    }

    fn key(&self, span: &PairSpan) -> Option<&'b [u8]> {
        self.texts.get(span.at..)?.get(..span.key_size)
    }

    fn value(&self, span: &PairSpan) -> Option<&'b [u8]> {
        self.texts.get(span.value_at()..)?.get(..span.value_size)
    }

    /// Whether all texts lie where they should, each with a NUL behind it.
    fn check(mut self) -> Result<(), PairsError> {
        let mut left = self.texts;
        let mut skip = |size: usize| {
            left = left.get(size..)?.strip_prefix(&[0])?;
            Some(())
        };
        while let Some(PairSpan { key_size, value_size, .. }) = self.step() {
            skip(key_size).and_then(|()| skip(value_size)).ok_or(PairsError::Truncated)?;
        }
        if left.is_empty() { Ok(()) } else { Err(PairsError::Trailing) }
    }
}

impl PairSpan {
    /// Behind each text is a NUL.
    fn value_at(&self) -> usize {
        self.at.wrapping_add(self.key_size).wrapping_add(1)
    }
}

impl<'b> Iterator for Pairs<'b> {
    type Item = Pair<'b>;

    fn next(&mut self) -> Option<Pair<'b>> {
        let span = self.step()?;
        Some((self.key(&span)?, self.value(&span)?))
    }
}

/// Names, as a bit for each length and one for each length with a first letter: almost every header's name is none of
/// those that are looked for, and its text is not touched. Letters count without their case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameFilter {
    lengths: u64,
    beginnings: u64,
}

impl NameFilter {
    /// Adds one.
    #[must_use]
    pub fn with(self, name: &str) -> Self {
        let beginnings = match name.as_bytes().first() {
            Some(first) if first.is_ascii_alphanumeric() => Self::beginning(name.len(), *first),
            // Servers of the CGI kind take one such character for another.
            Some(_) | None => u64::MAX,
        };
        self.and(Self { lengths: Self::bit(name.len()), beginnings })
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self { lengths: self.lengths | others.lengths, beginnings: self.beginnings | others.beginnings }
    }

    fn may_hold_length(self, length: usize) -> bool {
        self.lengths & Self::bit(length) != 0
    }

    fn may_hold(self, name: &[u8]) -> bool {
        self.beginnings & Self::beginning(name.len(), name.first().copied().unwrap_or_default()) != 0
    }

    /// By a prime, so that names of one length lie apart.
    fn beginning(length: usize, first: u8) -> u64 {
        Self::bit(length.wrapping_add(usize::from(first & 0x1f).wrapping_mul(13)))
    }

    /// Those of 64 and more begin again.
    fn bit(length: usize) -> u64 {
        1_u64.rotate_left(u32::try_from(length & 63).unwrap_or_default())
    }
}

/// The pairs that `bytes` hold.
///
/// # Errors
/// When any of them does not lie in the bytes, or something else does.
pub fn decode_pairs(bytes: &[u8]) -> Result<Pairs<'_>, PairsError> {
    let pairs = Pairs::start(bytes)?;
    pairs.clone().check()?;
    Ok(pairs)
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

/// Where it does not fit, which is nowhere that we run, nothing is that long.
fn size(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
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
    fn a_name_is_found_by_a_filter_whatever_its_length_and_first_letter() {
        let first = ["a", "X", "z", "0", "9", "-", "_", ":"];
        for name in
            first.into_iter().flat_map(|first| (0..130).map(move |more| first.to_owned() + &"b".repeat(more)))
        {
            let pairs = [("host", "a"), (&*name, "b"), ("", "c")];
            let bytes = encode(&pairs);
            let filter = NameFilter::default().with("connection").with(&name);
            for spelled in [name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
                assert!(NameFilter::default().with(&spelled).and(filter).may_hold(name.as_bytes()), "{name}");
            }
            let mut found = Pairs::of(&bytes).of_names(filter);
            assert!(found.any(|(key, _)| key == name.as_bytes()), "{name}");
        }
        let beside = encode(&[("user-agent", "a"), (":authority", "b"), ("accept", "c")]);
        assert_eq!(Pairs::of(&beside).of_names(NameFilter::default().with("connection")).count(), 0);
    }

    #[test]
    fn every_truncation_is_an_error_and_none_traps() {
        let pairs = [(&b"key"[..], &b"value"[..]), (b"k", b"")];
        let bytes = encode_pairs(pairs.into_iter());
        for end in 1..bytes.len() {
            assert!(decode_pairs(&bytes[..end]).is_err(), "cut at {end}");
            let found: Vec<_> = Pairs::of(&bytes[..end]).collect();
            assert!(pairs.starts_with(&found), "cut at {end}");
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
    fn a_text_without_its_nul_is_refused() {
        let bytes = encode(&[("key", "value"), ("k", "")]);
        let texts = 4 + 2 * 8;
        for at in (texts..bytes.len()).filter(|at| bytes[*at] == 0) {
            let mut other = bytes.clone();
            other[at] = b'x';
            assert_eq!(decode_pairs(&other).map(Iterator::count), Err(PairsError::Truncated), "at {at}");
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&[("a", "b")]);
        bytes.push(0);
        assert_eq!(decode_pairs(&bytes).map(Iterator::count), Err(PairsError::Trailing));
    }
}
