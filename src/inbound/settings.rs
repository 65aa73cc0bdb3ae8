//! What the inbound half is told, compiled. Immutable.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::cache::CacheSettings;
use super::protected_headers::ProtectedHeaders;
use super::resource::Resource;
use crate::base::{NameFilter, WaitingBounds};
use crate::claims::{ForwardedClaim, Rules};
use crate::issuer::KeySource;
use crate::policy::{IssuerId, Overrides, RouteTable};

/// The settings of the inbound half.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may issue tokens; at least one. A [`crate::policy::IssuerId`] is a place in this list.
    pub issuers: Vec<Issuer>,
    /// Their places by `iss`: a request finds its issuer as fast among a thousand as among ten.
    pub issuer_places: BTreeMap<Rc<str>, IssuerId>,
    /// Where a token may sit.
    pub sources: Vec<TokenSource>,
    /// Whether the upstream sees the token.
    pub after_verification: AfterVerification,
    /// The claims that the upstream gets as headers.
    pub forwarded_claims: Rc<[ForwardedClaim]>,
    /// What becomes of a request that carries one of these headers.
    pub reserved_headers: ReservedHeaders,
    /// The names that no request may imitate, nor name away.
    pub protected: ProtectedHeaders,
    /// The headers by which a rule could be escaped.
    pub overrides: Overrides,
    /// The names that `protected` and `overrides` look at.
    pub watched: NameFilter,
    /// The protected resource (RFC 9728), if it is named.
    pub resource: Option<Resource>,
    /// How a denial looks.
    pub denials: DenialSettings,
    /// What becomes of a CORS preflight.
    pub preflight: Preflight,
    /// What requirements on Envoy's own routes count for.
    pub route_metadata: MetadataUse,
    /// Bounds for the requests that wait for keys.
    pub waiting: WaitingBounds,
    /// Bounds for the verified tokens that are kept; `None` keeps none.
    pub cache: Option<CacheSettings>,
    /// What each route demands.
    pub routes: RouteTable,
    /// Which decisions the host's access logs are told of.
    pub filter_state: FilterState,
    /// Shown as a gauge.
    pub version: u64,
}

/// One issuer of tokens.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name in routes, metrics and logs, `[a-z0-9_-]{1,64}`.
    pub name: Rc<str>,
    /// What its tokens must say.
    pub rules: Rules,
    /// Where its keys come from; at least one.
    pub keys: Vec<KeySource>,
}

/// A place in a request where a token may sit. The body is none (RFC 6750 §2.2 is not supported).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A header field: with a scheme (`Bearer`, compared without case), or its whole value.
    Header {
        /// The field's name, lower case.
        name: Rc<str>,
        /// The scheme before the token.
        scheme: Option<Rc<str>>,
    },
    /// A query parameter (RFC 6750 §2.3).
    Query {
        /// The parameter's name, decoded.
        name: Rc<str>,
    },
    /// A cookie.
    Cookie {
        /// The cookie's name.
        name: Rc<str>,
    },
}

/// Where a request's token sits: a place in the list of [`Settings::sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPlace(pub(super) usize);

/// Whether the upstream sees the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterVerification {
    /// It does.
    Forward,
    /// It is removed from wherever it sat.
    Strip,
}

/// What becomes of a request that carries a header which we set. Removing or replacing it makes Envoy choose the route
/// again, and another route than before, if routes match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservedHeaders {
    /// The header is removed or replaced.
    Replace,
    /// The request is denied, as its route's mode has it: what it has to bring may depend on Envoy's route.
    Deny,
    /// The request is denied whatever the mode: a token of ours goes where Envoy's route leads.
    DenyAlways,
}

/// What requirements on Envoy's own routes count for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataUse {
    /// They add to the table's. No request may then carry a header that we set: removing it could change Envoy's route.
    Read,
    /// The configuration does not say: a route that carries some is closed, so that they are not lost unnoticed.
    Deny,
    /// They are not looked at.
    Ignore,
}

/// Which decisions are written into filter state, where access logs can read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterState {
    /// Denials, those of report-only routes included.
    Denials,
    /// Permits too: on them it costs as much as the rest of the decision.
    All,
}

/// How a denial looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenialSettings {
    /// The `realm` of challenges.
    pub realm: Option<Rc<str>>,
    /// The body.
    pub body: DenialBody,
    /// How much is told.
    pub detail: Detail,
}

/// The body of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialBody {
    /// None.
    None,
    /// RFC 9457.
    ProblemJson,
}

/// How much a denial tells the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All that RFC 6750 provides.
    Full,
    /// The status and a bare challenge.
    Terse,
}

/// What becomes of a CORS preflight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preflight {
    /// It is a request like any other.
    Authorize,
    /// It needs no token where the route that it asks about is not denied.
    Forward,
}
