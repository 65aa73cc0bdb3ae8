use std::rc::Rc;

use crate::claims::ScopeSet;

/// One of the configured issuers, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerId(pub u16);

/// What a verified token must be good for.
#[derive(Clone, Debug, PartialEq, Eq)]
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
