//! Path patterns by segment. A look-up visits only nodes that match, so its cost grows with the depth of a path and, where literals
//! and variables stand beside each other, with the ways to match it; not with the number of routes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::route::{PathPattern, RouteId, Segment};

/// Routes by path and method.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    /// The root first.
    nodes: Vec<Node>,
}

/// A node's place among the nodes.
type Place = usize;

#[derive(Clone, Debug, Default)]
struct Node {
    /// The operator chooses these texts, and no caller: their hash needs no key.
    literals: HashMap<Rc<str>, Place, FxBuildHasher>,
    variable: Option<Place>,
    whole: Methods,
    prefix: Methods,
}

/// The routes of one path pattern by method.
#[derive(Clone, Debug, Default)]
struct Methods {
    listed: Box<[(Rc<str>, RouteId)]>,
    any: Option<RouteId>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    /// Adds a pattern for these methods (none = any). `Err` names the route that has the same pattern and method already.
    pub(super) fn insert(
        &mut self,
        pattern: &PathPattern,
        methods: &[Rc<str>],
        route: RouteId,
    ) -> Result<(), RouteId> {
        let (segments, is_prefix) = match pattern {
            PathPattern::Whole(segments) => (segments, false),
            PathPattern::Prefix(segments) => (segments, true),
        };
        let mut place = ROOT;
        for segment in segments {
            let new = self.nodes.len();
            let Some(node) = self.nodes.get_mut(place) else { return Ok(()) };
            place = match segment {
                Segment::Literal(text) => *node.literals.entry(Rc::clone(text)).or_insert(new),
                Segment::Variable => *node.variable.get_or_insert(new),
            };
            if place == new {
                self.nodes.push(Node::default());
            }
        }
        let Some(node) = self.nodes.get_mut(place) else { return Ok(()) };
        if is_prefix { node.prefix.insert(methods, route) } else { node.whole.insert(methods, route) }
    }

    /// The most specific route: a whole path before a prefix; of two whole paths the one with a literal where they first
    /// differ; of two prefixes the longer; a listed method before any method.
    pub(super) fn find<'a>(
        &self,
        segments: impl Iterator<Item = Cow<'a, str>> + Clone,
        method: &[u8],
    ) -> Option<RouteId> {
        let mut prefix = None;
        self.find_whole(ROOT, segments, method, Some(&mut prefix)).or(prefix)
    }

    /// The route of the whole path below a node. A prefix has literals only: where no variable has been taken, the longest
    /// one so far is left in `prefix`.
    fn find_whole<'a>(
        &self,
        place: Place,
        mut segments: impl Iterator<Item = Cow<'a, str>> + Clone,
        method: &[u8],
        mut prefix: Option<&mut Option<RouteId>>,
    ) -> Option<RouteId> {
        let node = self.nodes.get(place)?;
        if let Some(prefix) = &mut prefix {
            **prefix = node.prefix.find(method).or(**prefix);
        }
        let Some(segment) = segments.next() else { return node.whole.find(method) };
        let by_literal = node
            .literals
            .get(segment.as_ref())
            .and_then(|next| self.find_whole(*next, segments.clone(), method, prefix));
        // An empty segment is no value for a variable: `/orders/` is not `/orders/{id}`.
        let variable = node.variable.filter(|_| !segment.is_empty());
        by_literal.or_else(|| variable.and_then(|next| self.find_whole(next, segments, method, None)))
    }
}

impl Methods {
    fn insert(&mut self, methods: &[Rc<str>], route: RouteId) -> Result<(), RouteId> {
        if methods.is_empty() {
            return self.any.replace(route).map_or(Ok(()), Err);
        }
        let mut listed = core::mem::take(&mut self.listed).into_vec();
        let mut first = Ok(());
        for method in methods {
            match listed.iter().find(|(listed, _)| listed == method) {
                Some((_, other)) => first = first.and(Err(*other)),
                None => listed.push((Rc::clone(method), route)),
            }
        }
        self.listed = listed.into();
        first
    }

    fn find(&self, method: &[u8]) -> Option<RouteId> {
        self.listed
            .iter()
            .find(|(listed, _)| listed.as_bytes() == method)
            .map(|(_, route)| *route)
            .or(self.any)
    }
}

const ROOT: Place = 0;
