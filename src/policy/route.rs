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
    /// When a stream of it ends that has not ended before.
    pub stream_end: StreamEnd,
    /// What the audit record says of it.
    pub audit: RouteAudit,
}

/// What the audit record says of a route beside its name.
#[derive(Clone, Debug, Default)]
pub struct RouteAudit {
    /// The API that it belongs to, `[a-z0-9_-]{1,64}`.
    pub api: Option<Rc<str>>,
    /// Its path pattern as it is written; a prefix ends in `/*`. Kept only where the record asks for it.
    pub path_template: Option<Rc<str>>,
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
    /// The same of a token, where there is one; a request without a token is anonymous.
    Optional(Rc<Requirement>),
}

impl Rule {
    /// Whether no request without a token gets through.
    pub fn demands_token(&self) -> bool {
        match self {
            Self::Public | Self::Optional(_) => false,
            Self::Require(_) | Self::Deny => true,
        }
    }

    /// What it demands of a token, if there is one.
    pub fn requirement(&self) -> Option<&Rc<Requirement>> {
        match self {
            Self::Require(requirement) | Self::Optional(requirement) => Some(requirement),
            Self::Public | Self::Deny => None,
        }
    }
}

/// What becomes of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The request is denied.
    Enforce,
    /// The request is forwarded; the denial is counted and logged.
    ReportOnly,
}

/// When a stream ends that neither side has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamEnd {
    /// It does not: it may outlive the token that let it in.
    #[default]
    Never,
    /// When that token has expired.
    AtExpiry,
}

/// Which requests a route matches; all of it must.
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
    /// The messages of an MCP endpoint; `None` means any request, and what no such route names.
    pub mcp: Option<McpPattern>,
}

/// Which messages a route matches, beside authority and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpPattern {
    /// The methods of JSON-RPC, like `tools/call`; at least one.
    pub methods: Vec<Rc<str>>,
    /// The names of tools, prompts or resources, byte by byte; empty means any, and none at all.
    pub names: Vec<Rc<str>>,
}

/// What the case of a path's letters counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LetterCase {
    /// `/Orders` is not `/orders`.
    #[default]
    Matters,
    /// It is, as to ASP.NET or Express.
    Ignored,
}

/// A path pattern: decoded segments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

    /// The same without a slash at its end.
    pub(super) fn without_last_slash(&self) -> (bool, &[Segment]) {
        let (is_whole, segments) = match self {
            Self::Whole(segments) => (true, segments.as_slice()),
            Self::Prefix(segments) => (false, segments.as_slice()),
        };
        let shortened = match segments.split_last() {
            Some((Segment::Literal(last), before)) if last.is_empty() => before,
            Some(_) | None => segments,
        };
        (is_whole, shortened)
    }
}

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This very text.
    Literal(Rc<str>),
    /// Any one segment that is not empty.
    Variable,
}
