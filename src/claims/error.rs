use core::time::Duration;

use crate::base::Timestamp;
use crate::claims::ClaimPath;
use crate::jose::Algorithm;

/// Why the claims (or the header) of a token are not good enough for its issuer's rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ClaimError {
    /// The rules need a claim that the token lacks.
    #[error("the claim `{claim}` is missing")]
    #[strum(serialize = "claim_missing")]
    Missing {
        /// The claim's name, from the rules.
        claim: &'static str,
    },
    /// The issuer's `required_claims` name a claim that the token lacks.
    #[error("the claim `{claim}` is missing")]
    #[strum(serialize = "claim_missing")]
    RequiredMissing {
        /// The claim, as the configuration has it.
        claim: ClaimPath,
    },
    /// A claim is of a type that RFC 7519 does not give it.
    #[error("the claim `{claim}` is malformed")]
    #[strum(serialize = "claim_malformed")]
    Malformed {
        /// The claim's name, from the rules.
        claim: &'static str,
    },
    /// A claim that scopes are read from is neither a string nor a list of strings.
    #[error("a scope claim is malformed")]
    #[strum(serialize = "scope_malformed")]
    MalformedScope,
    /// More scopes than are looked at.
    #[error("the token carries more than {max} scopes")]
    TooManyScopes {
        /// The most that are accepted.
        max: usize,
    },
    /// `iss` is not the issuer whose rules are applied.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// `tid` is not the tenant that `iss` names.
    #[error("the token's tenant is not its issuer's")]
    WrongTenant,
    /// None of the configured audiences is in `aud`.
    #[error("the token is for another audience")]
    WrongAudience,
    /// The header's `typ` is not the configured one (RFC 9068 §4), or none of a JWT-SVID.
    #[error("the token is not of type {expected}")]
    WrongType {
        /// The type that is wanted.
        expected: &'static str,
    },
    /// The header's algorithm is not on the issuer's list (RFC 8725 §3.1).
    #[error("the algorithm {} is not allowed for this issuer", algorithm.name())]
    AlgorithmNotAllowed {
        /// What the token says.
        algorithm: Algorithm,
    },
    /// `exp` has come, the allowed clock skew included.
    #[error("the token expired")]
    Expired {
        /// When it did.
        exp: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// `nbf` has not come, the allowed clock skew included.
    #[error("the token is not valid yet")]
    NotYetValid {
        /// When it will be.
        nbf: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// `iat` lies in the future, the allowed clock skew included.
    #[error("the token was issued in the future")]
    IssuedInFuture {
        /// When it says that it was issued.
        iat: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// `exp` − `iat` is more than the issuer's tokens may live.
    #[error("the token's lifetime is longer than {} s", max.as_secs())]
    LifetimeTooLong {
        /// How long the token says that it lives.
        lifetime: Duration,
        /// The most that the rules allow.
        max: Duration,
    },
}

impl ClaimError {
    /// A stable name for metrics and logs.
    pub fn label(&self) -> &'static str {
        self.into()
    }

    /// Whether this may be found of a token that its issuer has signed. The algorithm is a part of the signature, and
    /// `iss` says whose it would be.
    pub const fn may_follow_signature(&self) -> bool {
        match self {
            Self::WrongIssuer | Self::WrongTenant | Self::AlgorithmNotAllowed { .. } => false,
            Self::Missing { .. }
            | Self::RequiredMissing { .. }
            | Self::Malformed { .. }
            | Self::MalformedScope
            | Self::TooManyScopes { .. }
            | Self::WrongAudience
            | Self::WrongType { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::IssuedInFuture { .. }
            | Self::LifetimeTooLong { .. } => true,
        }
    }
}
