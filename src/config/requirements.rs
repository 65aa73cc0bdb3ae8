//! Requirements: trees of what a token must be good for, those that have a name (`inbound.requirements`) and those that
//! stand on a route.

use core::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::issuers::MAX_ISSUERS;
use super::reader::{Fields, Node, printable, refuse_repeated, whole};
use super::shape::Shape;
use super::value::Value;
use super::values;
use crate::claims::{AskedRule, AskedRules, ClaimPath, ClaimRule, ClaimTest, ClaimValue, TokenIssuer};
use crate::inbound::Issuer;
use crate::policy::{IssuerId, Leaf, NamedRequirement, Requirement};

/// What requirements are read with: the issuers and the requirements that have names, and the rules that are asked so
/// far.
#[derive(Debug)]
pub(super) struct Requirements<'n> {
    /// In order; `None` when they could not be read.
    issuers: Option<&'n [Issuer]>,
    /// In the order of the document; `None` when they could not be read.
    named: Option<Vec<Entry<'n>>>,
    places: HashMap<&'n str, usize>,
    /// The names of those that are being read, outermost first.
    open: RefCell<Vec<&'n str>>,
    asked: RefCell<AskedRules>,
    /// Those that some token can meet: many routes demand the same, and what a name stands for is not looked at again
    /// for each.
    possible: RefCell<HashSet<Requirement>>,
}

#[derive(Debug)]
struct Entry<'n> {
    name: &'n str,
    node: Node<'n>,
    /// `None` until it is read, which is when it is first named.
    read: RefCell<Option<Option<Rc<NamedRequirement>>>>,
}

impl<'n> Requirements<'n> {
    /// Reads the requirements that have names.
    pub(super) fn new(inbound: &Fields<'n>, issuers: Option<&'n [Issuer]>) -> Self {
        let named = inbound.or("requirements", Vec::new(), |node| {
            let members = node.members(MAX_REQUIREMENTS)?;
            let entry = |(name, node)| Entry { name, node, read: RefCell::default() };
            Some(members.into_iter().map(entry).collect())
        });
        let names = named.iter().flatten().enumerate();
        let places = names.map(|(place, entry)| (entry.name, place)).collect();
        let (open, asked, possible) = (RefCell::default(), RefCell::default(), RefCell::default());
        let requirements = Self { issuers, named, places, open, asked, possible };
        requirements.named.iter().flatten().for_each(|entry| drop(requirements.resolve(entry, 0)));
        requirements
    }

    /// What a route demands: a tree that says of which issuers a token may be.
    pub(super) fn read(&self, node: &Node<'n>) -> Option<Requirement> {
        let tree = self.checked(node, self.tree(node, 0)?)?;
        match self.issuers? {
            _ if tree.names_issuers() => Some(tree),
            // The issuer comes first: a token of another one is not told which scopes it would need.
            [_] => Some(after(Requirement::Leaf(Leaf::Issuer([IssuerId(0)].into())), tree)),
            _ => node.problem("name `issuers`: more than one is configured"),
        }
    }

    /// Those with a name, and the rules that all of them ask.
    pub(super) fn into_parts(self) -> Option<(NamedRequirements, AskedRules)> {
        let read = self.named?.into_iter().map(|entry| entry.read.into_inner().flatten());
        let named = read.map(|named| named.map(|named| (Rc::clone(named.name()), named)));
        Some((named.collect::<Option<_>>()?, self.asked.into_inner()))
    }

    fn resolve(&self, entry: &Entry<'n>, depth: usize) -> Option<Rc<NamedRequirement>> {
        if let Some(read) = &*entry.read.borrow() {
            return read.clone();
        }
        self.open.borrow_mut().push(entry.name);
        let tree = self.tree(&entry.node, depth).and_then(|tree| self.checked(&entry.node, tree));
        self.open.borrow_mut().pop();
        let named = values::member_name(&entry.node, entry.name).zip(tree);
        let named = named.map(|(name, tree)| Rc::new(NamedRequirement::new(name, tree)));
        *entry.read.borrow_mut() = Some(named.clone());
        named
    }

    /// The requirement that is named here.
    fn named(&self, node: &Node<'n>, depth: usize) -> Option<Requirement> {
        let name = node.string()?;
        // Where they could not be read, that has been reported.
        let entries = self.named.as_ref()?;
        let Some(entry) = self.places.get(name).and_then(|place| entries.get(*place)) else {
            return node.problem(format_args!("unknown requirement `{}`", printable(name)));
        };
        if let Some(start) = self.open.borrow().iter().position(|open| *open == name) {
            let circle: Vec<_> = self.open.borrow().iter().skip(start).map(|name| printable(name)).collect();
            return node.problem(format_args!(
                "requirements refer to each other in a circle: {}, {}",
                circle.join(", "),
                printable(name)
            ));
        }
        self.resolve(entry, depth).map(Requirement::Named)
    }

    /// A name, or an object of which each field must be met.
    fn tree(&self, node: &Node<'n>, depth: usize) -> Option<Requirement> {
        if depth >= MAX_DEPTH {
            return node.problem(format_args!("nested deeper than {MAX_DEPTH} levels"));
        }
        let depth = depth.saturating_add(1);
        node.defined("requirement", |node| {
            if node.is_string() { self.named(node, depth) } else { self.object(node, depth) }
        })
    }

    fn object(&self, node: &Node<'n>, depth: usize) -> Option<Requirement> {
        let fields = node.fields(&FIELDS)?;
        let issuers = fields.maybe("issuers", |node| self.accepted_issuers(node));
        let audiences = fields.maybe("audiences", |node| {
            self.ask_names(node, MAX_AUDIENCES, "audience", "aud", ClaimTest::Among)
        });
        let clients = fields.maybe("clients", |node| {
            let accepted = issuers.as_ref().and_then(Option::as_deref);
            names(node, MAX_CLIENTS, "client", |item| self.client(item, accepted))
        });
        let subjects = fields
            .maybe("subjects", |node| self.ask_names(node, MAX_CLIENTS, "subject", "sub", ClaimTest::OneOf));
        let claims = fields.or("claims", Vec::new(), |node| {
            node.distinct(MAX_PARTS, "rule", |item| self.ask(item, claim_rule(item)?))
        });
        let all_of = fields.or("scopes", Vec::new(), scopes);
        let any_of = fields.or("any_scope", Vec::new(), scopes);
        let all = fields.or("all", Vec::new(), |node| self.trees(node, depth));
        let any = fields.maybe("any", |node| self.ways(node, depth));
        let demands_more = FIELDS
            .iter()
            .any(|name| !["issuers", "authenticated"].contains(name) && fields.optional(name).is_some());
        match fields.optional("authenticated") {
            Some(node) if demands_more => return node.problem("more is demanded: leave `authenticated` out"),
            Some(node) => node.empty()?,
            None if demands_more => {}
            None => return node.problem(NOTHING_DEMANDED),
        }
        let leaves = [
            issuers?.map(Leaf::Issuer),
            audiences?.map(Leaf::Audience),
            clients?.map(|names| Leaf::Client(names.into())),
            subjects?.map(Leaf::Subject),
        ];
        let leaves = leaves.into_iter().flatten().chain(claims?.into_iter().map(Leaf::Claim));
        let scopes = Requirement::of_scopes(all_of?, any_of?);
        let any = any?.map(|any| Requirement::Any(any.into()));
        let mut parts: Vec<_> = leaves.map(Requirement::Leaf).chain(scopes).chain(all?).chain(any).collect();
        match parts.pop() {
            Some(only) if parts.is_empty() => Some(only),
            last => Some(Requirement::All(parts.into_iter().chain(last).collect())),
        }
    }

    fn trees(&self, node: &Node<'n>, depth: usize) -> Option<Vec<Requirement>> {
        let trees = node.each(MAX_PARTS, |item| self.tree(item, depth))?;
        trees.into_iter().map(|(_, tree)| tree).collect()
    }

    /// Members of an `any`: each is to be of use.
    fn ways(&self, node: &Node<'n>, depth: usize) -> Option<Vec<Requirement>> {
        let way = |item: &Node<'n>| {
            let tree = self.tree(item, depth)?;
            if tree.demands_nothing() {
                return item.problem("demands nothing, so that the others of `any` have no effect");
            }
            self.possible(item, tree)
        };
        node.each(MAX_PARTS, way)?.into_iter().map(|(_, tree)| tree).collect()
    }

    /// What is bounded and makes sense as a whole.
    fn checked(&self, node: &Node<'_>, requirement: Requirement) -> Option<Requirement> {
        if requirement.leaves() > MAX_LEAVES {
            return node.problem(format_args!(
                "demands more than {MAX_LEAVES} things, with those of the requirements that it names"
            ));
        }
        if requirement.depth() > MAX_DEPTH {
            return node.problem(format_args!("nested deeper than {MAX_DEPTH} levels"));
        }
        // A space follows each but the last.
        let most = Requirement::MAX_SCOPE_BYTES;
        if requirement.scope_bytes() > most.saturating_add(1) {
            return node.problem(format_args!("one challenge would name scopes of more than {most} bytes"));
        }
        self.possible(node, requirement)
    }

    fn possible(&self, node: &Node<'_>, requirement: Requirement) -> Option<Requirement> {
        // What is behind a name was looked at where it was read.
        let is_known = matches!(requirement, Requirement::Named(_));
        if !is_known && !self.possible.borrow().contains(&requirement) {
            if let Some(contradiction) = requirement.contradiction() {
                return node.problem(contradiction);
            }
            self.possible.borrow_mut().insert(requirement.clone());
        }
        Some(requirement)
    }

    fn accepted_issuers(&self, node: &Node<'n>) -> Option<Rc<[IssuerId]>> {
        let accepted = node.distinct(MAX_ISSUERS, "issuer", |item| {
            let name = item.string()?;
            let place = self.issuers?.iter().position(|issuer| *issuer.name == *name);
            let Some(place) = place else {
                return item.problem(format_args!("unknown issuer `{}`", printable(name)));
            };
            IssuerId::at(place)
        });
        accepted.map(Rc::from)
    }

    /// A client, as tokens of these issuers can name it; of all issuers, where none are listed.
    fn client<'i>(&self, item: &Node<'i>, accepted: Option<&[IssuerId]>) -> Option<&'i str> {
        let name = item.string()?;
        let listed = |place| accepted.is_none_or(|accepted| accepted.iter().any(|id| id.place() == place));
        let mut issuers = self.issuers?.iter().enumerate().filter(|(place, _)| listed(*place));
        let may_name = |issuer: &Issuer| match &issuer.rules.issuer {
            TokenIssuer::Tenants(template) => template.may_name(name),
            TokenIssuer::Named(_) | TokenIssuer::TrustDomain(_) => true,
        };
        if issuers.any(|(_, issuer)| may_name(issuer)) {
            return Some(name);
        }
        item.problem("expected `<tenant>/<client>` with a tenant of the issuer")
    }

    /// A rule that asks whether a claim of the token names one of these.
    fn ask_names(
        &self,
        node: &Node<'n>,
        max: usize,
        what: &str,
        claim: &str,
        test: impl FnOnce(Box<[ClaimValue]>) -> ClaimTest,
    ) -> Option<Rc<AskedRule>> {
        let text = |name: Rc<str>| ClaimValue::Text((*name).into());
        let values = names(node, max, what, Node::string)?.into_iter().map(text).collect();
        let claim = ClaimPath::new(&[claim])?;
        self.ask(node, ClaimRule { claim, test: test(ClaimTest::sorted(values)) })
    }

    fn ask(&self, node: &Node<'n>, rule: ClaimRule) -> Option<Rc<AskedRule>> {
        self.asked.borrow_mut().ask(rule).or_else(|| {
            node.problem(format_args!(
                "requirements ask more than {} different things of claims, or look at more than {} claims",
                AskedRules::MAX_RULES,
                AskedRules::MAX_CLAIMS
            ))
        })
    }
}

/// Requirements by their names.
pub(super) type NamedRequirements = BTreeMap<Rc<str>, Rc<NamedRequirement>>;

pub(super) fn scopes(node: &Node<'_>) -> Option<Vec<Rc<str>>> {
    node.distinct(MAX_SCOPES, "scope", values::scope)
}

fn after(first: Requirement, tree: Requirement) -> Requirement {
    let parts = match tree {
        Requirement::All(parts) => parts.into_vec(),
        Requirement::Any(_) | Requirement::Named(_) | Requirement::Leaf(_) => vec![tree],
    };
    Requirement::All([first].into_iter().chain(parts).collect())
}

/// A list of names, sorted.
fn names<'n>(
    node: &Node<'n>,
    max: usize,
    what: &str,
    read: impl Fn(&Node<'n>) -> Option<&'n str>,
) -> Option<Vec<Rc<str>>> {
    let items = node.each(max, |item| read(item).map(Rc::<str>::from))?;
    refuse_repeated(items.iter().map(|(node, name)| (node, name.as_ref())), "", what);
    let mut names: Vec<Rc<str>> = items.into_iter().map(|(_, name)| name).collect::<Option<_>>()?;
    names.sort_unstable();
    Some(names)
}

fn claim_rule(node: &Node<'_>) -> Option<ClaimRule> {
    let fields = node.fields(&[
        "claim",
        "equals",
        "one_of",
        "contains",
        "contains_any",
        "prefix",
        "exists",
        "absent",
    ])?;
    let claim = fields.read("claim", values::claim_path);
    let single = |node: &Node<'_>| Some([value(node)?].into());
    let test = exactly_one(
        &fields,
        &[
            ("equals", &|node| single(node).map(ClaimTest::OneOf)),
            ("one_of", &|node| listed(node).map(ClaimTest::OneOf)),
            ("contains", &|node| single(node).map(ClaimTest::ContainsAny)),
            ("contains_any", &|node| listed(node).map(ClaimTest::ContainsAny)),
            ("prefix", &|node| node.string().map(|text| ClaimTest::Prefix(text.into()))),
            ("exists", &|node| node.empty().map(|()| ClaimTest::Exists)),
            ("absent", &|node| node.empty().map(|()| ClaimTest::Absent)),
        ],
    );
    Some(ClaimRule { claim: claim?, test: test? })
}

fn listed(node: &Node<'_>) -> Option<Box<[ClaimValue]>> {
    let items = node.each(MAX_VALUES, value)?;
    refuse_repeated(items.iter().map(|(node, value)| (node, value.as_ref())), "", "value");
    let values: Option<Vec<ClaimValue>> = items.into_iter().map(|(_, value)| value).collect();
    values.map(ClaimTest::sorted)
}

/// What a member is read by.
type Reader<'r, 'n, T> = dyn Fn(&Node<'n>) -> Option<T> + 'r;

/// Reads that one of some members which is there; exactly one must be.
fn exactly_one<'n, T>(fields: &Fields<'n>, members: &[(&str, &Reader<'_, 'n, T>)]) -> Option<T> {
    let present: Vec<_> =
        members.iter().filter_map(|(name, read)| Some((fields.optional(name)?, read))).collect();
    if let [(node, read)] = present.as_slice() {
        return read(node);
    }
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    fields.node().problem(format_args!("expected exactly one of {}", names.join(", ")))
}

/// A value that a claim may have. Envoy's YAML reader hands over larger numbers as strings, which no number equals.
fn value(node: &Node<'_>) -> Option<ClaimValue> {
    node.takes(|| Shape::Scalar)?;
    let number = |number: Option<i64>| number.filter(|number| i32::try_from(*number).is_ok());
    let value = match node.value() {
        Value::String(_) => return node.string().map(|text| ClaimValue::Text(text.into())),
        Value::Bool(value) => Some(ClaimValue::Bool(*value)),
        Value::Integer(whole) => number(Some(*whole)).map(ClaimValue::Number),
        Value::Float(float) => number(signed(*float)).map(ClaimValue::Number),
        Value::Null | Value::List(_) | Value::Object(_) => None,
    };
    value.or_else(|| {
        node.problem("expected a string, a boolean, or a whole number from -2147483648 to 2147483647")
    })
}

fn signed(number: f64) -> Option<i64> {
    let size = i64::try_from(whole(number.abs())?).ok()?;
    if number < 0.0 { size.checked_neg() } else { Some(size) }
}

const FIELDS: [&str; 10] = [
    "issuers",
    "scopes",
    "any_scope",
    "clients",
    "subjects",
    "audiences",
    "claims",
    "authenticated",
    "all",
    "any",
];
const NOTHING_DEMANDED: &str = "name scopes, any_scope, clients, subjects, audiences, claims, all or any, or write \
                                `authenticated: {}` for any valid token";
/// Ten for each part of a large enterprise.
const MAX_REQUIREMENTS: usize = 2_000;
/// What people write by hand; [`Requirement::MAX_SCOPE_BYTES`] bounds what a challenge names of a whole tree.
const MAX_SCOPES: usize = 64;
/// One API has a handful of names.
const MAX_AUDIENCES: usize = 64;
/// A route for the clients of a whole department; more of them have a scope or a claim in common.
const MAX_CLIENTS: usize = 1_000;
/// As many as clients: tenants, for one.
const MAX_VALUES: usize = 1_000;
/// What people write by hand.
const MAX_PARTS: usize = 64;
/// Each request of a route may be held against all of them: some microseconds.
const MAX_LEAVES: usize = 256;
/// Deeper than anyone could follow; a request's evaluation is as deep.
const MAX_DEPTH: usize = 32;
