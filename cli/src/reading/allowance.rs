//! Comments that allow what a rule finds: `# attachectl: allow RULE: REASON`.

use granit_parser::{Event, Parser, Placement};

use super::node::Node;
use crate::finding::{Finding, Location, Severity, table};

/// One such comment.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    /// Its line, from 1.
    line: u64,
    scope: Scope,
    /// As written, to be looked up.
    rules: Vec<String>,
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The whole file.
    File,
    /// What stands on the comment's own line, and below that.
    Line,
    /// The next member or item, and all below it.
    Next,
    /// Nothing: what comes next is at another column, or in another document.
    Nothing,
}

/// An allowance that names a rule, and the lines that it is for.
#[derive(Debug)]
pub(crate) struct Allowed {
    file: String,
    line: u64,
    rule: &'static str,
    reason: String,
    /// First and last; `None` for the whole file.
    lines: Option<(u64, u64)>,
    is_used: bool,
}

/// Finds the comments of a text that was read without a problem.
pub(super) fn find(text: &str) -> Vec<Allowance> {
    if !text.contains(MARK) {
        return Vec::new();
    }
    let events = Parser::new_from_str(text).map_while(Result::ok);
    let lines: Vec<&str> = text.lines().collect();
    let comments = events.filter_map(|(event, span)| {
        let Event::Comment(comment, placement) = event else { return None };
        let line = span.start.line();
        let scope = if placement == Placement::Right { Scope::Line } else { scope(&lines, line) };
        parse(&comment, u64::try_from(line).unwrap_or_default(), scope)
    });
    comments.collect()
}

/// What a comment on a line of its own is for; the line is from 1. A comment at the end of an item is no comment of the
/// next one.
fn scope(lines: &[&str], line: usize) -> Scope {
    let column = |line: &str| line.len().saturating_sub(line.trim_start().len());
    let own = line.checked_sub(1).and_then(|index| lines.get(index)).map(|line| column(line));
    let is_content = |line: &&&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let next = lines.iter().skip(line).find(is_content).filter(|line| !line.starts_with("---"));
    if next.map(|line| column(line)) == own { Scope::Next } else { Scope::Nothing }
}

fn parse(comment: &str, line: u64, scope: Scope) -> Option<Allowance> {
    let rest = comment.trim().strip_prefix(MARK)?.trim();
    let (scope, rest) = match rest.split_once(char::is_whitespace) {
        Some(("allow-file", rest)) => (Scope::File, rest),
        Some(("allow", rest)) => (scope, rest),
        // Without a rule and a reason, which is said later.
        Some(_) | None => (scope, ""),
    };
    let (rules, reason) = rest.split_once(':').unwrap_or((rest, ""));
    let rules = rules.split(',').map(|rule| rule.trim().to_owned()).filter(|rule| !rule.is_empty());
    Some(Allowance { line, scope, rules: rules.collect(), reason: reason.trim().to_owned() })
}

/// The allowances of a file that hold, and what is wrong with the others.
pub(crate) fn resolve(
    file: &str,
    documents: &[Node],
    allowances: &[Allowance],
) -> (Vec<Allowed>, Vec<Finding>) {
    let (mut allowed, mut findings) = (Vec::new(), Vec::new());
    for allowance in allowances {
        let advice = match allowance.scope {
            Scope::Nothing => "put it right above what it is for, at the same column",
            Scope::File | Scope::Line | Scope::Next => {
                "write `# attachectl: allow RULE: REASON`; docs/check.md lists the rules"
            }
        };
        let mut malformed = |problem: String| {
            let location = location(file, allowance.line);
            findings.push(Finding::new(table::ALLOW_MALFORMED, location, problem, advice));
        };
        if allowance.rules.is_empty() || allowance.reason.is_empty() {
            malformed("the comment allows nothing: it lacks a rule or a reason".to_owned());
            continue;
        }
        let lines = match allowance.scope {
            Scope::File => None,
            Scope::Line => Some(
                block(documents, |line| line == allowance.line).unwrap_or((allowance.line, allowance.line)),
            ),
            Scope::Nothing => {
                malformed("the comment allows nothing: no value follows it at the same column".to_owned());
                continue;
            }
            Scope::Next => match block(documents, |line| line > allowance.line) {
                Some(lines) => Some(lines),
                None => {
                    malformed("the comment allows nothing: no value follows it".to_owned());
                    continue;
                }
            },
        };
        for name in &allowance.rules {
            let rule = table::ALL.iter().find(|rule| rule.name == name && rule.severity > Severity::Note);
            match rule.filter(|rule| !NEVER_ALLOWED.contains(&rule.name)) {
                Some(rule) => allowed.push(Allowed {
                    file: file.to_owned(),
                    line: allowance.line,
                    rule: rule.name,
                    reason: allowance.reason.clone(),
                    lines,
                    is_used: false,
                }),
                None => malformed(format!("`{name}` is not a rule that a comment can allow")),
            }
        }
    }
    (allowed, findings)
}

impl Allowed {
    /// The reason, if it is for this rule at this place.
    pub(crate) fn covers(&mut self, rule: &str, location: &Location) -> Option<String> {
        // What a whole document lacks stands in none of its lines.
        let is_within = |(first, last)| {
            !location.path.is_empty() && location.line.is_some_and(|line| (first..=last).contains(&line))
        };
        let covers = self.rule == rule && self.file == location.file && self.lines.is_none_or(is_within);
        self.is_used |= covers;
        covers.then(|| self.reason.clone())
    }

    /// What to say of it when it was for nothing. What `--online` finds is another matter: it depends on the call, and
    /// on what servers answer that day.
    pub(crate) fn unused(&self) -> Option<Finding> {
        let message = format!("the comment allows `{}`, which is not found here", self.rule);
        let finding = || {
            Finding::new(table::ALLOW_UNUSED, location(&self.file, self.line), message, "remove the comment")
        };
        (!self.is_used && !self.rule.starts_with(table::ONLINE)).then(finding)
    }
}

fn location(file: &str, line: u64) -> Location {
    Location { line: Some(line), ..Location::of_file(file) }
}

/// First and last line of the first member or item whose line is meant.
fn block(documents: &[Node], is_meant: impl Fn(u64) -> bool + Copy) -> Option<(u64, u64)> {
    documents.iter().find_map(|document| block_in(document, is_meant))
}

fn block_in(node: &Node, is_meant: impl Fn(u64) -> bool + Copy) -> Option<(u64, u64)> {
    let members = node.members().iter().map(|member| (member.line, &member.value));
    let items = node.items().iter().map(|item| (item.line, item));
    members.chain(items).find_map(|(line, value)| {
        if is_meant(line) { Some((line, last_line(value).max(line))) } else { block_in(value, is_meant) }
    })
}

fn last_line(node: &Node) -> u64 {
    let members = node.members().iter().map(|member| &member.value);
    members.chain(node.items()).map(last_line).max().unwrap_or_default().max(node.line)
}

/// How such a comment begins.
const MARK: &str = "attachectl:";
/// What would hide that something was not checked.
const NEVER_ALLOWED: [&str; 5] =
    ["unreadable", "nothing-checked", "configuration-invalid", "allow-malformed", "allow-unused"];

#[cfg(test)]
mod tests {
    use super::{Scope, scope};

    #[test]
    fn a_comment_is_for_what_follows_it_at_its_column_in_its_document() {
        for (text, line, expected) in [
            ("# c\na: 1\n", 1, Scope::Next),
            ("# c\n\n# d\na: 1\n", 1, Scope::Next),
            ("a:\n  # c\n  - b: 1\n", 2, Scope::Next),
            ("- a: 1\n  # c\n- b: 1\n", 2, Scope::Nothing),
            ("a:\n# c\n  b: 1\n", 2, Scope::Nothing),
            ("a: 1\n# c\n---\nb: 1\n", 2, Scope::Nothing),
            ("a: 1\n# c\n", 2, Scope::Nothing),
        ] {
            assert_eq!(scope(&text.lines().collect::<Vec<_>>(), line), expected, "{text}");
        }
    }
}
