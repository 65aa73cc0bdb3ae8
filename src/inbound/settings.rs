//! What the inbound half is told, compiled. Immutable.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::cache::CacheSettings;
use super::issuer_index::IssuerIndex;
use super::mcp::McpSettings;
use super::protected_headers::ProtectedHeaders;
use super::resource::Resource;
use crate::base::{NameFilter, WaitingBounds};
use crate::claims::{ForwardedClaim, Rules};
use crate::issuer::KeySource;
use crate::policy::{Mode, NamedRequirement, Overrides, RouteTable};

/// The settings of the inbound half.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may issue tokens; at least one. A [`crate::policy::IssuerId`] is a place in this list.
    pub issuers: Vec<Issuer>,
    /// Finds a token's.
    pub issuer_index: IssuerIndex,
    /// Where a token may sit.
    pub sources: Vec<TokenSource>,
    /// Whether the upstream sees the token.
    pub after_verification: AfterVerification,
    /// The claims that the upstream gets as headers.
    pub forwarded_claims: Rc<[ForwardedClaim]>,
    /// The header in which it gets all of them: the token's payload as it came, which is base64url.
    pub payload_header: Option<Rc<str>>,
    /// The header that tells it why a request would have been denied that a report-only mode lets through.
    pub report_header: Option<Rc<str>>,
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
    /// The requirements that have names: Envoy's own routes may name them.
    pub requirements: BTreeMap<Rc<str>, Rc<NamedRequirement>>,
    /// Bounds for the streams that end with their token; `None` where none does.
    pub streams: Option<StreamSettings>,
    /// How the messages of MCP endpoints are judged, where routes ask for some.
    pub mcp: McpSettings,
    /// What each route demands.
    pub routes: RouteTable,
    /// Which decisions the host's access logs are told of.
    pub filter_state: FilterState,
    /// What else is written there, for other filters.
    pub facts: Rc<[Fact]>,
    /// Which decisions are timed.
    pub timing: Timing,
    /// Shown as a gauge.
    pub version: u64,
}

impl Settings {
    /// The headers that we set, and remove from each request that carries them.
    pub fn own_headers(&self) -> impl Iterator<Item = &Rc<str>> {
        let claims = self.forwarded_claims.iter().map(|forwarded| &forwarded.header);
        claims.chain(&self.payload_header).chain(&self.report_header)
    }

    /// Whether requests may have to wait for their bodies.
    pub fn reads_bodies(&self) -> bool {
        self.routes.has_mcp() && self.mcp.reads_bodies()
    }
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
    /// Whether a denial of a token denies the request that presents it, once its signature has been checked.
    pub mode: Mode,
}

impl Issuer {
    /// Whose metadata leads to its keys, where some does.
    pub fn metadata_issuer(&self) -> &str {
        let discovered = self.keys.iter().find_map(|source| match source {
            KeySource::Discovery(discovery) => Some(&*discovery.metadata.issuer),
            KeySource::Inline(_) | KeySource::Jwks(_) => None,
        });
        discovered.unwrap_or(self.rules.issuer.as_str())
    }
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

/// Which decisions are timed. Each costs another look at the host's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// As many as a histogram is worth: few of those about known tokens.
    #[default]
    Sampled,
    /// All.
    Every,
}

/// A fact that can be written into filter state, under `wasm.attache.<its name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", prefix = "attache.")]
pub enum Fact {
    /// The client that the verified token names.
    Client,
    /// The issuer's name and the client, with a slash between them: two issuers may have clients of one name.
    Principal,
    /// The name of the verified token's issuer.
    Issuer,
    /// `sub` of the verified token.
    Subject,
    /// The scopes of the verified token, with spaces between them.
    Scopes,
    /// The name of the route that decided.
    Route,
    /// `permit`, `deny` or `report`.
    Outcome,
    /// A denial's label, or `ok`.
    Reason,
}

impl Fact {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Client,
        Self::Principal,
        Self::Issuer,
        Self::Subject,
        Self::Scopes,
        Self::Route,
        Self::Outcome,
        Self::Reason,
    ];

    /// Its key, which the host writes `wasm.` before.
    pub fn key(self) -> &'static str {
        self.into()
    }

    /// Its name in the configuration.
    pub fn word(self) -> &'static str {
        let key = self.key();
        key.strip_prefix("attache.").unwrap_or(key)
    }
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
    /// An error of JSON-RPC 2.0 §5, as clients of MCP read it.
    JsonRpc,
}

/// How much a denial tells the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All that RFC 6750 provides.
    Full,
    /// The status and a bare challenge.
    Terse,
}

/// The bounds of the streams that end with their token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// The most that are open at once, at least 1.
    pub max: usize,
    /// What becomes of one more.
    pub beyond: StreamsBeyond,
}

/// What becomes of a request for whose stream there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamsBeyond {
    /// It is denied.
    Deny,
    /// It is forwarded, and its stream may outlive its token.
    Forward,
}

/// What becomes of a CORS preflight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preflight {
    /// It is a request like any other.
    Authorize,
    /// It needs no token where the route that it asks about is not denied.
    Forward,
}
