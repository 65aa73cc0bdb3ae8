//! Reads a [`Value`] field by field and collects every problem on the way. A reader that answers `None` has reported
//! why.

use core::fmt::Display;
use core::hash::Hash;
use core::time::Duration;
use std::collections::HashSet;

#[cfg(not(target_os = "wasi"))]
use super::describer::{DEFINITION, Describer};
use super::problems::Problems;
use super::renamed;
use super::shape::Shape;
use super::value::Value;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    value: &'a Value,
    path: String,
    problems: &'a Problems,
}

/// The members of an object, each known and none a duplicate.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    node: Node<'a>,
    members: &'a [(String, Value)],
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value, problems: &'a Problems) -> Self {
        Self { value, path: String::new(), problems }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// Whether the value is a string: it may be something else.
    pub(super) fn is_string(&self) -> bool {
        #[cfg(not(target_os = "wasi"))]
        if let Some(describer) = self.describer() {
            return describer.is_string(&self.path);
        }
        self.value.as_str().is_some()
    }

    /// Whether the value is a list: it may be something else.
    pub(super) fn is_list(&self) -> bool {
        #[cfg(not(target_os = "wasi"))]
        if let Some(describer) = self.describer() {
            return describer.is_list(&self.path);
        }
        self.value.as_list().is_some()
    }

    /// An object that is read by other rules, as JSON text.
    pub(super) fn json(&self) -> Option<Vec<u8>> {
        self.takes(|| Shape::Json)?;
        Some(serde_json::to_vec(self.value).unwrap_or_default())
    }

    /// Reads what may hold another of itself, at any depth. A schema has one definition of this name for all.
    #[cfg_attr(target_os = "wasi", expect(unused_variables, reason = "the name is for the schema"))]
    pub(super) fn defined<T>(&self, name: &'static str, read: impl FnOnce(&Self) -> Option<T>) -> Option<T> {
        #[cfg(not(target_os = "wasi"))]
        if let Some(describer) = self.describer() {
            describer.note(&self.path, Shape::Defined(name));
            if !describer.enter(&self.path, name) {
                return None;
            }
            return read(&Self { path: format!("{DEFINITION}{name}"), ..self.clone() });
        }
        read(self)
    }

    #[cfg(not(target_os = "wasi"))]
    fn describer(&self) -> Option<&'a Describer> {
        self.problems.describer()
    }

    /// Goes on where there is a value to be read. Where the reader is only asked what it would take, that is noted.
    #[inline]
    #[cfg_attr(target_os = "wasi", expect(unused_variables, clippy::unused_self, clippy::unnecessary_wraps))]
    pub(super) fn takes(&self, shape: impl FnOnce() -> Shape) -> Option<()> {
        #[cfg(not(target_os = "wasi"))]
        if let Some(describer) = self.describer() {
            describer.note(&self.path, shape());
            return None;
        }
        Some(())
    }

    /// Reports a problem here. Returns `None`, so that a reader can return what this returns.
    pub(super) fn problem<T>(&self, text: impl Display) -> Option<T> {
        self.report(&text);
        None
    }

    /// Not a part of each of its callers, of which there are hundreds.
    #[cold]
    #[inline(never)]
    fn report(&self, text: &dyn Display) {
        self.problems.add(&self.path, text.to_string());
    }

    /// Whether a list or an object has at least one entry, and at most `max`.
    fn bounded(&self, entries: usize, max: usize, what: &str) -> Option<()> {
        match entries {
            0 => self.problem(format_args!("the {what} is empty")),
            _ if entries > max => self.problem(format_args!("more than {max} entries")),
            _ => Some(()),
        }
    }

    /// What the value was read as, if it could be.
    fn expected<T>(&self, read: Option<T>, what: &str) -> Option<T> {
        read.or_else(|| self.problem(format_args!("expected {what}, got {}", self.value.kind())))
    }

    /// This value under a longer path, to report a problem there.
    pub(super) fn below(&self, suffix: impl Display) -> Self {
        Self { value: self.value, path: format!("{}{suffix}", self.path), problems: self.problems }
    }

    /// An object that has none but these members. Unknown and repeated ones are reported; the others are still read.
    pub(super) fn fields(&self, known: &[&str]) -> Option<Fields<'a>> {
        if self.takes(|| Shape::Object(known.iter().map(|name| (*name).to_owned()).collect())).is_none() {
            return Some(Fields { node: self.clone(), members: &[] });
        }
        let members = self.expected(self.value.as_object(), "an object")?;
        for (index, (name, _)) in members.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                match renamed::renamed(name, known.iter().copied()) {
                    Some(new) => self.problem::<()>(format_args!("`{name}` is now `{new}`")),
                    None => self.problem(format_args!(
                        "unknown field `{}`, expected one of {}",
                        printable(name),
                        known.join(", ")
                    )),
                };
            } else if members.iter().take(index).any(|(other, _)| other == name) {
                self.problem::<()>(format_args!("duplicate field `{name}`"));
            }
        }
        Some(Fields { node: self.clone(), members })
    }

    /// The members of an object whose names the document makes up: at least one and at most `max`, none of them twice.
    pub(super) fn members(&self, max: usize) -> Option<Vec<(&'a str, Self)>> {
        if self.takes(|| Shape::Map(max)).is_none() {
            return Some(vec![("name", self.below(".*"))]);
        }
        let members = self.expected(self.value.as_object(), "an object")?;
        self.bounded(members.len(), max, "object")?;
        let fields = Fields { node: self.clone(), members };
        let node =
            |(name, value): &'a (String, Value)| (name.as_str(), fields.member(&printable(name), value));
        let mut seen = HashSet::new();
        for (name, _) in members.iter().filter(|(name, _)| !seen.insert(name)) {
            self.problem::<()>(format_args!("duplicate field `{}`", printable(name)));
        }
        Some(members.iter().map(node).collect())
    }

    /// The name of an object's only member, and its value: `{ header: … }`.
    pub(super) fn variant(&self, known: &[&'static str]) -> Option<(&'a str, Self)> {
        #[cfg(not(target_os = "wasi"))]
        if let Some(describer) = self.describer() {
            describer.note(&self.path, Shape::Variant(known.iter().map(|name| (*name).to_owned()).collect()));
            let kind = describer.kind(&self.path, known)?;
            return Some((kind, self.below(format_args!(".{kind}"))));
        }
        let fields = self.fields(known)?;
        let mut present = fields.members.iter().filter(|(name, _)| known.contains(&name.as_str()));
        match (present.next(), present.next()) {
            (Some((name, value)), None) => Some((name, fields.member(name, value))),
            _ => self.problem(format_args!("expected exactly one of {}", known.join(", "))),
        }
    }

    /// A list of at least one element and at most `max`.
    pub(super) fn list(&self, max: usize) -> Option<Vec<Self>> {
        if self.takes(|| Shape::List(max)).is_none() {
            return Some(vec![self.below("[]")]);
        }
        let items = self.expected(self.value.as_list(), "a list")?;
        self.bounded(items.len(), max, "list")?;
        let node =
            |(index, value)| Self { value, path: format!("{}[{index}]", self.path), problems: self.problems };
        Some(items.iter().enumerate().map(node).collect())
    }

    /// A list of at least one element and at most `max`, all of which are read, so that each one's problems are
    /// reported.
    pub(super) fn each<T>(
        &self,
        max: usize,
        mut read: impl FnMut(&Self) -> Option<T>,
    ) -> Option<Vec<(Self, Option<T>)>> {
        let read = |item| {
            let value = read(&item);
            (item, value)
        };
        Some(self.list(max)?.into_iter().map(read).collect())
    }

    /// The same, if no element has a problem or is equal to an earlier one. `what` is what the elements are called.
    pub(super) fn distinct<T: PartialEq>(
        &self,
        max: usize,
        what: &str,
        read: impl FnMut(&Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.distinct_by(max, what, read, T::eq)
    }

    /// The same, where `same` says which elements are equal.
    pub(super) fn distinct_by<T>(
        &self,
        max: usize,
        what: &str,
        read: impl FnMut(&Self) -> Option<T>,
        same: impl Fn(&T, &T) -> bool,
    ) -> Option<Vec<T>> {
        let items = self.each(max, read)?;
        refuse_duplicates(&items, what, same);
        items.into_iter().map(|(_, item)| item).collect()
    }

    /// A string that is not empty.
    pub(super) fn string(&self) -> Option<&'a str> {
        self.takes(|| Shape::String(String::new()))?;
        let text = self.expected(self.value.as_str(), "a string")?;
        if text.is_empty() {
            return self.problem("the string is empty");
        }
        if text.len() > MAX_TEXT {
            return self.problem(format_args!("longer than {MAX_TEXT} bytes"));
        }
        Some(text)
    }

    /// A string that passes `test`; `expected` says what that is.
    pub(super) fn string_that(&self, expected: &str, test: impl Fn(&str) -> bool) -> Option<&'a str> {
        self.takes(|| Shape::String(expected.to_owned()))?;
        let text = self.string()?;
        if test(text) { Some(text) } else { self.problem(format_args!("expected {expected}")) }
    }

    /// The one word that may stand here in place of something else; `expected` says what may.
    pub(super) fn lone_word(&self, word: &'static str, expected: &str) -> Option<()> {
        self.takes(|| Shape::Word(vec![word.to_owned()]))?;
        self.string_that(expected, |text| text == word).map(|_| ())
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        #[cfg(not(target_os = "wasi"))]
        if let Some(describer) = self.describer() {
            describer
                .note(&self.path, Shape::Word(words.iter().map(|(word, _)| (*word).to_owned()).collect()));
            return words.get(describer.word(&self.path, words.len())).map(|(_, meaning)| *meaning);
        }
        let text = self.string()?;
        let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Some(*meaning),
            None => match renamed::renamed(text, words.iter().map(|(word, _)| *word)) {
                Some(new) => self.problem(format_args!("`{text}` is now `{new}`")),
                None => self.problem(format_args!("expected one of {}", known())),
            },
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        self.takes(|| Shape::Boolean)?;
        let value = if let Value::Bool(value) = self.value { Some(*value) } else { None };
        self.expected(value, "a boolean")
    }

    /// A whole number from `min` to `max`, which is at most 2⁵³ − 1: what a `Struct` can carry.
    pub(super) fn integer<T: TryFrom<u64>>(&self, min: u64, max: u64) -> Option<T> {
        self.takes(|| Shape::Integer(min, max.min(MAX_INTEGER)))?;
        self.whole_number(min, max)?.try_into().ok()
    }

    fn whole_number(&self, min: u64, max: u64) -> Option<u64> {
        let number = match self.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Float(number) => whole(*number),
            // Envoy's YAML reader hands over numbers above 2³¹ − 1 as strings.
            Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::List(_) | Value::Object(_) => {
                return self.expected(None, "a number");
            }
        };
        let max = max.min(MAX_INTEGER);
        let number = number.filter(|number| (min..=max).contains(number));
        number.or_else(|| self.problem(format_args!("expected a whole number from {min} to {max}")))
    }

    /// A duration with a unit: `250ms`, `5s`, `10m`, `24h`.
    pub(super) fn duration(&self, min: Duration, max: Duration) -> Option<Duration> {
        self.takes(|| Shape::Duration(min, max))?;
        let duration = self.value.as_str().and_then(duration);
        match duration {
            None => {
                self.problem("expected a duration with a unit, like \"250ms\", \"5s\", \"10m\" or \"24h\"")
            }
            Some(duration) if duration < min || duration > max => {
                self.problem(format_args!("expected a duration from {min:?} to {max:?}"))
            }
            Some(duration) => Some(duration),
        }
    }

    /// Nothing but `{}`.
    pub(super) fn empty(&self) -> Option<()> {
        self.takes(|| Shape::Empty)?;
        let is_empty = self.value.as_object().is_some_and(<[_]>::is_empty);
        if is_empty { Some(()) } else { self.problem("expected {}") }
    }
}

impl<'a> Fields<'a> {
    /// A member that may be left out.
    pub(super) fn optional(&self, name: &str) -> Option<Node<'a>> {
        #[cfg(not(target_os = "wasi"))]
        if let Some(describer) = self.node.describer() {
            let member = self.member(name, self.node.value);
            return describer.is_present(&member.path).then_some(member);
        }
        self.members.iter().find(|(member, _)| member == name).map(|(name, value)| self.member(name, value))
    }

    /// A member that must be there.
    pub(super) fn required(&self, name: &str) -> Option<Node<'a>> {
        #[cfg(not(target_os = "wasi"))]
        if let Some(describer) = self.node.describer() {
            describer.require(&self.node.path, name);
            return Some(self.member(name, self.node.value));
        }
        self.optional(name).or_else(|| self.node.problem(format_args!("missing field `{name}`")))
    }

    /// Reads a member that must be there.
    pub(super) fn read<T>(&self, name: &str, read: impl FnOnce(&Node<'a>) -> Option<T>) -> Option<T> {
        self.required(name).and_then(|node| read(&node))
    }

    /// Reads a member that may be left out: then it is `default`.
    pub(super) fn or<T>(
        &self,
        name: &str,
        default: T,
        read: impl FnOnce(&Node<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.optional(name) {
            None => Some(default),
            Some(node) => read(&node),
        }
    }

    /// Reads a member that may be left out: then it is `None`.
    pub(super) fn maybe<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Node<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.or(name, None, |node| read(node).map(Some))
    }

    /// The object itself.
    pub(super) fn node(&self) -> &Node<'a> {
        &self.node
    }

    fn member(&self, name: &str, value: &'a Value) -> Node<'a> {
        let dot = if self.node.path.is_empty() { "" } else { "." };
        Node { value, path: format!("{}{dot}{name}", self.node.path), problems: self.node.problems }
    }
}

/// Reports each element of which `same` says that it is equal to an earlier one.
pub(super) fn refuse_duplicates<T>(
    items: &[(Node<'_>, Option<T>)],
    what: &str,
    same: impl Fn(&T, &T) -> bool,
) {
    for (index, (node, item)) in items.iter().enumerate() {
        let mut earlier = items.iter().take(index).filter_map(|(_, other)| other.as_ref());
        if item.as_ref().is_some_and(|item| earlier.any(|other| same(other, item))) {
            node.problem::<()>(format_args!("duplicate {what}"));
        }
    }
}

/// Reports each element that is equal to an earlier one, at `suffix` below it. For lists that are too long to compare
/// each with each.
pub(super) fn refuse_repeated<'n, 'a: 'n, T: Eq + Hash>(
    items: impl IntoIterator<Item = (&'n Node<'a>, Option<T>)>,
    suffix: &str,
    what: &str,
) {
    let mut seen = HashSet::new();
    for (node, item) in items {
        if item.is_some_and(|item| !seen.insert(item)) {
            node.below(suffix).problem::<()>(format_args!("duplicate {what}"));
        }
    }
}

/// The number, if it is whole, not negative, and a `Struct` carries it without loss.
pub(super) fn whole(number: f64) -> Option<u64> {
    let is_whole = number.fract() == 0.0 && (0.0..=9_007_199_254_740_991.0).contains(&number);
    #[allow(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and in range"
    )]
    is_whole.then_some(number as u64)
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

/// A name that the document made up, short and without control characters, for a message.
pub(super) fn printable(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Longer than any URL or name that makes sense here.
const MAX_TEXT: usize = 4096;
/// What a double, and so a `Struct`, carries without loss.
const MAX_INTEGER: u64 = 9_007_199_254_740_991;
