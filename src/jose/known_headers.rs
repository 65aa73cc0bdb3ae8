//! Headers that are known already: all tokens that an issuer signs with one key have the same first part, byte for
//! byte.
//!
//! What a header says depends on its text alone, so remembering is the same as reading once more. Only the header of a
//! token whose signature was good is remembered, so that only an issuer can fill the few places.

use std::rc::Rc;

use super::header::Header;
use crate::base::is_same;

/// Some headers, and what each says.
#[derive(Debug, Default)]
pub struct KnownHeaders {
    /// Encoded, as tokens carry them.
    headers: Vec<(Box<[u8]>, Rc<Header<'static>>)>,
    /// The place of the oldest, once all are taken.
    oldest: usize,
    /// How many have come since the last one that took the oldest's.
    passed: usize,
}

impl KnownHeaders {
    /// What a header says, if this very text is known.
    pub(super) fn get(&self, text: &[u8]) -> Option<Rc<Header<'static>>> {
        let (_, header) = self.headers.iter().find(|(known, _)| is_same(known, text))?;
        Some(Rc::clone(header))
    }

    /// Remembers a header, encoded in `text`, of a token whose signature was good. When all places are taken, only one
    /// new header in [`PASSED_OVER`] replaces the oldest: otherwise, with more headers than places, each would be
    /// replaced before it comes again.
    pub(super) fn add(&mut self, text: &[u8], header: &Header<'_>) {
        if text.len() > MAX_KNOWN_HEADER_BYTES || self.get(text).is_some() {
            return;
        }
        if self.headers.len() < MAX_KNOWN_HEADERS {
            self.headers.push((text.into(), Rc::new(header.owned())));
            return;
        }
        self.passed = self.passed.saturating_add(1);
        if self.passed < PASSED_OVER {
            return;
        }
        self.passed = 0;
        if let Some(oldest) = self.headers.get_mut(self.oldest) {
            *oldest = (text.into(), Rc::new(header.owned()));
            self.oldest = self.oldest.saturating_add(1).checked_rem(MAX_KNOWN_HEADERS).unwrap_or_default();
        }
    }
}

/// Most filters know a few issuers, each of which signs with one key or, for a while, two; looking through so many is
/// still cheaper than reading one.
pub const MAX_KNOWN_HEADERS: usize = 16;
/// How long a header may be to be remembered, encoded: with a certificate's thumbprint or a URL for a key id it has
/// some 200 characters.
pub const MAX_KNOWN_HEADER_BYTES: usize = 512;
/// A new key's header is known after so many of its tokens; one that comes once costs a look and, one time of so many,
/// a place.
const PASSED_OVER: usize = 16;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_in_result)]
mod tests {
    use super::super::{Algorithm, Crypto as _, Header, RustCrypto, SigningKey, TokenError, TokenParts};
    use super::*;
    use crate::base::{Random, Secret};
    use base64ct::{Base64UrlUnpadded, Encoding as _};

    struct Zeros;

    impl Random for Zeros {
        fn fill(&self, _: &mut [u8]) {}
    }

    fn key() -> SigningKey {
        let keys: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/conformance/signing_keys.json")).unwrap();
        SigningKey::parse(&Secret::new(keys[1]["jwk"].to_string())).unwrap()
    }

    fn raw_token(header: &str) -> String {
        let encode = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(br#"{"iss":"corp"}"#));
        let signature = RustCrypto.sign(Algorithm::Es256, &key(), signed.as_bytes(), &Zeros).unwrap();
        format!("{signed}.{}", encode(&signature))
    }

    fn header(kid: usize) -> String {
        format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"key-{kid}"}}"#)
    }

    impl KnownHeaders {
        /// As the inbound half does it: what does not verify is not remembered.
        fn meet(&mut self, text: &str) -> bool {
            let parts = TokenParts::decode_with(text, self).unwrap();
            let Ok(token) = parts.read() else { return false };
            let signed = token.verify(key().public(), &RustCrypto);
            signed.is_ok_and(|signed| {
                signed.remember_header(self);
                true
            })
        }

        fn knows(&self, text: &str) -> bool {
            self.get(text.split('.').next().unwrap().as_bytes()).is_some()
        }
    }

    /// How a token is read: its header and the number of its claims, or what is wrong with it.
    fn read(text: &[u8], headers: &KnownHeaders) -> Result<(Header<'static>, usize), TokenError> {
        let parts = TokenParts::decode_with(text, headers)?;
        parts.read().map(|token| (token.header().owned(), token.claims().len()))
    }

    #[test]
    fn a_token_with_a_known_header_is_read_as_one_with_an_unknown_one() {
        let mut known = KnownHeaders::default();
        let text = raw_token(&header(1));
        assert!(known.meet(&text) && known.knows(&text));
        assert!(known.meet(&text) && known.headers.len() == 1);
        // In each place: a letter, a dot, and what is not base64url.
        for at in 0..text.len() {
            for byte in *b"A.\xff" {
                let mut other = text.clone().into_bytes();
                other[at] = byte;
                assert_eq!(read(&other, &known), read(&other, &KnownHeaders::default()), "{byte} at {at}");
            }
            assert_eq!(
                read(&text.as_bytes()[..at], &known),
                read(&text.as_bytes()[..at], &KnownHeaders::default())
            );
        }
    }

    #[test]
    fn a_header_that_differs_in_one_byte_is_not_known() {
        let mut known = KnownHeaders::default();
        let text = raw_token(&header(1));
        assert!(known.meet(&text));
        let part = text.split('.').next().unwrap().as_bytes();
        for at in 0..part.len() {
            let mut other = part.to_vec();
            other[at] ^= 1;
            assert!(known.get(&other).is_none() && known.get(&part[..at]).is_none());
        }
    }

    #[test]
    fn the_header_of_a_forged_token_is_not_remembered() {
        let mut known = KnownHeaders::default();
        let (ours, other) = (raw_token(&header(1)), raw_token(&header(2)));
        let forged = format!("{}.{}", other.rsplit_once('.').unwrap().0, ours.rsplit_once('.').unwrap().1);
        assert!(!known.meet(&forged) && !known.knows(&forged));
        assert!(known.meet(&other) && known.knows(&forged), "its own token makes it known");
    }

    #[test]
    fn one_more_than_are_known_takes_the_place_of_the_oldest_when_it_keeps_coming() {
        let mut known = KnownHeaders::default();
        let texts: Vec<String> = (0..=MAX_KNOWN_HEADERS).map(|kid| raw_token(&header(kid))).collect();
        let (one_more, at_first) = texts.split_last().unwrap();
        assert!(at_first.iter().all(|text| known.meet(text)));
        for time in 1..=PASSED_OVER {
            assert!(!known.knows(one_more), "before time {time}");
            assert!(at_first.iter().all(|text| known.knows(text)), "before time {time}");
            assert!(known.meet(one_more));
        }
        assert!(known.knows(one_more) && !known.knows(&at_first[0]));
        assert!(at_first[1..].iter().all(|text| known.knows(text)));
        assert_eq!(known.headers.len(), MAX_KNOWN_HEADERS);
    }

    #[test]
    fn headers_that_come_once_leave_most_of_the_known_ones_in() {
        let mut known = KnownHeaders::default();
        let texts: Vec<String> = (0..3 * MAX_KNOWN_HEADERS).map(|kid| raw_token(&header(kid))).collect();
        assert!(texts.iter().all(|text| known.meet(text)));
        let stayed = texts[..MAX_KNOWN_HEADERS].iter().filter(|text| known.knows(text)).count();
        assert_eq!(stayed, MAX_KNOWN_HEADERS - 2 * MAX_KNOWN_HEADERS / PASSED_OVER);
    }

    #[test]
    fn a_header_is_remembered_up_to_its_limit() {
        let of = |bytes: usize| {
            let rest = header(1).len();
            raw_token(&format!("{}{}", header(1), " ".repeat(bytes * 3 / 4 - rest)))
        };
        let mut known = KnownHeaders::default();
        let (longest, longer) = (of(MAX_KNOWN_HEADER_BYTES), of(MAX_KNOWN_HEADER_BYTES + 2));
        assert_eq!(longest.find('.'), Some(MAX_KNOWN_HEADER_BYTES));
        assert_eq!(longer.find('.'), Some(MAX_KNOWN_HEADER_BYTES + 2));
        assert!(known.meet(&longest) && known.knows(&longest));
        assert!(known.meet(&longer) && !known.knows(&longer));
    }
}
