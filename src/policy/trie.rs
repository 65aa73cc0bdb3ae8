//! Path patterns by segment. A look-up visits only nodes that match, so its cost grows with the depth of a path and, where literals
//! and variables stand beside each other, with the ways to match it; not with the number of routes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use super::route::{PathPattern, RouteId, Segment};

/// Routes by path and method.
#[derive(Clone, Debug, Default)]
pub(super) struct Trie {
    literals: HashMap<Rc<str>, Trie>,
    variable: Option<Box<Trie>>,
    whole: Methods,
    prefix: Methods,
}

/// The routes of one path pattern by method.
#[derive(Clone, Debug, Default)]
struct Methods {
    listed: Vec<(Rc<str>, RouteId)>,
    any: Option<RouteId>,
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
        let mut node = self;
        for segment in segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(Rc::clone(text)).or_default(),
                Segment::Variable => node.variable.get_or_insert_default(),
            };
        }
        if is_prefix { node.prefix.insert(methods, route) } else { node.whole.insert(methods, route) }
    }

    /// The most specific route: a whole path before a prefix; of two whole paths the one with a literal where they first
    /// differ; of two prefixes the longer; a listed method before any method.
    pub(super) fn find<'a>(
        &self,
        segments: impl Iterator<Item = Cow<'a, str>> + Clone,
        method: &[u8],
    ) -> Option<RouteId> {
        self.find_whole(segments.clone(), method).or_else(|| self.find_prefix(segments, method))
    }

    fn find_whole<'a>(
        &self,
        mut segments: impl Iterator<Item = Cow<'a, str>> + Clone,
        method: &[u8],
    ) -> Option<RouteId> {
        let Some(segment) = segments.next() else { return self.whole.find(method) };
        let by_literal =
            self.literals.get(segment.as_ref()).and_then(|next| next.find_whole(segments.clone(), method));
        // An empty segment is no value for a variable: `/orders/` is not `/orders/{id}`.
        let variable = self.variable.as_ref().filter(|_| !segment.is_empty());
        by_literal.or_else(|| variable.and_then(|next| next.find_whole(segments, method)))
    }

    fn find_prefix<'a>(
        &self,
        mut segments: impl Iterator<Item = Cow<'a, str>> + Clone,
        method: &[u8],
    ) -> Option<RouteId> {
        let longer = segments
            .next()
            .and_then(|segment| self.literals.get(segment.as_ref()))
            .and_then(|next| next.find_prefix(segments, method));
        longer.or_else(|| self.prefix.find(method))
    }
}

impl Methods {
    fn insert(&mut self, methods: &[Rc<str>], route: RouteId) -> Result<(), RouteId> {
        if methods.is_empty() {
            return self.any.replace(route).map_or(Ok(()), Err);
        }
        for method in methods {
            if let Some((_, other)) = self.listed.iter().find(|(listed, _)| listed == method) {
                return Err(*other);
            }
            self.listed.push((Rc::clone(method), route));
        }
        Ok(())
    }

    fn find(&self, method: &[u8]) -> Option<RouteId> {
        self.listed
            .iter()
            .find(|(listed, _)| listed.as_bytes() == method)
            .map(|(_, route)| *route)
            .or(self.any)
    }
}
