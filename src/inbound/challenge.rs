//! What a refused caller sees: one exhaustive match from [`Denial`] to status and error code (RFC 6750 §3.1), and the
//! response built from it.

use core::time::Duration;
use std::rc::Rc;

use super::denial::Denial;
use super::settings::{Detail, Inbound, RefusalBody};
use crate::base::Response;

/// How a denial goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// 401 without an error code: the request brought no credential.
    Unauthenticated,
    /// 400 `invalid_request`.
    InvalidRequest,
    /// 401 `invalid_token`.
    InvalidToken,
    /// 403 `insufficient_scope`.
    InsufficientScope(Rc<[Rc<str>]>),
    /// 403 without a challenge: no token would help.
    Forbidden,
    /// 503: ask again.
    Unavailable(Duration),
    /// 500.
    Internal,
}

impl From<&Denial> for Refusal {
    fn from(denial: &Denial) -> Self {
        match denial {
            Denial::CredentialMissing => Self::Unauthenticated,
            Denial::CredentialRepeated
            | Denial::CredentialMalformed
            | Denial::HeaderLookalike
            | Denial::HeaderReserved
            | Denial::HeaderHopByHop
            | Denial::Path(_)
            | Denial::Method
            | Denial::Authority(_)
            | Denial::MethodOverridden
            | Denial::PathOverridden
            | Denial::PathAmbiguous { .. } => Self::InvalidRequest,
            Denial::RouteUnknown | Denial::RouteDenied | Denial::RouteMetadata(_) => Self::Forbidden,
            Denial::Token(_)
            | Denial::IssuerUnknown
            | Denial::IssuerNotAccepted
            | Denial::Claim(_)
            | Denial::KeyUnknown
            | Denial::Signature(_) => Self::InvalidToken,
            Denial::ScopeInsufficient { scopes } => Self::InsufficientScope(Rc::clone(scopes)),
            Denial::KeysUnavailable { retry_after }
            | Denial::WaitingFull { retry_after }
            | Denial::ChecksLimited { retry_after, .. } => Self::Unavailable(*retry_after),
            Denial::Internal(_) => Self::Internal,
        }
    }
}

impl Refusal {
    const fn status(&self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Unauthenticated | Self::InvalidToken => 401,
            Self::InsufficientScope(_) | Self::Forbidden => 403,
            Self::Internal => 500,
            Self::Unavailable(_) => 503,
        }
    }

    /// The code for gRPC callers: the standard mapping of the HTTP status, but INVALID_ARGUMENT for 400, which it makes INTERNAL.
    const fn grpc_status(&self) -> u32 {
        match self {
            Self::InvalidRequest => 3,
            Self::Unauthenticated | Self::InvalidToken => 16,
            Self::InsufficientScope(_) | Self::Forbidden => 7,
            Self::Internal => 13,
            Self::Unavailable(_) => 14,
        }
    }

    const fn error(&self) -> Option<&'static str> {
        match self {
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope(_) => Some("insufficient_scope"),
            Self::Unauthenticated | Self::Forbidden | Self::Unavailable(_) | Self::Internal => None,
        }
    }

    const fn has_challenge(&self) -> bool {
        self.error().is_some() || matches!(self, Self::Unauthenticated)
    }

    const fn title(&self) -> &'static str {
        match self {
            Self::InvalidRequest => "Bad Request",
            Self::Unauthenticated | Self::InvalidToken => "Unauthorized",
            Self::InsufficientScope(_) | Self::Forbidden => "Forbidden",
            Self::Internal => "Internal Server Error",
            Self::Unavailable(_) => "Service Unavailable",
        }
    }
}

impl Inbound {
    /// The response to a denied request.
    pub fn refuse(&self, denial: &Denial) -> Response {
        let refusal = Refusal::from(denial);
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        if refusal.has_challenge() {
            headers.push(("www-authenticate", self.challenge(&refusal, denial)));
        }
        if let Refusal::Unavailable(retry_after) = refusal {
            // Whole seconds, rounded up, at least one (RFC 9110 §10.2.3): zero would ask for a storm.
            let secs = retry_after.as_secs().saturating_add(u64::from(retry_after.subsec_nanos() > 0)).max(1);
            headers.push(("retry-after", secs.to_string()));
        }
        let mut body = String::new();
        if self.denials.detail == Detail::Full && self.denials.body == RefusalBody::ProblemJson {
            headers.push(("content-type", "application/problem+json".to_owned()));
            body = serde_json::json!({
                "type": "about:blank",
                "title": refusal.title(),
                "status": refusal.status(),
                "detail": denial.to_string(),
                "reason": denial.label(),
            })
            .to_string();
        }
        Response {
            status: refusal.status(),
            details: denial.label(),
            headers,
            body,
            grpc_status: Some(refusal.grpc_status()),
        }
    }

    /// RFC 6750 §3: a quoted string each. Nothing of the client's is in them: texts come from [`Denial`], the rest from the
    /// configuration, which admits no quotes and no backslashes.
    fn challenge(&self, refusal: &Refusal, denial: &Denial) -> String {
        if self.denials.detail == Detail::Terse {
            return "Bearer".to_owned();
        }
        let mut challenge = String::with_capacity(COMMON_CHALLENGE);
        challenge.push_str("Bearer");
        let mut separator = " ";
        let mut add = |name: &str, value: &str| {
            challenge.extend([separator, name, "=\"", value, "\""]);
            separator = ", ";
        };
        if let Some(realm) = &self.denials.realm {
            add("realm", realm);
        }
        if let Some(error) = refusal.error() {
            add("error", error);
            add("error_description", &described(denial));
        }
        if let Refusal::InsufficientScope(scopes) = refusal {
            add("scope", &scopes.join(" "));
        }
        if let Some(resource) = &self.resource {
            add("resource_metadata", resource.metadata_url());
        }
        challenge
    }
}

/// The denial's text without the characters that `error_description` may not hold (RFC 6750 §3).
fn described(denial: &Denial) -> String {
    let mut text = denial.to_string();
    text.retain(|c| matches!(c, ' ' | '!' | '#'..='[' | ']'..='~'));
    text
}

/// A realm, an error with its description, a scope and the resource's metadata take about this much.
const COMMON_CHALLENGE: usize = 256;
