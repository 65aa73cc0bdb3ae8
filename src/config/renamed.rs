//! Words that earlier versions of the filter had for fields and values.

/// Each word's successor. A word is only taken for its successor where that may stand; the places are named for
/// readers.
#[rustfmt::skip]
pub(super) const RENAMED: [(&str, &str); 6] = [
    // outbound.clients[]
    ("assumed_lifetime", "default_lifetime"),
    // outbound.clients[].header
    ("prefix", "scheme"),
    // outbound.breaker
    ("pause", "open_duration"),
    // inbound
    ("refusals", "denials"),
    // outbound.unmatched, outbound.destinations[].caller_credential, private_key_jwt.portable_rsa
    ("refuse", "deny"),
    // jwks.empty_set, discovery.empty_set
    ("believe", "accept"),
];

/// What `word` is called now, if it is one of those and its successor is one of the words that are `known` in its
/// place.
pub(super) fn renamed<'a>(word: &str, mut known: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    let (_, new) = RENAMED.into_iter().find(|(old, _)| *old == word)?;
    known.any(|known| known == new).then_some(new)
}
