//! What a requirement is called when it has decided: by the name that the configuration gives it, or by the member of
//! `require` that says what was missing.

use std::rc::Rc;

use super::requirement::{Leaf, Requirement, TokenFacts};

impl Requirement {
    /// The first name in it, from the outside in.
    pub fn first_name(&self) -> Option<&Rc<str>> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().find_map(Self::first_name),
            Self::Named(named) => Some(named.name()),
            Self::Leaf(_) => None,
        }
    }

    /// The name under which a token is let through: the first that it meets, from the outside in.
    pub fn met_name(&self, token: TokenFacts<'_>) -> Option<&Rc<str>> {
        match self {
            Self::All(parts) => parts.iter().find_map(|part| part.met_name(token)),
            Self::Any(parts) => parts.iter().find(|part| part.is_met(token))?.met_name(token),
            Self::Named(named) => Some(named.name()),
            Self::Leaf(_) => None,
        }
    }

    /// What a token does not meet, on the way that lacks least: the innermost name around it, or the leaf's own.
    pub fn unmet_name(&self, token: TokenFacts<'_>) -> Option<UnmetName<'_>> {
        if self.is_met(token) {
            return None;
        }
        let weight = |part: &Self| part.need(Some(token)).weight();
        match self {
            Self::All(parts) => {
                let unmet = parts.iter().filter(|part| !part.is_met(token));
                // Of equals, the first.
                unmet.rev().max_by_key(|part| weight(part))?.unmet_name(token)
            }
            Self::Any(parts) => parts.iter().min_by_key(|part| weight(part))?.unmet_name(token),
            Self::Named(named) => match named.requirement().unmet_name(token) {
                Some(name @ UnmetName::Requirement(_)) => Some(name),
                Some(UnmetName::Leaf(_)) | None => Some(UnmetName::Requirement(named.name())),
            },
            Self::Leaf(leaf) => Some(UnmetName::Leaf(leaf.member())),
        }
    }
}

/// What is not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmetName<'a> {
    /// The requirement of this name.
    Requirement(&'a Rc<str>),
    /// This member of a requirement without a name.
    Leaf(&'static str),
}

impl Leaf {
    /// The member of `require` that asks for it.
    pub const fn member(&self) -> &'static str {
        match self {
            Self::Issuer(_) => "issuers",
            Self::Audience(_) => "audiences",
            Self::Client(_) => "clients",
            Self::Subject(_) => "subjects",
            Self::Claim(_) => "claims",
            Self::Scope(_) => "scopes",
            Self::AnyScope(_) => "any_scope",
        }
    }
}
