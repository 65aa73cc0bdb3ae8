//! What an explanation looks like: numbered steps, tables of what is there beside what is wanted, and a result.

use attache::base::{Edit, Response};
use attache::jose::Json;

use crate::printing::escaped;

/// What becomes of a request, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The steps, the tables and the result, a line each.
    pub text: String,
    /// Whether the request goes on to the upstream.
    pub is_forwarded: bool,
}

/// An explanation that is being written.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    steps: usize,
}

/// How a thing fares in a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It is as it should be.
    Good,
    /// It is not.
    Bad,
    /// That was not asked, or cannot be told.
    Open,
}

impl Page {
    /// A line. Tokens, metadata and files are the text of others, so it stays one.
    fn put(&mut self, line: core::fmt::Arguments<'_>) {
        self.text.push_str(&escaped(&line.to_string()));
        self.text.push('\n');
    }

    /// A check that has passed, with what it saw.
    pub(super) fn step(&mut self, name: &str, seen: &str) {
        let number = self.steps.saturating_add(1);
        self.steps = number;
        self.put(format_args!("{number:>3}. {name:<12} {seen}"));
    }

    /// The check that has not.
    pub(super) fn failed(&mut self, label: &str, why: &str) {
        self.put(format_args!("  ✗  {label:<12} {why}"));
    }

    /// What belongs to no step.
    pub(super) fn note(&mut self, text: &str) {
        self.put(format_args!("     {text}"));
    }

    /// The beginning of a table.
    pub(super) fn heading(&mut self, text: &str) {
        self.put(format_args!("{text}:"));
    }

    /// What is there, and below it, in the same column, what is wanted.
    pub(super) fn compared(&mut self, mark: Mark, name: &str, given: &str, wanted: &[String]) {
        self.put(format_args!("  {} {name:<NAME$} {given}", mark.sign()));
        for (index, line) in wanted.iter().enumerate() {
            let label = if index == 0 { "wanted" } else { "" };
            self.put(format_args!("    {label:<NAME$} {line}"));
        }
    }

    /// A line of a table that compares nothing.
    pub(super) fn line(&mut self, mark: Mark, text: &str) {
        self.put(format_args!("  {} {text}", mark.sign()));
    }

    /// A name and what there is to say of it.
    pub(super) fn detail(&mut self, name: &str, text: &str) {
        self.put(format_args!("    {name:<DETAIL$} {text}"));
    }

    /// What has been written elsewhere.
    pub(super) fn append(&mut self, other: Self) {
        self.text.push_str(&other.text);
    }

    /// What has become of a request.
    pub(super) fn result(&mut self, text: &str) {
        self.put(format_args!("→ {text}"));
    }

    /// A request that goes on.
    pub(super) fn forwarded(&mut self, edits: &[Edit], shown: impl Fn(&Edit) -> Option<String>) {
        self.text.push_str("→ forwarded\n");
        for edit in edits {
            match (edit, shown(edit)) {
                (Edit::Remove(name), _) => self.put(format_args!("  - {name}")),
                (Edit::Set(name, _), Some(shown)) => self.put(format_args!("  + {name}: {shown}")),
                (Edit::Set(name, value), None) => self.put(format_args!("  + {name}: {value}")),
            }
        }
    }

    /// A request that is answered.
    pub(super) fn answered(&mut self, response: &Response) {
        self.put(format_args!("→ answered {}", response.status));
        for (name, value) in &response.headers {
            self.put(format_args!("  {name}: {value}"));
        }
        if !response.body.is_empty() {
            self.text.push('\n');
            self.put(format_args!("  {}", response.body));
        }
    }

    /// The whole of it.
    pub(super) fn finish(self, is_forwarded: bool) -> Explanation {
        Explanation { text: self.text, is_forwarded }
    }
}

impl Mark {
    /// Good where `is_good`.
    pub(super) fn of(is_good: bool) -> Self {
        if is_good { Self::Good } else { Self::Bad }
    }

    const fn sign(self) -> char {
        match self {
            Self::Good => '✓',
            Self::Bad => '✗',
            Self::Open => '·',
        }
    }
}

/// A text in quotes, so that a space or a slash at its end is seen; cut where it is very long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
    }
}

/// A claim's value; of a list, the first of its values.
pub(super) fn shown(value: &Json<'_>) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => quoted(text),
        Json::Array(items) => {
            let more = if items.len() > MAX_ITEMS { " …" } else { "" };
            let items: Vec<String> = items.iter().take(MAX_ITEMS).map(shown).collect();
            format!("{}{more}", items.join(" "))
        }
        Json::Object(_) => "an object".to_owned(),
    }
}

/// Texts in quotes, one after the other.
pub(super) fn quoted_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let shown: Vec<String> = texts.into_iter().map(quoted).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(" ") }
}

/// The widest name in a table.
const NAME: usize = 10;
/// The widest name of a token request: `client_assertion_type`.
const DETAIL: usize = 21;
/// How many characters of a text are shown: more than any issuer's URL has.
const MAX_SHOWN: usize = 200;
/// How many values of a list are shown.
const MAX_ITEMS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_whatever_a_token_or_a_file_says() {
        let mut page = Page::default();
        page.failed("not_yours", "a\u{1b}[2J\n→ forwarded");
        page.heading("client a\r→ forwarded");
        let text = page.finish(false).text;
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains(['\u{1b}', '\r']), "{text:?}");
    }
}
