use core::time::Duration;
use std::borrow::Cow;

use prost::Message;

use super::seal::Seal;
use crate::base::{Random, Secret, Timestamp};

/// A document that one thread has fetched for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// When it was asked for: it is at least as new as that.
    pub sent: Timestamp,
    /// When it came.
    pub received: Timestamp,
    /// How long it is fresh, if the server said so.
    pub freshness: Option<Duration>,
    /// How often in a row it has come back as it was.
    pub unchanged: u32,
    /// What to send back when asking whether it has changed.
    pub entity_tag: Option<String>,
    /// The address that it came from.
    pub origin: String,
    /// The document, as it came. It may be a token.
    pub body: Secret,
}

/// What lies in the place of a publication is none, or none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The seal is missing, or not made with our secret.
    #[error("its seal is not from this secret")]
    Seal,
    /// The encoding is broken, or the times cannot be.
    #[error("it cannot be read")]
    Encoding,
}

impl Publication {
    /// `None` when it cannot be sealed: then it is not shown at all.
    pub(super) fn encode(&self, name: &str, seal: Option<&Seal>, random: &dyn Random) -> Option<Vec<u8>> {
        let bytes = Encoded {
            sent: self.sent.nanos(),
            received: self.received.nanos(),
            freshness: self.freshness.map(|fresh| u64::try_from(fresh.as_nanos()).unwrap_or(u64::MAX)),
            unchanged: self.unchanged,
            entity_tag: self.entity_tag.clone(),
            origin: self.origin.clone(),
            body: self.body.expose().to_vec(),
        }
        .encode_to_vec();
        match seal {
            Some(seal) => seal.close(name, Secret::new(bytes).expose(), random),
            None => Some(bytes),
        }
    }

    pub(super) fn decode(
        name: &str,
        bytes: &[u8],
        seal: Option<&Seal>,
        now: Timestamp,
    ) -> Result<Self, Unreadable> {
        let bytes = match seal {
            Some(seal) => Cow::Owned(seal.open(name, bytes).ok_or(Unreadable::Seal)?),
            None => Cow::Borrowed(bytes),
        };
        let encoded = Encoded::decode(&*bytes).map_err(|_| Unreadable::Encoding)?;
        let (sent, received) = (Timestamp::from_nanos(encoded.sent), Timestamp::from_nanos(encoded.received));
        // A time to come would make it the newest for ever. Threads read their clocks a moment apart.
        if sent > received || received > now.after(CLOCK_TOLERANCE) {
            return Err(Unreadable::Encoding);
        }
        Ok(Self {
            sent,
            received,
            freshness: encoded.freshness.map(Duration::from_nanos),
            unchanged: encoded.unchanged,
            entity_tag: encoded.entity_tag,
            origin: encoded.origin,
            body: Secret::new(encoded.body),
        })
    }
}

/// How far ahead another thread's clock may be: threads take the time when their callback begins.
pub(super) const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
struct Encoded {
    #[prost(fixed64, tag = "1")]
    sent: u64,
    #[prost(fixed64, tag = "2")]
    received: u64,
    #[prost(fixed64, optional, tag = "3")]
    freshness: Option<u64>,
    #[prost(string, optional, tag = "4")]
    entity_tag: Option<String>,
    #[prost(string, tag = "5")]
    origin: String,
    #[prost(bytes = "vec", tag = "6")]
    body: Vec<u8>,
    #[prost(uint32, tag = "7")]
    unchanged: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    /// Randomness that tells how often it was asked.
    #[derive(Default)]
    struct Counted(core::cell::Cell<u8>);

    impl Random for Counted {
        fn fill(&self, bytes: &mut [u8]) {
            self.0.set(self.0.get().wrapping_add(1));
            bytes.fill(self.0.get());
        }
    }

    fn publication() -> Publication {
        Publication {
            sent: Timestamp::from_secs(998),
            received: Timestamp::from_secs(999),
            freshness: Some(Duration::from_secs(60)),
            unchanged: 3,
            entity_tag: Some("\"1\"".to_owned()),
            origin: "https://h/".to_owned(),
            body: Secret::new(*b"{}"),
        }
    }

    fn encoded(publication: &Publication, name: &str, seal: Option<&Seal>) -> Vec<u8> {
        publication.encode(name, seal, &Counted::default()).unwrap()
    }

    fn seal(byte: u8) -> Seal {
        Seal::new(&Secret::new([byte; 32])).unwrap()
    }

    #[test]
    fn what_is_published_is_read_back() {
        for seal in [None, Some(&seal(1))] {
            let bytes = encoded(&publication(), "name", seal);
            assert_eq!(Publication::decode("name", &bytes, seal, NOW), Ok(publication()));
        }
    }

    #[test]
    fn a_sealed_value_is_refused_when_altered_moved_or_planted() {
        let ours = seal(1);
        let bytes = encoded(&publication(), "name", Some(&ours));
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert_eq!(Publication::decode("name", &altered, Some(&ours), NOW), Err(Unreadable::Seal));
        }
        let refused = |name, bytes: &[u8]| Publication::decode(name, bytes, Some(&ours), NOW);
        assert_eq!(refused("other", &bytes), Err(Unreadable::Seal));
        assert_eq!(refused("name", &encoded(&publication(), "name", Some(&seal(2)))), Err(Unreadable::Seal));
        assert_eq!(refused("name", &encoded(&publication(), "name", None)), Err(Unreadable::Seal));
        assert_eq!(refused("name", b""), Err(Unreadable::Seal));
    }

    #[test]
    fn a_sealed_value_hides_what_it_holds_and_is_never_the_same_twice() {
        let ours = seal(1);
        let random = Counted::default();
        let hidden = Publication { body: Secret::new(*b"hunter2-token"), ..publication() };
        let close = || hidden.encode("name", Some(&ours), &random).unwrap();
        let (first, second) = (close(), close());
        assert_ne!(first, second);
        // All of the nonce is the host's, and another draw for each value.
        assert_eq!((&first[..24], &second[..24]), (&[1; 24][..], &[2; 24][..]));
        assert!(!first.windows(7).any(|window| window == b"hunter2"));
        assert!(!format!("{hidden:?}").contains("hunter2"));
    }

    #[test]
    fn times_to_come_are_refused() {
        let bytes = encoded(&publication(), "name", None);
        let at = |secs| Publication::decode("name", &bytes, None, Timestamp::from_secs(secs));
        assert!(at(999).is_ok());
        // A thread whose callback began a moment earlier takes it as it is, and takes it once.
        assert_eq!(at(998).map(|read| read.received), Ok(Timestamp::from_secs(999)));
        assert_eq!(at(996), Err(Unreadable::Encoding));
        let backwards = Publication { sent: NOW, received: Timestamp::from_secs(999), ..publication() };
        let bytes = encoded(&backwards, "name", None);
        assert_eq!(Publication::decode("name", &bytes, None, NOW), Err(Unreadable::Encoding));
    }

    #[test]
    fn a_secret_shorter_than_the_hash_makes_no_seal() {
        assert!(Seal::new(&Secret::new([1; 31])).is_none());
        assert_eq!(format!("{:?}", seal(1)), "Seal(..)");
    }
}
