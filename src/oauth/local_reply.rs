//! Envoy's own replies to calls of ours ("local replies"): what a call meets that reaches no server.

use core::fmt;

use crate::base::Headers;

/// A reply that Envoy made itself.
///
/// It can be told by what it lacks and by how it begins: every server that has a clock sends a `date` (RFC 9110
/// §6.6.1), and an Envoy in front of a server sends `server` too. Envoy's own reply to a call of a filter has neither,
/// and a text of a few known beginnings. A server that sends just that cannot be told from Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// The status.
    pub status: u16,
    /// Why.
    pub cause: LocalCause,
}

/// Why Envoy answers itself. A closed list: nothing of the text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalCause {
    /// The other side's certificate is not accepted.
    Certificate,
    /// TLS could not be established for another reason.
    Tls,
    /// No connection; or, where Envoy does not tell, no TLS or no accepted certificate on it.
    Connection,
    /// The connection ended before an answer.
    Closed,
    /// The other side does not speak the HTTP that the cluster is configured for.
    Protocol,
    /// The cluster's circuit breaker.
    Overflow,
    /// No answer within the timeout.
    Timeout,
    /// No healthy host.
    NoHealthyHost,
    /// Another reason.
    Other,
}

impl LocalReply {
    /// The reply, if it is one of Envoy's own.
    pub fn of(status: u16, headers: &Headers, body: &[u8]) -> Option<Self> {
        if ["date", "server"].iter().any(|name| headers.first(name).is_some()) {
            return None;
        }
        let begins = |text: &str| body.starts_with(text.as_bytes());
        let cause = if begins("upstream request timeout") {
            LocalCause::Timeout
        } else if begins("no healthy upstream") {
            LocalCause::NoHealthyHost
        } else if begins("upstream connect error or disconnect/reset before headers") {
            let has = |part: &str| body.windows(part.len()).any(|window| window == part.as_bytes());
            let known = REASONS.into_iter().find(|(part, _)| has(part));
            known.map_or(LocalCause::Other, |(_, cause)| cause)
        } else {
            return None;
        };
        Some(Self { status, cause })
    }
}

impl fmt::Display for LocalReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no server answered, but Envoy itself, with {}: ", self.status)?;
        f.write_str(match self.cause {
            LocalCause::Certificate => {
                "it does not accept the server's certificate (CA, SAN or SNI of the cluster)"
            }
            LocalCause::Tls => "TLS failed (does the port speak TLS?)",
            // Since 1.40 Envoy does not say which of them it was.
            LocalCause::Connection => {
                "no connection, or TLS failed (address, port, firewall, CA, SAN, SNI): see the cluster's statistics"
            }
            LocalCause::Closed => "the connection ended before an answer (does the port want TLS?)",
            LocalCause::Protocol => "the port speaks another protocol than the cluster is configured for",
            LocalCause::Overflow => "the cluster's circuit breaker is open",
            LocalCause::Timeout => "no answer within the timeout",
            LocalCause::NoHealthyHost => "the cluster has no healthy host",
            LocalCause::Other => "see Envoy's statistics of the cluster",
        })
    }
}

/// What Envoy's reasons hold, the most telling first.
const REASONS: [(&str, LocalCause); 7] = [
    ("CERTIFICATE_VERIFY_FAILED", LocalCause::Certificate),
    ("TLS", LocalCause::Tls),
    ("connection failure", LocalCause::Connection),
    ("connection timeout", LocalCause::Connection),
    ("connection termination", LocalCause::Closed),
    ("protocol error", LocalCause::Protocol),
    ("overflow", LocalCause::Overflow),
];

#[cfg(test)]
mod tests {
    use super::*;

    const RESET: &str = "upstream connect error or disconnect/reset before headers";

    fn of(fields: &[(&str, &str)], body: &str) -> Option<LocalCause> {
        let headers: Headers = fields.iter().copied().collect();
        LocalReply::of(503, &headers, body.as_bytes()).map(|reply| reply.cause)
    }

    #[test]
    fn envoys_reasons_are_told_apart_and_none_of_its_text_is_kept() {
        for (reason, cause) in [
            (
                "reset reason: remote connection failure, transport failure reason: TLS_error:|268435581:SSL \
                 routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end",
                LocalCause::Certificate,
            ),
            (
                "reset reason: remote connection failure, transport failure reason: TLS_error:|x",
                LocalCause::Tls,
            ),
            ("reset reason: remote connection failure", LocalCause::Connection),
            ("reset reason: connection timeout", LocalCause::Connection),
            ("reset reason: connection termination", LocalCause::Closed),
            ("reset reason: protocol error", LocalCause::Protocol),
            ("reset reason: overflow", LocalCause::Overflow),
            ("", LocalCause::Other),
        ] {
            assert_eq!(of(&[], &format!("{RESET}. {reason}")), Some(cause), "{reason}");
        }
        assert_eq!(of(&[], "upstream request timeout"), Some(LocalCause::Timeout));
        assert_eq!(of(&[], "no healthy upstream"), Some(LocalCause::NoHealthyHost));
    }

    /// An Envoy that stands before the server says the same.
    #[test]
    fn what_came_over_the_network_is_a_servers() {
        assert_eq!(of(&[("server", "envoy")], RESET), None);
        assert_eq!(of(&[("date", "Mon, 30 Nov 2026 09:00:00 GMT")], RESET), None);
        assert_eq!(of(&[], "<html>"), None);
        assert_eq!(of(&[], ""), None);
    }
}
