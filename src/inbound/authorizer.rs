//! Walks one request through the checks of its route.

use std::rc::Rc;

use super::cache::TokenCache;
use super::credential;
use super::decision::{Decision, Evaluation, Permit, TriedKeys, Wait, Work};
use super::denial::Denial;
use super::denied_tokens::DeniedTokens;
use super::observer::{Observer, Step};
use super::preflight;
use super::protected_headers::Violation;
use super::route_requirement::RouteRequirement;
use super::settings::{MetadataUse, Preflight, ReservedHeaders, Settings};
use super::trial::Trials;
use super::verifier::{self, Memory, Unverified};
use crate::base::{RequestHead, Timestamp};
use crate::issuer::KeyStore;
use crate::jose::{Crypto, KnownHeaders};
use crate::policy::{AuthorityError, Mode, Overridden, RequestAuthority, RequestPath, TokenFacts};

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
    settings: Rc<Settings>,
    cache: Option<TokenCache>,
    unknown: DeniedTokens,
    headers: KnownHeaders,
    trials: Trials,
}

impl Authorizer {
    /// An authorizer that remembers nothing, and whose hashes are keyed by `seed`.
    pub fn new(settings: Rc<Settings>, seed: [u8; 16]) -> Self {
        let issuers = settings.issuers.len();
        let cache = settings.cache.map(|cache| TokenCache::new(cache, issuers, seed));
        Self {
            settings,
            cache,
            unknown: DeniedTokens::new(seed),
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

        let requirement = match RouteRequirement::of(route, id, head, &settings, observer) {
            Ok(requirement) => requirement,
            Err(denial) => return decided(None, work, Err(denial)),
        };
        observer.passed(Step::Headers);
        if requirement.is_public() || is_preflight {
            observer.passed(if is_preflight { Step::Preflight } else { Step::Public });
            return decided(None, work, Ok(Permit::public()));
        }

        let presented = match credential::extract(head, &settings.sources) {
            Ok(Some(presented)) => presented,
            Ok(None) => return decided(None, work, Err(Denial::CredentialMissing)),
            Err(denial) => return decided(None, work, Err(denial)),
        };
        let accepts = |issuer| requirement.accepts(issuer);
        let memory = Memory {
            cache: self.cache.as_mut(),
            unknown: &mut self.unknown,
            headers: &mut self.headers,
            trials: &mut self.trials,
        };
        match verifier::verify(&presented, &settings, accepts, memory, moment, &mut work, observer) {
            Ok((issuer, token)) => {
                let facts = TokenFacts { issuer, scopes: token.scopes() };
                let verdict = requirement.check(facts, observer);
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
    /// A denial of a request that had no path, no method, or no authority, to look a route up by. Nothing makes it
    /// report-only.
    fn without_route(denial: Denial) -> Self {
        Self { route: None, mode: Mode::Enforce, issuer: None, work: Work::default(), verdict: Err(denial) }
    }
}

impl Settings {
    /// What a request's headers are denied for, whatever its token says.
    fn denial_of_headers(&self, head: &RequestHead) -> Option<Denial> {
        head.headers.fields(self.watched).find_map(|(name, value)| {
            // By a header that we remove or replace, a client could pick the route by which it is judged, and be served
            // by another.
            if self.forged_headers != ReservedHeaders::Replace && self.sets(name) {
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
}
