//! Apigee's resource paths: which paths they are, and what two of them have in common.

use std::fmt;

use attache::policy::{PathFeatures, RequestPath};

/// A resource below a base path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Resource {
    segments: Vec<Segment>,
    end: End,
}

/// A pattern that a route can have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern {
    segments: Vec<Segment>,
    is_prefix: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// As it stands in a path.
    Literal(String),
    /// Any one.
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Nothing follows.
    Whole,
    /// `/`: this path, and all below it.
    Prefix,
    /// `/**`: all below it.
    Below,
}

impl Resource {
    /// Reads one.
    ///
    /// # Errors
    /// What it is cannot be told, in words that follow its name.
    pub(super) fn parse(base: &str, resource: &str) -> Result<Self, &'static str> {
        if !resource.starts_with('/') {
            return Err("does not begin with `/`");
        }
        if base.len().saturating_add(resource.len()) > MAX_PATH {
            return Err("is longer than any route's path may be");
        }
        let mut segments = Vec::new();
        for text in parts(base) {
            segments.push(segment(text)?);
        }
        if resource == "/" {
            return Ok(Self { segments, end: End::Prefix });
        }
        let (resource, end) = match resource.strip_suffix("/**") {
            Some(resource) => (resource, End::Below),
            None => (resource, End::Whole),
        };
        for text in parts(resource) {
            segments.push(segment(text)?);
        }
        Ok(Self { segments, end })
    }

    /// The patterns that its routes need; none where no route can say it.
    pub(super) fn patterns(&self) -> Vec<Pattern> {
        let whole = Pattern { segments: self.segments.clone(), is_prefix: false };
        // A prefix of the filter has no variables.
        let prefix = Some(Pattern { is_prefix: true, ..whole.clone() }).filter(|_| self.can_be_prefix());
        match self.end {
            End::Whole => vec![whole],
            End::Prefix => prefix.map_or_else(|| vec![whole], |prefix| vec![prefix]),
            // The path itself is not below itself: it has an answer of its own.
            End::Below => prefix.map(|prefix| vec![prefix, whole]).unwrap_or_default(),
        }
    }

    /// Whether a route can say all of it.
    pub(super) fn is_sayable(&self) -> bool {
        self.end == End::Whole || self.can_be_prefix()
    }

    fn can_be_prefix(&self) -> bool {
        !self.segments.contains(&Segment::Any)
    }

    /// Whether every path of the pattern is one of its own. Of a prefix, the path itself is judged by its own pattern.
    pub(super) fn covers(&self, pattern: &Pattern) -> bool {
        let (own, other) = (self.segments.len(), pattern.segments.len());
        let has_length = match (self.end, pattern.is_prefix) {
            (End::Whole, is_prefix) => !is_prefix && own == other,
            (End::Prefix, _) | (End::Below, true) => own <= other,
            (End::Below, false) => own < other,
        };
        has_length
            && self
                .segments
                .iter()
                .zip(&pattern.segments)
                .all(|(own, other)| *own == Segment::Any || own == other)
    }

    /// Whether it is all below this path.
    pub(super) fn is_below(&self, pattern: &Pattern) -> bool {
        self.end == End::Below && !pattern.is_prefix && self.segments == pattern.segments
    }
}

impl Pattern {
    /// The paths that both have; `None` where there are none, or where one pattern has all of the other's.
    pub(super) fn in_common(&self, other: &Self) -> Option<Self> {
        let (longer, shorter) =
            if self.segments.len() >= other.segments.len() { (self, other) } else { (other, self) };
        if longer.segments.len() > shorter.segments.len() && !shorter.is_prefix {
            return None;
        }
        let mut segments = Vec::with_capacity(longer.segments.len());
        let mut others = shorter.segments.iter();
        for segment in &longer.segments {
            segments.push(match (segment, others.next()) {
                (Segment::Literal(one), Some(Segment::Literal(two))) if one != two => return None,
                (Segment::Any, Some(Segment::Literal(text))) => Segment::Literal(text.clone()),
                (Segment::Literal(_) | Segment::Any, _) => segment.clone(),
            });
        }
        let is_prefix = longer.is_prefix && shorter.is_prefix;
        let common = Self { segments, is_prefix };
        (common != *self && common != *other).then_some(common)
    }

    /// `path` or `prefix`.
    pub(super) fn kind(&self) -> &'static str {
        if self.is_prefix { "prefix" } else { "path" }
    }
}

impl fmt::Display for Pattern {
    /// As a configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments.is_empty() {
            return f.write_str("/");
        }
        let mut variables = 0_usize;
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Any => {
                    variables = variables.saturating_add(1);
                    write!(f, "/{{v{variables}}}")?;
                }
            }
        }
        Ok(())
    }
}

/// The segments of a path, without a slash at its end.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').skip(1)
}

fn segment(text: &str) -> Result<Segment, &'static str> {
    let is_variable = text.len() > 2 && text.starts_with('{') && text.ends_with('}');
    if text == "*" || is_variable && !text.contains('*') {
        return Ok(Segment::Any);
    }
    match text {
        "" => Err("has an empty segment"),
        "." | ".." => Err("has a segment that servers resolve"),
        "**" => Err("has a `**` that is not at its end"),
        _ if text.contains('*') => Err("has a `*` inside a segment"),
        _ if text.contains(['?', '#', ';', '\\']) => Err("has characters that no segment can have"),
        _ => literal(text),
    }
}

fn literal(text: &str) -> Result<Segment, &'static str> {
    let text = encoded(text);
    match RequestPath::parse(format!("/{text}").as_bytes()) {
        Ok(path) if path.features().first_not_in(PathFeatures::SPELLINGS).is_none() => {
            Ok(Segment::Literal(text))
        }
        Ok(_) => Err("may be read as another path"),
        Err(_) => Err("has characters that no path can have"),
    }
}

/// Percent-encoded where a path needs it, and where a pattern of the filter does.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for (place, byte) in text.bytes().enumerate() {
        let is_plain =
            byte.is_ascii_alphanumeric() || b"-._~!$&'()+,=@%".contains(&byte) || byte == b':' && place > 0;
        if is_plain {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// More than the path of any API in use has.
const MAX_PATH: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(base: &str, resource: &str) -> Vec<String> {
        let resource = Resource::parse(base, resource).unwrap();
        resource.patterns().iter().map(|pattern| format!("{} {pattern}", pattern.kind())).collect()
    }

    #[test]
    fn wildcards_become_variables_and_prefixes() {
        assert_eq!(patterns("/v1/orders", "/"), ["prefix /v1/orders"]);
        assert_eq!(patterns("/v1/orders", "/**"), ["prefix /v1/orders", "path /v1/orders"]);
        assert_eq!(patterns("/v1/orders", "/*"), ["path /v1/orders/{v1}"]);
        assert_eq!(patterns("/v1/orders/", "/{id}/lines/*"), ["path /v1/orders/{v1}/lines/{v2}"]);
        assert_eq!(patterns("/", "/a b/:x"), ["path /a%20b/%3Ax"]);
        assert_eq!(patterns("/", "/"), ["prefix /"]);
        assert!(patterns("/", "/*/2/**").is_empty());
    }

    #[test]
    fn what_is_no_path_is_told() {
        for (resource, why) in [
            ("orders", "begin"),
            ("/a//b", "empty"),
            ("/a/../b", "resolve"),
            ("/**/a", "not at its end"),
            ("/a*", "inside a segment"),
            ("/a?b=c", "characters"),
            ("/a\nb", "another path"),
            ("/a%2Fb", "another path"),
            ("/a%zz", "path"),
        ] {
            let told = Resource::parse("/", resource).unwrap_err();
            assert!(told.contains(why), "{resource}: {told}");
        }
        assert!(Resource::parse("/", &format!("/{}", "a".repeat(MAX_PATH - 2))).is_ok());
        assert!(Resource::parse("/", &format!("/{}", "a".repeat(MAX_PATH - 1))).is_err());
    }

    #[test]
    fn two_patterns_have_in_common_what_both_match() {
        let pattern = |resource: &str| Resource::parse("/", resource).unwrap().patterns().remove(0);
        let common = |one, two| {
            let common = pattern(one).in_common(&pattern(two));
            common.map(|common| format!("{} {common}", common.kind()))
        };
        assert_eq!(common("/a/*", "/*/b").as_deref(), Some("path /a/b"));
        assert_eq!(common("/a/b/**", "/*/*/c").as_deref(), Some("path /a/b/c"));
        assert_eq!(common("/a/*", "/b/*"), None);
        assert_eq!(common("/a/b", "/a"), None);
        // One is part of the other.
        assert_eq!(common("/a/**", "/a/b/**"), None);
        assert_eq!(common("/a/*", "/a/b"), None);
    }
}
