//! What several log lines have in common: whose they are, where was asked, what still works, and what is next.

use core::fmt;
use core::time::Duration;
use std::rc::Rc;

use crate::base::Excerpt;
use crate::issuer::{DocumentKind, KeyChange};
use crate::jose::{Algorithm, AlgorithmSet};
use crate::oauth::CallSummary;

/// Whom a line is about, by the names of the configuration.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// An issuer.
    Issuer(&'a str),
    /// A client.
    Client(&'a str),
    /// The clients of one token endpoint.
    Clients(&'a [Rc<str>]),
}

/// What an owner is left with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    /// What still serves: the subject of a sentence.
    what: &'static str,
    /// Whether that is more than one.
    are_many: bool,
    /// What happens without it.
    pub(super) without: &'static str,
}

/// The end of a line about a call.
pub(super) struct Tail<'a> {
    pub(super) call: &'a CallSummary,
    /// What there is still, where that is worth a word.
    pub(super) left: Option<Left>,
    /// What the next call is.
    pub(super) next: &'static str,
}

/// A duration for people: rounded down to the unit that matters.
pub(super) struct Time(pub(super) Duration);

/// A change in words: numbers, and the names of a few keys.
pub(super) struct Change<'a>(pub(super) &'a KeyChange);

pub(super) struct Algorithms(pub(super) AlgorithmSet);

impl Owner<'_> {
    /// What there is without, and with an older, document of this kind.
    pub(super) const fn left(&self, kind: DocumentKind) -> Left {
        match (self, kind) {
            (_, DocumentKind::Keys) => {
                Left { what: "the keys at hand", are_many: true, without: "requests that need them get 503" }
            }
            (Self::Issuer(_), DocumentKind::Metadata) => Left {
                what: "the metadata at hand",
                are_many: false,
                without: "requests that need its keys get 503",
            },
            (Self::Client(_) | Self::Clients(_), DocumentKind::Metadata) => {
                Left { what: "the metadata at hand", are_many: false, without: "no token is obtained" }
            }
        }
    }

    pub(super) const fn token_left(is_exchange: bool) -> Left {
        let without = if is_exchange { "callers without a kept token get 503" } else { "requests get 503" };
        Left { what: "the token at hand", are_many: false, without }
    }

    /// What its metadata is asked for.
    pub(super) const fn located(&self) -> &'static str {
        match self {
            Self::Issuer(_) => "the keys",
            Self::Client(_) | Self::Clients(_) => "the token endpoint",
        }
    }
}

impl fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(name) => write!(f, "issuer {name}"),
            Self::Client(name) => write!(f, "client {name}"),
            Self::Clients(names) => {
                f.write_str("client ")?;
                list(f, names.iter(), names.len(), |f, name| f.write_str(name))
            }
        }
    }
}

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallSummary { url, cluster, elsewhere, serves, next } = self.call;
        write!(f, "{url} through cluster {cluster}")?;
        if let Some((url, error)) = elsewhere {
            write!(f, ", and before {url}: {error}")?;
        }
        match (self.left, serves) {
            (Some(Left { what, are_many, .. }), Some(serves)) => {
                write!(f, "; {what} {} {} more", if are_many { "serve" } else { "serves" }, Time(*serves))?;
            }
            (Some(Left { without, .. }), None) => write!(f, "; {without}")?,
            (None, _) => {}
        }
        write!(f, "; {} ", self.next)?;
        if next.is_zero() { f.write_str("now") } else { write!(f, "in {}", Time(*next)) }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => write!(f, "{} ms", self.0.as_millis()),
            secs @ 1..120 => write!(f, "{secs} s"),
            secs @ 120..7_200 => write!(f, "{} min", secs.div_euclid(60)),
            secs => write!(f, "{} h", secs.div_euclid(3_600)),
        }
    }
}

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(KeyChange { keys, added, removed, skipped, private_members }) = self;
        write!(f, "{keys} usable, {} added", added.len())?;
        names(f, added)?;
        write!(f, ", {} removed", removed.len())?;
        names(f, removed)?;
        if !skipped.is_empty() {
            write!(f, ", {} not usable ({skipped})", skipped.len())?;
        }
        if *private_members {
            f.write_str("; the document publishes PRIVATE key material: replace those keys")?;
        }
        Ok(())
    }
}

impl fmt::Display for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0.iter(), usize::MAX, |f, algorithm: Algorithm| f.write_str(algorithm.name()))
    }
}

/// Key ids in brackets. They are the issuer's words.
fn names(f: &mut fmt::Formatter<'_>, names: &[Option<String>]) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    f.write_str(" (")?;
    list(f, names.iter(), names.len(), |f, name| match name {
        Some(name) => write!(f, "{}", Excerpt::of(name, MAX_NAME_CHARS)),
        None => f.write_str("without a name"),
    })?;
    f.write_str(")")
}

/// A few things with commas between them, and whether there are more; `count` says how many there are.
fn list<T>(
    f: &mut fmt::Formatter<'_>,
    things: impl Iterator<Item = T>,
    count: usize,
    write: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    let most = if count == usize::MAX { count } else { MAX_NAMES };
    for (place, thing) in things.take(most).enumerate() {
        f.write_str(if place > 0 { ", " } else { "" })?;
        write(f, thing)?;
    }
    f.write_str(if count > most { ", …" } else { "" })
}

/// How many names a line has: issuers rotate one key at a time, or all of a handful.
const MAX_NAMES: usize = 8;
/// How much of a key's name a line shows: thumbprints have 43 characters.
const MAX_NAME_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_the_unit_that_matters() {
        let told = |millis| Time(Duration::from_millis(millis)).to_string();
        assert_eq!(told(250), "250 ms");
        assert_eq!(told(1_900), "1 s");
        assert_eq!(told(119_999), "119 s");
        assert_eq!(told(120_000), "2 min");
        assert_eq!(told(7_199_999), "119 min");
        assert_eq!(told(24 * 3_600_000 - 1), "23 h");
    }

    #[test]
    fn names_of_keys_are_shown_in_part_and_nothing_else_of_them() {
        let told = |added: Vec<Option<String>>| {
            let change = KeyChange { keys: 1, added, ..KeyChange::default() };
            Change(&change).to_string()
        };
        let many = (0..9).map(|n| Some(format!("k{n}"))).collect();
        assert_eq!(told(many), "1 usable, 9 added (k0, k1, k2, k3, k4, k5, k6, k7, …), 0 removed");
        let odd = vec![Some(format!("a\nb\u{1b}[31mé{}", "x".repeat(100)))];
        assert_eq!(told(odd), format!("1 usable, 1 added (a?b?[31m?{}…), 0 removed", "x".repeat(55)));
        assert_eq!(told(vec![None]), "1 usable, 1 added (without a name), 0 removed");
    }

    #[test]
    fn a_token_endpoint_is_told_by_its_clients() {
        let names: Vec<Rc<str>> = (0..10).map(|n| format!("c{n}").into()).collect();
        assert_eq!(Owner::Clients(&names[..2]).to_string(), "client c0, c1");
        assert!(Owner::Clients(&names).to_string().ends_with(", c7, …"));
    }
}
