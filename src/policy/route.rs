use std::rc::Rc;

use super::authority::Authority;
use super::path::PathFeatures;
use super::requirement::Requirement;

/// One route of the table, by its place in the configuration; the default is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u32);

/// What a matching request has to bring.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name, `[a-z0-9_-]{1,64}`.
    pub name: Rc<str>,
    /// What it demands.
    pub rule: Rule,
    /// Whether a denial denies the request.
    pub mode: Mode,
    /// The odd path features that it lets through.
    pub allowed: PathFeatures,
}

/// What a route demands.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Nothing.
    Public,
    /// No request gets through.
    Deny,
    /// A token. Routes that demand the same share it.
    Require(Rc<Requirement>),
}

/// What becomes of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The request is denied.
    Enforce,
    /// The request is forwarded; the denial is counted and logged.
    ReportOnly,
}

/// Which requests a route matches; all three must.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// The hosts; empty means any.
    pub authorities: Vec<Authority>,
    /// The path.
    pub path: PathPattern,
    /// The methods, upper case; empty means any.
    pub methods: Vec<Rc<str>>,
    /// Whether the path's letters must be of the pattern's case.
    pub case: LetterCase,
}

/// What the case of a path's letters counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LetterCase {
    /// `/Orders` is not `/orders`.
    #[default]
    Matters,
    /// It is, as to ASP.NET or Express.
    Ignored,
}

/// A path pattern: decoded segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// The whole path. A template where a segment is [`Segment::Variable`].
    Whole(Vec<Segment>),
    /// The path begins with these segments.
    Prefix(Vec<Segment>),
}

impl PathPattern {
    /// Whether every path matches.
    pub fn is_any(&self) -> bool {
        matches!(self, Self::Prefix(segments) if segments.is_empty())
    }
}

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This very text.
    Literal(Rc<str>),
    /// Any one segment that is not empty.
    Variable,
}
