use std::rc::Rc;

use crate::claims::ScopeSet;

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
    /// This one thing.
    Leaf(Leaf),
}

/// One thing that a requirement asks of a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Leaf {
    /// It is of one of these issuers.
    Issuer(Rc<[IssuerId]>),
    /// It carries this scope.
    Scope(Rc<str>),
}

/// What leaves are held against: facts about a verified token.
#[derive(Clone, Copy, Debug)]
pub struct TokenFacts<'a> {
    /// The token's issuer.
    pub issuer: IssuerId,
    /// The scopes that it carries.
    pub scopes: &'a ScopeSet,
}

impl Requirement {
    /// A token of one of these issuers, with all scopes of `all_of` and, if there are any in `any_of`, one of those.
    pub fn new(issuers: Rc<[IssuerId]>, all_of: Vec<Rc<str>>, any_of: Vec<Rc<str>>) -> Self {
        let scope = |scope| Self::Leaf(Leaf::Scope(scope));
        let any_of = (!any_of.is_empty()).then(|| Self::Any(any_of.into_iter().map(scope).collect()));
        // The issuer comes first: a token of another one is not told which scopes it would need.
        let issuer = Self::Leaf(Leaf::Issuer(issuers));
        Self::All([issuer].into_iter().chain(all_of.into_iter().map(scope)).chain(any_of).collect())
    }

    /// Whether a token is good enough.
    pub fn is_met(&self, token: TokenFacts<'_>) -> bool {
        self.holds(&|leaf| leaf.is_met(token))
    }

    /// Whether a token of this issuer could be good enough, whatever else it says.
    pub fn accepts(&self, issuer: IssuerId) -> bool {
        self.holds(&|leaf| match leaf {
            Leaf::Issuer(issuers) => issuers.contains(&issuer),
            Leaf::Scope(_) => true,
        })
    }

    /// What a token lacks: the leaves that it does not meet, in order. Where one of several would do, all of these.
    pub fn unmet(&self, token: TokenFacts<'_>) -> Vec<&Leaf> {
        self.failing(&|leaf| leaf.is_met(token))
    }

    /// The scopes to name in a challenge: a token that holds them all is let through.
    pub fn scopes(&self) -> impl Iterator<Item = &Rc<str>> {
        self.failing(&|_| false).into_iter().filter_map(|leaf| match leaf {
            Leaf::Scope(scope) => Some(scope),
            Leaf::Issuer(_) => None,
        })
    }

    fn holds(&self, is_met: &impl Fn(&Leaf) -> bool) -> bool {
        // Most parts are leaves, and each request holds its route's: those are looked at without another call.
        let part = |part: &Self| match part {
            Self::Leaf(leaf) => is_met(leaf),
            Self::All(_) | Self::Any(_) => part.holds(is_met),
        };
        match self {
            Self::All(parts) => parts.iter().all(part),
            Self::Any(parts) => parts.iter().any(part),
            Self::Leaf(leaf) => is_met(leaf),
        }
    }

    fn failing(&self, is_met: &impl Fn(&Leaf) -> bool) -> Vec<&Leaf> {
        match self {
            _ if self.holds(is_met) => Vec::new(),
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().flat_map(|part| part.failing(is_met)).collect()
            }
            Self::Leaf(leaf) => vec![leaf],
        }
    }
}

impl Leaf {
    fn is_met(&self, token: TokenFacts<'_>) -> bool {
        match self {
            Self::Issuer(issuers) => issuers.contains(&token.issuer),
            Self::Scope(scope) => token.scopes.contains(scope),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::ClaimPath;
    use crate::jose::Object;

    fn held(scopes: &str) -> ScopeSet {
        let claims = format!(r#"{{"scope":"{scopes}"}}"#);
        let claims = Object::parse(claims.as_bytes()).unwrap();
        ScopeSet::read(&claims, &[ClaimPath::new(&["scope"]).unwrap()]).unwrap()
    }

    fn requirement(all_of: &[&str], any_of: &[&str]) -> Requirement {
        let scopes = |names: &[&str]| names.iter().map(|name| Rc::from(*name)).collect();
        Requirement::new([IssuerId(1)].into(), scopes(all_of), scopes(any_of))
    }

    /// What a token lacks, in words.
    fn unmet(requirement: &Requirement, issuer: u16, scopes: &str) -> Vec<String> {
        let scopes = held(scopes);
        let token = TokenFacts { issuer: IssuerId(issuer), scopes: &scopes };
        let unmet = requirement.unmet(token);
        assert_eq!(unmet.is_empty(), requirement.is_met(token));
        let text = |leaf: &&Leaf| match leaf {
            Leaf::Issuer(_) => "issuer".to_owned(),
            Leaf::Scope(scope) => scope.to_string(),
        };
        unmet.iter().map(text).collect()
    }

    #[test]
    fn the_issuer_is_looked_at_before_the_scopes() {
        let requirement = requirement(&["a"], &[]);
        assert_eq!(unmet(&requirement, 0, "a"), ["issuer"]);
        assert_eq!(unmet(&requirement, 0, ""), ["issuer", "a"]);
        assert_eq!(unmet(&requirement, 1, ""), ["a"]);
        assert!(unmet(&requirement, 1, "a b").is_empty());
        assert!(requirement.accepts(IssuerId(1)) && !requirement.accepts(IssuerId(0)));
    }

    #[test]
    fn no_scopes_means_any_token_of_the_issuer() {
        assert!(unmet(&requirement(&[], &[]), 1, "").is_empty());
        assert_eq!(unmet(&requirement(&[], &["a", "b"]), 1, ""), ["a", "b"]);
        assert!(unmet(&requirement(&[], &["a", "b"]), 1, "b").is_empty());
    }

    #[test]
    fn what_is_unmet_is_told_by_leaf() {
        let requirement = requirement(&["a", "b"], &["c", "d"]);
        assert_eq!(unmet(&requirement, 1, "b"), ["a", "c", "d"]);
        assert_eq!(unmet(&requirement, 1, "b d"), ["a"]);
        assert_eq!(unmet(&requirement, 1, "a b"), ["c", "d"]);
    }

    #[test]
    fn a_token_that_holds_all_named_scopes_is_let_through() {
        let requirement = requirement(&["a", "b"], &["c", "d"]);
        let named: Vec<&str> = requirement.scopes().map(AsRef::as_ref).collect();
        assert_eq!(named, ["a", "b", "c", "d"]);
        assert!(unmet(&requirement, 1, &named.join(" ")).is_empty());
    }

    #[test]
    fn of_nothing_all_is_met_and_any_is_not() {
        assert!(unmet(&Requirement::All([].into()), 1, "").is_empty());
        let scopes = ScopeSet::default();
        let token = TokenFacts { issuer: IssuerId(1), scopes: &scopes };
        assert!(!Requirement::Any([].into()).is_met(token));
        let inner = Requirement::Any([Requirement::Any([].into()), requirement(&["a"], &[])].into());
        assert_eq!(unmet(&inner, 1, ""), ["a"]);
        assert!(unmet(&inner, 1, "a").is_empty());
    }
}
