//! The order of routes as `docs/configuration.md` tells it, by comparing each route with each: slow, and plain. A rule that changes
//! there changes here, and nowhere else in this crate.

use attache::policy::{Authority, LetterCase, PathPattern, Pattern, Segment};

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
    /// The first segment in which two patterns differ decides.
    path: Vec<SegmentFit>,
    method: MethodFit,
    /// Where nothing else differs.
    looks_at_case: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum AuthorityFit {
    Any,
    /// The longest suffix first.
    Suffix(usize),
    Host,
    HostAndPort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SegmentFit {
    EndOfPrefix,
    Variable,
    Literal,
    /// Of a whole path; a slash at the end makes another one only where both are written.
    End {
        is_slash_as_written: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MethodFit {
    Any,
    /// HEAD, by GET.
    ByGet,
    Listed,
}

fn fit(pattern: &Pattern, host: &Host, segments: &[String], method: &str) -> Option<Fit> {
    let authority = match &pattern.authorities[..] {
        [] => AuthorityFit::Any,
        authorities => authorities.iter().filter_map(|authority| host.fit(authority)).max()?,
    };
    let lists = |method: &str| pattern.methods.iter().any(|listed| **listed == *method);
    let method = match method {
        _ if pattern.methods.is_empty() => MethodFit::Any,
        method if lists(method) => MethodFit::Listed,
        "HEAD" if lists("GET") => MethodFit::ByGet,
        _ => return None,
    };
    let looks_at_case = pattern.case == LetterCase::Matters;
    Some(Fit { authority, path: path_fit(pattern, segments)?, method, looks_at_case })
}

fn path_fit(pattern: &Pattern, segments: &[String]) -> Option<Vec<SegmentFit>> {
    let (written, is_prefix) = match &pattern.path {
        PathPattern::Whole(written) => (&written[..], false),
        PathPattern::Prefix(written) => (&written[..], true),
    };
    let (written, is_slash_written) = match written {
        [others @ .., Segment::Literal(last)] if last.is_empty() => (others, true),
        written => (written, false),
    };
    let (segments, has_slash) = match segments {
        [others @ .., last] if last.is_empty() => (others, true),
        segments => (segments, false),
    };
    let fits = if is_prefix { written.len() <= segments.len() } else { written.len() == segments.len() };
    let fit = |(written, segment): (&Segment, &String)| match written {
        Segment::Literal(text) if pattern.case == LetterCase::Ignored => {
            (text.to_uppercase() == segment.to_uppercase()).then_some(SegmentFit::Literal)
        }
        Segment::Literal(text) => (**text == **segment).then_some(SegmentFit::Literal),
        // An empty segment is no value for a variable.
        Segment::Variable => (!segment.is_empty()).then_some(SegmentFit::Variable),
    };
    let mut path: Vec<SegmentFit> = written.iter().zip(segments).map(fit).collect::<Option<_>>()?;
    path.push(match is_prefix {
        true => SegmentFit::EndOfPrefix,
        false => SegmentFit::End { is_slash_as_written: is_slash_written == has_slash },
    });
    fits.then_some(path)
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
        let is_port = |port: &String| port.is_empty() || port.parse::<u16>().is_ok();
        (is_host && port.as_ref().is_none_or(is_port)).then(|| Self { name: name.to_owned(), port })
    }

    fn fit(&self, authority: &Authority) -> Option<AuthorityFit> {
        match authority {
            Authority::Exact(name) if **name == self.name => Some(AuthorityFit::Host),
            Authority::Exact(name) => {
                let port = name.strip_prefix(&*self.name)?.strip_prefix(':')?;
                let is_it = match self.port.as_deref() {
                    // A port that clients leave out.
                    None | Some("") => ["80", "443"].contains(&port),
                    Some(own) => own.parse::<u16>().ok() == port.parse().ok(),
                };
                is_it.then_some(AuthorityFit::HostAndPort)
            }
            Authority::Suffix(suffix) => {
                let is_under = self.name.len() > suffix.len() && self.name.ends_with(&**suffix);
                is_under.then_some(AuthorityFit::Suffix(suffix.len()))
            }
        }
    }
}
