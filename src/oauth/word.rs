//! A word of a server's that a log line may show. Servers are not to be trusted with our logs: they know our
//! credentials, and some say them back.

use core::fmt;
use std::rc::Rc;

use crate::base::Secret;

/// A word that is short, of harmless characters, and no part of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(Rc<str>);

impl Word {
    /// `text` as a word, unless it is more than one, or says anything of `secrets`.
    pub(super) fn quote<'s>(text: &str, secrets: impl IntoIterator<Item = &'s Secret>) -> Option<Self> {
        let is_shown = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_word = (1..=MAX_WORD).contains(&text.len()) && text.bytes().all(is_shown);
        let tells = |secret: &Secret| {
            holds(secret.expose(), text.as_bytes()) || holds(text.as_bytes(), secret.expose())
        };
        (is_word && !secrets.into_iter().any(tells)).then(|| Self(text.into()))
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `part` stands somewhere in `whole`, in whatever case.
fn holds(whole: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && whole.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// The longest error code and type that servers have, with room.
pub const MAX_WORD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str, secret: &str) -> Option<String> {
        Word::quote(text, &[Secret::new(secret)]).map(|word| word.to_string())
    }

    #[test]
    fn a_word_is_quoted_up_to_its_longest_and_not_one_character_more() {
        for text in ["a", "AADSTS7000215", "use_dpop-nonce.v2", &"x".repeat(MAX_WORD)] {
            assert_eq!(quoted(text, "hunter2").as_deref(), Some(text));
        }
        for text in ["", "two words", "a\nb", "ä", "a`b", "a/b", "{}", &"x".repeat(MAX_WORD + 1)] {
            assert_eq!(quoted(text, "hunter2"), None, "{text}");
        }
    }

    #[test]
    fn neither_a_secret_nor_a_part_of_one_nor_what_holds_one_is_quoted() {
        for text in ["hunter2", "HUNTER2", "unter", "r2", "the-hunter2-is-wrong"] {
            assert_eq!(quoted(text, "hunter2"), None, "{text}");
        }
        assert_eq!(quoted("hunt3r", "hunter2").as_deref(), Some("hunt3r"));
        assert_eq!(quoted("word", "").as_deref(), Some("word"));
    }
}
