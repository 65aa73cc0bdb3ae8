//! Path patterns by segment. A look-up visits only nodes that match, so its cost grows with the depth of a path and,
//! where literals and variables stand beside each other, with the ways to match it; not with the number of routes.
//! [`Trie::steps`] says how far.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::rank::Rank;
use super::route::{LetterCase, PathPattern, Pattern, RouteId, Segment};

/// Routes by path and method.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    /// The root first.
    nodes: Vec<Node>,
    /// Of routes of which some look at the case of letters and some do not.
    ranks: HashMap<RouteId, Rank>,
    /// The length of the longest literal: a longer segment is none of them.
    longest: usize,
    /// See [`Trie::steps`].
    steps: usize,
}

/// Where a node stands among the nodes.
type NodeIndex = usize;

/// Small, because of thousands of routes each request meets another: what it costs is the memory that it has to wait
/// for.
#[derive(Clone, Debug, Default)]
struct Node {
    literals: Literals,
    /// Those of patterns that ignore the case of letters, in capitals.
    capitals: Option<Box<Literals>>,
    variable: Option<NodeIndex>,
    /// Whole paths that end here without a slash.
    whole: Option<Box<Methods>>,
    /// Whole paths that end here with a slash.
    slashed: Option<Box<Methods>>,
    prefix: Option<Box<Methods>>,
}

/// The nodes that literal segments lead to.
#[derive(Clone, Debug, Default)]
enum Literals {
    #[default]
    None,
    /// Most nodes have one.
    One(Rc<str>, NodeIndex),
    /// The operator chooses these texts, and no client: their hash needs no key.
    Many(HashMap<Rc<str>, NodeIndex, FxBuildHasher>),
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
        Self { nodes: vec![Node::default()], ranks: HashMap::new(), longest: 0, steps: 1 }
    }
}

impl Trie {
    /// Adds a pattern's path for its methods (none = any). `Err` names a route that has the same path and method
    /// already.
    pub(super) fn insert(&mut self, pattern: &Pattern, route: RouteId) -> Result<(), RouteId> {
        let (segments, is_prefix) = match &pattern.path {
            PathPattern::Whole(segments) => (segments.as_slice(), false),
            PathPattern::Prefix(segments) => (segments.as_slice(), true),
        };
        let (segments, is_slashed) = match segments.split_last() {
            Some((Segment::Literal(last), others)) if last.is_empty() => (others, true),
            Some(_) | None => (segments, false),
        };
        let mut place = ROOT;
        for segment in segments {
            let new = self.nodes.len();
            let Some(node) = self.nodes.get_mut(place) else { return Ok(()) };
            place = match (segment, pattern.case) {
                // Of a text without letters, both are one.
                (Segment::Literal(text), case) if case == LetterCase::Matters || is_caseless(text) => {
                    self.longest = self.longest.max(text.len());
                    node.literals.get_or_insert(text, new)
                }
                (Segment::Literal(text), _) => {
                    let text = in_capitals(text);
                    self.longest = self.longest.max(text.len());
                    node.capitals.get_or_insert_default().get_or_insert(&text.into(), new)
                }
                (Segment::Variable, _) => *node.variable.get_or_insert(new),
            };
            if place == new {
                self.nodes.push(Node::default());
            }
        }
        let Some(node) = self.nodes.get_mut(place) else { return Ok(()) };
        let routes = match (is_prefix, is_slashed) {
            (true, _) => &mut node.prefix,
            (false, true) => &mut node.slashed,
            (false, false) => &mut node.whole,
        };
        routes.get_or_insert_default().insert(&pattern.methods, route)
    }

    /// Remembers how specific a pattern is: the table has some that look at case and some that do not.
    pub(super) fn rank(&mut self, pattern: &Pattern, route: RouteId) {
        self.ranks.insert(route, Rank::of(pattern));
    }

    /// The most specific route, as [`super::RouteTable::find`] has it.
    pub(super) fn find<'a>(
        &self,
        segments: impl Iterator<Item = Cow<'a, str>> + Clone,
        method: &[u8],
    ) -> Option<RouteId> {
        self.find_below(ROOT, segments, method)
    }

    fn find_below<'a>(
        &self,
        place: NodeIndex,
        mut segments: impl Iterator<Item = Cow<'a, str>> + Clone,
        method: &[u8],
    ) -> Option<RouteId> {
        let node = self.nodes.get(place)?;
        let at = |ends: &Option<Box<Methods>>| ends.as_ref()?.find(method);
        let found = match segments.next() {
            None => at(&node.whole).or_else(|| at(&node.slashed)),
            Some(last) if last.is_empty() && segments.clone().next().is_none() => {
                at(&node.slashed).or_else(|| at(&node.whole))
            }
            Some(segment) => {
                let below = |next: NodeIndex| self.find_below(next, segments.clone(), method);
                // An empty segment is no value for a variable.
                let variable = || node.variable.filter(|_| !segment.is_empty());
                let literal = if segment.len() <= self.longest { node.literals.get(&segment) } else { None };
                let in_letters = literal.and_then(below);
                let in_capitals = self.by_capitals(node, &segment).and_then(below);
                let found = match (in_letters, in_capitals) {
                    (Some(in_letters), Some(in_capitals)) => {
                        let is_slashed = segments.clone().last().is_some_and(|last| last.is_empty());
                        let fit = |route| Some(self.ranks.get(&route)?.fit(is_slashed, method));
                        Some(if fit(in_capitals) > fit(in_letters) { in_capitals } else { in_letters })
                    }
                    (in_letters, in_capitals) => in_letters.or(in_capitals),
                };
                found.or_else(|| variable().and_then(below))
            }
        };
        found.or_else(|| at(&node.prefix))
    }

    fn by_capitals(&self, node: &Node, segment: &str) -> Option<NodeIndex> {
        let capitals = node.capitals.as_ref()?;
        // A capital takes as many bytes as its small letter, or one more or less of up to three.
        if segment.len() > self.longest.saturating_mul(3) {
            return None;
        }
        capitals.get(&in_capitals(segment))
    }

    /// Counts the steps of the dearest look-up.
    pub(super) fn measure(&mut self) {
        self.steps = self.steps_by_place().first().copied().unwrap_or(1);
    }

    /// How many nodes a look-up visits at most, whatever the path and the method: of the literals beside each other
    /// one, of the capitals one, and the variable.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    fn steps_by_place(&self) -> Vec<usize> {
        let mut steps = vec![1_usize; self.nodes.len()];
        // What a node leads to stands behind it.
        for (place, node) in self.nodes.iter().enumerate().rev() {
            let of = |next: NodeIndex| steps.get(next).copied().unwrap_or(1);
            let sum = node.dearest(of).map(of).fold(1, usize::saturating_add);
            if let Some(own) = steps.get_mut(place) {
                *own = sum;
            }
        }
        steps
    }

    /// Some of the routes that the dearest look-up visits.
    pub(super) fn costliest(&self) -> Vec<RouteId> {
        let steps = self.steps_by_place();
        let (mut places, mut routes) = (vec![ROOT], Vec::new());
        while let Some(node) = places.pop().and_then(|place| self.nodes.get(place)) {
            let ends = [&node.whole, &node.slashed, &node.prefix];
            routes.extend(ends.into_iter().flatten().filter_map(|methods| methods.any_route()));
            if routes.len() >= MAX_NAMED {
                break;
            }
            places.extend(node.dearest(|next| steps.get(next).copied().unwrap_or(1)));
        }
        routes
    }
}

impl Node {
    /// The places that the dearest look-up goes to from here.
    fn dearest(&self, steps: impl Fn(NodeIndex) -> usize) -> impl Iterator<Item = NodeIndex> {
        let dearest = |literals: &Literals| literals.places().max_by_key(|place| steps(*place));
        let literal = dearest(&self.literals);
        let capital = self.capitals.as_ref().and_then(|capitals| dearest(capitals));
        literal.into_iter().chain(capital).chain(self.variable)
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
        // HEAD asks for what GET would answer (RFC 9110 §9.3.2), and many servers have no other rule for it.
        let by_get = || if method == b"HEAD" { self.listed(b"GET") } else { None };
        self.listed(method).or_else(by_get).or(self.any)
    }

    fn listed(&self, method: &[u8]) -> Option<RouteId> {
        let mut listed = self.first.iter().chain(&self.others);
        listed.find(|(listed, _)| listed.as_bytes() == method).map(|(_, route)| *route)
    }

    fn any_route(&self) -> Option<RouteId> {
        self.first.as_ref().map(|(_, route)| *route).or(self.any)
    }
}

impl Literals {
    /// The place that this text leads to: `new`, if it has led nowhere.
    fn get_or_insert(&mut self, text: &Rc<str>, new: NodeIndex) -> NodeIndex {
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

    fn get(&self, text: &str) -> Option<NodeIndex> {
        match self {
            Self::None => None,
            Self::One(other, place) => (**other == *text).then_some(*place),
            Self::Many(places) => places.get(text).copied(),
        }
    }

    fn places(&self) -> impl Iterator<Item = NodeIndex> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(_, place) => (Some(*place), None),
            Self::Many(places) => (None, Some(places.values().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

/// A text in which the case of letters says nothing: each in capitals as servers compare them, letter by letter (`ß`
/// stays), and none outside of ASCII becomes one of ASCII's.
fn in_capitals(text: &str) -> String {
    let capital = |letter: char| {
        if letter.is_ascii() {
            return letter.to_ascii_uppercase();
        }
        let mut capitals = letter.to_uppercase();
        match (capitals.next(), capitals.next()) {
            (Some(capital), None) if !capital.is_ascii() => capital,
            _ => letter,
        }
    };
    text.chars().map(capital).collect()
}

/// Whether no other text differs from this one only in the case of letters.
fn is_caseless(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_alphabetic())
}

const ROOT: NodeIndex = 0;
/// As many routes as an operator needs to see what is meant.
const MAX_NAMED: usize = 8;
