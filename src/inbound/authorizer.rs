//! Walks one request through the checks of its route.

use std::rc::Rc;

use super::credential;
use super::decision::{Decision, Evaluation, Permit, Wait, Work};
use super::denial::Denial;
use super::mcp::Unrouted;
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
    AuthorityError, IssuerId, McpRules, Mode, Overridden, PathFeatures, RequestAuthority, RequestPath, Route,
    RouteId, TokenFacts,
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
        let Self { settings, verifier } = self;
        let work = Work { waited_for: request.waited_for, ..Work::default() };
        let base = match settings.find_route(request.head) {
            Ok(base) => base,
            // Nothing makes it report-only.
            Err(denial) => return decided(None, Mode::Enforce, None, work, Err(denial)),
        };
        let found = route_of(&base, settings, request, |parts| {
            let screened = screen(parts, settings, verifier, request, stores, context);
            // Without its body, it is held against the route by its headers.
            if let Some(route) = settings.routes.route(parts.1).filter(|_| screened.is_err()) {
                observer.passed(Step::Route(route));
            }
            screened
        });
        let (id, route) = match found {
            Ok(found) => found,
            Err(Early::NeedsBody) => return Evaluation::NeedsBody(settings.mcp.max_body),
            Err(Early::Denied { route, mode, issuer, denial }) => {
                return decided(Some(route), mode, issuer, work, Err(denial));
            }
        };
        let decided = |mode, issuer, work, verdict| decided(Some(id), mode, issuer, work, verdict);
        let denied = |denial| decided(route.mode, None, work, Err(denial));
        observer.passed(Step::Route(route));

        let requirement = match RouteRequirement::of(route, id, request.metadata, settings, observer) {
            Ok(requirement) => requirement,
            Err(denial) => return denied(denial),
        };
        observer.passed(Step::Headers);
        if requirement.is_public() || base.is_preflight {
            observer.passed(if base.is_preflight { Step::Preflight } else { Step::Public });
            return decided(route.mode, None, work, Ok(Permit::public()));
        }

        let presented = match credential::extract(request.head, &settings.sources) {
            Ok(Some(presented)) => presented,
            Ok(None) if requirement.admits_anonymous() => {
                observer.passed(Step::Anonymous);
                return decided(route.mode, None, work, Ok(Permit::anonymous()));
            }
            Ok(None) => return denied(Denial::CredentialMissing { scopes: requirement.scopes() }),
            Err(denial) => return denied(denial),
        };
        let mut inquiry = Inquiry { presented: &presented, requirement: &requirement, request, stores, work };
        let verified = verifier.verify(&mut inquiry, context, observer);
        let work = inquiry.work;
        match verified {
            Ok((issuer, token)) => match check_use(&token, issuer, &requirement, observer) {
                Ok(()) => {
                    let permit = Permit::for_token(token, presented.place());
                    decided(route.mode, Some(issuer), work, Ok(permit))
                }
                Err(denial) => {
                    // By its own mode, an issuer would open the routes that do not accept it.
                    let is_accepted = denial != Denial::IssuerNotAccepted;
                    let mode =
                        if is_accepted { settings.mode_once_signed(route, issuer) } else { route.mode };
                    let (route, issuer, verdict) = (Some(id), Some(issuer), Err(denial));
                    let token = Some(token);
                    Evaluation::Decided(Decision { route, mode, issuer, work, verdict, token })
                }
            },
            Err(Unverified::Denied(issuer, denial)) => decided(route.mode, issuer, work, Err(denial)),
            Err(Unverified::DeniedSigned(issuer, denial)) => {
                decided(settings.mode_once_signed(route, issuer), Some(issuer), work, Err(denial))
            }
            Err(Unverified::Wait(issuer, reason)) => {
                Evaluation::Wait(Wait { issuer, reason, route: id, mode: route.mode, work })
            }
        }
    }
}

/// Why a request is not held against the demands of a route.
enum Early {
    /// It is denied.
    Denied { route: RouteId, mode: Mode, issuer: Option<IssuerId>, denial: Denial },
    /// Its body has to come first.
    NeedsBody,
}

/// The route that a request is held against: the one that it matches, or, at an MCP endpoint, that of its message; if
/// nothing in its head denies it. `screen` looks at its token before a body is kept.
fn route_of<'s>(
    base: &FoundRoute<'s>,
    settings: &'s Settings,
    request: &Request<'_>,
    screen: impl FnOnce((&McpRules, RouteId)) -> Result<(), (Option<IssuerId>, Denial)>,
) -> Result<(RouteId, &'s Route), Early> {
    // By a fault of these, a request on a report-only route could be served as one on a route that is not.
    let rules = settings.routes.mcp(base.id);
    let strictest = rules.map_or(base.route.mode, McpRules::mode);
    let denied = |mode, denial| Early::Denied { route: base.id, mode, issuer: None, denial };
    // First of all: a denial that a report-only route lets through has these headers removed.
    if let Some(denial) = settings.denial_of_headers(request.head) {
        // By an override, a request on a report-only route could be served as one on a route that is not.
        let is_override = matches!(denial, Denial::MethodOverridden | Denial::PathOverridden);
        let is_report = !is_override && settings.reserved_headers != ReservedHeaders::DenyAlways;
        return Err(denied(if is_report { strictest } else { Mode::Enforce }, denial));
    }
    if let Some(feature) = base.features.first_not_in(base.route.allowed) {
        return Err(denied(strictest, Denial::PathAmbiguous { feature }));
    }
    let Some(rules) = rules.filter(|_| !base.is_preflight) else { return Ok((base.id, base.route)) };
    let found = match request.route {
        Some(found) => Ok(found),
        None => settings.mcp.route(rules, base.id, request.head),
    };
    match found {
        Ok(id) => {
            let none = || denied(strictest, Denial::Internal("a route that is not there"));
            settings.routes.route(id).map(|route| (id, route)).ok_or_else(none)
        }
        Err(Unrouted::Denied(denial)) => Err(denied(strictest, denial)),
        Err(Unrouted::NeedsBody(named)) => Err(match screen((rules, named)) {
            Ok(()) => Early::NeedsBody,
            Err((issuer, denial)) => Early::Denied { route: named, mode: strictest, issuer, denial },
        }),
    }
}

/// Denies a message before its body is kept: it brings no token, or one that no signature could make good, and
/// whatever route of these it meets needs one. `named` is the route by its headers.
fn screen(
    (rules, named): (&McpRules, RouteId),
    settings: &Settings,
    verifier: &mut Verifier,
    request: &Request<'_>,
    stores: &mut [KeyStore],
    context: &Context<'_>,
) -> Result<(), (Option<IssuerId>, Denial)> {
    let Some(route) = settings.routes.route(named).filter(|_| rules.demands_token()) else {
        return Ok(());
    };
    let denied = |denial| (None, denial);
    match credential::extract(request.head, &settings.sources).map_err(denied)? {
        Some(presented) => verifier.screen(&presented, stores, context.now),
        None => {
            let requirement = RouteRequirement::of(route, named, request.metadata, settings, &mut ());
            let scopes = requirement.map_err(denied)?.scopes();
            Err(denied(Denial::CredentialMissing { scopes }))
        }
    }
}

/// A decision about a request whose token, if it has one, is the permit's or has not been verified.
fn decided(
    route: Option<RouteId>,
    mode: Mode,
    issuer: Option<IssuerId>,
    work: Work,
    verdict: Result<Permit, Denial>,
) -> Evaluation {
    Evaluation::Decided(Decision { route, mode, issuer, work, verdict, token: None })
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
    requirement.check(TokenFacts { issuer, claims: token.claims() }, observer)
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

    /// Whether a denial of a token that this issuer has signed denies the request.
    pub(crate) fn mode_once_signed(&self, route: &Route, issuer: IssuerId) -> Mode {
        match route.mode {
            Mode::ReportOnly => Mode::ReportOnly,
            Mode::Enforce => self.issuers.get(issuer.place()).map_or(Mode::Enforce, |issuer| issuer.mode),
        }
    }

    fn sets(&self, name: &[u8]) -> bool {
        self.own_headers().any(|header| header.as_bytes() == name)
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
