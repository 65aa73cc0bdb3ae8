//! In what two identifiers differ: issuers, audiences and hosts are compared byte for byte, and the byte that differs
//! is easily overlooked.

use super::page::quoted;

/// What differs, in words; nothing where they are equal. `given` is what came, `wanted` what is configured.
pub(super) fn differences(given: &str, wanted: &str) -> Vec<String> {
    found(given, wanted).into_iter().map(|(_, words)| words).collect()
}

/// The same in one text.
pub(super) fn difference(given: &str, wanted: &str) -> String {
    differences(given, wanted).join("; ")
}

/// The place of that which is nearest to what came.
pub(super) fn nearest<'a>(given: &str, wanted: impl Iterator<Item = &'a str>) -> Option<usize> {
    let distances = wanted.enumerate().map(|(place, wanted)| (distance(given, wanted), place));
    distances.min().map(|(_, place)| place)
}

/// How far two identifiers are from each other: first by what differs, then by the letters. Zero: they are equal.
pub(super) fn distance(given: &str, wanted: &str) -> usize {
    let weights = found(given, wanted).into_iter().map(|(part, _)| part.weight());
    let letters = strsim::levenshtein(start(given), start(wanted));
    weights.fold(0_usize, usize::saturating_add).saturating_mul(MAX_COMPARED).saturating_add(letters)
}

/// What can differ.
#[derive(Clone, Copy)]
enum Part {
    Space,
    Slash,
    Case,
    Scheme,
    Port,
    Path,
    Host,
}

impl Part {
    /// Slips of the pen are nearer than another realm, and that is nearer than another server.
    const fn weight(self) -> usize {
        match self {
            Self::Space | Self::Slash | Self::Case => 1,
            Self::Scheme | Self::Port => 2,
            Self::Path => 10,
            Self::Host => 20,
        }
    }
}

/// An identifier, taken apart as a URL is; one without a scheme is all host.
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: &'a str,
    path: &'a str,
    has_slash: bool,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let path_at = if scheme.is_empty() { None } else { rest.find('/') };
        let (authority, path) = rest.split_at_checked(path_at.unwrap_or(rest.len())).unwrap_or((rest, ""));
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let ported = authority.rsplit_once(':').filter(|(_, port)| is_port(port));
        let (host, port) = ported.unwrap_or((authority, ""));
        let has_slash = rest.ends_with('/');
        let (host, path) = (host.trim_end_matches('/'), path.trim_end_matches('/'));
        Self { scheme, host, port, path, has_slash }
    }
}

fn found(given: &str, wanted: &str) -> Vec<(Part, String)> {
    if given == wanted {
        return Vec::new();
    }
    let mut found = Vec::new();
    if given.trim() != given || wanted.trim() != wanted {
        found.push((Part::Space, "white space at an end".to_owned()));
    }
    let (given, wanted) = (Parts::of(given.trim()), Parts::of(wanted.trim()));
    if given.scheme.is_empty() != wanted.scheme.is_empty() {
        let words = if given.scheme.is_empty() { "it is not a URL" } else { "it is a URL" };
        found.push((Part::Host, words.to_owned()));
        return found;
    }
    let mut case = false;
    let mut compare = |part: Part, name: &str, given: &str, wanted: &str| {
        let is_same = given.eq_ignore_ascii_case(wanted);
        case |= is_same && given != wanted;
        if !is_same {
            found.push((part, format!("{name}: {}, not {}", shown(given), shown(wanted))));
        }
    };
    compare(Part::Scheme, "the scheme", given.scheme, wanted.scheme);
    compare(
        Part::Host,
        if given.scheme.is_empty() { "the name" } else { "the host" },
        given.host,
        wanted.host,
    );
    compare(Part::Port, "the port", given.port, wanted.port);
    compare(Part::Path, "the path, as of another realm or tenant", given.path, wanted.path);
    if case {
        found.push((Part::Case, "upper and lower case".to_owned()));
    }
    match (given.has_slash, wanted.has_slash) {
        (true, false) => found.push((Part::Slash, "it has a slash at its end".to_owned())),
        (false, true) => found.push((Part::Slash, "it lacks the slash at the end".to_owned())),
        (true, true) | (false, false) => {}
    }
    found
}

fn shown(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { quoted(text) }
}

/// As much of a text as is compared.
fn start(text: &str) -> &str {
    text.char_indices().nth(MAX_COMPARED).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// How many characters are compared by likeness, which costs their square: more than any issuer's URL has.
const MAX_COMPARED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_that_differs_is_named() {
        for (given, wanted, told) in [
            ("https://a.example", "https://a.example", ""),
            ("https://a.example/", "https://a.example", "it has a slash at its end"),
            ("https://a.example/x", "https://a.example/x/", "it lacks the slash at the end"),
            ("http://a.example", "https://a.example", "the scheme: \"http\", not \"https\""),
            ("https://a.example:443", "https://a.example", "the port: \"443\", not none"),
            ("https://A.example/x", "https://a.example/X", "upper and lower case"),
            (
                "https://a.example/realms/b",
                "https://a.example/realms/c",
                "the path, as of another realm or tenant: \"/realms/b\", not \"/realms/c\"",
            ),
            ("https://[::1]:80/", "https://[::1]", "the port: \"80\", not none; it has a slash at its end"),
            ("https://b.example", "https://a.example", "the host: \"b.example\", not \"a.example\""),
            (
                "https://a\u{1b}[2J\nverdict ✓",
                "https://a.example",
                "the host: \"a\\u{1b}[2J\\nverdict ✓\", not \"a.example\"",
            ),
            ("orders", "Orders", "upper and lower case"),
            ("orders ", "orders", "white space at an end"),
            ("orders", "https://orders", "it is not a URL"),
        ] {
            assert_eq!(difference(given, wanted), told, "{given}");
        }
    }

    #[test]
    fn a_slash_is_nearer_than_another_realm_and_that_than_another_server() {
        let wanted = ["https://b.example/r", "https://a.example/other", "https://a.example/r"];
        assert_eq!(nearest("https://a.example/r/", wanted.into_iter()), Some(2));
        assert_eq!(nearest("https://a.example/r/", wanted.into_iter().take(2)), Some(1));
        assert_eq!(nearest("https://b.examples/r", wanted.into_iter()), Some(0));
        assert_eq!(nearest("x", [].into_iter()), None);
    }
}
