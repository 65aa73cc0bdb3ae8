use core::time::Duration;
use std::rc::Rc;

use super::denial::Denial;
use super::settings::TokenPlace;
use crate::claims::VerifiedToken;
use crate::jose::Engine;
use crate::policy::{IssuerId, Mode, RouteId};

/// What is to become of a request, and why: the one record from which metrics, log lines and filter state are derived.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The route that decided; `None` when the request had no path to look one up by.
    pub route: Option<RouteId>,
    /// Whether a denial denies the request.
    pub mode: Mode,
    /// The token's issuer, once it is known to be configured.
    pub issuer: Option<IssuerId>,
    /// What it took.
    pub work: Work,
    /// The verdict.
    pub verdict: Result<Permit, Denial>,
}

/// What became of a request, by its verdict and its route's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecisionOutcome {
    /// It is forwarded.
    Permit,
    /// It is answered here.
    Deny,
    /// It is forwarded, and would be denied if its route's mode were not report-only.
    Report,
}

/// The leave to forward a request. Made only by the authorizer, when every check has passed.
#[derive(Clone, Debug)]
pub struct Permit {
    token: Option<(Rc<VerifiedToken>, TokenPlace)>,
}

/// What a decision took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// What the request has waited for, if it has.
    pub waited_for: Option<WaitReason>,
    /// Whether the cache knew the token; `None` when it was not asked.
    pub cache: Option<CacheResult>,
    /// How many signatures were checked, and by which engine.
    pub signatures: Option<(Engine, u32)>,
    /// What those checks cost that came to nothing, by an estimate: none where a key verified the token in the end.
    pub failed_checks: Duration,
}

/// What a look into the cache of verified tokens comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheResult {
    /// The token is there, and may be used.
    Hit,
    /// It has to be verified.
    Miss,
}

/// A decision, or what it has to wait for.
#[derive(Clone, Debug)]
pub enum Evaluation {
    /// Decided.
    Decided(Decision),
    /// Undecided until something comes.
    Wait(Wait),
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Something of this issuer's.
    pub issuer: IssuerId,
    /// What, and why.
    pub reason: WaitReason,
    /// The route that will decide.
    pub route: RouteId,
    /// Its mode.
    pub mode: Mode,
    /// What it took so far.
    pub work: Work,
}

/// The keys that a token has been held against in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriedKeys {
    /// The keys of this generation of the issuer's.
    pub generation: u64,
    /// Of them, those of the name that the token gives, and not those that any token is held against.
    pub named: bool,
}

/// Why a request waits. Each reason has a waiting list of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// The issuer's keys have never been fetched.
    FirstKeys,
    /// No key of the set verifies the token, and a newer set may: its key id is unknown, or it names none. These keys
    /// need not be tried again.
    UnknownKey(TriedKeys),
}

impl Decision {
    /// What became of the request.
    pub fn outcome(&self) -> DecisionOutcome {
        match (&self.verdict, self.mode) {
            (Ok(_), Mode::Enforce | Mode::ReportOnly) => DecisionOutcome::Permit,
            (Err(_), Mode::Enforce) => DecisionOutcome::Deny,
            (Err(_), Mode::ReportOnly) => DecisionOutcome::Report,
        }
    }

    /// Why: a denial's label, or `ok`.
    pub fn reason(&self) -> &'static str {
        self.verdict.as_ref().map_or_else(Denial::label, |_| "ok")
    }
}

impl DecisionOutcome {
    /// A stable name for metrics and access logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
            Self::Report => "report",
        }
    }
}

impl CacheResult {
    /// A stable name for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
        }
    }
}

impl Permit {
    pub(super) fn public() -> Self {
        Self { token: None }
    }

    pub(super) fn for_token(token: Rc<VerifiedToken>, place: TokenPlace) -> Self {
        Self { token: Some((token, place)) }
    }

    /// The token that earned it; `None` on a public route.
    pub fn token(&self) -> Option<&VerifiedToken> {
        self.token.as_ref().map(|(token, _)| &**token)
    }

    /// Where that token sits in the request.
    pub fn token_place(&self) -> Option<TokenPlace> {
        self.token.as_ref().map(|(_, place)| *place)
    }
}
