//! What the reader takes at a place, in its own words: of this the JSON Schema is made.

use core::time::Duration;

/// One form of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(target_os = "wasi", expect(dead_code, reason = "the filter reads documents and describes none"))]
pub(super) enum Shape {
    /// An object that has none but these members.
    Object(Vec<String>),
    /// An object with exactly one of these members.
    Variant(Vec<String>),
    /// An object whose names the document makes up: at least one and at most so many.
    Map(usize),
    /// A list of at least one element and at most so many.
    List(usize),
    /// A string that is not empty, and what is expected of it besides.
    String(String),
    /// One of these words.
    Word(Vec<String>),
    /// `true` or `false`.
    Boolean,
    /// A whole number between these.
    Integer(u64, u64),
    /// A string that is not empty, a boolean, or a whole number of 32 bits.
    Scalar,
    /// A duration with a unit, between these.
    Duration(Duration, Duration),
    /// Nothing but `{}`.
    Empty,
    /// An object that is read by other rules than these.
    Json,
    /// What this name stands for: it may hold another of itself.
    Defined(&'static str),
}
