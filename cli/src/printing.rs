//! How the text of others is printed: names of files, what servers say, addresses that may hold a key.

use std::borrow::Cow;

/// A text for one line of a terminal or a log: what a terminal acts on, what ends a line, and what turns the direction
/// of text stands there as an escape.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_acted_on) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_acted_on(letter) {
            escaped.extend(letter.escape_default());
        } else {
            escaped.push(letter);
        }
    }
    Cow::Owned(escaped)
}

/// As much of a text as is shown: 256 characters.
pub(crate) fn bounded(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_SHOWN) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
    }
}

/// A URL as it may be shown: bounded, without a query, which may hold a key, and without a user's name and password.
pub(crate) fn shown_url(url: &str) -> String {
    let (start, query) =
        url.find(['?', '#']).map_or((url, ""), |at| (url.get(..at).unwrap_or_default(), "?…"));
    let (scheme, rest) = start.split_once("://").unwrap_or(("", start));
    let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).unwrap_or((rest, ""));
    let shown = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}{path}"),
        None => start.to_owned(),
    };
    format!("{}{query}", bounded(&shown))
}

fn is_acted_on(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// More than the URLs of issuers that are in use have, and than a server's certificate says of itself.
const MAX_SHOWN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_an_escape_and_all_else_stays() {
        assert_eq!(escaped("✗ Grüße, \"a\""), "✗ Grüße, \"a\"");
        assert_eq!(
            escaped("a\n::error::b\r\u{1b}[2J\u{9b}\u{202e}"),
            "a\\n::error::b\\r\\u{1b}[2J\\u{9b}\\u{202e}"
        );
    }

    #[test]
    fn a_url_is_shown_without_what_may_be_a_key() {
        for (url, shown) in [
            ("https://a.example/jwks", "https://a.example/jwks"),
            ("https://a.example/jwks?key=K", "https://a.example/jwks?…"),
            ("https://a.example/jwks#K", "https://a.example/jwks?…"),
            ("https://u:K@a.example/p@q", "https://…@a.example/p@q"),
            ("a.example?K", "a.example?…"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
        let long = format!("https://a.example/{}", "p".repeat(MAX_SHOWN));
        assert_eq!(shown_url(&long).chars().count(), MAX_SHOWN + 1);
    }
}
