//! Walks one request through the checks of its route.

use std::rc::Rc;

use super::cache::TokenCache;
use super::credential;
use super::decision::{Decision, Evaluation, Permit, TriedKeys, Wait, Work};
use super::denial::Denial;
use super::observer::{Observer, Step};
use super::preflight;
use super::protected_headers::Violation;
use super::refused::RefusedTokens;
use super::settings::{Inbound, MetadataUse, Preflight, ReservedHeaders};
use super::trial::Trials;
use super::verifier::{self, Memory, Unverified};
use crate::base::{RequestHead, Timestamp};
use crate::claims::ScopeSet;
use crate::issuer::KeyStore;
use crate::jose::{Crypto, KnownHeaders};
use crate::policy::{
    AuthorityError, IssuerId, MetadataError, Mode, Overridden, RequestAuthority, RequestPath, Requirement,
    Route, RouteId, RouteMetadata, Rule, Unmet,
};

/// What a decision depends on besides the request and the settings.
pub struct Moment<'a> {
    /// The time.
    pub now: Timestamp,
    /// When the request came: keys that were fetched later than that settle what it waits for.
    pub arrived: Timestamp,
    /// The keys that have been tried for this request already, if it has waited.
    pub tried: Option<TriedKeys>,
    /// Checks signatures.
    pub crypto: &'a dyn Crypto,
    /// The keys of each issuer, in the order of the settings.
    pub stores: &'a mut [KeyStore],
}

/// Decides about requests. Owns what is remembered of earlier tokens, and nothing else that changes.
#[derive(Debug)]
pub struct Authorizer {
    settings: Rc<Inbound>,
    cache: Option<TokenCache>,
    unknown: RefusedTokens,
    headers: KnownHeaders,
    trials: Trials,
}

impl Authorizer {
    /// An authorizer that remembers nothing, and whose hashes are keyed by `seed`.
    pub fn new(settings: Rc<Inbound>, seed: [u8; 16]) -> Self {
        let issuers = settings.issuers.len();
        let cache = settings.cache.map(|cache| TokenCache::new(cache, issuers, seed));
        Self {
            settings,
            cache,
            unknown: RefusedTokens::new(seed),
            headers: KnownHeaders::default(),
            trials: Trials::new(issuers, seed),
        }
    }

    /// The cache, unless it is off.
    pub fn cache(&self) -> Option<&TokenCache> {
        self.cache.as_ref()
    }

    /// Decides about a request, or says what the decision has to wait for.
    pub fn authorize(
        &mut self,
        head: &RequestHead,
        moment: &mut Moment<'_>,
        observer: &mut (impl Observer + ?Sized),
    ) -> Evaluation {
        let settings = Rc::clone(&self.settings);
        let field = |name| head.headers.first(name).unwrap_or_default();
        let path = match RequestPath::parse(field(":path")) {
            Ok(path) => path,
            Err(error) => return Evaluation::Decided(Decision::without_route(error.into())),
        };
        let is_preflight = settings.preflight == Preflight::Forward && preflight::is_preflight(head);
        let method = if is_preflight { preflight::requested_method(head) } else { field(":method") };
        if method.iter().any(u8::is_ascii_lowercase) {
            return Evaluation::Decided(Decision::without_route(Denial::Method));
        }
        let authority = match settings.authority(field(":authority")) {
            Ok(authority) => authority,
            Err(error) => return Evaluation::Decided(Decision::without_route(error.into())),
        };
        let id = settings.routes.find(authority.as_ref(), &path, method);
        let Some(route) = settings.routes.route(id) else {
            return Evaluation::Decided(Decision::without_route(Denial::Internal(
                "a route that is not there",
            )));
        };
        let mut work = Work::default();
        let decided = |issuer, work, verdict| {
            Evaluation::Decided(Decision { route: Some(id), mode: route.mode, issuer, work, verdict })
        };
        // First of all: a denial that a report-only route lets through has these headers removed.
        if let Some(denial) = settings.denial_of_headers(head) {
            // By an override, a request on a report-only route could be served as one on a route that is not.
            let is_override = matches!(denial, Denial::MethodOverridden | Denial::PathOverridden);
            let is_report = !is_override && settings.reserved_headers != ReservedHeaders::DenyAlways;
            let mode = if is_report { route.mode } else { Mode::Enforce };
            return Evaluation::Decided(Decision {
                route: Some(id),
                mode,
                issuer: None,
                work,
                verdict: Err(denial),
            });
        }
        if let Some(feature) = path.features().first_not_in(route.allowed) {
            return decided(None, work, Err(Denial::PathAmbiguous { feature }));
        }
        observer.passed(Step::Route(route));

        let demands = match Demands::of(route, id, head, &settings, observer) {
            Ok(demands) => demands,
            Err(denial) => return decided(None, work, Err(denial)),
        };
        observer.passed(Step::Headers);
        if demands.is_public() || is_preflight {
            observer.passed(if is_preflight { Step::Preflight } else { Step::Public });
            return decided(None, work, Ok(Permit::public()));
        }

        let presented = match credential::extract(head, &settings.sources) {
            Ok(Some(presented)) => presented,
            Ok(None) => return decided(None, work, Err(Denial::CredentialMissing)),
            Err(denial) => return decided(None, work, Err(denial)),
        };
        let accepts = |issuer| demands.accept(issuer);
        let memory = Memory {
            cache: self.cache.as_mut(),
            unknown: &mut self.unknown,
            headers: &mut self.headers,
            trials: &mut self.trials,
        };
        match verifier::verify(&presented, &settings, accepts, memory, moment, &mut work, observer) {
            Ok((issuer, token)) => {
                let verdict = demands.check(issuer, token.scopes(), observer);
                decided(Some(issuer), work, verdict.map(|()| Permit::for_token(token)))
            }
            Err(Unverified::Denied(issuer, denial)) => decided(issuer, work, Err(denial)),
            Err(Unverified::Wait(issuer, reason, tried)) => {
                Evaluation::Wait(Wait { issuer, reason, route: id, mode: route.mode, tried, work })
            }
        }
    }
}

impl From<Overridden> for Denial {
    fn from(overridden: Overridden) -> Self {
        match overridden {
            Overridden::Method => Self::MethodOverridden,
            Overridden::Path => Self::PathOverridden,
        }
    }
}

impl Decision {
    /// A denial of a request that had no path, no method, or no authority, to look a route up by. Nothing makes it report-only.
    fn without_route(denial: Denial) -> Self {
        Self { route: None, mode: Mode::Enforce, issuer: None, work: Work::default(), verdict: Err(denial) }
    }
}

/// What the table demands, and Envoy's virtual host and route, together.
struct Demands<'a> {
    table: Option<&'a Requirement>,
    metadata: Vec<Requirement>,
}

impl<'a> Demands<'a> {
    /// Reads both. A denial where no token could help.
    fn of(
        route: &'a Route,
        id: RouteId,
        head: &RequestHead,
        settings: &Inbound,
        observer: &mut (impl Observer + ?Sized),
    ) -> Result<Self, Denial> {
        let written = || [&head.virtual_host_metadata, &head.route_metadata].into_iter().flatten();
        let metadata = match settings.route_metadata {
            MetadataUse::Ignore => Vec::new(),
            // What it says may not be for this half.
            MetadataUse::Deny if written().all(|bytes| RouteMetadata::parse(bytes) == Ok(None)) => Vec::new(),
            MetadataUse::Deny => return Err(MetadataError::NotConfigured.into()),
            MetadataUse::Read => {
                let parsed = written().map(|bytes| RouteMetadata::parse(bytes));
                let metadata = parsed.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
                metadata.iter().for_each(|metadata| observer.passed(Step::RouteMetadata(metadata)));
                metadata
            }
        };
        let table = match &route.rule {
            Rule::Public => None,
            Rule::Require(requirement) => Some(&**requirement),
            // Where the table is silent, Envoy's route alone says what is needed.
            Rule::Deny if id == settings.routes.default_id() && !metadata.is_empty() => None,
            Rule::Deny if id == settings.routes.default_id() => return Err(Denial::RouteUnknown),
            Rule::Deny => return Err(Denial::RouteDenied),
        };
        let names_issuers = table.is_some() || metadata.iter().any(|metadata| metadata.issuers.is_some());
        let requirement = |metadata| settings.requirement_of(metadata, names_issuers);
        let metadata = metadata.into_iter().map(requirement).collect::<Result<_, _>>()?;
        Ok(Self { table, metadata })
    }

    fn accept(&self, issuer: IssuerId) -> bool {
        self.table.into_iter().chain(&self.metadata).all(|requirement| requirement.issuers.contains(&issuer))
    }

    fn is_public(&self) -> bool {
        self.table.is_none() && self.metadata.is_empty()
    }

    fn check(
        &self,
        issuer: IssuerId,
        scopes: &ScopeSet,
        observer: &mut (impl Observer + ?Sized),
    ) -> Result<(), Denial> {
        let all = || self.table.into_iter().chain(&self.metadata);
        for requirement in all() {
            requirement.check(issuer, scopes).map_err(|unmet| match unmet {
                Unmet::Issuer => Denial::IssuerNotAccepted,
                Unmet::Scope => {
                    let mut needed: Vec<Rc<str>> = all().flat_map(Requirement::scopes).cloned().collect();
                    needed.sort_unstable();
                    needed.dedup();
                    Denial::ScopeInsufficient { scopes: needed.into() }
                }
            })?;
            observer.passed(Step::Requirement(requirement));
        }
        Ok(())
    }
}

impl Inbound {
    /// What a request's headers are denied for, whatever its token says.
    fn denial_of_headers(&self, head: &RequestHead) -> Option<Denial> {
        head.headers.fields(self.watched).find_map(|(name, value)| {
            // By a header that we remove or replace, a client could pick the route by which it is judged, and be served by another.
            if self.reserved_headers != ReservedHeaders::Replace && self.sets(name) {
                return Some(Denial::HeaderReserved);
            }
            match self.protected.violation(name, value) {
                Some(Violation::Lookalike) => Some(Denial::HeaderLookalike),
                Some(Violation::HopByHop) => Some(Denial::HeaderHopByHop),
                None => self.overrides.overridden(name, &head.headers).map(Denial::from),
            }
        })
    }

    fn sets(&self, name: &[u8]) -> bool {
        self.forwarded_claims.iter().any(|forwarded| forwarded.header.as_bytes() == name)
    }

    /// Reads an authority, where one could lead to another rule: by a route of the table, or by Envoy's.
    fn authority<'a>(&self, authority: &'a [u8]) -> Result<Option<RequestAuthority<'a>>, AuthorityError> {
        match self.route_metadata {
            MetadataUse::Read => RequestAuthority::parse_plain(authority).map(Some),
            MetadataUse::Deny | MetadataUse::Ignore if self.routes.names_authorities() => {
                RequestAuthority::parse(authority).map(Some)
            }
            MetadataUse::Deny | MetadataUse::Ignore => Ok(None),
        }
    }

    /// Names become places; a list that is missing means the only issuer, or those that something else names.
    fn requirement_of(
        &self,
        metadata: RouteMetadata,
        names_issuers: bool,
    ) -> Result<Requirement, MetadataError> {
        let everyone = || (0..self.issuers.len()).filter_map(IssuerId::at);
        let issuers: Rc<[IssuerId]> = match &metadata.issuers {
            None if names_issuers || self.issuers.len() == 1 => everyone().collect(),
            None => return Err(MetadataError::BadIssuers),
            Some(names) => {
                let place = |name: &Rc<str>| {
                    let index = self.issuers.iter().position(|issuer| issuer.name == *name)?;
                    IssuerId::at(index)
                };
                let places: Option<Vec<IssuerId>> = names.iter().map(place).collect();
                places.ok_or(MetadataError::BadIssuers)?.into()
            }
        };
        Ok(Requirement { issuers, all_of: metadata.scopes, any_of: metadata.any_scope })
    }
}
