//! A token that we hold, and how we know it again.

use core::hash::Hasher as _;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::lifetime::Lifetime;
use super::settings::Client;
use crate::base::{Secret, Timestamp};

/// A token, ready to be put on requests.
#[derive(Clone, derive_more::Debug)]
#[debug("Token {{ sent: {sent:?}, lifetime: {lifetime:?}, .. }}")]
pub struct Token {
    /// The header's value.
    value: Rc<str>,
    pub(super) fingerprint: Fingerprint,
    /// When it was asked for.
    pub(super) sent: Timestamp,
    pub(super) lifetime: Lifetime,
}

/// By this a credential is known again: a hash under a key of this filter's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u128);

/// The credentials that the filter sets or has set, so that none of them is taken for a caller's. A credential is the
/// whole value of a header: a token endpoint may issue any word as a token, so neither a part of a value nor the same
/// word in another header or under another scheme is ours.
#[derive(Debug)]
pub struct IssuedTokens {
    seed: [u8; 16],
    /// How many reasons there are to know each: two clients may get one token. Fingerprints are hashes already, under a
    /// key that only this filter has.
    all: HashMap<Fingerprint, u32, FxBuildHasher>,
}

/// The latest tokens of one owner, oldest first.
#[derive(Debug, Default)]
pub(super) struct RecentTokens(VecDeque<Fingerprint>);

impl Token {
    /// `token` as `client` puts it on requests: visible ASCII, as is the client's prefix but for the space at its end.
    pub(super) fn new(
        client: &Client,
        token: &Secret,
        sent: Timestamp,
        lifetime: Lifetime,
        known: &IssuedTokens,
    ) -> Self {
        let text = str::from_utf8(token.expose()).unwrap_or_default();
        let value: Rc<str> = [&client.prefix, text].concat().into();
        let fingerprint = known.fingerprint(&client.header, value.as_bytes());
        Self { value, fingerprint, sent, lifetime }
    }

    /// The header's value. It must not be printed.
    pub fn header_value(&self) -> &Rc<str> {
        &self.value
    }

    /// By what it is known again.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Whether it may be put on a request now.
    pub fn counts(&self, now: Timestamp) -> bool {
        now < self.lifetime.until
    }

    /// When it expires.
    pub fn expires(&self) -> Timestamp {
        self.lifetime.expires
    }

    /// How many bytes it takes.
    pub(super) fn size(&self) -> usize {
        self.value.len().saturating_add(size_of::<Self>())
    }
}

impl IssuedTokens {
    /// None yet; `seed` is random.
    pub fn new(seed: [u8; 16]) -> Self {
        Self { seed, all: HashMap::default() }
    }

    /// The fingerprint of a credential: what this header holds. A scheme is compared without case, and whatever spaces
    /// follow it (RFC 9110 §11.4), since what lies between two runs of the filter may write it anew.
    pub(super) fn fingerprint(&self, header: &str, value: &[u8]) -> Fingerprint {
        let value = value.trim_ascii();
        let end = value.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or_default();
        let (scheme, token) = value.split_at_checked(end).unwrap_or_default();
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        // No name and no scheme of ours holds a NUL.
        hasher.write(header.as_bytes());
        hasher.write(&[0]);
        scheme.iter().for_each(|byte| hasher.write(&[byte.to_ascii_lowercase()]));
        hasher.write(&[0]);
        hasher.write(token.trim_ascii_start());
        Fingerprint(hasher.finish128().as_u128())
    }

    /// Whether the value of this header is a credential of ours, and nothing else.
    pub fn is_ours(&self, header: &str, value: &[u8]) -> bool {
        !self.all.is_empty() && self.all.contains_key(&self.fingerprint(header, value))
    }

    /// A reason more to know a token.
    pub(super) fn hold(&mut self, token: Fingerprint) {
        let reasons = self.all.entry(token).or_default();
        *reasons = reasons.saturating_add(1);
    }

    /// A reason less.
    pub(super) fn let_go(&mut self, token: Fingerprint) {
        let Some(reasons) = self.all.get_mut(&token) else { return };
        *reasons = reasons.saturating_sub(1);
        if *reasons == 0 {
            self.all.remove(&token);
        }
    }

    /// Remembers a token of the owner of `ring` as its latest, and forgets the oldest of more than `most`.
    pub(super) fn remember(&mut self, ring: &mut RecentTokens, token: Fingerprint, most: usize) {
        match ring.0.iter().position(|other| *other == token) {
            Some(place) => drop(ring.0.remove(place)),
            None => self.hold(token),
        }
        ring.0.push_back(token);
        while ring.0.len() > most {
            if let Some(oldest) = ring.0.pop_front() {
                self.let_go(oldest);
            }
        }
    }
}

/// The tokens of one client that are known again: hours of renewals, of tokens that may still be good somewhere.
pub const MAX_KNOWN_TOKENS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    impl IssuedTokens {
        pub(in crate::outbound) fn len(&self) -> usize {
            self.all.len()
        }
    }

    const HEADER: &str = "authorization";

    #[test]
    fn a_credential_is_known_again_however_its_scheme_is_written() {
        let mut known = IssuedTokens::new([3; 16]);
        let mut ring = RecentTokens::default();
        let token = known.fingerprint(HEADER, b"Bearer abc");
        assert!(!known.is_ours(HEADER, b"Bearer abc"));
        known.remember(&mut ring, token, 2);
        for value in ["Bearer abc", "bearer\tabc", "BEARER   abc", " Bearer abc "] {
            assert!(known.is_ours(HEADER, value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn no_part_of_a_credential_and_no_other_header_makes_it_ours() {
        let mut known = IssuedTokens::new([3; 16]);
        let mut ring = RecentTokens::default();
        for word in ["abc", "Bearer"] {
            let token = known.fingerprint(HEADER, format!("Bearer {word}").as_bytes());
            known.remember(&mut ring, token, 2);
        }
        for value in [
            "",
            "abc",
            "Bearer",
            "Bearer ",
            "Bearer abcd",
            "Bearer ABC",
            "Bearer ALICE",
            "Token abc",
            "Bearer abc, Bearer y",
            "Basic x, Bearer abc",
            "Bearer abc abc",
            "Bearer\0abc",
        ] {
            assert!(!known.is_ours(HEADER, value.as_bytes()), "{value}");
        }
        assert!(!known.is_ours("x-authorization", b"Bearer abc"));
        let bare = known.fingerprint("x-token", b"abc");
        known.remember(&mut ring, bare, 2);
        assert!(known.is_ours("x-token", b"abc") && !known.is_ours("x-token", b"Bearer abc"));
    }

    #[test]
    fn the_oldest_token_is_forgotten_at_one_over_the_bound() {
        let mut known = IssuedTokens::new([3; 16]);
        let mut ring = RecentTokens::default();
        for n in 0..=u8::try_from(MAX_KNOWN_TOKENS).unwrap() {
            let token = known.fingerprint(HEADER, &[b'a' + n]);
            known.remember(&mut ring, token, MAX_KNOWN_TOKENS);
            known.remember(&mut ring, token, MAX_KNOWN_TOKENS);
        }
        assert_eq!(known.len(), MAX_KNOWN_TOKENS);
        assert!(!known.is_ours(HEADER, b"a") && known.is_ours(HEADER, b"b"));
    }

    #[test]
    fn debug_output_shows_no_token() {
        let known = IssuedTokens::new([3; 16]);
        let times = Lifetime { expires: Timestamp::MAX, until: Timestamp::MAX, renewal: Timestamp::MAX };
        let client = Client::example("Bearer ");
        let token = Token::new(&client, &Secret::new("hunter2"), Timestamp::EPOCH, times, &known);
        assert_eq!(&**token.header_value(), "Bearer hunter2");
        assert!(!format!("{token:?}").contains("hunter2"));
    }
}
