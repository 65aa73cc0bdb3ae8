//! Why there is no token, and what to make of it.

use core::fmt;
use core::time::Duration;

use super::local_reply::LocalReply;
use super::word::Word;
use crate::jose::JsonError;

/// Why a token request brought no token. For the engineer on call and the schedule; holds no more of the server's than
/// a [`Word`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// The host did not take the call: the cluster has no healthy host.
    #[error(
        "the call could not be sent: the cluster has no healthy host, or it sets the credential and has no secret"
    )]
    NotSent,
    /// The host did not take the call: it does not know the cluster.
    #[error("the call could not be sent: Envoy knows no cluster of this name")]
    ClusterUnknown,
    /// The connection broke before an answer came.
    #[error("the connection was reset")]
    Reset,
    /// No answer came within the configured timeout, or within a while after it.
    #[error("no answer in time")]
    Lost,
    /// The call reached no server.
    #[error("{0}")]
    NotReached(LocalReply),
    /// The answer is not 200, and says nothing that OAuth knows.
    #[error("the server answered {0}")]
    Status(u16),
    /// The server refuses (RFC 6749 §5.2).
    #[error("the server says {0}")]
    Refused(ServerError),
    /// The answer is larger than such an answer may be.
    #[error("the answer has {0} bytes, more than a token answer may have")]
    TooLarge(usize),
    /// The answer is a page for people.
    #[error("the answer is HTML or XML, not JSON: is this the token endpoint?")]
    Markup,
    /// The answer is not the JSON object that it should be.
    #[error("the answer: {0}")]
    Malformed(JsonError),
    /// There is no `access_token`.
    #[error("the answer has no `access_token`")]
    TokenMissing,
    /// The token is longer than this client's share.
    #[error("the token has {bytes} bytes, more than the {max} that there is room for")]
    TokenTooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// The token holds a character that a header may not hold, or at which servers take its value apart.
    #[error("the token holds {}: only visible ASCII without comma and space can be sent", named(*.0))]
    TokenCharacter(char),
    /// `token_type` is neither Bearer, nor what is configured, nor what an exchange may say.
    #[error(
        "the `token_type` is {}: it is neither Bearer nor one of the client's `token_types`",
        quoted(.0.as_ref())
    )]
    TokenType(Option<Word>),
    /// `token_type` is missing where it may not be (RFC 8693 §2.2.1).
    #[error("the answer to the exchange has no `token_type`")]
    TokenTypeMissing,
    /// `issued_token_type` is missing (RFC 8693 §2.2.1).
    #[error("the answer to the exchange has no `issued_token_type`")]
    IssuedTypeMissing,
    /// `expires_in` is not a number of seconds.
    #[error("`expires_in` is not a number of seconds")]
    ExpiresIn,
    /// The token had expired when it was issued, by `expires_in` or by its own `exp`.
    #[error("the token has expired already")]
    ExpiredAtIssue,
    /// The assertion that authenticates us could not be signed.
    #[error("the client assertion could not be signed: {0}")]
    Unsigned(crate::jose::SigningError),
}

/// What a server says when it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// The code.
    pub code: ErrorCode,
    /// The server's own word for a code that is not known here, if it may be shown.
    pub word: Option<Word>,
    /// `error_codes`, by which Entra ID tells causes apart; those that may be shown.
    pub numbers: Vec<Word>,
}

/// An error code of RFC 6749 §5.2, RFC 8628 §3.5, RFC 8693 §2.2.2 and RFC 8707 §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantArray))]
#[strum(serialize_all = "snake_case")]
pub enum ErrorCode {
    /// `invalid_request`
    InvalidRequest,
    /// `invalid_client`
    InvalidClient,
    /// `invalid_grant`
    InvalidGrant,
    /// `unauthorized_client`
    UnauthorizedClient,
    /// `unsupported_grant_type`
    UnsupportedGrantType,
    /// `invalid_scope`
    InvalidScope,
    /// `invalid_target`
    InvalidTarget,
    /// `temporarily_unavailable`
    TemporarilyUnavailable,
    /// `server_error`
    ServerError,
    /// `slow_down`
    SlowDown,
    /// Any other.
    #[strum(serialize = "other_error")]
    Other,
}

/// What a fault says about the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultClass {
    /// It may be over soon: backoff.
    Transient,
    /// The operator, here or of the server, has to change something: retried slowly.
    Configuration,
}

/// What came of a token request that brought no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFailure {
    /// Why.
    pub fault: TokenFault,
    /// How long the server wants not to be asked again, if it says so.
    pub retry_after: Option<Duration>,
}

impl From<TokenFault> for TokenFailure {
    fn from(fault: TokenFault) -> Self {
        Self { fault, retry_after: None }
    }
}

impl TokenFault {
    /// A stable name for metrics.
    pub fn label(&self) -> &'static str {
        self.facts().0
    }

    /// Whether no call was sent: no server has been asked.
    pub const fn is_unsent(&self) -> bool {
        matches!(self, Self::NotSent | Self::ClusterUnknown)
    }

    /// What to make of it.
    pub fn class(&self) -> FaultClass {
        self.facts().1
    }

    /// Whether the endpoint may be down: what counts for its circuit breaker. One that answers, and issues a client
    /// what is of no use to it, is not, and other clients may fare better.
    pub fn is_outage(&self) -> bool {
        self.facts().2 == Concern::Endpoint
    }

    /// Whether it can be for the subject token that an exchange brought no token (RFC 8693 §2.2.2): another subject may
    /// fare better, and no caller may spoil it for the others.
    pub fn is_about_subject(&self) -> bool {
        self.facts().2 == Concern::Subject
    }

    fn facts(&self) -> (&'static str, FaultClass, Concern) {
        use Concern::{Client, Endpoint, Subject};
        use FaultClass::{Configuration, Transient};
        match self {
            Self::NotSent => ("not_sent", Transient, Client),
            Self::ClusterUnknown => ("cluster_unknown", Transient, Client),
            Self::NotReached(_) => ("not_reached", Transient, Endpoint),
            Self::Reset => ("reset", Transient, Endpoint),
            Self::Lost => ("lost", Transient, Endpoint),
            // Credentials that a proxy before the server refuses are refused all the same.
            Self::Status(401 | 403) => ("status", Configuration, Client),
            Self::Status(429) => ("too_many_requests", Transient, Endpoint),
            Self::Status(_) => ("status", Transient, Endpoint),
            Self::Refused(error) => {
                let (class, concern, _) = error.code.facts();
                (error.code.name(), class, concern)
            }
            Self::TooLarge(_) => ("too_large", Transient, Endpoint),
            Self::Markup => ("markup", Transient, Endpoint),
            Self::Malformed(_) => ("malformed", Transient, Endpoint),
            Self::TokenMissing => ("token_missing", Transient, Client),
            // Servers make what they issue after what they got.
            Self::TokenTooLong { .. } => ("token_too_long", Transient, Subject),
            // No server says by chance what kind of token it issues.
            Self::TokenCharacter(_) => ("token_characters", Configuration, Subject),
            Self::TokenType(_) => ("token_type", Configuration, Subject),
            Self::TokenTypeMissing => ("token_type", Configuration, Client),
            Self::IssuedTypeMissing => ("issued_type_missing", Configuration, Client),
            Self::ExpiresIn => ("expires_in", Transient, Client),
            Self::ExpiredAtIssue => ("expired_at_issue", Transient, Subject),
            Self::Unsigned(_) => ("unsigned", Configuration, Client),
        }
    }
}

/// Whom a fault keeps from a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    /// All clients of the endpoint.
    Endpoint,
    /// The client.
    Client,
    /// The subject, if it was an exchange.
    Subject,
}

impl From<ErrorCode> for ServerError {
    fn from(code: ErrorCode) -> Self {
        Self { code, word: None, numbers: Vec::new() }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, &self.word) {
            (ErrorCode::Other, Some(word)) => write!(f, "`{word}`")?,
            (code, _) => write!(f, "`{}`", code.name())?,
        }
        for (index, number) in self.numbers.iter().enumerate() {
            write!(f, "{}{number}", if index == 0 { " (" } else { ", " })?;
        }
        write!(f, "{}: {}", if self.numbers.is_empty() { "" } else { ")" }, self.code.advice())
    }
}

/// A word in quotes, or that there is none that may be shown.
fn quoted(word: Option<&Word>) -> String {
    word.map_or_else(|| "another".to_owned(), |word| format!("`{word}`"))
}

/// A character of a token: it shows by its number and, where that is known, by its name.
fn named(character: char) -> String {
    let name = match character {
        ',' => " (a comma)",
        ' ' => " (a space)",
        _ => "",
    };
    format!("U+{:04X}{name}", u32::from(character))
}

impl ErrorCode {
    /// The code of this name. Names are case-sensitive.
    pub fn parse(name: &str) -> Self {
        name.parse().unwrap_or(Self::Other)
    }

    /// The name on the wire; `other_error` for what has none here.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        self.facts().2
    }

    /// Servers say most of them of a subject that lacks a scope, a consent or a right to the target.
    fn facts(self) -> (FaultClass, Concern, &'static str) {
        use Concern::{Client, Endpoint, Subject};
        use FaultClass::{Configuration, Transient};
        match self {
            Self::InvalidRequest => (Configuration, Subject, "it misses or dislikes a parameter"),
            Self::InvalidClient => {
                (Configuration, Client, "check `client_id`, the secret or key, and the way of authentication")
            }
            Self::InvalidGrant => {
                (Configuration, Subject, "it does not accept the grant or the subject token")
            }
            Self::UnauthorizedClient => (
                Configuration,
                Client,
                "wrong secret, or grant not allowed: check the secret, then whether this client may use this grant",
            ),
            Self::UnsupportedGrantType => (Configuration, Client, "it does not know this grant"),
            Self::InvalidScope => (Configuration, Subject, "this client may not have one of `scopes`"),
            Self::InvalidTarget => (Configuration, Subject, "it does not accept `audience` or `resources`"),
            Self::TemporarilyUnavailable | Self::ServerError => {
                (Transient, Endpoint, "it has trouble of its own")
            }
            Self::SlowDown => (Transient, Endpoint, "it is asked too often"),
            Self::Other => (Configuration, Subject, "see its documentation"),
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn codes_are_known_by_their_exact_names() {
        for code in ErrorCode::VARIANTS {
            assert_eq!(ErrorCode::parse(code.name()), *code);
        }
        assert_eq!(ErrorCode::parse("Invalid_Client"), ErrorCode::Other);
        assert_eq!(ErrorCode::parse(""), ErrorCode::Other);
        assert_eq!(ErrorCode::parse("other_error"), ErrorCode::Other);
    }

    #[test]
    fn faults_of_configuration_are_told_from_weather() {
        let class = |fault: TokenFault| fault.class();
        let refused = |code: ErrorCode| TokenFault::Refused(code.into());
        assert_eq!(class(refused(ErrorCode::InvalidClient)), FaultClass::Configuration);
        assert_eq!(class(TokenFault::Status(401)), FaultClass::Configuration);
        for status in [429, 500, 502, 503, 504, 404, 302, 0] {
            assert_eq!(class(TokenFault::Status(status)), FaultClass::Transient, "{status}");
        }
        assert_eq!(class(refused(ErrorCode::TemporarilyUnavailable)), FaultClass::Transient);
        assert_eq!(class(TokenFault::Markup), FaultClass::Transient);
    }

    #[test]
    fn a_fault_is_told_with_the_servers_word_and_the_characters_name() {
        let word = |text| Word::quote(text, []);
        let other = ServerError { word: word("use_dpop_nonce"), ..ErrorCode::Other.into() };
        let numbered = ServerError {
            numbers: [word("7000215"), word("1")].into_iter().flatten().collect(),
            ..ErrorCode::InvalidClient.into()
        };
        for (fault, text) in [
            (TokenFault::Refused(other), "the server says `use_dpop_nonce`: see its documentation"),
            (
                TokenFault::Refused(ErrorCode::Other.into()),
                "the server says `other_error`: see its documentation",
            ),
            (
                TokenFault::Refused(numbered),
                "the server says `invalid_client` (7000215, 1): check `client_id`, the secret or key, and the way of authentication",
            ),
            (
                TokenFault::TokenType(word("DPoP")),
                "the `token_type` is `DPoP`: it is neither Bearer nor one of the client's `token_types`",
            ),
            (
                TokenFault::TokenType(None),
                "the `token_type` is another: it is neither Bearer nor one of the client's `token_types`",
            ),
            (
                TokenFault::TokenCharacter(','),
                "the token holds U+002C (a comma): only visible ASCII without comma and space can be sent",
            ),
            (
                TokenFault::TokenCharacter('\n'),
                "the token holds U+000A: only visible ASCII without comma and space can be sent",
            ),
        ] {
            assert_eq!(fault.to_string(), text);
        }
    }
}
