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

/// What a verified token must be good for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// Tokens of these issuers are accepted, and of no others.
    pub issuers: Rc<[IssuerId]>,
    /// Each of these scopes must be held.
    pub all_of: Vec<Rc<str>>,
    /// If there are any here, one of them must be held.
    pub any_of: Vec<Rc<str>>,
}

/// What a token lacks for a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// It is of an issuer that is not accepted here.
    Issuer,
    /// It lacks a scope.
    Scope,
}

impl Requirement {
    /// Holds a token's issuer and scopes against this requirement.
    ///
    /// # Errors
    /// The issuer is looked at first.
    pub fn check(&self, issuer: IssuerId, scopes: &ScopeSet) -> Result<(), Unmet> {
        if !self.issuers.contains(&issuer) {
            return Err(Unmet::Issuer);
        }
        let all = self.all_of.iter().all(|scope| scopes.contains(scope));
        let any = self.any_of.is_empty() || self.any_of.iter().any(|scope| scopes.contains(scope));
        if all && any { Ok(()) } else { Err(Unmet::Scope) }
    }

    /// The scopes to name in a challenge: a token that holds them all is let through.
    pub fn scopes(&self) -> impl Iterator<Item = &Rc<str>> {
        self.all_of.iter().chain(&self.any_of)
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
        Requirement { issuers: [IssuerId(1)].into(), all_of: scopes(all_of), any_of: scopes(any_of) }
    }

    #[test]
    fn the_issuer_is_looked_at_before_the_scopes() {
        let requirement = requirement(&["a"], &[]);
        assert_eq!(requirement.check(IssuerId(0), &held("a")), Err(Unmet::Issuer));
        assert_eq!(requirement.check(IssuerId(0), &held("")), Err(Unmet::Issuer));
        assert_eq!(requirement.check(IssuerId(1), &held("")), Err(Unmet::Scope));
        assert_eq!(requirement.check(IssuerId(1), &held("a b")), Ok(()));
    }

    #[test]
    fn no_scopes_means_any_token_of_the_issuer() {
        assert_eq!(requirement(&[], &[]).check(IssuerId(1), &held("")), Ok(()));
        assert_eq!(requirement(&[], &["a", "b"]).check(IssuerId(1), &held("")), Err(Unmet::Scope));
        assert_eq!(requirement(&[], &["a", "b"]).check(IssuerId(1), &held("b")), Ok(()));
    }

    #[test]
    fn a_token_that_holds_all_named_scopes_is_let_through() {
        let requirement = requirement(&["a", "b"], &["c", "d"]);
        let named: Vec<&str> = requirement.scopes().map(AsRef::as_ref).collect();
        assert_eq!(named, ["a", "b", "c", "d"]);
        assert_eq!(requirement.check(IssuerId(1), &held(&named.join(" "))), Ok(()));
    }
}
