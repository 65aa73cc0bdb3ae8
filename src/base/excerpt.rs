//! A foreign string as a log line may show it.

use core::fmt;
use std::rc::Rc;

/// A bounded part of a string that another party wrote, without a character that could forge a line or a colour. For
/// what is public: what a server says about a request of ours is a `Word`, since it knows our credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt(Rc<str>);

impl Excerpt {
    /// The first `most` characters. What is not visible ASCII, and a backquote, becomes `?`.
    pub fn of(text: &str, most: usize) -> Self {
        let shown = |c: char| if c.is_ascii_graphic() && c != '`' { c } else { '?' };
        let mut excerpt: String = text.chars().take(most).map(shown).collect();
        if text.chars().nth(most).is_some() {
            excerpt.push('…');
        }
        Self(excerpt.into())
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_bounded_and_of_harmless_characters() {
        let of = |text: &str| Excerpt::of(text, 12).to_string();
        assert_eq!(of("https://h/a/"), "https://h/a/");
        assert_eq!(of("https://h/a//"), "https://h/a/…");
        assert_eq!(of("a\nb\u{1b}[31mé`"), "a?b?[31m??");
        assert_eq!(of(""), "");
    }
}
