//! The audit record: what only the filter knows of a request, one filter-state string for each field that the
//! configuration lists, for Envoy's access logs. Derived from decisions, and nothing is decided by it.

use std::rc::Rc;

use crate::base::{AuditEntry, AuditText, RequestHead, request_id};
use crate::claims::{AskedAudit, AuditedNames};
use crate::inbound::{self, CacheResult, Decision, Request};
use crate::issuer::KeyStore;
use crate::outbound::{InjectedToken, InjectionOutcome};

/// A field of the record. Its key in filter state is `wasm.attache.audit.<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", prefix = "attache.audit.")]
pub enum AuditField {
    /// `permit`, `deny`, `report`, `end` or `resource_metadata`.
    Outcome,
    /// A denial's label, `ok` or `anonymous`.
    Reason,
    /// The name of the route that decided.
    Route,
    /// The route's label `api`.
    Api,
    /// The requirement that decided.
    Requirement,
    /// The name of the issuer that the token names. Where the token is denied before its signature is checked, that is
    /// the token's word alone.
    Issuer,
    /// The client that the verified token names.
    Client,
    /// `sub` of the verified token, or a digest of it.
    Subject,
    /// `jti` of the verified token, or a digest of the token.
    TokenId,
    /// The scopes that were needed, where scopes are missing.
    ScopesNeeded,
    /// Those that the token lacks.
    ScopesMissing,
    /// The route's path pattern.
    PathTemplate,
    /// The name of the key that verified the token.
    KeyId,
    /// What checked its signature for this request.
    Engine,
    /// `cached`, `checked` or `waited`.
    Work,
    /// How long the decision took, in microseconds, waiting included.
    DurationUs,
    /// The request's `x-request-id`.
    RequestId,
    /// What the outbound half did: the label of its metric.
    OutboundOutcome,
    /// The client whose token the request got, or was to get.
    OutboundClient,
    /// The cluster that the token was for.
    OutboundDestination,
    /// How old that token was.
    OutboundTokenAgeS,
    /// Whether the request had been sent before with a token of ours.
    OutboundRetried,
}

/// The fields that the configuration lists, in its order; none where it has no block `audit`.
#[derive(Clone, Debug, Default)]
pub struct AuditSettings {
    /// Those that the inbound half fills in.
    pub inbound: Box<[AuditField]>,
    /// Those that the outbound half fills in.
    pub outbound: Box<[AuditField]>,
    /// What is asked of tokens for them.
    pub asked: AskedAudit,
    /// Whether token requests, purges and changes of circuit breakers are recorded in the log.
    pub token_events: bool,
}

/// What the inbound half knows of a request that it has decided about.
#[derive(Clone, Copy, Debug)]
pub struct InboundAudit<'a> {
    /// What it is configured to do.
    pub settings: &'a inbound::Settings,
    /// The issuers' keys.
    pub stores: &'a [KeyStore],
    /// The request.
    pub request: &'a Request<'a>,
    /// The decision.
    pub decision: &'a Decision,
}

/// What the outbound half knows of a request that it has decided about.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutboundAudit<'a> {
    /// What became of it; `None` of a call of our own.
    pub outcome: Option<InjectionOutcome>,
    /// The client, if one is known.
    pub client: Option<&'a Rc<str>>,
    /// The cluster, if it is one of the client's destinations.
    pub destination: Option<&'a Rc<str>>,
    /// The token that it got.
    pub token: Option<InjectedToken>,
}

impl AuditField {
    /// All of them, those of the inbound half first.
    pub const ALL: [Self; 22] = [
        Self::Outcome,
        Self::Reason,
        Self::Route,
        Self::Api,
        Self::Requirement,
        Self::Issuer,
        Self::Client,
        Self::Subject,
        Self::TokenId,
        Self::ScopesNeeded,
        Self::ScopesMissing,
        Self::PathTemplate,
        Self::KeyId,
        Self::Engine,
        Self::Work,
        Self::DurationUs,
        Self::RequestId,
        Self::OutboundOutcome,
        Self::OutboundClient,
        Self::OutboundDestination,
        Self::OutboundTokenAgeS,
        Self::OutboundRetried,
    ];

    /// Its key, which the host writes `wasm.` before.
    pub fn key(self) -> &'static str {
        self.into()
    }

    /// Its name in the configuration.
    pub fn word(self) -> &'static str {
        let key = self.key();
        key.strip_prefix("attache.audit.").unwrap_or(key)
    }

    /// Whether the outbound half fills it in.
    pub fn is_outbound(self) -> bool {
        match self {
            Self::OutboundOutcome
            | Self::OutboundClient
            | Self::OutboundDestination
            | Self::OutboundTokenAgeS
            | Self::OutboundRetried => true,
            Self::Outcome
            | Self::Reason
            | Self::Route
            | Self::Api
            | Self::Requirement
            | Self::Issuer
            | Self::Client
            | Self::Subject
            | Self::TokenId
            | Self::ScopesNeeded
            | Self::ScopesMissing
            | Self::PathTemplate
            | Self::KeyId
            | Self::Engine
            | Self::Work
            | Self::DurationUs
            | Self::RequestId => false,
        }
    }
}

impl AuditField {
    /// Whether the end of a stream writes it again.
    pub fn changes_at_end(self) -> bool {
        matches!(self, Self::Outcome | Self::Reason)
    }
}

impl AuditSettings {
    /// The fields, in the order of the configuration.
    pub fn fields(&self) -> impl Iterator<Item = AuditField> {
        self.inbound.iter().chain(&self.outbound).copied()
    }

    /// Whether the record has this field.
    pub fn has(&self, field: AuditField) -> bool {
        self.fields().any(|other| other == field)
    }

    /// The record of a decision. Each field is there, and empty where there is nothing to say: what another module has
    /// written does not stay. Those of the outbound half are empty, until it has its turn.
    pub fn of_decision(&self, audit: &InboundAudit<'_>) -> Vec<AuditEntry> {
        self.record(|field| audit.text(field))
    }

    /// The record of a request for the resource's metadata, which is answered without a decision.
    pub fn of_resource_metadata(&self, head: &RequestHead) -> Vec<AuditEntry> {
        self.record(|field| {
            if field == AuditField::Outcome {
                return Some(AuditText::Fixed("resource_metadata"));
            }
            request_id(head).filter(|_| field == AuditField::RequestId).map(word)
        })
    }

    /// What changes when a stream is ended because its token has expired.
    pub fn of_end(&self) -> Vec<AuditEntry> {
        let words = [(AuditField::Outcome, "end"), (AuditField::Reason, "expired")];
        let listed = words.into_iter().filter(|(field, _)| self.has(*field));
        listed.map(|(field, word)| (field.key(), AuditText::Fixed(word))).collect()
    }

    /// Fills in the fields of the outbound half.
    pub fn add_outbound(&self, record: &mut Vec<AuditEntry>, audit: &OutboundAudit<'_>) {
        record.truncate(self.inbound.len());
        let entry = |field: &AuditField| (field.key(), audit.text(*field).unwrap_or(AuditText::EMPTY));
        record.extend(self.outbound.iter().map(entry));
    }

    fn record(&self, text: impl Fn(AuditField) -> Option<AuditText>) -> Vec<AuditEntry> {
        // Without fields, nothing is allocated.
        self.fields().map(|field| (field.key(), text(field).unwrap_or(AuditText::EMPTY))).collect()
    }
}

impl InboundAudit<'_> {
    fn text(&self, field: AuditField) -> Option<AuditText> {
        let Self { settings, decision, request, .. } = *self;
        let route = || settings.routes.route(decision.route?);
        let verified = || decision.token();
        let text = match field {
            AuditField::Outcome => AuditText::Fixed(decision.outcome().label()),
            AuditField::Reason => AuditText::Fixed(decision.reason()),
            AuditField::Route => (&route()?.name).into(),
            AuditField::Api => route()?.audit.api.as_ref()?.into(),
            AuditField::PathTemplate => AuditText::of(route()?.audit.path_template.as_ref()?),
            AuditField::Requirement => settings.deciding_requirement(decision, request.metadata)?,
            AuditField::Issuer => (&settings.issuers.get(decision.issuer?.place())?.name).into(),
            AuditField::Client => AuditText::of(verified()?.client()?),
            AuditField::Subject => self.names()?.subject.clone(),
            AuditField::TokenId => self.names()?.token.clone(),
            AuditField::ScopesNeeded => joined(decision.scopes_needed().iter()),
            AuditField::ScopesMissing => joined(decision.scopes_missing()),
            AuditField::KeyId => self.key_id()?,
            AuditField::Engine => AuditText::Fixed(decision.work.signatures?.0.label()),
            AuditField::Work => AuditText::Fixed(self.work()?),
            AuditField::DurationUs => word(&decision.work.taken?.as_micros().to_string()),
            AuditField::RequestId => word(request_id(request.head)?),
            AuditField::OutboundOutcome
            | AuditField::OutboundClient
            | AuditField::OutboundDestination
            | AuditField::OutboundTokenAgeS
            | AuditField::OutboundRetried => return None,
        };
        Some(text)
    }

    fn names(&self) -> Option<&AuditedNames> {
        self.decision.token()?.audited()
    }

    fn key_id(&self) -> Option<AuditText> {
        let (token, issuer) = (self.decision.token()?, self.decision.issuer?);
        let keys = self.stores.get(issuer.place())?.keys()?;
        let key = keys.iter().find(|key| key.id() == *token.key())?;
        key.kid().map(AuditText::of)
    }

    fn work(&self) -> Option<&'static str> {
        let work = self.decision.work;
        match (work.waited_for, work.cache, work.signatures) {
            (Some(_), _, _) => Some("waited"),
            (None, Some(CacheResult::Hit), _) => Some("cached"),
            (None, Some(CacheResult::Miss) | None, Some(_)) => Some("checked"),
            (None, Some(CacheResult::Miss) | None, None) => None,
        }
    }
}

impl OutboundAudit<'_> {
    fn text(&self, field: AuditField) -> Option<AuditText> {
        let text = match field {
            AuditField::OutboundOutcome => AuditText::Fixed(self.outcome?.label()),
            AuditField::OutboundClient => self.client?.into(),
            AuditField::OutboundDestination => AuditText::of(self.destination?),
            AuditField::OutboundTokenAgeS => AuditText::of(&self.token?.age.as_secs().to_string()),
            AuditField::OutboundRetried => {
                AuditText::Fixed(if self.token?.is_retry { "true" } else { "false" })
            }
            AuditField::Outcome
            | AuditField::Reason
            | AuditField::Route
            | AuditField::Api
            | AuditField::Requirement
            | AuditField::Issuer
            | AuditField::Client
            | AuditField::Subject
            | AuditField::TokenId
            | AuditField::ScopesNeeded
            | AuditField::ScopesMissing
            | AuditField::PathTemplate
            | AuditField::KeyId
            | AuditField::Engine
            | AuditField::Work
            | AuditField::DurationUs
            | AuditField::RequestId => return None,
        };
        Some(text)
    }
}

/// What is one word of visible ASCII already.
fn word(text: &str) -> AuditText {
    AuditText::Shared(text.into())
}

pub(super) fn joined<'a>(scopes: impl Iterator<Item = &'a Rc<str>>) -> AuditText {
    let mut text = String::new();
    for scope in scopes {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(scope);
    }
    AuditText::of(&text)
}
