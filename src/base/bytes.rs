/// Whether two texts are the same, compared in words: the C library's way on wasm is byte by byte.
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let ((words, rest), (other_words, other_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let ((fours, words), (other_fours, other_words)) = (words.as_chunks::<4>(), other_words.as_chunks::<4>());
    let differ = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
    // Four words at a time, so that it is not asked after each whether to go on.
    let are_same =
        |a: &[[u8; 8]], b: &[[u8; 8]]| a.iter().zip(b).map(differ).fold(0, |all, one| all | one) == 0;
    fours.iter().zip(other_fours).all(|(a, b)| are_same(a, b))
        && are_same(words, other_words)
        && rest.iter().zip(other_rest).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_only_if_every_byte_is() {
        for length in 0..100 {
            let text: Vec<u8> = (0..length).collect();
            assert!(is_same(&text, &text.clone()), "{length}");
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] ^= 0x80;
                assert!(!is_same(&text, &other), "{at} of {length}");
                assert!(!is_same(&text, &text[..at]), "{at} of {length}");
            }
        }
    }
}
