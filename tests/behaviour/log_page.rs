//! docs/log-lines.md as a reader of code sees it: patterns of lines with their levels, and patterns of reasons.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use attache::base::Level;

const PAGE: &str = include_str!("../../docs/log-lines.md");

/// A line or a reason, with `<…>` for what differs.
pub struct Pattern {
    pub text: String,
    /// Empty for a reason.
    pub levels: BTreeSet<Level>,
    literals: Vec<String>,
}

impl Pattern {
    fn new(text: String, levels: BTreeSet<Level>) -> Self {
        let mut literals = Vec::new();
        for part in text.split('<') {
            let literal =
                if literals.is_empty() { part } else { part.split_once('>').expect("a > for each <").1 };
            literals.push(literal.to_owned());
        }
        Self { text, levels, literals }
    }

    /// Whether a text is one of these: each `<…>` stands for at least one character.
    pub fn matches(&self, text: &str) -> bool {
        let (first, rest) = self.literals.split_first().unwrap();
        let Some(mut text) = text.strip_prefix(first.as_str()) else { return false };
        let Some((last, between)) = rest.split_last() else { return text.is_empty() };
        for literal in between {
            let Some(start) =
                text.char_indices().nth(1).and_then(|(at, _)| Some(at + text[at..].find(literal)?))
            else {
                return false;
            };
            text = &text[start + literal.len()..];
        }
        text.ends_with(last.as_str()) && text.len() > last.len()
    }
}

/// The lines of the page.
pub fn lines() -> &'static [Pattern] {
    static LINES: OnceLock<Vec<Pattern>> = OnceLock::new();
    LINES.get_or_init(|| {
        let lines = PAGE
            .split("\n## ")
            .skip(1)
            .filter(|section| !section.starts_with("How to read") && !section.starts_with("Why "));
        lines.flat_map(entries).map(|entry| line(&entry)).collect()
    })
}

/// The reasons under a heading.
pub fn reasons(heading: &str) -> Vec<Pattern> {
    let mut sections = PAGE.split("\n## ").skip(1);
    let section = sections.find(|section| section.starts_with(heading)).expect("the page has the heading");
    let mut patterns = Vec::new();
    for entry in entries(section) {
        let mut rest = entry.as_str();
        loop {
            let (text, after) = code(rest);
            patterns.push(Pattern::new(text, BTreeSet::new()));
            match after.strip_prefix(", ").or_else(|| after.strip_prefix(" and ")) {
                Some(more) if more.starts_with('`') => rest = more,
                _ => {
                    assert!(after.starts_with(": "), "an explanation after {entry}");
                    break;
                }
            }
        }
    }
    patterns
}

/// The entries of a section that begin with code, each on one line.
fn entries(section: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in section.lines() {
        if let Some(entry) = line.strip_prefix("- `") {
            entries.push(format!("`{entry}"));
            is_open = true;
        } else if line.starts_with("  ") && is_open {
            let entry = entries.last_mut().unwrap();
            entry.push(' ');
            entry.push_str(line.trim());
        } else {
            is_open = false;
        }
    }
    entries
}

fn line(entry: &str) -> Pattern {
    let (text, after) = code(entry);
    let levels = after.strip_prefix(" (").and_then(|after| after.split_once(')')).expect(entry).0;
    let words = levels.split(|c: char| !c.is_ascii_alphabetic());
    let levels: BTreeSet<Level> = words.filter_map(|word| word.parse().ok()).collect();
    assert!(!levels.is_empty(), "{entry}");
    Pattern::new(text, levels)
}

/// The code at the start of a text, in as many backquotes as it has, and what follows.
fn code(text: &str) -> (String, &str) {
    let fence: String = text.chars().take_while(|c| *c == '`').collect();
    let (code, after) = text[fence.len()..].split_once(&fence).unwrap_or_else(|| panic!("no end: {text}"));
    let is_padded = code.starts_with(" `") || code.ends_with("` ");
    (if is_padded { code.trim().to_owned() } else { code.to_owned() }, after)
}

/// That the page has this line, at this level.
#[track_caller]
pub fn assert_listed(level: Level, line: &str) {
    // Lines that requests cause are withheld at times.
    let line = match line.rsplit_once(" (") {
        Some((line, more)) if more.ends_with(" more before this one)") => line,
        _ => line,
    };
    let mut found = lines().iter().filter(|pattern| pattern.matches(line));
    assert!(
        found.any(|pattern| pattern.levels.contains(&level)),
        "docs/log-lines.md lacks ({level}): {line}"
    );
}
