//! What a route requires of a token: the requirement of the table, and those of Envoy's virtual host and route. All of
//! them must be met.

use std::rc::Rc;

use super::denial::Denial;
use super::observer::{Observer, Step};
use super::settings::{MetadataUse, Settings};
use crate::policy::{
    IssuerId, Leaf, MetadataDemand, RequestMetadata, Requirement, Route, RouteId, RouteMetadataError, Rule,
    TokenFacts,
};

/// All of a route's requirements. None at all: the route is public.
pub(super) struct RouteRequirement<'a> {
    table: Option<&'a Requirement>,
    metadata: Vec<Requirement>,
}

impl<'a> RouteRequirement<'a> {
    /// Joins them. A denial where no token could help.
    pub(super) fn of(
        route: &'a Route,
        id: RouteId,
        metadata: &RequestMetadata,
        settings: &Settings,
        observer: &mut (impl Observer + ?Sized),
    ) -> Result<Self, Denial> {
        let demands: Vec<_> = match settings.route_metadata {
            _ if metadata.is_empty() => Vec::new(),
            MetadataUse::Ignore => Vec::new(),
            // What it says may not be for this half.
            MetadataUse::Deny if metadata.demands().next().is_none() => Vec::new(),
            MetadataUse::Deny => return Err(RouteMetadataError::NotConfigured.into()),
            MetadataUse::Read => metadata.demands().collect::<Result<_, _>>()?,
        };
        demands.iter().for_each(|demand| observer.passed(Step::RouteMetadata(demand)));
        let table = match &route.rule {
            Rule::Public => None,
            Rule::Require(requirement) => Some(&**requirement),
            // Where the table is silent, Envoy's route alone says what is needed.
            Rule::Deny if id == settings.routes.default_id() && !demands.is_empty() => None,
            Rule::Deny if id == settings.routes.default_id() => return Err(Denial::RouteUnknown),
            Rule::Deny => return Err(Denial::RouteDenied),
        };
        let names_issuers = table.is_some() || demands.iter().any(|demand| demand.issuers.is_some());
        let requirement = |demand| settings.requirement_of(demand, names_issuers);
        let metadata = demands.into_iter().map(requirement).collect::<Result<_, _>>()?;
        Ok(Self { table, metadata })
    }

    /// Whether no token is needed.
    pub(super) fn is_public(&self) -> bool {
        self.table.is_none() && self.metadata.is_empty()
    }

    /// Whether a token of this issuer could be good enough.
    pub(super) fn accepts(&self, issuer: IssuerId) -> bool {
        self.parts().all(|requirement| requirement.accepts(issuer))
    }

    /// Holds a verified token against all of it.
    pub(super) fn check(
        &self,
        token: TokenFacts<'_>,
        observer: &mut (impl Observer + ?Sized),
    ) -> Result<(), Denial> {
        for requirement in self.parts() {
            if !requirement.is_met(token) {
                return Err(self.denial(&requirement.unmet(token)));
            }
            observer.passed(Step::Requirement(requirement));
        }
        Ok(())
    }

    fn parts(&self) -> impl Iterator<Item = &Requirement> {
        self.table.into_iter().chain(&self.metadata)
    }

    /// No scope makes up for another issuer. Else the scopes are named that are good for all of it.
    fn denial(&self, unmet: &[&Leaf]) -> Denial {
        if unmet.iter().any(|leaf| matches!(leaf, Leaf::Issuer(_))) {
            return Denial::IssuerNotAccepted;
        }
        Denial::ScopeInsufficient { scopes: self.scopes() }
    }

    /// The scopes to name in a challenge, sorted, each once.
    pub(super) fn scopes(&self) -> Rc<[Rc<str>]> {
        let mut needed: Vec<Rc<str>> = self.parts().flat_map(Requirement::scopes).cloned().collect();
        needed.sort_unstable();
        needed.dedup();
        needed.into()
    }
}

impl Settings {
    /// Names become places; a list that is missing means the only issuer, or those that something else names.
    fn requirement_of(
        &self,
        demand: &MetadataDemand,
        names_issuers: bool,
    ) -> Result<Requirement, RouteMetadataError> {
        let everyone = || (0..self.issuers.len()).filter_map(IssuerId::at);
        let issuers: Rc<[IssuerId]> = match &demand.issuers {
            None if names_issuers || self.issuers.len() == 1 => everyone().collect(),
            None => return Err(RouteMetadataError::BadIssuers),
            Some(names) => {
                let place = |name: &Rc<str>| {
                    let index = self.issuers.iter().position(|issuer| issuer.name == *name)?;
                    IssuerId::at(index)
                };
                let places: Option<Vec<IssuerId>> = names.iter().map(place).collect();
                places.ok_or(RouteMetadataError::BadIssuers)?.into()
            }
        };
        Ok(Requirement::new(issuers, demand.scopes.clone(), demand.any_scope.clone()))
    }
}
