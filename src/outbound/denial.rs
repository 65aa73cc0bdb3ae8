//! Why a request does not go on, and how its caller is told. Never 401: the workload would take it for an answer to a
//! credential of its own.

use core::time::Duration;

use crate::base::Response;

/// Why a request is denied. A closed list: each has one label and one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressDenial {
    /// There is no token, and none came in time.
    #[error("no access token could be obtained")]
    TokenUnavailable {
        /// When it may be worth another try.
        retry_after: Duration,
    },
    /// As many requests wait for tokens as may.
    #[error("too many requests wait for an access token")]
    WaitingFull {
        /// When it may be worth another try.
        retry_after: Duration,
    },
    /// The token endpoint did not accept the caller's token as subject (RFC 8693).
    #[error("the caller's token was not accepted for exchange")]
    SubjectRefused,
    /// A token of the caller's is to be exchanged, and there is none that was verified.
    #[error("there is no verified token to exchange")]
    SubjectMissing,
    /// The operator says neither that connections to the cluster are encrypted, nor that they need not be.
    #[error("the cluster is neither asserted to use TLS nor allowed without")]
    Plaintext,
    /// The route's metadata names a client whose tokens may not go to this cluster and authority.
    #[error("the client's token may not go to this cluster and authority")]
    NotAllowed,
    /// The route's metadata names no client that is configured, or cannot be read.
    #[error("the route's metadata names no configured client")]
    ClientUnknown,
    /// The caller has put a credential where ours goes.
    #[error("the request carries a credential of its own")]
    CallerCredential,
    /// `Connection` names the header that takes our token: a server that heeds it would not see the token (RFC 9110
    /// §7.6.1), and its 401 would cost us the token.
    #[error("`connection` names the token's header")]
    HeaderHopByHop,
    /// Servers may understand the path differently, and it decides about the token.
    #[error("the path is ambiguous")]
    PathAmbiguous,
    /// The authority is none, and it decides about the token.
    #[error("the authority is not a host with an optional port")]
    Authority,
    /// The method has a lower-case letter, and it decides about the token.
    #[error("the method is not in upper case")]
    Method,
    /// A header takes the place of the method or path, which decides about the token.
    #[error("the request carries a header that replaces its method or path")]
    Overridden,
    /// The request goes nowhere that is configured.
    #[error("the destination is not configured")]
    Unmatched,
}

impl EgressDenial {
    /// A stable name for metrics and access logs.
    pub const fn label(self) -> &'static str {
        self.facts().0
    }

    /// Whether it is the operator's to mend.
    pub const fn is_operators_fault(self) -> bool {
        matches!(self.facts().1, Answer::Misconfigured)
    }

    /// The answer.
    pub fn response(self) -> Response {
        let (label, answer) = self.facts();
        let (status, grpc_status, retry_after) = match answer {
            Answer::Unavailable(retry_after) => (503, UNAVAILABLE, Some(retry_after)),
            Answer::Misconfigured => (503, UNAVAILABLE, None),
            Answer::Forbidden => (403, PERMISSION_DENIED, None),
            Answer::BadRequest => (400, INVALID_ARGUMENT, None),
        };
        // Whole seconds (RFC 9110 §10.2.3), and never none.
        let seconds = |pause: Duration| pause.as_millis().div_ceil(1000).max(1).to_string();
        Response {
            status,
            details: label,
            headers: retry_after.map(|pause| ("retry-after", seconds(pause))).into_iter().collect(),
            body: self.to_string(),
            grpc_status: Some(grpc_status),
        }
    }

    const fn facts(self) -> (&'static str, Answer) {
        match self {
            Self::TokenUnavailable { retry_after } => ("token_unavailable", Answer::Unavailable(retry_after)),
            Self::WaitingFull { retry_after } => ("token_waiting_full", Answer::Unavailable(retry_after)),
            Self::SubjectRefused => ("subject_refused", Answer::Forbidden),
            Self::SubjectMissing => ("subject_missing", Answer::Forbidden),
            Self::Plaintext => ("plaintext", Answer::Misconfigured),
            Self::NotAllowed => ("not_allowed", Answer::Misconfigured),
            Self::ClientUnknown => ("client_unknown", Answer::Misconfigured),
            Self::CallerCredential => ("caller_credential", Answer::BadRequest),
            Self::HeaderHopByHop => ("outbound_header_hop_by_hop", Answer::BadRequest),
            Self::PathAmbiguous => ("outbound_path_ambiguous", Answer::BadRequest),
            Self::Authority => ("outbound_authority_invalid", Answer::BadRequest),
            Self::Method => ("outbound_method_invalid", Answer::BadRequest),
            Self::Overridden => ("outbound_overridden", Answer::BadRequest),
            Self::Unmatched => ("unmatched", Answer::Forbidden),
        }
    }
}

/// How a caller is told.
enum Answer {
    /// With the time after which it may be worth another try.
    Unavailable(Duration),
    /// The operator has to change the configuration: to the caller that is an outage like another.
    Misconfigured,
    Forbidden,
    BadRequest,
}

/// `INVALID_ARGUMENT` of gRPC's status codes.
const INVALID_ARGUMENT: u32 = 3;
/// `PERMISSION_DENIED`.
const PERMISSION_DENIED: u32 = 7;
/// `UNAVAILABLE`.
const UNAVAILABLE: u32 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [EgressDenial; 14] {
        let retry_after = Duration::from_millis(1_001);
        [
            EgressDenial::TokenUnavailable { retry_after },
            EgressDenial::WaitingFull { retry_after },
            EgressDenial::SubjectRefused,
            EgressDenial::SubjectMissing,
            EgressDenial::Plaintext,
            EgressDenial::NotAllowed,
            EgressDenial::ClientUnknown,
            EgressDenial::CallerCredential,
            EgressDenial::HeaderHopByHop,
            EgressDenial::PathAmbiguous,
            EgressDenial::Authority,
            EgressDenial::Method,
            EgressDenial::Overridden,
            EgressDenial::Unmatched,
        ]
    }

    #[test]
    fn no_denial_is_a_401_and_each_has_a_label_of_its_own() {
        let mut labels: Vec<_> = all().into_iter().map(EgressDenial::label).collect();
        assert!(all().into_iter().all(|denial| denial.response().status != 401));
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), all().len());
    }

    #[test]
    fn retry_after_is_whole_seconds_and_never_zero() {
        let header = |retry_after| EgressDenial::TokenUnavailable { retry_after }.response().headers;
        assert_eq!(header(Duration::from_millis(1_001)), [("retry-after", "2".to_owned())]);
        assert_eq!(header(Duration::ZERO), [("retry-after", "1".to_owned())]);
        assert!(EgressDenial::Plaintext.response().headers.is_empty());
    }
}
