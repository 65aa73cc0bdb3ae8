//! Every way to be denied. `challenge.rs` says what the client sees.

use core::time::Duration;
use std::rc::Rc;

use super::mcp_body::McpBodyError;
use super::mcp_headers::McpHeaderError;
use crate::claims::{AskedRule, ClaimError};
use crate::jose::{SignatureError, TokenError};
use crate::policy::{AmbiguousUri, AuthorityError, PathError, RouteMetadataError};

/// Why a request is denied. Closed, and without a byte of the client's in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Denial {
    /// The route needs a token and the request brings none.
    #[error("a bearer token is required")]
    CredentialMissing {
        /// What the route needs: a client learns from its first 401 what to ask the authorization server for.
        scopes: Rc<[Rc<str>]>,
    },
    /// More than one token, or one token in more than one place (RFC 6750 §2, §3.1).
    #[error("the request carries more than one token")]
    CredentialRepeated,
    /// What stands in the token's place is no `b64token` (RFC 6750 §2.1).
    #[error("the token is not well-formed")]
    CredentialMalformed,
    /// A header name that servers take for one of ours.
    #[error("the request carries a header that could be mistaken for a protected one")]
    HeaderLookalike,
    /// A header that we set ourselves, where something depends on Envoy's route: removing it could change the route.
    #[error("the request carries a protected header")]
    HeaderReserved,
    /// `Connection` names a header of ours: a server that heeds it would not see it (RFC 9110 §7.6.1).
    #[error("`connection` names a protected header")]
    HeaderHopByHop,
    /// There is no path that a route could match.
    #[error("{0}")]
    #[strum(serialize = "path_invalid")]
    Path(#[from] PathError),
    /// The method has a lower-case letter: it is another method to us and the same one to servers that do not look at
    /// case.
    #[error("the method is not in upper case")]
    #[strum(serialize = "method_invalid")]
    Method,
    /// The host is none, or in a spelling by which Envoy chooses another route.
    #[error("{0}")]
    #[strum(serialize = "authority_invalid")]
    Authority(#[from] AuthorityError),
    /// A header by which frameworks take another method than the one that is judged.
    #[error("the request carries a header that replaces its method")]
    MethodOverridden,
    /// The same for the path.
    #[error("the request carries a header that replaces its path")]
    PathOverridden,
    /// Servers disagree about what the path means.
    #[error("the path is ambiguous: {feature}")]
    PathAmbiguous {
        /// The name by which a route may allow it.
        feature: &'static str,
    },
    /// The headers of an MCP message do not say what it asks for.
    #[error("{0}")]
    #[strum(serialize = "mcp_headers_invalid")]
    McpHeaders(#[from] McpHeaderError),
    /// Nor does its body.
    #[error("{0}")]
    #[strum(serialize = "mcp_body_invalid")]
    McpBody(#[from] McpBodyError),
    /// They say different things.
    #[error("the headers of the MCP message do not say what its body says")]
    McpHeaderMismatch,
    /// It is of a version that has no such headers, and these are not accepted.
    #[error("the MCP message is of a version before 2026-07-28")]
    McpVersion,
    /// The resource that it asks for may be another to the server than to us.
    #[error("the MCP message names a resource by a URI that could be read as another")]
    McpUriAmbiguous,
    /// The body, which has to be read, is too large for that.
    #[error("the body is larger than {most} bytes")]
    BodyTooLarge {
        /// How large it may be.
        most: usize,
    },
    /// No route matches, and the default is `deny`.
    #[error("no route matches")]
    RouteUnknown,
    /// The route is `deny`.
    #[error("the route is closed")]
    RouteDenied,
    /// Envoy's route carries requirements that cannot be applied: the operator's fault, and no request gets through.
    #[error("the route's metadata cannot be applied")]
    RouteMetadata(#[from] RouteMetadataError),
    /// The token is no JWT that we read.
    #[error("{0}")]
    #[strum(transparent)]
    Token(#[from] TokenError),
    /// No configured issuer has the token's `iss`, nor the trust domain of its `sub`.
    #[error("the token's issuer is unknown")]
    IssuerUnknown,
    /// The token names an issuer that is not accepted on this route; nothing else of it has been looked at, or it was
    /// cached.
    #[error("the token's issuer is not accepted here")]
    IssuerNotAccepted,
    /// The claims break a rule of the issuer.
    #[error("{0}")]
    #[strum(transparent)]
    Claim(#[from] ClaimError),
    /// The issuer has no key that this token could be signed with.
    #[error("the token is signed with an unknown key")]
    KeyUnknown,
    /// The signature is not the key's.
    #[error("the signature is wrong")]
    #[strum(serialize = "signature_invalid")]
    Signature(SignatureError),
    /// Checks have failed so often lately that this token is not held against all keys that fit it: the worker's time
    /// belongs to clients that are known.
    #[error("too many signature checks have failed lately: {tried} of {keys} keys were tried")]
    ChecksLimited {
        /// How many keys did not verify it.
        tried: usize,
        /// How many could have.
        keys: usize,
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// The token lacks a scope.
    #[error("the token lacks a scope")]
    ScopeInsufficient {
        /// What the route needs.
        scopes: Rc<[Rc<str>]>,
    },
    /// The requirement asks for another audience than the token has. Without the audience that its issuer's rules ask
    /// for, a token does not get this far.
    #[error("the token's audience is not accepted here")]
    AudienceNotAccepted,
    /// The requirement is for other clients.
    #[error("the token's client is not accepted here")]
    ClientNotAccepted,
    /// The requirement is for other subjects.
    #[error("the token's subject is not accepted here")]
    SubjectNotAccepted,
    /// A claim is not what the requirement asks for.
    #[error("a claim of the token is not accepted here")]
    ClaimNotAccepted {
        /// What is asked, for the operator.
        rule: Rc<AskedRule>,
    },
    /// We have no keys to verify the token with: our failure, not the client's.
    #[error("the issuer's keys are not available")]
    KeysUnavailable {
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// Too many requests wait for keys already.
    #[error("too many requests are waiting for the issuer's keys")]
    WaitingFull {
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// As many streams as there may be are open that end with their token, and this one could not.
    #[error("too many streams are open")]
    StreamsFull {
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// A state that should not be; answered and counted, because a panic would take the VM.
    #[error("internal error")]
    Internal(&'static str),
}

impl Denial {
    /// The labels of what the operator has to mend.
    pub const OPERATORS: [&'static str; 2] = ["route_metadata", "internal"];
    /// The labels of what an issuer's trouble, or a flood, causes on each route.
    pub const NOT_AVAILABLE: [&'static str; 3] = ["keys_unavailable", "waiting_full", "checks_limited"];
    /// The label of the same where streams end with their token.
    pub const STREAMS_FULL: &'static str = "streams_full";

    /// Whether an issuer's mode covers this, where it is found of a token before its signature is checked. An issuer that
    /// a route does not accept is nothing to the route, and so is its mode.
    pub(super) fn may_follow_signature(&self) -> bool {
        match self {
            Self::Claim(error) => error.may_follow_signature(),
            Self::CredentialMissing { .. }
            | Self::CredentialRepeated
            | Self::CredentialMalformed
            | Self::HeaderLookalike
            | Self::HeaderReserved
            | Self::HeaderHopByHop
            | Self::Path(_)
            | Self::Method
            | Self::Authority(_)
            | Self::MethodOverridden
            | Self::PathOverridden
            | Self::PathAmbiguous { .. }
            | Self::McpHeaders(_)
            | Self::McpBody(_)
            | Self::McpHeaderMismatch
            | Self::McpVersion
            | Self::McpUriAmbiguous
            | Self::BodyTooLarge { .. }
            | Self::RouteUnknown
            | Self::RouteDenied
            | Self::RouteMetadata(_)
            | Self::Token(_)
            | Self::IssuerUnknown
            | Self::IssuerNotAccepted
            | Self::KeyUnknown
            | Self::Signature(_)
            | Self::ChecksLimited { .. }
            | Self::AudienceNotAccepted
            | Self::ClientNotAccepted
            | Self::SubjectNotAccepted
            | Self::ClaimNotAccepted { .. }
            | Self::ScopeInsufficient { .. }
            | Self::KeysUnavailable { .. }
            | Self::WaitingFull { .. }
            | Self::StreamsFull { .. }
            | Self::Internal(_) => false,
        }
    }

    /// A stable name for metrics, logs and access logs.
    pub fn label(&self) -> &'static str {
        self.into()
    }
}

impl From<AmbiguousUri> for Denial {
    fn from(AmbiguousUri: AmbiguousUri) -> Self {
        Self::McpUriAmbiguous
    }
}
