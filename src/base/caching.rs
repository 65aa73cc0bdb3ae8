//! What an answer says about how long it is good and when to ask again (RFC 9110, RFC 9111). Reads only; what to make
//! of it is its user's, within bounds of its own: a server can say anything.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use super::http::Headers;
use super::time::Timestamp;

/// How long the answer is fresh from now on (RFC 9111 §4.2), if it says so: `max-age` less `Age`, else `Expires`; zero
/// where it wants to be asked for each time (`no-store`, `no-cache`, or a value that cannot be read, §4.2.1).
pub fn freshness(headers: &Headers, now: Timestamp) -> Option<Duration> {
    let mut max_age = None;
    for directive in texts(headers, "cache-control").flat_map(|value| value.split(',')) {
        let (name, value) = directive.split_once('=').map_or((directive, ""), |(name, value)| (name, value));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            // The first one counts (§4.2.1).
            "max-age" if max_age.is_none() => {
                max_age = Some(seconds(value.trim().trim_matches('"')).unwrap_or_default());
            }
            _ => {}
        }
    }
    let lifetime = match max_age {
        Some(lifetime) => lifetime,
        None => {
            let expires = texts(headers, "expires").next()?;
            date(expires).map(|expires| expires.since(now)).unwrap_or_default()
        }
    };
    let age = texts(headers, "age").next().and_then(seconds).unwrap_or_default();
    // `Expires` is a point in time, and `Age` changes nothing about it.
    Some(if max_age.is_some() { lifetime.saturating_sub(age) } else { lifetime })
}

/// How long not to ask again (RFC 9110 §10.2.3), in seconds or as a date.
pub fn retry_after(headers: &Headers, now: Timestamp) -> Option<Duration> {
    let value = texts(headers, "retry-after").next()?.trim();
    seconds(value).or_else(|| date(value).map(|then| then.since(now)))
}

/// The answer's entity tag (RFC 9110 §8.8.3), if it is one that may be sent back.
pub fn entity_tag(headers: &Headers) -> Option<&str> {
    let tag = texts(headers, "etag").next()?;
    let opaque = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    let is_allowed = |byte: u8| byte == b'!' || (b'#'..=b'~').contains(&byte);
    (tag.len() <= MAX_ENTITY_TAG_BYTES && opaque.bytes().all(is_allowed)).then_some(tag)
}

fn texts<'a>(headers: &'a Headers, name: &str) -> impl Iterator<Item = &'a str> {
    headers.values(name).filter_map(|value| str::from_utf8(value).ok())
}

/// Delta-seconds (RFC 9111 §1.2.2): digits only; what is more than can be told is as much as can be.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        .then(|| Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX)).min(u64::from(u32::MAX))))
}

fn date(text: &str) -> Option<Timestamp> {
    let time: SystemTime = httpdate::parse_http_date(text.trim()).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::EPOCH.after(since))
}

/// How long a tag may be to be sent back: digests and versions are far shorter.
const MAX_ENTITY_TAG_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn fresh(fields: &[(&str, &str)]) -> Option<u64> {
        freshness(&fields.iter().copied().collect(), NOW).map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn max_age_less_age_is_how_long_an_answer_is_fresh() {
        assert_eq!(fresh(&[]), None);
        assert_eq!(fresh(&[("cache-control", "public, max-age=3600")]), Some(3600));
        assert_eq!(fresh(&[("cache-control", "public"), ("cache-control", "Max-Age=\"60\"")]), Some(60));
        assert_eq!(fresh(&[("cache-control", "max-age=3600"), ("age", "600")]), Some(3000));
        assert_eq!(fresh(&[("cache-control", "max-age=10"), ("age", "600")]), Some(0));
        assert_eq!(fresh(&[("cache-control", "max-age=10, max-age=20")]), Some(10));
        assert_eq!(fresh(&[("cache-control", "public")]), None);
    }

    #[test]
    fn what_cannot_be_read_or_must_not_be_kept_is_not_fresh() {
        for value in [
            "no-store",
            "max-age=3600, no-store",
            "No-Cache",
            "max-age=-1",
            "max-age=1.5",
            "max-age=",
            "max-age",
        ] {
            assert_eq!(fresh(&[("cache-control", value)]), Some(0), "{value}");
        }
        assert_eq!(fresh(&[("cache-control", "max-age=99999999999999999999999")]), Some(u64::from(u32::MAX)));
        assert_eq!(fresh(&[("cache-control", "max-age=60"), ("age", "x")]), Some(60));
    }

    #[test]
    fn expires_counts_where_there_is_no_max_age() {
        // 1_800_000_000 is 2027-01-15 08:00:00.
        assert_eq!(fresh(&[("expires", "Fri, 15 Jan 2027 08:10:00 GMT")]), Some(600));
        assert_eq!(fresh(&[("expires", "Fri, 15 Jan 2027 08:10:00 GMT"), ("age", "5")]), Some(600));
        assert_eq!(fresh(&[("expires", "Fri, 15 Jan 2027 07:00:00 GMT")]), Some(0));
        assert_eq!(fresh(&[("expires", "0")]), Some(0));
        let both = [("expires", "Fri, 15 Jan 2027 08:10:00 GMT"), ("cache-control", "max-age=5")];
        assert_eq!(fresh(&both), Some(5));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |value: &str| retry_after(&[("retry-after", value)].into_iter().collect(), NOW);
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Fri, 15 Jan 2027 08:01:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(after("Fri, 15 Jan 2027 07:01:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }

    #[test]
    fn only_an_entity_tag_is_sent_back() {
        let tag = |value: &str| entity_tag(&[("etag", value)].into_iter().collect()).map(str::to_owned);
        assert_eq!(tag("\"abc\""), Some("\"abc\"".to_owned()));
        assert_eq!(tag("W/\"abc\""), Some("W/\"abc\"".to_owned()));
        assert_eq!(tag("\"\""), Some("\"\"".to_owned()));
        for bad in ["abc", "\"", "\"a b\"", "\"a\"b\"", "\"a\r\nx: y\"", "w/\"abc\"", ""] {
            assert_eq!(tag(bad), None, "{bad}");
        }
        let long = |size: usize| format!("\"{}\"", "x".repeat(size - 2));
        assert!(tag(&long(MAX_ENTITY_TAG_BYTES)).is_some());
        assert_eq!(tag(&long(MAX_ENTITY_TAG_BYTES + 1)), None);
    }
}
