//! What a denied client sees: one exhaustive match from [`Denial`] to status and error code (RFC 6750 §3.1), and the
//! response with its challenges built from it.

use core::time::Duration;
use std::borrow::Cow;
use std::rc::Rc;

use super::denial::Denial;
use super::settings::{DenialBody, Detail, Settings};
use crate::base::Response;
use crate::policy::Requirement;

/// How a denial goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DenialClass {
    /// 401 without an error code: the request brought no credential.
    Unauthenticated(Rc<[Rc<str>]>),
    /// 400 `invalid_request`.
    InvalidRequest,
    /// 401 `invalid_token`.
    InvalidToken,
    /// 413.
    ContentTooLarge,
    /// 403 `insufficient_scope`.
    InsufficientScope(Rc<[Rc<str>]>),
    /// 403 without a challenge: no scope would help.
    Forbidden,
    /// 503: ask again.
    Unavailable(Duration),
    /// 500.
    Internal,
}

impl From<&Denial> for DenialClass {
    fn from(denial: &Denial) -> Self {
        match denial {
            Denial::CredentialMissing { scopes } => Self::Unauthenticated(Rc::clone(scopes)),
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
            | Denial::PathAmbiguous { .. }
            | Denial::McpHeaders(_)
            | Denial::McpBody(_)
            | Denial::McpHeaderMismatch
            | Denial::McpVersion
            | Denial::McpUriAmbiguous => Self::InvalidRequest,
            Denial::BodyTooLarge { .. } => Self::ContentTooLarge,
            Denial::RouteUnknown
            | Denial::RouteDenied
            | Denial::RouteMetadata(_)
            | Denial::ClientNotAccepted
            | Denial::SubjectNotAccepted
            | Denial::ClaimNotAccepted { .. } => Self::Forbidden,
            Denial::Token(_)
            | Denial::IssuerUnknown
            | Denial::IssuerNotAccepted
            | Denial::AudienceNotAccepted
            | Denial::Claim(_)
            | Denial::KeyUnknown
            | Denial::Signature(_) => Self::InvalidToken,
            Denial::ScopeInsufficient { scopes } => Self::InsufficientScope(Rc::clone(scopes)),
            Denial::KeysUnavailable { retry_after }
            | Denial::WaitingFull { retry_after }
            | Denial::StreamsFull { retry_after }
            | Denial::ChecksLimited { retry_after, .. } => Self::Unavailable(*retry_after),
            Denial::Internal(_) => Self::Internal,
        }
    }
}

/// What every denial of a class has in common.
struct OnTheWire {
    status: u16,
    /// For gRPC clients: the standard mapping of the HTTP status, but INVALID_ARGUMENT for 400, which it makes
    /// INTERNAL.
    grpc_status: u32,
    title: &'static str,
    /// RFC 6750 §3.1.
    error: Option<&'static str>,
}

impl DenialClass {
    const fn on_the_wire(&self) -> OnTheWire {
        let (status, grpc_status, title, error) = match self {
            Self::InvalidRequest => (400, 3, "Bad Request", Some("invalid_request")),
            Self::Unauthenticated(_) => (401, 16, "Unauthorized", None),
            Self::InvalidToken => (401, 16, "Unauthorized", Some("invalid_token")),
            Self::InsufficientScope(_) => (403, 7, "Forbidden", Some("insufficient_scope")),
            Self::Forbidden => (403, 7, "Forbidden", None),
            Self::ContentTooLarge => (413, 8, "Content Too Large", None),
            Self::Internal => (500, 13, "Internal Server Error", None),
            Self::Unavailable(_) => (503, 14, "Service Unavailable", None),
        };
        OnTheWire { status, grpc_status, title, error }
    }

    /// The scopes that the challenge names (RFC 6750 §3).
    fn scopes(&self) -> Option<&[Rc<str>]> {
        match self {
            Self::Unauthenticated(scopes) | Self::InsufficientScope(scopes) => Some(scopes),
            Self::InvalidRequest
            | Self::InvalidToken
            | Self::ContentTooLarge
            | Self::Forbidden
            | Self::Unavailable(_)
            | Self::Internal => None,
        }
    }
}

/// An authentication scheme that a client may present a token with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// RFC 6750.
    Bearer,
}

/// One challenge of a `WWW-Authenticate` field (RFC 9110 §11.6.1).
#[derive(Debug)]
struct Challenge<'a> {
    scheme: Scheme,
    /// Those that are there, in this order.
    parameters: [Option<(&'static str, Cow<'a, str>)>; 5],
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
        }
    }
}

impl Challenge<'_> {
    /// Writes the scheme, and each parameter as a quoted string. Nothing of the client's is in them: texts come from
    /// [`Denial`], the rest from the configuration, which admits no quotes and no backslashes.
    fn write(&self, field: &mut String) {
        field.push_str(self.scheme.name());
        let mut separator = " ";
        for (name, value) in self.parameters.iter().flatten() {
            field.extend([separator, name, "=\"", value, "\""]);
            separator = ", ";
        }
    }
}

impl Settings {
    /// The response to a denied request, by whose id it can be found.
    pub fn denial_response(&self, denial: &Denial, request_id: Option<&str>) -> Response {
        let class = DenialClass::from(denial);
        let OnTheWire { status, grpc_status, title, error } = class.on_the_wire();
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        if error.is_some() || matches!(class, DenialClass::Unauthenticated(_)) {
            headers.push(("www-authenticate", self.challenges(&class, denial)));
        }
        if let DenialClass::Unavailable(retry_after) = class {
            // Whole seconds, rounded up, at least one (RFC 9110 §10.2.3): zero would ask for a storm.
            let secs = retry_after.as_secs().saturating_add(u64::from(retry_after.subsec_nanos() > 0)).max(1);
            headers.push(("retry-after", secs.to_string()));
        }
        // Most denials have no body.
        let (text, label) = (|| denial.to_string(), denial.label());
        let body = match self.denials.body {
            DenialBody::None => None,
            _ if self.denials.detail == Detail::Terse => None,
            DenialBody::ProblemJson => {
                let mut problem = serde_json::json!({
                    "type": "about:blank", "title": title, "status": status, "detail": text(), "reason": label,
                });
                if let (Some(id), Some(members)) = (request_id, problem.as_object_mut()) {
                    members.insert("request_id".to_owned(), id.into());
                }
                Some(("application/problem+json", problem))
            }
            // The message's own id may not have been read.
            DenialBody::JsonRpc => Some((
                "application/json",
                serde_json::json!({
                    "jsonrpc": "2.0",
                    "id": null,
                    "error": { "code": json_rpc_code(denial, status), "message": text(), "data": { "reason": label } },
                }),
            )),
        };
        let body = body.map(|(media_type, body)| {
            headers.push(("content-type", media_type.to_owned()));
            body.to_string()
        });
        let body = body.unwrap_or_default();
        Response { status, details: label, headers, body, grpc_status: Some(grpc_status) }
    }

    /// The field `WWW-Authenticate`: a challenge for each scheme, in one list.
    fn challenges(&self, class: &DenialClass, denial: &Denial) -> String {
        let mut field = String::with_capacity(COMMON_CHALLENGE);
        for scheme in SCHEMES {
            if !field.is_empty() {
                field.push_str(", ");
            }
            self.challenge(scheme, class, denial).write(&mut field);
        }
        field
    }

    /// RFC 6750 §3, RFC 9728 §5.1.
    fn challenge(&self, scheme: Scheme, class: &DenialClass, denial: &Denial) -> Challenge<'_> {
        if self.denials.detail == Detail::Terse {
            return Challenge { scheme, parameters: [const { None }; 5] };
        }
        let error = class.on_the_wire().error;
        // Envoy's routes may add to what the table asks for. A part of the scopes would not be enough, and a client that
        // is told none asks for those of the resource's metadata.
        let scopes = class.scopes().filter(|scopes| !scopes.is_empty()).map(|scopes| scopes.join(" "));
        let scopes = scopes.filter(|scopes| scopes.len() <= Requirement::MAX_SCOPE_BYTES);
        let resource = self.resource.as_ref();
        let parameters = [
            self.denials.realm.as_deref().map(|realm| ("realm", realm.into())),
            error.map(|error| ("error", error.into())),
            error.map(|_| ("error_description", described(denial).into())),
            scopes.map(|scopes| ("scope", scopes.into())),
            resource.map(|resource| ("resource_metadata", resource.metadata_url().into())),
        ];
        Challenge { scheme, parameters }
    }
}

/// The code of JSON-RPC 2.0 §5.1, or MCP's own where it has one.
const fn json_rpc_code(denial: &Denial, status: u16) -> i32 {
    match (denial, status) {
        (Denial::McpHeaderMismatch | Denial::McpHeaders(_), _) => -32020,
        (_, 400..500) => -32600,
        _ => -32603,
    }
}

/// The denial's text without the characters that `error_description` may not hold (RFC 6750 §3).
fn described(denial: &Denial) -> String {
    let mut text = denial.to_string();
    text.retain(|c| matches!(c, ' ' | '!' | '#'..='[' | ']'..='~'));
    text
}

/// The schemes that a client may choose from.
const SCHEMES: [Scheme; 1] = [Scheme::Bearer];
/// A realm, an error with its description, a scope and the resource's metadata take about this much.
const COMMON_CHALLENGE: usize = 256;
