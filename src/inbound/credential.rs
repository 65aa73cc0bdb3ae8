//! Where the token sits. One request may carry one token in one place; anything else is denied, never chosen from.

use std::borrow::Cow;
use std::rc::Rc;

use super::denial::Denial;
use super::settings::{TokenPlace, TokenSource};
use crate::base::{Edit, RequestHead};

/// The bytes that a client presents as its token, in one place of its request, and not looked at further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PresentedToken<'a> {
    bytes: Cow<'a, [u8]>,
    /// The scheme that they came with.
    scheme: Option<&'a str>,
    place: TokenPlace,
}

impl PresentedToken<'_> {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where it sits.
    pub(super) fn place(&self) -> TokenPlace {
        self.place
    }

    /// Whether the bytes are of the right characters. A token that is known byte by byte has been asked this before.
    pub(super) fn check(&self) -> Result<(), Denial> {
        if is_b64token(&self.bytes) {
            return Ok(());
        }
        let repeats = |scheme| joined(&self.bytes).skip(1).any(|other| after_scheme(other, scheme).is_some());
        let is_repeated = self.scheme.is_some_and(repeats);
        Err(if is_repeated { Denial::CredentialRepeated } else { Denial::CredentialMalformed })
    }
}

/// Takes the token from the only place where there is one; `None` when there is none.
pub(super) fn extract<'a>(
    head: &'a RequestHead,
    sources: &'a [TokenSource],
) -> Result<Option<PresentedToken<'a>>, Denial> {
    let mut found = None;
    for (index, source) in sources.iter().enumerate() {
        let place = TokenPlace(index);
        look(
            head,
            source,
            &mut |bytes, scheme| match found.replace(PresentedToken { bytes, scheme, place }) {
                None => Ok(()),
                Some(_) => Err(Denial::CredentialRepeated),
            },
        )?;
    }
    Ok(found)
}

/// The token in this place.
pub(super) fn token_at<'a>(
    head: &'a RequestHead,
    sources: &'a [TokenSource],
    place: TokenPlace,
) -> Option<Cow<'a, [u8]>> {
    let mut found = None;
    let mut take = |bytes, _: Option<&str>| {
        found = Some(bytes);
        Ok(())
    };
    look(head, sources.get(place.0)?, &mut take).ok()?;
    found
}

/// The edits that remove the token from wherever it may sit.
pub(super) fn removals(head: &RequestHead, sources: &[TokenSource], edits: &mut Vec<Edit>) {
    let (mut parameters, mut cookies) = (Vec::new(), Vec::new());
    for source in sources {
        match source {
            TokenSource::Header { name, scheme } => {
                let carries = |value: &[u8]| {
                    scheme
                        .as_ref()
                        .is_none_or(|scheme| joined(value).any(|v| after_scheme(v, scheme).is_some()))
                };
                if head.headers.values(name).any(carries) {
                    edits.push(Edit::Remove(Rc::clone(name)));
                }
            }
            TokenSource::Query { name } => parameters.push(&**name),
            TokenSource::Cookie { name } => cookies.push(&**name),
        }
    }
    // One edit for all of a kind: each replaces the whole field.
    edits.extend(without_query_parameters(head, &parameters));
    edits.extend(without_cookies(head, &cookies));
}

/// Hands each token that stands in this place to `take`, with the scheme that it came with.
fn look<'a>(
    head: &'a RequestHead,
    source: &'a TokenSource,
    take: &mut impl FnMut(Cow<'a, [u8]>, Option<&'a str>) -> Result<(), Denial>,
) -> Result<(), Denial> {
    match source {
        TokenSource::Header { name, scheme } => {
            let mut values = head.headers.values(name);
            let Some(value) = values.next() else { return Ok(()) };
            if values.next().is_some() {
                return Err(Denial::CredentialRepeated);
            }
            let Some(scheme) = scheme.as_deref() else { return take(Cow::Borrowed(value), None) };
            if let Some(token) = after_scheme(value, scheme) {
                return take(Cow::Borrowed(token), Some(scheme));
            }
            let is_joined = joined(value).skip(1).any(|other| after_scheme(other, scheme).is_some());
            if is_joined { Err(Denial::CredentialRepeated) } else { Ok(()) }
        }
        TokenSource::Query { name } => {
            let query = query(head).unwrap_or_default();
            // Other bytes could not be written back when the token is stripped.
            if !query.is_ascii() {
                return Err(Denial::CredentialMalformed);
            }
            let mut named = url::form_urlencoded::parse(query).filter(|(key, _)| *key == **name);
            named.try_for_each(|(_, value)| take(Cow::Owned(value.into_owned().into_bytes()), None))
        }
        TokenSource::Cookie { name } => {
            let mut named = cookies(head).filter(|(key, _)| *key == name.as_bytes());
            named.try_for_each(|(_, value)| take(Cow::Borrowed(unquoted(value)), None))
        }
    }
}

/// The values that a field may have been joined from: Envoy joins repeated fields with commas before we see them.
fn joined(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii_start)
}

/// What follows `Bearer` and a space or tab. The scheme is compared without case (RFC 9110 §11.1).
fn after_scheme<'a>(value: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let (head, rest) = value.split_at_checked(scheme.len())?;
    if !head.eq_ignore_ascii_case(scheme.as_bytes()) {
        return None;
    }
    // `Bearer` alone is a credential without a token: malformed, not missing.
    (rest.is_empty() || rest.starts_with(b" ") || rest.starts_with(b"\t")).then(|| rest.trim_ascii())
}

/// RFC 6750 §2.1: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn is_b64token(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = token.get(..token.len().saturating_sub(padding)).unwrap_or_default();
    let allowed = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    !body.is_empty() && body.iter().all(allowed)
}

fn query(head: &RequestHead) -> Option<&[u8]> {
    let path = head.headers.first(":path")?;
    let mark = path.iter().position(|byte| *byte == b'?')?;
    path.get(mark.saturating_add(1)..)
}

fn without_query_parameters(head: &RequestHead, names: &[&str]) -> Option<Edit> {
    let path = String::from_utf8_lossy(head.headers.first(":path")?);
    let (before, query) = path.split_once('?')?;
    let is_named = |pair: &&str| {
        url::form_urlencoded::parse(pair.as_bytes()).any(|(key, _)| names.contains(&key.as_ref()))
    };
    if !query.split('&').any(|pair| is_named(&pair)) {
        return None;
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_named(pair)).collect();
    let path = if kept.is_empty() { before.to_owned() } else { format!("{before}?{}", kept.join("&")) };
    Some(Edit::Set(":path".into(), path.into()))
}

fn cookies(head: &RequestHead) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.headers.values("cookie").flat_map(|value| value.split(|byte| *byte == b';')).filter_map(cookie_pair)
}

fn cookie_pair(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let pair = pair.trim_ascii();
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let (name, rest) = pair.split_at_checked(equals)?;
    Some((name.trim_ascii(), rest.get(1..).unwrap_or_default().trim_ascii()))
}

/// A cookie's value without the one pair of quotes that it may stand in (RFC 6265 §4.1.1).
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

fn without_cookies(head: &RequestHead, names: &[&str]) -> Option<Edit> {
    let is_named = |key: &[u8]| names.iter().any(|name| name.as_bytes() == key);
    if !cookies(head).any(|(key, _)| is_named(key)) {
        return None;
    }
    let kept: Vec<String> = head
        .headers
        .values("cookie")
        .flat_map(|value| value.split(|byte| *byte == b';'))
        .filter(|pair| cookie_pair(pair).is_none_or(|(key, _)| !is_named(key)))
        .map(|pair| String::from_utf8_lossy(pair.trim_ascii()).into_owned())
        .filter(|pair| !pair.is_empty())
        .collect();
    let cookie: Rc<str> = "cookie".into();
    Some(if kept.is_empty() { Edit::Remove(cookie) } else { Edit::Set(cookie, kept.join("; ").into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        RequestHead { headers: fields.iter().copied().collect(), ..RequestHead::default() }
    }

    fn sources() -> Vec<TokenSource> {
        vec![
            TokenSource::Header { name: "authorization".into(), scheme: Some("Bearer".into()) },
            TokenSource::Header { name: "x-token".into(), scheme: None },
            TokenSource::Query { name: "access_token".into() },
            TokenSource::Query { name: "t".into() },
            TokenSource::Cookie { name: "token".into() },
            TokenSource::Cookie { name: "t".into() },
        ]
    }

    fn token(fields: &[(&str, &str)]) -> Result<Option<String>, Denial> {
        let head = head(fields);
        let sources = sources();
        let Some(token) = extract(&head, &sources)? else { return Ok(None) };
        token.check()?;
        Ok(Some(String::from_utf8(token.as_bytes().to_vec()).unwrap()))
    }

    fn removed(fields: &[(&str, &str)]) -> Vec<Edit> {
        let mut edits = Vec::new();
        removals(&head(fields), &sources(), &mut edits);
        edits
    }

    #[test]
    fn a_token_is_found_in_each_place() {
        for fields in [
            [("authorization", "Bearer abc.def")],
            [("authorization", "bEARER   abc.def ")],
            [("authorization", "Bearer\tabc.def")],
            [("x-token", "abc.def")],
            [(":path", "/a?x=1&access_token=abc.def")],
            [(":path", "/a?access%5ftoken=abc%2Edef")],
            [("cookie", "a=b; token=abc.def; c=d")],
            [("cookie", "a=b; token=\"abc.def\"; c=d")],
        ] {
            assert_eq!(token(&fields), Ok(Some("abc.def".into())), "{fields:?}");
        }
    }

    #[test]
    fn no_token_is_no_error() {
        for fields in
            [[("authorization", "Basic abc")], [("authorization", "Bearerabc")], [(":path", "/a?b")]]
        {
            assert_eq!(token(&fields), Ok(None), "{fields:?}");
        }
    }

    #[test]
    fn two_tokens_are_refused_wherever_they_sit() {
        for fields in [
            [("authorization", "Bearer a"), ("authorization", "Bearer a")],
            [("authorization", "Basic a"), ("authorization", "Bearer a")],
            [("authorization", "Bearer a"), ("x-token", "a")],
            [("authorization", "Bearer a"), (":path", "/?access_token=a")],
            [("authorization", "Bearer a"), ("cookie", "token=a")],
            [("authorization", "Basic a,Bearer b"), ("x", "y")],
            [("authorization", "Bearer a, bearer b"), ("x", "y")],
            [("cookie", "token=a"), ("cookie", "token=b")],
            [(":path", "/?access_token=a&access_token=a"), ("x", "y")],
        ] {
            assert_eq!(token(&fields), Err(Denial::CredentialRepeated), "{fields:?}");
        }
    }

    #[test]
    fn what_is_no_b64token_is_malformed() {
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer a,b",
            "Bearer =",
            "Bearer a=b",
            "Bearer \"a\"",
            "Bearer ä",
        ] {
            assert_eq!(token(&[("authorization", value)]), Err(Denial::CredentialMalformed), "{value}");
        }
    }

    #[test]
    fn one_pair_of_quotes_of_a_cookie_is_taken_off_and_no_more() {
        for value in ["\"\"a\"\"", "\"a", "a\"", "\"", "\"\"", "\" a\"", "'a'"] {
            let cookie = format!("token={value}");
            assert_eq!(token(&[("cookie", &cookie)]), Err(Denial::CredentialMalformed), "{value}");
        }
        let twice = [("cookie", "token=\"a\"; token=a")];
        assert_eq!(token(&twice), Err(Denial::CredentialRepeated));
    }

    #[test]
    fn a_token_is_removed_from_where_it_sat_and_nothing_else_is() {
        assert_eq!(removed(&[("authorization", "Bearer a")]), [Edit::Remove("authorization".into())]);
        assert_eq!(removed(&[("authorization", "Basic a,Bearer b")]), [Edit::Remove("authorization".into())]);
        assert_eq!(removed(&[("authorization", "Basic a")]), []);
        let path = |path: &str| [Edit::Set(":path".into(), path.into())];
        assert_eq!(removed(&[(":path", "/a?x=1&access_token=t&y=2")]), path("/a?x=1&y=2"));
        assert_eq!(removed(&[(":path", "/a?access%5Ftoken=t")]), path("/a"));
        assert_eq!(removed(&[(":path", "/a?x=1")]), []);
        assert_eq!(removed(&[(":path", "/a?t=1&x=1&access_token=2&t=3")]), path("/a?x=1"));
        assert_eq!(removed(&[("cookie", "t=1; a=b; token=2")]), [Edit::Set("cookie".into(), "a=b".into())]);
        assert_eq!(
            removed(&[("cookie", "a=b; token=t; c=d")]),
            [Edit::Set("cookie".into(), "a=b; c=d".into())]
        );
        assert_eq!(removed(&[("cookie", "token=t")]), [Edit::Remove("cookie".into())]);
        let quoted = removed(&[("cookie", "token=\"t\"; c=\"d\"")]);
        assert_eq!(quoted, [Edit::Set("cookie".into(), "c=\"d\"".into())]);
    }
}
