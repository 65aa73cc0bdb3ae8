//! How long a token counts, and when it is renewed.

use core::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::base::{Jitter, Timestamp};
use crate::claims::numeric_date;
use crate::jose::Object;

/// The rules of one client. No duration is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifetimeRules {
    /// How long before its expiry a token is renewed; `None`: a third of its life, at most [`DEFAULT_MARGIN`].
    pub margin: Option<Duration>,
    /// How long a token lives where neither it nor the server says so.
    pub assumed: Duration,
}

/// The times of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// When it expires.
    pub(super) expires: Timestamp,
    /// When it is no longer put on requests: a while before, since a request takes time and clocks differ.
    pub(super) until: Timestamp,
    /// When it is renewed.
    pub(super) renewal: Timestamp,
}

/// The times that a token of some life has, whichever moment of its span the renewal falls on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTimes {
    /// When it expires.
    pub expires: Timestamp,
    /// When it is no longer put on requests.
    pub until: Timestamp,
    /// When it is renewed at the earliest, though not within a second of when it was asked for.
    pub renewal: Timestamp,
    /// How much later that is at most: workers and proxies do not all ask at once.
    pub spread: Duration,
}

/// When a token expires: after `expires_in` from when it was asked for, at its own `exp` if it is a JWT, whichever is
/// sooner; after the assumed lifetime if neither says; never more than [`MAX_LIFETIME`] after it was asked for.
pub(super) fn expiry(
    token: &[u8],
    expires_in: Option<Duration>,
    sent: Timestamp,
    rules: &LifetimeRules,
) -> Timestamp {
    let own = expiry_of_jwt(token);
    let stated = match (expires_in, own) {
        (Some(lifetime), _) => Some(lifetime),
        (None, Some(_)) => None,
        (None, None) => Some(rules.assumed),
    };
    let stated = sent.after(stated.unwrap_or(MAX_LIFETIME).min(MAX_LIFETIME));
    own.map_or(stated, |own| own.min(stated))
}

impl Lifetime {
    /// The times of a token that was asked for at `sent`.
    pub(super) fn new(
        sent: Timestamp,
        expires: Timestamp,
        rules: &LifetimeRules,
        jitter: &mut Jitter,
    ) -> Self {
        let TokenTimes { until, renewal, spread, .. } = TokenTimes::new(sent, expires, rules);
        let renewal = renewal.after(jitter.between(Duration::ZERO, spread)).max(sent.after(MIN_RENEWAL));
        Self { expires, until, renewal }
    }
}

impl LifetimeRules {
    /// What the times of a token would be that were asked for at `sent`: for `attachectl explain`.
    pub fn times(&self, token: &[u8], expires_in: Option<Duration>, sent: Timestamp) -> TokenTimes {
        TokenTimes::new(sent, expiry(token, expires_in, sent, self), self)
    }
}

impl TokenTimes {
    fn new(sent: Timestamp, expires: Timestamp, rules: &LifetimeRules) -> Self {
        let life = expires.since(sent);
        let part = |parts: u32| life.checked_div(parts).unwrap_or_default();
        let safety = SAFETY_MARGIN.min(part(10));
        // Renewed well before it is no longer used, and not before half of its life is over.
        let margin = rules.margin.unwrap_or(DEFAULT_MARGIN.min(part(3)));
        let margin = margin.max(safety.saturating_mul(2)).min(part(2));
        let spread = margin.checked_div(5).unwrap_or_default();
        Self { expires, until: expires.before(safety), renewal: expires.before(margin), spread }
    }
}

impl Lifetime {
    /// How much is left of the time between its renewal and its end, in percent; 100 before that time.
    pub(super) fn margin_left(&self, now: Timestamp) -> u8 {
        let margin = self.until.since(self.renewal).as_millis();
        let left = self.until.since(now).as_millis().min(margin);
        if left == margin && now < self.until {
            return 100;
        }
        u8::try_from(left.saturating_mul(100).checked_div(margin).unwrap_or_default()).unwrap_or(100)
    }
}

/// `exp` of a JWT, unverified: it is the token of a server that we asked, and can only shorten its life.
fn expiry_of_jwt(token: &[u8]) -> Option<Timestamp> {
    let mut parts = str::from_utf8(token).ok()?.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let claims = Base64UrlUnpadded::decode_vec(claims).ok()?;
    numeric_date(&Object::parse(&claims).ok()?, "exp").ok()?
}

/// Time enough for a server that is down to be noticed and brought back.
pub const DEFAULT_MARGIN: Duration = Duration::from_secs(300);
/// A token is on its way for a few seconds at most, and clocks that are kept differ by less.
const SAFETY_MARGIN: Duration = Duration::from_secs(15);
/// Even a token that lives for a second is not asked for more often.
pub(super) const MIN_RENEWAL: Duration = Duration::from_secs(1);
/// A server that says a year, or a number that no calendar has, is asked again after a day: by then the client may be
/// gone.
pub const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: LifetimeRules = LifetimeRules { margin: None, assumed: Duration::from_secs(300) };

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000).after(Duration::from_secs(secs))
    }

    fn raw_jwt(claims: &str) -> Vec<u8> {
        format!("e30.{}.c2ln", Base64UrlUnpadded::encode_string(claims.as_bytes())).into_bytes()
    }

    fn secs(secs: u64) -> Option<Duration> {
        Some(Duration::from_secs(secs))
    }

    #[test]
    fn the_sooner_of_expires_in_and_exp_counts() {
        let exp = |n: u64| raw_jwt(&format!(r#"{{"exp":{}}}"#, 1_000_000 + n));
        assert_eq!(expiry(b"opaque", secs(60), at(0), &RULES), at(60));
        assert_eq!(expiry(&exp(30), secs(60), at(0), &RULES), at(30));
        assert_eq!(expiry(&exp(90), secs(60), at(0), &RULES), at(60));
        assert_eq!(expiry(&exp(90), None, at(0), &RULES), at(90));
        assert_eq!(expiry(b"opaque", None, at(0), &RULES), at(300));
    }

    #[test]
    fn nothing_lives_longer_than_the_longest_life() {
        let longest = at(0).after(MAX_LIFETIME);
        assert_eq!(expiry(b"opaque", Some(Duration::MAX), at(0), &RULES), longest);
        assert_eq!(expiry(&raw_jwt(r#"{"exp":1e12}"#), None, at(0), &RULES), longest);
        assert_eq!(expiry(&raw_jwt(r#"{"exp":1e12}"#), Some(Duration::MAX), at(0), &RULES), longest);
    }

    #[test]
    fn what_only_looks_like_a_jwt_is_opaque() {
        for token in [
            &b"a.b.c"[..],
            b"..",
            b"a.b",
            b"a.b.c.d.e",
            &raw_jwt("[]"),
            &raw_jwt(r#"{"exp":"1"}"#),
            b"\xff.a.b",
        ] {
            assert_eq!(expiry(token, secs(60), at(0), &RULES), at(60));
        }
    }

    #[test]
    fn a_token_is_renewed_before_it_is_no_longer_used_whatever_its_life() {
        let mut jitter = Jitter::new([7; 16]);
        for life in [2, 3, 10, 60, 300, 3600, 86_400] {
            for margin in [None, secs(1), secs(30), secs(100_000)] {
                for _ in 0..20 {
                    let rules = LifetimeRules { margin, ..RULES };
                    let times = Lifetime::new(at(0), at(life), &rules, &mut jitter);
                    let told = rules.times(b"opaque", secs(life), at(0));
                    assert_eq!((told.expires, told.until), (times.expires, times.until));
                    let latest = told.renewal.after(told.spread).max(at(1));
                    assert!((told.renewal..=latest).contains(&times.renewal), "{life} {margin:?} {told:?}");
                    assert!(times.renewal < times.until, "{life} {margin:?} {times:?}");
                    assert!(times.until < times.expires);
                    let half = Duration::from_secs(life).checked_div(2).unwrap();
                    assert!(times.renewal >= at(0).after(half.max(Duration::from_secs(1))));
                }
            }
        }
    }

    #[test]
    fn the_default_margin_is_a_third_of_a_life_and_five_minutes_at_most() {
        let mut jitter = Jitter::new([7; 16]);
        let mut margin = |life| {
            let times = Lifetime::new(at(0), at(life), &RULES, &mut jitter);
            times.expires.since(times.renewal).as_secs()
        };
        assert!((16..=20).contains(&margin(60)));
        assert!((240..=300).contains(&margin(3600)));
    }
}
