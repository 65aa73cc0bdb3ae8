use core::time::Duration;
use std::rc::Rc;

use super::denial::Denial;
use super::settings::TokenPlace;
use crate::claims::VerifiedToken;
use crate::jose::Engine;
use crate::policy::{IssuerId, Mode, Principal, RouteId};

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
    /// The token that was verified, and is not good enough.
    pub(super) token: Option<Rc<VerifiedToken>>,
}

/// What became of a request, by its verdict and its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecisionOutcome {
    /// It is forwarded.
    Permit,
    /// It is answered here.
    Deny,
    /// It is forwarded, and would be denied if the mode were not report-only.
    Report,
}

/// The leave to forward a request. Made only by the authorizer, when every check has passed.
#[derive(Clone, Debug)]
pub struct Permit(Ground);

/// What a request is let through for.
#[derive(Clone, Debug)]
enum Ground {
    /// Nothing is demanded of it.
    Public,
    /// Its route takes requests without a token.
    Anonymous,
    /// Its token.
    Token(Rc<VerifiedToken>, TokenPlace),
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
    /// How long it took, waiting included, where that was measured.
    pub taken: Option<Duration>,
}

/// How a decision about a token came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkPath {
    /// The cache knew the token.
    Known,
    /// The token was read, and its signature checked if it came to that.
    New,
    /// The request waited for keys.
    Waited,
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
    /// Undecided until the body has come: so many bytes at most.
    NeedsBody(usize),
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

impl Work {
    /// How the decision came about; `None` where no token was looked at.
    pub fn path(self) -> Option<WorkPath> {
        match (self.waited_for, self.cache, self.signatures) {
            (Some(_), _, _) => Some(WorkPath::Waited),
            (None, Some(CacheResult::Hit), _) => Some(WorkPath::Known),
            (None, Some(CacheResult::Miss), _) | (None, None, Some(_)) => Some(WorkPath::New),
            (None, None, None) => None,
        }
    }
}

impl WorkPath {
    /// A stable name for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::New => "new",
            Self::Waited => "waited",
        }
    }
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

    /// A decision about a request that waited in vain for the keys of its token's issuer, or could not wait.
    pub fn without_keys(wait: Wait, waited_for: Option<WaitReason>, denial: Denial) -> Self {
        Self {
            route: Some(wait.route),
            mode: wait.mode,
            issuer: Some(wait.issuer),
            work: Work { waited_for, ..Work::default() },
            verdict: Err(denial),
            token: None,
        }
    }

    /// The token, if it has been verified, whether it is good enough or not.
    pub fn token(&self) -> Option<&VerifiedToken> {
        self.verdict.as_ref().map_or(self.token.as_deref(), Permit::token)
    }

    /// Denies what is permitted; whose token it is stays known.
    pub fn revoke(&mut self, denial: Denial) {
        if let Ok(Permit(Ground::Token(token, _))) = core::mem::replace(&mut self.verdict, Err(denial)) {
            self.token = Some(token);
        }
    }

    /// Why: a denial's label, `ok`, or `anonymous` where a token was asked for and none was needed.
    pub fn reason(&self) -> &'static str {
        match &self.verdict {
            Ok(Permit(Ground::Public | Ground::Token(..))) => "ok",
            Ok(Permit(Ground::Anonymous)) => "anonymous",
            Err(denial) => denial.label(),
        }
    }

    /// Who is calling, as far as a token says so that every check has passed.
    pub fn principal(&self) -> Option<Principal<'_>> {
        let token = self.verdict.as_ref().ok()?.token()?;
        Some(Principal { issuer: self.issuer?, client: token.client() })
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
        Self(Ground::Public)
    }

    pub(super) fn anonymous() -> Self {
        Self(Ground::Anonymous)
    }

    pub(super) fn for_token(token: Rc<VerifiedToken>, place: TokenPlace) -> Self {
        Self(Ground::Token(token, place))
    }

    /// The token that earned it; `None` on a public route, and of a request without one.
    pub fn token(&self) -> Option<&VerifiedToken> {
        match &self.0 {
            Ground::Token(token, _) => Some(token),
            Ground::Public | Ground::Anonymous => None,
        }
    }

    /// Where that token sits in the request.
    pub fn token_place(&self) -> Option<TokenPlace> {
        match &self.0 {
            Ground::Token(_, place) => Some(*place),
            Ground::Public | Ground::Anonymous => None,
        }
    }
}
