use core::hash::{Hash, Hasher};
use std::rc::Rc;

use crate::claims::{AskedRule, KeptClaims};

/// One of the configured issuers, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerId(pub u16);

impl IssuerId {
    /// The issuer at this place; `None` where there can be none.
    pub fn at(place: usize) -> Option<Self> {
        u16::try_from(place).ok().map(Self)
    }

    /// Its place.
    pub fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// What a verified token must be good for: a tree, compiled once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// Each of these.
    All(Box<[Requirement]>),
    /// At least one of these; of none, no token is good enough.
    Any(Box<[Requirement]>),
    /// The one that the configuration has under a name.
    Named(Rc<NamedRequirement>),
    /// This one thing.
    Leaf(Leaf),
}

/// A requirement that others refer to. Within a configuration a name has one meaning, so that it is all that is
/// compared.
#[derive(Clone, Debug)]
pub struct NamedRequirement {
    name: Rc<str>,
    requirement: Requirement,
    pub(super) leaves: usize,
    pub(super) depth: usize,
    pub(super) scope_bytes: usize,
}

/// One thing that a requirement asks of a token. Lists of names are sorted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Leaf {
    /// It is of one of these issuers.
    Issuer(Rc<[IssuerId]>),
    /// One of these is among its audiences.
    Audience(Rc<AskedRule>),
    /// One of these clients presents it.
    Client(Rc<[Rc<str>]>),
    /// It is about one of these subjects.
    Subject(Rc<AskedRule>),
    /// One of its claims says this.
    Claim(Rc<AskedRule>),
    /// It carries this scope.
    Scope(Rc<str>),
    /// It carries one of these scopes.
    AnyScope(Rc<[Rc<str>]>),
}

/// What leaves are held against: facts about a verified token.
#[derive(Clone, Copy, Debug)]
pub struct TokenFacts<'a> {
    /// The token's issuer.
    pub issuer: IssuerId,
    /// What is kept of its claims.
    pub claims: &'a KeptClaims,
}

/// What a token would have to have to be let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need<'a> {
    /// All the scopes, with those that it has.
    pub scopes: Vec<&'a Rc<str>>,
    /// What no scope makes up for, if there is something: the leaf that weighs most.
    pub lacks: Option<&'a Leaf>,
}

impl Requirement {
    /// A token of one of these issuers, with all scopes of `all_of` and, if there are any in `any_of`, one of those.
    pub fn new(issuers: Rc<[IssuerId]>, all_of: Vec<Rc<str>>, any_of: Vec<Rc<str>>) -> Self {
        // The issuer comes first: a token of another one is not told which scopes it would need.
        let issuer = Self::Leaf(Leaf::Issuer(issuers));
        Self::All([issuer].into_iter().chain(Self::of_scopes(all_of, any_of)).collect())
    }

    /// The leaves for all scopes of `all_of` and, if there are any in `any_of`, one of those.
    pub fn of_scopes(all_of: Vec<Rc<str>>, any_of: Vec<Rc<str>>) -> impl Iterator<Item = Self> {
        let any_of = (!any_of.is_empty()).then(|| Leaf::AnyScope(any_of.into()));
        all_of.into_iter().map(Leaf::Scope).chain(any_of).map(Self::Leaf)
    }

    /// Whether a token is good enough.
    pub fn is_met(&self, token: TokenFacts<'_>) -> bool {
        self.holds(&|leaf| leaf.is_met(token))
    }

    /// Whether a token of this issuer could be good enough, whatever else it says.
    pub fn accepts(&self, issuer: IssuerId) -> bool {
        self.holds(&|leaf| leaf.accepts(issuer))
    }

    /// Whether no token is good enough whose issuer is not one of those that it names: each way to meet it asks for one.
    pub fn names_issuers(&self) -> bool {
        match self {
            Self::All(parts) => parts.iter().any(Self::names_issuers),
            Self::Any(parts) => parts.iter().all(Self::names_issuers),
            Self::Named(named) => named.requirement.names_issuers(),
            Self::Leaf(leaf) => matches!(leaf, Leaf::Issuer(_)),
        }
    }

    /// What a token, or none, would have to have. Of several ways to meet it, this is the first for which scopes are
    /// enough, or else the first for which the least is missing that scopes do not make up for.
    pub fn need(&self, token: Option<TokenFacts<'_>>) -> Need<'_> {
        match token {
            Some(token) => self.needs(&|leaf| leaf.is_met(token)),
            // Who asks for a token chooses its issuer and its audience.
            None => self.needs(&|leaf| matches!(leaf, Leaf::Issuer(_) | Leaf::Audience(_))),
        }
    }

    /// Every scope that some token could be asked for, by whichever way to meet it.
    pub fn scopes(&self) -> Vec<&Rc<str>> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::scopes).collect(),
            Self::Named(named) => named.requirement.scopes(),
            Self::Leaf(leaf) => leaf.scopes().iter().collect(),
        }
    }

    /// The clients that it names; those of requirements that it refers to are theirs.
    pub fn clients(&self) -> Vec<&Rc<str>> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::clients).collect(),
            Self::Leaf(Leaf::Client(clients)) => clients.iter().collect(),
            Self::Named(_) | Self::Leaf(_) => Vec::new(),
        }
    }

    fn holds(&self, is_met: &impl Fn(&Leaf) -> bool) -> bool {
        // Most parts are leaves, and each request holds its route's: those are looked at without another call.
        let part = |part: &Self| match part {
            Self::Leaf(leaf) => is_met(leaf),
            Self::All(_) | Self::Any(_) | Self::Named(_) => part.holds(is_met),
        };
        match self {
            Self::All(parts) => parts.iter().all(part),
            Self::Any(parts) => parts.iter().any(part),
            Self::Named(named) => named.requirement.holds(is_met),
            Self::Leaf(leaf) => is_met(leaf),
        }
    }

    fn needs(&self, is_met: &impl Fn(&Leaf) -> bool) -> Need<'_> {
        match self {
            Self::All(parts) => parts.iter().map(|part| part.needs(is_met)).fold(Need::default(), Need::and),
            Self::Any(parts) => {
                let ways = parts.iter().map(|part| (part.needs(is_met), part.holds(is_met)));
                let least = ways.min_by_key(|(need, is_met)| (need.weight(), !is_met));
                least.map(|(need, _)| need).unwrap_or_default()
            }
            Self::Named(named) => named.requirement.needs(is_met),
            Self::Leaf(leaf @ (Leaf::Scope(_) | Leaf::AnyScope(_))) => {
                Need { scopes: leaf.scopes().iter().collect(), lacks: None }
            }
            Self::Leaf(leaf) => Need { scopes: Vec::new(), lacks: (!is_met(leaf)).then_some(leaf) },
        }
    }
}

impl<'a> Need<'a> {
    /// What two requirements need together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        if other.weight() > self.weight() {
            self.lacks = other.lacks;
        }
        self.scopes.extend(other.scopes);
        self
    }

    /// How much it is that scopes do not make up for. A token of another issuer or for another audience is none for us,
    /// whatever else it says.
    pub(super) fn weight(&self) -> u8 {
        match self.lacks {
            None | Some(Leaf::Scope(_) | Leaf::AnyScope(_)) => 0,
            Some(Leaf::Claim(_)) => 1,
            Some(Leaf::Subject(_)) => 2,
            Some(Leaf::Client(_)) => 3,
            Some(Leaf::Audience(_)) => 4,
            Some(Leaf::Issuer(_)) => 5,
        }
    }
}

impl Leaf {
    /// Whether a token meets it.
    pub fn is_met(&self, token: TokenFacts<'_>) -> bool {
        let has = |scope: &Rc<str>| token.claims.scopes().contains(scope);
        match self {
            Self::Issuer(issuers) => issuers.contains(&token.issuer),
            Self::Client(clients) => token
                .claims
                .client()
                .is_some_and(|client| clients.binary_search_by(|name| (**name).cmp(client)).is_ok()),
            Self::Audience(rule) | Self::Subject(rule) | Self::Claim(rule) => token.claims.meets(rule),
            Self::Scope(scope) => has(scope),
            Self::AnyScope(scopes) => scopes.iter().any(has),
        }
    }

    /// Whether a token of this issuer could meet it.
    fn accepts(&self, issuer: IssuerId) -> bool {
        match self {
            Self::Issuer(issuers) => issuers.contains(&issuer),
            Self::Client(_)
            | Self::Audience(_)
            | Self::Subject(_)
            | Self::Claim(_)
            | Self::Scope(_)
            | Self::AnyScope(_) => true,
        }
    }

    /// The scopes that it names.
    pub(super) fn scopes(&self) -> &[Rc<str>] {
        match self {
            Self::Scope(scope) => core::slice::from_ref(scope),
            Self::AnyScope(scopes) => scopes,
            Self::Issuer(_) | Self::Client(_) | Self::Audience(_) | Self::Subject(_) | Self::Claim(_) => &[],
        }
    }
}

impl NamedRequirement {
    /// Gives a requirement a name, `[a-z0-9_-]{1,64}`.
    pub fn new(name: Rc<str>, requirement: Requirement) -> Self {
        let (leaves, depth, scope_bytes) =
            (requirement.leaves(), requirement.depth(), requirement.scope_bytes());
        Self { name, requirement, leaves, depth, scope_bytes }
    }

    /// Its name.
    pub fn name(&self) -> &Rc<str> {
        &self.name
    }

    /// What it demands.
    pub fn requirement(&self) -> &Requirement {
        &self.requirement
    }
}

impl PartialEq for NamedRequirement {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for NamedRequirement {}

impl Hash for NamedRequirement {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::{AskedClaims, AskedRules, ClaimPath, ClaimRule, ClaimTest, ClaimValue};
    use crate::jose::Object;

    fn held(claims: &str, rules: &AskedRules) -> KeptClaims {
        let asked = AskedClaims {
            scopes_from: vec![ClaimPath::new(&["scope"]).unwrap()],
            client_from: vec![ClaimPath::new(&["client_id"]).unwrap()],
            ruled: rules.claims().into(),
            rules: rules.len(),
            ..AskedClaims::default()
        };
        asked.read(&Object::parse(claims.as_bytes()).unwrap(), None).unwrap()
    }

    fn texts(names: &[&str]) -> Vec<Rc<str>> {
        names.iter().map(|name| Rc::from(*name)).collect()
    }

    fn requirement(all_of: &[&str], any_of: &[&str]) -> Requirement {
        Requirement::new([IssuerId(1)].into(), texts(all_of), texts(any_of))
    }

    fn scope(scope: &str) -> Requirement {
        Requirement::Leaf(Leaf::Scope(scope.into()))
    }

    fn client(client: &str) -> Requirement {
        Requirement::Leaf(Leaf::Client(texts(&[client]).into()))
    }

    fn rule(rules: &mut AskedRules, claim: &str, value: &str) -> Rc<AskedRule> {
        let value = ClaimValue::Text(value.into());
        let rule =
            ClaimRule { claim: ClaimPath::new(&[claim]).unwrap(), test: ClaimTest::OneOf([value].into()) };
        rules.ask(rule).unwrap()
    }

    fn words(need: Need<'_>) -> (&'static str, Vec<String>) {
        let lacks = match need.lacks {
            None => "",
            Some(Leaf::Issuer(_)) => "issuer",
            Some(Leaf::Audience(_)) => "audience",
            Some(Leaf::Client(_)) => "client",
            Some(Leaf::Subject(_)) => "subject",
            Some(Leaf::Claim(_)) => "claim",
            Some(Leaf::Scope(_) | Leaf::AnyScope(_)) => "scope",
        };
        (lacks, need.scopes.iter().map(ToString::to_string).collect())
    }

    /// Whether it is met, and what is needed.
    fn told(requirement: &Requirement, issuer: u16, scopes: &str) -> (bool, &'static str, Vec<String>) {
        let claims = held(&format!(r#"{{"scope":"{scopes}","client_id":"me"}}"#), &AskedRules::default());
        let token = TokenFacts { issuer: IssuerId(issuer), claims: &claims };
        let (lacks, scopes) = words(requirement.need(Some(token)));
        (requirement.is_met(token), lacks, scopes)
    }

    #[test]
    fn another_issuer_weighs_more_than_scopes() {
        let requirement = requirement(&["a"], &[]);
        assert_eq!(told(&requirement, 0, "a"), (false, "issuer", vec!["a".into()]));
        assert_eq!(told(&requirement, 1, ""), (false, "", vec!["a".into()]));
        assert_eq!(told(&requirement, 1, "a b"), (true, "", vec!["a".into()]));
        assert!(requirement.accepts(IssuerId(1)) && !requirement.accepts(IssuerId(0)));
    }

    #[test]
    fn no_scopes_means_any_token_of_the_issuer() {
        assert!(told(&requirement(&[], &[]), 1, "").0);
        assert!(!told(&requirement(&[], &["a", "b"]), 1, "").0);
        assert!(told(&requirement(&[], &["a", "b"]), 1, "b").0);
    }

    #[test]
    fn a_token_that_holds_all_named_scopes_is_let_through() {
        let requirement = requirement(&["a", "b"], &["c", "d"]);
        let (_, named) = words(requirement.need(None));
        assert_eq!(named, ["a", "b", "c", "d"]);
        assert!(told(&requirement, 1, &named.join(" ")).0);
    }

    #[test]
    fn of_nothing_all_is_met_and_any_is_not() {
        assert!(told(&Requirement::All([].into()), 1, "").0);
        assert!(!told(&Requirement::Any([].into()), 1, "").0);
        let inner = Requirement::Any([Requirement::Any([].into()), requirement(&["a"], &[])].into());
        assert!(!told(&inner, 1, "").0);
        assert!(told(&inner, 1, "a").0);
    }

    #[test]
    fn of_several_ways_the_first_is_named_for_which_scopes_are_enough() {
        let all = |parts: Vec<Requirement>| Requirement::All(parts.into());
        let any = |parts: Vec<Requirement>| Requirement::Any(parts.into());
        let ways =
            any(vec![all(vec![client("ops"), scope("a")]), all(vec![scope("b"), scope("c")]), scope("d")]);
        assert_eq!(told(&ways, 1, "b"), (false, "", vec!["b".into(), "c".into()]));
        assert_eq!(words(ways.need(None)).1, ["b", "c"]);
        // What a token has already counts: beside it, only what is missing is new to ask for.
        let two = all(vec![ways, scope("e")]);
        assert_eq!(told(&two, 1, "d"), (false, "", vec!["d".into(), "e".into()]));
        // A client's own way is open to it.
        let own = any(vec![all(vec![client("me"), scope("a")]), scope("b")]);
        assert_eq!(told(&own, 1, ""), (false, "", vec!["a".into()]));
        assert_eq!(words(own.need(None)).1, ["b"]);
        // Where no way is open to scopes alone, the scopes are named that are asked for besides.
        assert_eq!(words(all(vec![client("ops"), scope("a")]).need(None)).1, ["a"]);
    }

    #[test]
    fn what_no_scope_makes_up_for_is_told_by_the_way_that_lacks_least() {
        let mut rules = AskedRules::default();
        let subject = Requirement::Leaf(Leaf::Subject(rule(&mut rules, "sub", "s")));
        let audience = Requirement::Leaf(Leaf::Audience(rule(&mut rules, "aud", "a")));
        let claim = Requirement::Leaf(Leaf::Claim(rule(&mut rules, "tier", "gold")));
        let claims = held("{}", &rules);
        let token = TokenFacts { issuer: IssuerId(1), claims: &claims };
        let lacks = |requirement: Requirement| words(requirement.need(Some(token))).0;
        let parts = [claim, subject, client("ops"), audience, requirement(&[], &[])];
        for (number, expected) in
            ["claim", "subject", "client", "audience", "audience"].into_iter().enumerate()
        {
            let some: Box<[_]> = parts[..=number].into();
            assert_eq!(lacks(Requirement::All(some.clone())), expected);
            assert_eq!(lacks(Requirement::Any(some)), if number == 4 { "" } else { "claim" });
        }
    }

    #[test]
    fn a_rule_is_held_against_a_token_once() {
        let mut rules = AskedRules::default();
        let leaves: Vec<_> =
            (0..20).map(|n| Leaf::Claim(rule(&mut rules, "tier", &format!("t{n}")))).collect();
        let claims = held(r#"{"tier":"t7"}"#, &rules);
        let token = TokenFacts { issuer: IssuerId(1), claims: &claims };
        for _ in 0..2 {
            for (number, leaf) in leaves.iter().enumerate() {
                assert_eq!(leaf.is_met(token), number == 7, "{number}");
            }
        }
    }

    #[test]
    fn a_name_counts_with_what_it_stands_for() {
        let inner = NamedRequirement::new("two".into(), requirement(&["a"], &[]));
        let named = Requirement::Named(inner.into());
        assert_eq!((named.leaves(), named.depth()), (2, 3));
        assert!(named.names_issuers() && named.accepts(IssuerId(1)) && !named.accepts(IssuerId(0)));
        assert_eq!(named.scopes(), [&"a".into()]);
        assert!(told(&named, 1, "a").0 && !told(&named, 1, "b").0);
    }
}
