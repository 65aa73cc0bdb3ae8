//! What a route requires of a token: the requirement of the table, and those of Envoy's virtual host and route. All of
//! them must be met.

use std::rc::Rc;

use super::denial::Denial;
use super::observer::{Observer, Step};
use super::settings::{MetadataUse, Settings};
use crate::policy::{
    IssuerId, Leaf, MetadataDemand, Need, RequestMetadata, Requirement, Route, RouteId, RouteMetadataError,
    Rule, TokenFacts,
};

/// All of a route's requirements. None at all: the route is public.
pub(super) struct RouteRequirement<'a> {
    table: Option<&'a Requirement>,
    metadata: Vec<Requirement>,
    is_optional: bool,
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
        // Most requests bring none.
        let demands =
            if metadata.is_empty() { Vec::new() } else { settings.demands_of(metadata, observer)? };
        let table = match &route.rule {
            Rule::Public => None,
            Rule::Require(requirement) | Rule::Optional(requirement) => Some(&**requirement),
            // Where the table is silent, Envoy's route alone says what is needed.
            Rule::Deny if id == settings.routes.default_id() && !demands.is_empty() => None,
            Rule::Deny if id == settings.routes.default_id() => return Err(Denial::RouteUnknown),
            Rule::Deny => return Err(Denial::RouteDenied),
        };
        let is_optional = matches!(route.rule, Rule::Optional(_));
        if demands.is_empty() {
            return Ok(Self { table, metadata: Vec::new(), is_optional });
        }
        let metadata: Vec<Requirement> =
            demands.into_iter().map(|demand| settings.requirement_of(demand)).collect::<Result<_, _>>()?;
        let names_issuers =
            settings.issuers.len() == 1 || table.is_some() || metadata.iter().any(Requirement::names_issuers);
        if !names_issuers {
            return Err(RouteMetadataError::BadIssuers.into());
        }
        Ok(Self { table, metadata, is_optional })
    }

    /// Whether no token is needed.
    pub(super) fn is_public(&self) -> bool {
        self.table.is_none() && self.metadata.is_empty()
    }

    /// Whether a request without a token gets through: what Envoy's route demands, it demands of every request.
    pub(super) fn admits_anonymous(&self) -> bool {
        self.is_optional && self.metadata.is_empty()
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
                return Err(self.denial(token));
            }
            observer.passed(Step::Requirement(requirement));
        }
        Ok(())
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &Requirement> {
        self.table.into_iter().chain(&self.metadata)
    }

    /// The scopes are named that are good for all of it, if they are all that is missing.
    fn denial(&self, token: TokenFacts<'_>) -> Denial {
        let need = self.need(Some(token));
        match need.lacks {
            Some(Leaf::Issuer(_)) => Denial::IssuerNotAccepted,
            Some(Leaf::Audience(_)) => Denial::AudienceNotAccepted,
            Some(Leaf::Client(_)) => Denial::ClientNotAccepted,
            Some(Leaf::Subject(_)) => Denial::SubjectNotAccepted,
            Some(Leaf::Claim(rule)) => Denial::ClaimNotAccepted { rule: Rc::clone(rule) },
            Some(Leaf::Scope(_) | Leaf::AnyScope(_)) | None => {
                Denial::ScopeInsufficient { scopes: sorted(need.scopes) }
            }
        }
    }

    /// The scopes to name to a client that has no token, sorted, each once.
    pub(super) fn scopes(&self) -> Rc<[Rc<str>]> {
        sorted(self.need(None).scopes)
    }

    fn need(&self, token: Option<TokenFacts<'_>>) -> Need<'_> {
        self.parts().map(|requirement| requirement.need(token)).fold(Need::default(), Need::and)
    }
}

fn sorted(mut scopes: Vec<&Rc<str>>) -> Rc<[Rc<str>]> {
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into_iter().cloned().collect()
}

impl Settings {
    /// What the metadata of Envoy's virtual host and route demands, where it counts.
    fn demands_of<'m>(
        &self,
        metadata: &'m RequestMetadata,
        observer: &mut (impl Observer + ?Sized),
    ) -> Result<Vec<&'m MetadataDemand>, RouteMetadataError> {
        let demands: Vec<_> = match self.route_metadata {
            MetadataUse::Ignore => Vec::new(),
            // What it says may not be for this half.
            MetadataUse::Deny if metadata.demands().next().is_none() => Vec::new(),
            MetadataUse::Deny => return Err(RouteMetadataError::NotConfigured),
            MetadataUse::Read => metadata.demands().collect::<Result<_, _>>()?,
        };
        demands.iter().for_each(|demand| observer.passed(Step::RouteMetadata(demand)));
        Ok(demands)
    }

    /// Names become places. Issuers that are not named are those that something else names.
    fn requirement_of(&self, demand: &MetadataDemand) -> Result<Requirement, RouteMetadataError> {
        let issuers = demand.issuers.as_ref().map(|names| {
            let place = |name: &Rc<str>| {
                let index = self.issuers.iter().position(|issuer| issuer.name == *name)?;
                IssuerId::at(index)
            };
            names.iter().map(place).collect::<Option<Rc<[IssuerId]>>>().ok_or(RouteMetadataError::BadIssuers)
        });
        let issuers = issuers.transpose()?.map(|issuers| Requirement::Leaf(Leaf::Issuer(issuers)));
        let named = demand.requirements.iter().map(|name| {
            let named = self.requirements.get(name).ok_or(RouteMetadataError::BadRequirements)?;
            Ok(Requirement::Named(Rc::clone(named)))
        });
        let named: Vec<Requirement> = named.collect::<Result<_, RouteMetadataError>>()?;
        let scopes = Requirement::of_scopes(demand.scopes.clone(), demand.any_scope.clone());
        Ok(Requirement::All(issuers.into_iter().chain(named).chain(scopes).collect()))
    }
}
