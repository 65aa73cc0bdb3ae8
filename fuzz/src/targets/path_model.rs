//! The order of routes as `docs/configuration.md` tells it, by comparing each route with each: slow, and plain. A rule that changes
//! there changes here, and nowhere else in this crate.

use attache::policy::{Authority, PathPattern, Pattern, Segment};

/// The routes of the best fit: of two that fit equally, which the configuration refuses where it can, either may be found.
pub(super) fn find(patterns: &[Pattern], host: &Host, segments: &[String], method: &str) -> Vec<usize> {
    let fits = patterns.iter().map(|pattern| fit(pattern, host, segments, method));
    let fits: Vec<(usize, Fit)> = fits.enumerate().filter_map(|(place, fit)| Some((place, fit?))).collect();
    let best = fits.iter().map(|(_, fit)| fit.clone()).max();
    fits.into_iter().filter(|(_, fit)| Some(fit) == best.as_ref()).map(|(place, _)| place).collect()
}

/// How well a route fits: the greater one is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    authority: AuthorityFit,
    path: PathFit,
    has_listed_method: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum AuthorityFit {
    Any,
    /// The longest suffix first.
    Suffix(usize),
    Host,
    HostAndPort,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathFit {
    /// The longest prefix first.
    Prefix(usize),
    /// A literal (`true`) before a variable, from the left.
    Whole(Vec<bool>),
}

fn fit(pattern: &Pattern, host: &Host, segments: &[String], method: &str) -> Option<Fit> {
    let authority = match &pattern.authorities[..] {
        [] => AuthorityFit::Any,
        authorities => authorities.iter().filter_map(|authority| host.fit(authority)).max()?,
    };
    let has_listed_method = pattern.methods.iter().any(|listed| **listed == *method);
    let takes_method = has_listed_method || pattern.methods.is_empty();
    let path = path_fit(&pattern.path, segments)?;
    takes_method.then_some(Fit { authority, path, has_listed_method })
}

fn path_fit(pattern: &PathPattern, segments: &[String]) -> Option<PathFit> {
    // An empty segment is no value for a variable.
    let fits = |pattern: &[Segment]| {
        pattern.iter().zip(segments).all(|(pattern, segment)| match pattern {
            Segment::Literal(text) => **text == **segment,
            Segment::Variable => !segment.is_empty(),
        })
    };
    match pattern {
        PathPattern::Whole(pattern) if pattern.len() == segments.len() && fits(pattern) => {
            Some(PathFit::Whole(pattern.iter().map(|segment| *segment != Segment::Variable).collect()))
        }
        PathPattern::Prefix(pattern) if pattern.len() <= segments.len() && fits(pattern) => {
            Some(PathFit::Prefix(pattern.len()))
        }
        PathPattern::Whole(_) | PathPattern::Prefix(_) => None,
    }
}

/// A host as it should be: labels with single dots, or an address in brackets; perhaps a dot at its end, perhaps a port.
pub(super) struct Host {
    name: String,
    port: Option<String>,
}

impl Host {
    /// `None` for what is no host: no route may be promised to it.
    pub(super) fn parse(authority: &[u8]) -> Option<Self> {
        let text = str::from_utf8(authority).ok()?.to_ascii_lowercase();
        let (host, port) = match text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, Some(port.to_owned())),
            None => (&*text, None),
        };
        let name = host.strip_suffix('.').unwrap_or(host);
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let is_host = name == "[::1]" || name.split('.').all(is_label);
        let is_port = |port: &String| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        (is_host && port.as_ref().is_none_or(is_port)).then(|| Self { name: name.to_owned(), port })
    }

    fn fit(&self, authority: &Authority) -> Option<AuthorityFit> {
        let with_port = self.port.as_ref().map(|port| format!("{}:{port}", self.name));
        match authority {
            Authority::Exact(name) if Some(&**name) == with_port.as_deref() => {
                Some(AuthorityFit::HostAndPort)
            }
            Authority::Exact(name) if **name == self.name => Some(AuthorityFit::Host),
            Authority::Suffix(suffix) => {
                let is_under = self.name.len() > suffix.len() && self.name.ends_with(&**suffix);
                is_under.then_some(AuthorityFit::Suffix(suffix.len()))
            }
            Authority::Exact(_) => None,
        }
    }
}
