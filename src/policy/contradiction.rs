//! Requirements that no token can meet: what an operator has not meant.

use std::collections::HashMap;
use std::rc::Rc;

use super::requirement::{IssuerId, Leaf, Requirement};
use crate::claims::{ClaimPath, ClaimTest, ClaimValue};

/// Why a requirement makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// Issuers are named twice, and no issuer is named both times.
    #[error("no token can meet it: no issuer is on all its lists of issuers")]
    Issuers,
    /// The same of clients.
    #[error("no token can meet it: no client is on all its lists of clients")]
    Clients,
    /// A claim is to be what it cannot be at the same time.
    #[error("no token can meet it: the rules for the claim {0} exclude each other")]
    Claim(ClaimPath),
}

impl Requirement {
    /// Why no token can meet it, where that shows. That one member of an `any` excludes what stands around it is none:
    /// with it, a requirement that has a name is narrowed.
    pub fn contradiction(&self) -> Option<Contradiction> {
        contradiction(self, &[])
    }

    /// Whether any valid token meets it.
    pub fn demands_nothing(&self) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(Self::demands_nothing),
            Self::Any(parts) => parts.iter().any(Self::demands_nothing),
            Self::Named(named) => named.requirement().demands_nothing(),
            Self::Leaf(_) => false,
        }
    }
}

/// Looks at what has to hold together: `around`, and then each `any` by itself, of which one way has to be open.
fn contradiction<'a>(requirement: &'a Requirement, around: &[&'a Leaf]) -> Option<Contradiction> {
    let mut together = around.to_vec();
    let mut choices = Vec::new();
    collect(requirement, &mut together, &mut choices);
    among(&together).or_else(|| choices.into_iter().find_map(|ways| closed(ways, &together)))
}

/// Why none of these can be met, if none can: why the first cannot. Most often, that one can is all that is looked at.
fn closed<'a>(ways: &'a [Requirement], around: &[&'a Leaf]) -> Option<Contradiction> {
    let mut first = None;
    for way in ways {
        let why = contradiction(way, around)?;
        first.get_or_insert(why);
    }
    first
}

fn collect<'a>(
    requirement: &'a Requirement,
    together: &mut Vec<&'a Leaf>,
    choices: &mut Vec<&'a [Requirement]>,
) {
    match requirement {
        Requirement::All(parts) => parts.iter().for_each(|part| collect(part, together, choices)),
        Requirement::Any(parts) => choices.push(parts),
        Requirement::Named(named) => collect(named.requirement(), together, choices),
        Requirement::Leaf(leaf) => together.push(leaf),
    }
}

fn among(leaves: &[&Leaf]) -> Option<Contradiction> {
    let mut issuers: Option<Vec<IssuerId>> = None;
    let mut clients: Option<Vec<&Rc<str>>> = None;
    let mut claims: HashMap<&ClaimPath, Possible<'_>> = HashMap::new();
    for leaf in leaves {
        match leaf {
            Leaf::Issuer(named) => match &mut issuers {
                None => issuers = Some(named.to_vec()),
                Some(issuers) => issuers.retain(|issuer| named.contains(issuer)),
            },
            Leaf::Client(named) => match &mut clients {
                None => clients = Some(named.iter().collect()),
                Some(clients) => clients.retain(|client| named.binary_search(client).is_ok()),
            },
            Leaf::Audience(rule) | Leaf::Subject(rule) | Leaf::Claim(rule) => {
                let rule = rule.rule();
                if !claims.entry(&rule.claim).or_default().admits(&rule.test) {
                    return Some(Contradiction::Claim(rule.claim.clone()));
                }
            }
            Leaf::Scope(_) | Leaf::AnyScope(_) => {}
        }
    }
    let is_empty = |list: Option<bool>| list == Some(true);
    if is_empty(issuers.map(|issuers| issuers.is_empty())) {
        return Some(Contradiction::Issuers);
    }
    is_empty(clients.map(|clients| clients.is_empty())).then_some(Contradiction::Clients)
}

/// What a claim may still be, after some rules.
#[derive(Default)]
struct Possible<'a> {
    is_there: bool,
    is_absent: bool,
    is_list: bool,
    /// The values that it may have, and what it begins with; it is no list then.
    values: Option<Vec<&'a ClaimValue>>,
    prefix: &'a str,
}

impl<'a> Possible<'a> {
    /// Adds a rule; `false` if nothing is left.
    fn admits(&mut self, test: &'a ClaimTest) -> bool {
        self.is_absent |= *test == ClaimTest::Absent;
        self.is_there |= *test != ClaimTest::Absent;
        let mut fits = true;
        match test {
            ClaimTest::OneOf(accepted) => match &mut self.values {
                None => self.values = Some(accepted.iter().collect()),
                Some(values) => values.retain(|value| accepted.binary_search(value).is_ok()),
            },
            ClaimTest::Prefix(prefix) => {
                fits = prefix.starts_with(self.prefix) || self.prefix.starts_with(&**prefix);
                if prefix.len() > self.prefix.len() {
                    self.prefix = prefix;
                }
            }
            ClaimTest::ContainsAny(_) => self.is_list = true,
            ClaimTest::Among(_) | ClaimTest::Exists | ClaimTest::Absent => {}
        }
        if let Some(values) = self.values.as_mut().filter(|_| !self.prefix.is_empty()) {
            values.retain(|value| match value {
                ClaimValue::Text(text) => text.starts_with(self.prefix),
                ClaimValue::Bool(_) | ClaimValue::Number(_) => false,
            });
        }
        let is_single = self.values.is_some() || !self.prefix.is_empty();
        fits && !(self.is_absent && self.is_there)
            && !(self.is_list && is_single)
            && self.values.as_ref().is_none_or(|values| !values.is_empty())
    }
}
