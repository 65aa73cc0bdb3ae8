//! What a decision rests on, as the audit record tells it.

use std::rc::Rc;

use super::decision::Decision;
use super::denial::Denial;
use super::route_requirement::RouteRequirement;
use super::settings::Settings;
use crate::base::AuditText;
use crate::claims::ScopeSet;
use crate::policy::{RequestMetadata, TokenFacts, UnmetName};

impl Denial {
    /// The scopes that would have been enough, where scopes are what is missing.
    pub fn scopes(&self) -> &[Rc<str>] {
        if let Self::CredentialMissing { scopes } | Self::ScopeInsufficient { scopes } = self {
            scopes
        } else {
            &[]
        }
    }
}

impl Decision {
    /// The scopes that were needed and, of them, those that the token lacks. Names of the configuration's.
    pub fn scopes_missing(&self) -> impl Iterator<Item = &Rc<str>> {
        let held = self.token().map(|token| token.scopes());
        let is_missing = move |scope: &&Rc<str>| !held.is_some_and(|held: &ScopeSet| held.contains(scope));
        self.scopes_needed().iter().filter(is_missing)
    }

    /// The scopes that were needed, where they are what is missing.
    pub fn scopes_needed(&self) -> &[Rc<str>] {
        self.verdict.as_ref().err().map(Denial::scopes).unwrap_or_default()
    }
}

impl Settings {
    /// The name of the requirement that decided: the one that a token does not meet, or else that it meets. Without a
    /// token, the first that the route names. Where none has a name, the member of `require` that is not met.
    pub fn deciding_requirement(&self, decision: &Decision, metadata: &RequestMetadata) -> Option<AuditText> {
        let id = decision.route?;
        let route = self.routes.route(id)?;
        let requirement = RouteRequirement::of(route, id, metadata, self, &mut ()).ok()?;
        let name = match (decision.token(), decision.issuer, &decision.verdict) {
            (Some(token), Some(issuer), _) => {
                let token = TokenFacts { issuer, claims: token.claims() };
                match requirement.parts().find_map(|part| part.unmet_name(token)) {
                    Some(UnmetName::Leaf(member)) => return Some(AuditText::Fixed(member)),
                    Some(UnmetName::Requirement(name)) => Some(name),
                    None => requirement.parts().find_map(|part| part.met_name(token)),
                }
            }
            (None, _, Err(Denial::IssuerNotAccepted)) => return Some(AuditText::Fixed("issuers")),
            (None, _, Err(Denial::CredentialMissing { .. })) => {
                requirement.parts().find_map(|part| part.first_name())
            }
            _ => None,
        };
        name.map(AuditText::from)
    }
}
