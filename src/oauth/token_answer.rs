//! What a token endpoint answers (RFC 6749 §5.1, §5.2; RFC 8693 §2.2): a token, or why there is none and what that
//! means for the next attempt. Whatever a server sends, nothing here traps, and no error holds more of it than a
//! [`Word`].

use core::time::Duration;
use std::collections::HashSet;
use std::rc::Rc;

use super::fault::{ErrorCode, ServerError, TokenFailure, TokenFault};
use super::local_reply::LocalReply;
use super::token_request::{Grant, TokenRequest};
use super::word::Word;
use crate::base::{HttpReply, Secret, Timestamp, retry_after};
use crate::jose::{Json, Object};

/// A token as it was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAnswer {
    /// The access token: visible ASCII without space and comma, so that it fits a header as it is, and is known again
    /// in it.
    pub token: Secret,
    /// How long it lives from when it was asked for (RFC 6749 §5.1); `None` when the server does not say. Never zero.
    pub expires_in: Option<Duration>,
    /// What it is for.
    pub scopes: GrantedScopes,
}

/// What a server granted of the scopes that it was asked for. That they are others is no error (RFC 6749 §3.3), and
/// worth a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantedScopes {
    /// Those that were asked for and not granted.
    pub missing: Vec<Rc<str>>,
    /// How many were granted that were not asked for. Only their number: they are the server's words, whatever it
    /// writes there.
    pub further: usize,
}

/// What was asked for: an answer is held against it.
#[derive(Clone, Copy, Debug)]
pub struct TokenQuery<'a> {
    /// The request.
    pub request: &'a TokenRequest,
    /// The subject token of an exchange (RFC 8693).
    pub subject: Option<&'a Secret>,
    /// The most bytes that the token may have.
    pub max_token_bytes: usize,
}

impl TokenAnswer {
    /// Reads a reply.
    ///
    /// # Errors
    /// Why there is no token, and how long the server wants to be left alone.
    pub fn read(reply: HttpReply, asked: TokenQuery<'_>, now: Timestamp) -> Result<Self, TokenFailure> {
        let (status, headers, body) = match reply {
            HttpReply::NotSent => return Err(TokenFault::NotSent.into()),
            HttpReply::ClusterUnknown => return Err(TokenFault::ClusterUnknown.into()),
            HttpReply::Reset => return Err(TokenFault::Reset.into()),
            HttpReply::Response { status, headers, body } => (status, headers, body),
        };
        if !HAS_TOKEN.contains(&status) {
            // Only these carry an error of OAuth's (§5.2); whatever else has a body says nothing by it.
            let body = body.unwrap_or_default();
            let code = match status {
                400 | 401 | 403 if body.len() <= MAX_TOKEN_ANSWER_BYTES => {
                    Object::parse(&body).ok().and_then(|answer| asked.error(&answer))
                }
                _ => None,
            };
            let fault = match (code, LocalReply::of(status, &headers, &body)) {
                (Some(error), _) => TokenFault::Refused(error),
                (None, Some(local)) => TokenFault::NotReached(local),
                (None, None) => TokenFault::Status(status),
            };
            return Err(TokenFailure { fault, retry_after: retry_after(&headers, now) });
        }
        let body = match body {
            Ok(body) if body.len() <= MAX_TOKEN_ANSWER_BYTES => Secret::new(body),
            Ok(body) => return Err(TokenFault::TooLarge(body.len()).into()),
            Err(size) => return Err(TokenFault::TooLarge(size).into()),
        };
        Ok(Self::parse(body.expose(), asked)?)
    }

    fn parse(body: &[u8], asked: TokenQuery<'_>) -> Result<Self, TokenFault> {
        let is_markup = body.trim_ascii_start().starts_with(b"<");
        let answer = Object::parse(body)
            .map_err(|error| if is_markup { TokenFault::Markup } else { TokenFault::Malformed(error) })?;
        let text = |name| answer.get(name).and_then(Json::as_str);
        // Some servers say 200 and mean 400.
        if let Some(error) = asked.error(&answer) {
            return Err(TokenFault::Refused(error));
        }
        let token = text("access_token").filter(|token| !token.is_empty()).ok_or(TokenFault::TokenMissing)?;
        if token.len() > asked.max_token_bytes {
            return Err(TokenFault::TokenTooLong { bytes: token.len(), max: asked.max_token_bytes });
        }
        if let Some(character) = token.chars().find(|character| !fits(*character)) {
            return Err(TokenFault::TokenCharacter(character));
        }
        asked.check_type(answer.get("token_type"), token)?;
        if asked.is_exchange() && text("issued_token_type").is_none() {
            return Err(TokenFault::IssuedTypeMissing);
        }
        // Where the server says nothing, they are those that were asked for (RFC 6749 §5.1).
        let scopes = text("scope").map(|granted| GrantedScopes::of(granted, asked)).unwrap_or_default();
        let expires_in = answer.get("expires_in").map(expires_in).transpose()?.flatten();
        Ok(Self { token: Secret::new(token), expires_in, scopes })
    }
}

impl GrantedScopes {
    fn of(granted: &str, asked: TokenQuery<'_>) -> Self {
        let granted: HashSet<&str> = granted.split_ascii_whitespace().collect();
        let (had, missing): (Vec<_>, Vec<_>) =
            asked.request.scopes.iter().map(Rc::clone).partition(|scope| granted.contains(&**scope));
        Self { missing, further: granted.len().saturating_sub(had.len()) }
    }
}

impl TokenQuery<'_> {
    fn is_exchange(&self) -> bool {
        matches!(self.request.grant, Grant::TokenExchange { .. })
    }

    /// Whether the token is one that its bearer may use as it is. Only RFC 8693 §2.2.1 insists that a server says so:
    /// others leave `token_type` out, although RFC 6749 §5.1 asks for it, and mean Bearer.
    fn check_type(&self, token_type: Option<&Json<'_>>, token: &str) -> Result<(), TokenFault> {
        let word = match token_type {
            None | Some(Json::Null) if self.is_exchange() => return Err(TokenFault::TokenTypeMissing),
            None | Some(Json::Null) => return Ok(()),
            Some(token_type) => token_type.as_str().ok_or(TokenFault::TokenType(None))?.trim_ascii(),
        };
        // RFC 8693 §2.2.1: what is no access token to its bearer has no type.
        let of_exchange = self.is_exchange().then_some("n_a");
        let configured = self.request.token_types.iter().map(AsRef::as_ref);
        let mut taken = ["bearer"].into_iter().chain(of_exchange).chain(configured);
        if taken.any(|one| one.eq_ignore_ascii_case(word)) {
            return Ok(());
        }
        Err(TokenFault::TokenType(self.quote(word, Some(token))))
    }

    /// The error that an answer holds, if it holds one. An empty one is none: some servers have the member always.
    fn error(&self, answer: &Object<'_>) -> Option<ServerError> {
        let text = answer.get("error").and_then(Json::as_str).filter(|text| !text.is_empty())?;
        let code = ErrorCode::parse(text);
        let token = answer.get("access_token").and_then(Json::as_str);
        let word = if code == ErrorCode::Other { self.quote(text, token) } else { None };
        let numbers = answer.get("error_codes").and_then(Json::as_array).unwrap_or_default().iter();
        let number = |number: &Json<'_>| {
            let number = number.as_number().filter(|number| number.is_u64())?;
            self.quote(&number.to_string(), token)
        };
        Some(ServerError { code, word, numbers: numbers.take(MAX_NUMBERS).filter_map(number).collect() })
    }

    /// A word of the server's, if it says nothing of what it knows of us, nor of a token.
    fn quote(&self, word: &str, token: Option<&str>) -> Option<Word> {
        let mut secrets = self.request.credentials.secrets()?;
        secrets.extend(token.map(Secret::new));
        // Nothing secret belongs there, and gateways' keys stand there all the same.
        let further = self.request.headers.iter().chain(&self.request.parameters).map(|(_, value)| value);
        secrets.extend(further.filter(|value| value.len() >= MIN_KEY).map(|value| Secret::new(&**value)));
        Word::quote(word, secrets.iter().chain(self.subject))
    }
}

/// No key is shorter, in bytes. What is shorter is a setting, and part of many a word.
const MIN_KEY: usize = 8;

/// The rule for each form of `expires_in`: whole or fractional seconds, as a number or, as some servers have it, as the
/// same in a text; `null` is as good as absent; zero and less has expired already; anything else is malformed. What is
/// huge is as long as can be told, and bounded by the store that keeps the token.
fn expires_in(value: &Json<'_>) -> Result<Option<Duration>, TokenFault> {
    let seconds = match value {
        Json::Null => return Ok(None),
        Json::Number(number) => number.as_f64(),
        Json::String(text) => {
            let is_number = !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| text.parse().ok()).flatten()
        }
        Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    };
    let seconds: f64 = seconds.filter(|seconds| seconds.is_finite()).ok_or(TokenFault::ExpiresIn)?;
    // Less than a second is gone before it is there.
    if seconds < 1.0 {
        return Err(TokenFault::ExpiredAtIssue);
    }
    Ok(Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
}

/// Whether a token is visible ASCII, without the comma at which servers and proxies take a field apart.
pub fn fits_header(token: &[u8]) -> bool {
    token.iter().all(|byte| fits(char::from(*byte)))
}

const fn fits(character: char) -> bool {
    character.is_ascii_graphic() && character != ','
}

/// What an answer with a token may have as its status: RFC 6749 §5.1 says 200; a proxy that has changed anything about
/// it makes that 203 (RFC 9110 §15.3.4); and servers to which a token is a thing that they create say 201.
const HAS_TOKEN: [u16; 3] = [200, 201, 203];
/// The most numbers of an error that are told. Entra ID sends one, or two.
const MAX_NUMBERS: usize = 4;
/// How long an answer may be: a token of the longest kind, and as much again for what else a server says.
pub const MAX_TOKEN_ANSWER_BYTES: usize = 64 * 1024;

#[cfg(test)]
#[path = "token_answer_tests.rs"]
mod tests;
