use std::rc::Rc;

use super::route::{PathPattern, Pattern, Segment};

/// How specific a pattern is, whatever it makes of the case of letters.
#[derive(Clone, Debug)]
pub(super) struct Rank {
    segments: Box<[SegmentKind]>,
    /// It ends where the path does.
    is_whole: bool,
    /// It is written with a slash at its end.
    is_slashed: bool,
    methods: Box<[Rc<str>]>,
}

/// A literal is more specific than a variable; that a pattern goes on, more than its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SegmentKind {
    Variable,
    Literal,
}

impl Rank {
    pub(super) fn of(pattern: &Pattern) -> Self {
        let (segments, is_whole) = match &pattern.path {
            PathPattern::Whole(segments) => (segments, true),
            PathPattern::Prefix(segments) => (segments, false),
        };
        let kind = |segment: &Segment| match segment {
            Segment::Literal(text) => (!text.is_empty()).then_some(SegmentKind::Literal),
            Segment::Variable => Some(SegmentKind::Variable),
        };
        let is_slashed = segments.last().is_some_and(|last| kind(last).is_none());
        Self {
            segments: segments.iter().filter_map(kind).collect(),
            is_whole,
            is_slashed,
            methods: pattern.methods.iter().cloned().collect(),
        }
    }

    /// Of two patterns that a request matches, the greater one is for it.
    pub(super) fn fit(&self, is_slashed: bool, method: &[u8]) -> impl PartialOrd + '_ {
        let is_listed = self.methods.iter().any(|listed| listed.as_bytes() == method);
        // `GET` covers `HEAD`, and any method is the last resort.
        let by_method = (is_listed, !self.methods.is_empty());
        (&self.segments, self.is_whole, self.is_slashed == is_slashed, by_method)
    }
}
