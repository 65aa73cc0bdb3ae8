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

/// Small, because of thousands of routes each request meets another: what it costs is the memory that it has to wait for.
#[derive(Clone, Debug, Default)]
struct Node {
    literals: Literals,
    variable: Option<Place>,
    whole: Option<Box<Methods>>,
    prefix: Option<Box<Methods>>,
}

/// The nodes that literal segments lead to.
#[derive(Clone, Debug, Default)]
enum Literals {
    #[default]
    None,
    /// Most nodes have one.
    One(Rc<str>, Place),
    /// The operator chooses these texts, and no caller: their hash needs no key.
    Many(HashMap<Rc<str>, Place, FxBuildHasher>),
}

/// The routes of one path pattern by method.
#[derive(Clone, Debug, Default)]
struct Methods {
    /// Most patterns have one.
    first: Option<(Rc<str>, RouteId)>,
    others: Box<[(Rc<str>, RouteId)]>,
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
                Segment::Literal(text) => node.literals.get_or_insert(text, new),
                Segment::Variable => *node.variable.get_or_insert(new),
            };
            if place == new {
                self.nodes.push(Node::default());
            }
        }
        let Some(node) = self.nodes.get_mut(place) else { return Ok(()) };
        let routes = if is_prefix { &mut node.prefix } else { &mut node.whole };
        routes.get_or_insert_default().insert(methods, route)
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
            **prefix = node.prefix.as_ref().and_then(|routes| routes.find(method)).or(**prefix);
        }
        let Some(segment) = segments.next() else { return node.whole.as_ref()?.find(method) };
        let by_literal = node
            .literals
            .get(&segment)
            .and_then(|next| self.find_whole(next, segments.clone(), method, prefix));
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
        let listed = self.first.take().into_iter().chain(core::mem::take(&mut self.others));
        let mut listed: Vec<_> = listed.collect();
        let mut first = Ok(());
        for method in methods {
            match listed.iter().find(|(listed, _)| listed == method) {
                Some((_, other)) => first = first.and(Err(*other)),
                None => listed.push((Rc::clone(method), route)),
            }
        }
        let mut listed = listed.into_iter();
        self.first = listed.next();
        self.others = listed.collect();
        first
    }

    fn find(&self, method: &[u8]) -> Option<RouteId> {
        let mut listed = self.first.iter().chain(&self.others);
        listed.find(|(listed, _)| listed.as_bytes() == method).map(|(_, route)| *route).or(self.any)
    }
}

impl Literals {
    /// The place that this text leads to: `new`, if it has led nowhere.
    fn get_or_insert(&mut self, text: &Rc<str>, new: Place) -> Place {
        match self {
            Self::None => {
                *self = Self::One(Rc::clone(text), new);
                new
            }
            Self::One(other, place) if other == text => *place,
            Self::One(other, place) => {
                let both = [(Rc::clone(other), *place), (Rc::clone(text), new)];
                *self = Self::Many(both.into_iter().collect());
                new
            }
            Self::Many(places) => *places.entry(Rc::clone(text)).or_insert(new),
        }
    }

    fn get(&self, text: &str) -> Option<Place> {
        match self {
            Self::None => None,
            Self::One(other, place) => (**other == *text).then_some(*place),
            Self::Many(places) => places.get(text).copied(),
        }
    }
}

const ROOT: Place = 0;
