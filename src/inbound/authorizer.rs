//! Walks one request through the checks of its route.

use std::rc::Rc;

use super::credential;
use super::decision::{Decision, Evaluation, Permit, Wait, Work};
use super::denial::Denial;
use super::observer::{Observer, Step};
use super::preflight;
use super::protected_headers::Violation;
use super::request::Request;
use super::route_requirement::RouteRequirement;
use super::settings::{MetadataUse, Preflight, ReservedHeaders, Settings};
use super::verifier::{Inquiry, Unverified, Verifier};
use crate::base::RequestHead;
use crate::claims::VerifiedToken;
use crate::issuer::KeyStore;
use crate::policy::{
    AuthorityError, IssuerId, Mode, Overridden, PathFeatures, RequestAuthority, RequestPath, Route, RouteId,
    TokenFacts,
};
use crate::sharing::Context;

/// Decides about requests. Owns what is remembered of earlier tokens, and nothing else that changes.
#[derive(Debug)]
pub struct Authorizer {
    settings: Rc<Settings>,
    verifier: Verifier,
}

/// The route that a request matches.
struct FoundRoute<'a> {
    id: RouteId,
    route: &'a Route,
    features: PathFeatures,
    is_preflight: bool,
}

impl Authorizer {
    /// An authorizer that remembers nothing, and whose hashes are keyed by `seed`.
    pub fn new(settings: Rc<Settings>, seed: [u8; 16]) -> Self {
        Self { verifier: Verifier::new(Rc::clone(&settings), seed), settings }
    }

    /// Decides about a request, or says what the decision has to wait for. `stores` are the issuers', in the order of
    /// the settings.
    pub fn authorize(
        &mut self,
        request: &Request<'_>,
        stores: &mut [KeyStore],
        context: &Context<'_>,
        observer: &mut (impl Observer + ?Sized),
    ) -> Evaluation {
        let settings = Rc::clone(&self.settings);
        let head = request.head;
        let work = Work { waited_for: request.waited_for, ..Work::default() };
        let FoundRoute { id, route, features, is_preflight } = match settings.find_route(head) {
            Ok(found) => found,
            // Nothing makes it report-only.
            Err(denial) => {
                let (mode, verdict) = (Mode::Enforce, Err(denial));
                return Evaluation::Decided(Decision { route: None, mode, issuer: None, work, verdict });
            }
        };
        let decided = |mode, issuer, work, verdict| {
            Evaluation::Decided(Decision { route: Some(id), mode, issuer, work, verdict })
        };
        // First of all: a denial that a report-only route lets through has these headers removed.
        if let Some(denial) = settings.denial_of_headers(head) {
            // By an override, a request on a report-only route could be served as one on a route that is not.
            let is_override = matches!(denial, Denial::MethodOverridden | Denial::PathOverridden);
            let is_report = !is_override && settings.reserved_headers != ReservedHeaders::DenyAlways;
            let mode = if is_report { route.mode } else { Mode::Enforce };
            return decided(mode, None, work, Err(denial));
        }
        let denied = |denial| decided(route.mode, None, work, Err(denial));
        if let Some(feature) = features.first_not_in(route.allowed) {
            return denied(Denial::PathAmbiguous { feature });
        }
        observer.passed(Step::Route(route));

        let requirement = match RouteRequirement::of(route, id, request.metadata, &settings, observer) {
            Ok(requirement) => requirement,
            Err(denial) => return denied(denial),
        };
        observer.passed(Step::Headers);
        if requirement.is_public() || is_preflight {
            observer.passed(if is_preflight { Step::Preflight } else { Step::Public });
            return decided(route.mode, None, work, Ok(Permit::public()));
        }

        let presented = match credential::extract(head, &settings.sources) {
            Ok(Some(presented)) => presented,
            Ok(None) => return denied(Denial::CredentialMissing { scopes: requirement.scopes() }),
            Err(denial) => return denied(denial),
        };
        let mut inquiry = Inquiry { presented: &presented, requirement: &requirement, request, stores, work };
        let verified = self.verifier.verify(&mut inquiry, context, observer);
        let work = inquiry.work;
        match verified {
            Ok((issuer, token)) => {
                let verdict = check_use(&token, issuer, &requirement, observer);
                decided(
                    route.mode,
                    Some(issuer),
                    work,
                    verdict.map(|()| Permit::for_token(token, presented.place())),
                )
            }
            Err(Unverified::Denied(issuer, denial)) => decided(route.mode, issuer, work, Err(denial)),
            Err(Unverified::Wait(issuer, reason)) => {
                Evaluation::Wait(Wait { issuer, reason, route: id, mode: route.mode, work })
            }
        }
    }
}

/// What a verified token is held against each time that it is used, whether it has been verified just now or before.
/// Tokens that are bound to a connection or to a key of the client (RFC 8705 §3, RFC 9449 §7) are to be held against it
/// here, before the requirement: nothing of it can be remembered with the token.
fn check_use(
    token: &VerifiedToken,
    issuer: IssuerId,
    requirement: &RouteRequirement<'_>,
    observer: &mut (impl Observer + ?Sized),
) -> Result<(), Denial> {
    requirement.check(TokenFacts { issuer, scopes: token.scopes() }, observer)
}

impl From<Overridden> for Denial {
    fn from(overridden: Overridden) -> Self {
        match overridden {
            Overridden::Method => Self::MethodOverridden,
            Overridden::Path => Self::PathOverridden,
        }
    }
}

impl Settings {
    /// Finds the route that a request matches; a preflight's is the route of the request that it asks about.
    fn find_route(&self, head: &RequestHead) -> Result<FoundRoute<'_>, Denial> {
        let field = |name| head.headers.first(name).unwrap_or_default();
        let path = RequestPath::parse(field(":path"))?;
        let is_preflight = self.preflight == Preflight::Forward && preflight::is_preflight(head);
        let method = if is_preflight { preflight::requested_method(head) } else { field(":method") };
        if method.iter().any(u8::is_ascii_lowercase) {
            return Err(Denial::Method);
        }
        let authority = self.authority(head)?;
        let id = self.routes.find(authority.as_ref(), &path, method);
        let route = self.routes.route(id).ok_or(Denial::Internal("a route that is not there"))?;
        Ok(FoundRoute { id, route, features: path.features(), is_preflight })
    }

    /// What a request's headers are denied for, whatever its token says.
    fn denial_of_headers(&self, head: &RequestHead) -> Option<Denial> {
        head.headers.fields(self.watched).find_map(|(name, value)| {
            // By a header that we remove or replace, a client could pick the route by which it is judged, and be served
            // by another.
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

    /// Reads a request's authority, where one could lead to another rule: by a route of the table, or by Envoy's.
    fn authority<'a>(&self, head: &'a RequestHead) -> Result<Option<RequestAuthority<'a>>, AuthorityError> {
        let written = || head.headers.first(":authority").unwrap_or_default();
        match self.route_metadata {
            MetadataUse::Read => RequestAuthority::parse_plain(written()).map(Some),
            MetadataUse::Deny | MetadataUse::Ignore if self.routes.names_authorities() => {
                RequestAuthority::parse(written()).map(Some)
            }
            MetadataUse::Deny | MetadataUse::Ignore => Ok(None),
        }
    }
}
