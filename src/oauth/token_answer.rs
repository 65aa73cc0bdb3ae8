//! What a token endpoint answers (RFC 6749 §5.1, §5.2; RFC 8693 §2.2): a token, or why there is none and what that means for the
//! next attempt. Whatever a server sends, nothing here traps, and no error holds a word of it.

use core::time::Duration;

use super::fault::{ErrorCode, TokenFault};
use crate::base::{HttpReply, Secret, Timestamp, retry_after};
use crate::jose::{Json, Object};

/// A token as it was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAnswer {
    /// The access token: visible ASCII without space and comma, so that it fits a header as it is, and is known again in it.
    pub token: Secret,
    /// How long it lives from when it was asked for (RFC 6749 §5.1); `None` when the server does not say. Never zero.
    pub expires_in: Option<Duration>,
    /// How many of the scopes that were asked for it lacks. More than none is no error (RFC 6749 §3.3), and worth a line.
    pub missing_scopes: usize,
}

/// What was asked for: an answer is held against it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The scopes.
    pub scopes: &'a [std::rc::Rc<str>],
    /// Whether it was a token exchange (RFC 8693), whose answers differ in two members.
    pub is_exchange: bool,
    /// The most bytes that the token may have.
    pub max_token_bytes: usize,
}

impl TokenAnswer {
    /// Reads a reply.
    ///
    /// # Errors
    /// Why there is no token, and how long the server wants to be left alone.
    pub fn read(
        reply: HttpReply,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Result<Self, (TokenFault, Option<Duration>)> {
        let (status, headers, body) = match reply {
            HttpReply::NotSent => return Err((TokenFault::NotSent, None)),
            HttpReply::Reset => return Err((TokenFault::Reset, None)),
            HttpReply::Response { status, headers, body } => (status, headers, body),
        };
        if status != 200 {
            // Only these carry an error of OAuth's (§5.2); whatever else has a body says nothing by it.
            let body = body.unwrap_or_default();
            let code = match status {
                400 | 401 | 403 => error_code(&body),
                _ => None,
            };
            let fault = code.map_or(TokenFault::Status(status), TokenFault::Refused);
            return Err((fault, retry_after(&headers, now)));
        }
        let body = match body {
            Ok(body) if body.len() <= MAX_TOKEN_ANSWER_BYTES => Secret::new(body),
            Ok(body) => return Err((TokenFault::TooLarge(body.len()), None)),
            Err(size) => return Err((TokenFault::TooLarge(size), None)),
        };
        Self::parse(body.expose(), asked).map_err(|fault| (fault, None))
    }

    fn parse(body: &[u8], asked: Asked<'_>) -> Result<Self, TokenFault> {
        let is_markup = body.trim_ascii_start().starts_with(b"<");
        let answer = Object::parse(body)
            .map_err(|error| if is_markup { TokenFault::Markup } else { TokenFault::Malformed(error) })?;
        let text = |name| answer.get(name).and_then(Json::as_str);
        // Some servers say 200 and mean 400.
        if let Some(code) = text("error") {
            return Err(TokenFault::Refused(ErrorCode::parse(code)));
        }
        let token = text("access_token").filter(|token| !token.is_empty()).ok_or(TokenFault::TokenMissing)?;
        if token.len() > asked.max_token_bytes {
            return Err(TokenFault::TokenTooLong { bytes: token.len(), max: asked.max_token_bytes });
        }
        if !fits_header(token.as_bytes()) {
            return Err(TokenFault::TokenCharacters);
        }
        let token_type = text("token_type").ok_or(TokenFault::TokenType)?;
        // RFC 8693 §2.2.1: what is no access token to its bearer has none.
        let is_understood = token_type.eq_ignore_ascii_case("bearer")
            || (asked.is_exchange && token_type.eq_ignore_ascii_case("n_a"));
        if !is_understood {
            return Err(TokenFault::TokenType);
        }
        if asked.is_exchange && text("issued_token_type").is_none() {
            return Err(TokenFault::IssuedTypeMissing);
        }
        let missing_scopes = text("scope").map_or(0, |granted| {
            let has = |scope: &str| granted.split_ascii_whitespace().any(|one| one == scope);
            asked.scopes.iter().filter(|scope| !has(scope)).count()
        });
        let expires_in = answer.get("expires_in").map(expires_in).transpose()?.flatten();
        Ok(Self { token: Secret::new(token), expires_in, missing_scopes })
    }
}

/// The rule for each form of `expires_in`: whole or fractional seconds, as a number or, as some servers have it, as the same in a
/// text; `null` is as good as absent; zero and less has expired already; anything else is malformed. What is huge is as long as
/// can be told, and bounded by whoever keeps the token.
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
    token.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',')
}

fn error_code(body: &[u8]) -> Option<ErrorCode> {
    if body.len() > MAX_TOKEN_ANSWER_BYTES {
        return None;
    }
    let answer = Object::parse(body).ok()?;
    answer.get("error").and_then(Json::as_str).map(ErrorCode::parse)
}

/// How long an answer may be: a token of the longest kind, and as much again for what else a server says.
pub const MAX_TOKEN_ANSWER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Headers;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn reply(status: u16, body: impl Into<Vec<u8>>) -> HttpReply {
        HttpReply::Response { status, headers: Headers::default(), body: Ok(body.into()) }
    }

    fn read(body: &str) -> Result<TokenAnswer, TokenFault> {
        read_as(body, false)
    }

    fn read_as(body: &str, is_exchange: bool) -> Result<TokenAnswer, TokenFault> {
        let asked = Asked { scopes: &["a".into(), "b".into()], is_exchange, max_token_bytes: 100 };
        TokenAnswer::read(reply(200, body), asked, NOW).map_err(|(fault, _)| fault)
    }

    fn with(members: &str) -> Result<TokenAnswer, TokenFault> {
        read(&format!(r#"{{"access_token":"t","token_type":"Bearer"{members}}}"#))
    }

    /// RFC 6749 §5.1.
    #[test]
    fn the_rfcs_example_is_a_token() {
        let answer = read(
            r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,"x":"y"}"#,
        );
        assert_eq!(answer, Err(TokenFault::TokenType));
        let answer =
            read(r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"bEARER","expires_in":3600,"refresh_token":"r","x":{}}"#)
                .unwrap();
        assert_eq!(answer.token.expose(), b"2YotnFZFEjr1zCsicMWpAA");
        assert_eq!(answer.expires_in, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn each_form_of_a_lifetime_has_its_rule() {
        let lifetime =
            |value: &str| with(&format!(r#","expires_in":{value}"#)).map(|answer| answer.expires_in);
        assert_eq!(with("").map(|answer| answer.expires_in), Ok(None));
        assert_eq!(lifetime("null"), Ok(None));
        for (value, secs) in [("60", 60.0), ("\"60\"", 60.0), ("1.5", 1.5), ("6e1", 60.0)] {
            assert_eq!(lifetime(value), Ok(Some(Duration::from_secs_f64(secs))), "{value}");
        }
        for value in ["0", "-1", "-0.5", "\"0\"", "0.9", "-1e300"] {
            assert_eq!(lifetime(value), Err(TokenFault::ExpiredAtIssue), "{value}");
        }
        for value in ["\"\"", "\"-1\"", "\"1h\"", "\"60 \"", "true", "[]", "{}"] {
            assert_eq!(lifetime(value), Err(TokenFault::ExpiresIn), "{value}");
        }
        for value in ["1e300", "99999999999999999999999", "\"99999999999999999999999999\""] {
            assert!(lifetime(value).unwrap() > Some(Duration::from_secs(u64::from(u32::MAX))), "{value}");
        }
    }

    #[test]
    fn only_what_fits_a_header_is_a_token() {
        let token = |token: &str| read(&format!(r#"{{"access_token":"{token}","token_type":"Bearer"}}"#));
        assert!(token("aZ0-._~+/=").is_ok());
        assert!(token(&"x".repeat(100)).is_ok());
        assert_eq!(token(&"x".repeat(101)), Err(TokenFault::TokenTooLong { bytes: 101, max: 100 }));
        assert_eq!(token(""), Err(TokenFault::TokenMissing));
        for bad in ["a b", "a\\r\\nx: y", "a\\u0000", "\u{e9}", "a\\tb", "a,b"] {
            assert_eq!(token(bad), Err(TokenFault::TokenCharacters), "{bad}");
        }
        assert_eq!(read(r#"{"access_token":7,"token_type":"Bearer"}"#), Err(TokenFault::TokenMissing));
        assert_eq!(read("{}"), Err(TokenFault::TokenMissing));
    }

    /// RFC 9449 wants proofs, which we do not send.
    #[test]
    fn a_token_of_another_type_is_refused() {
        for token_type in ["DPoP", "mac", "", "N_A", "Bearer "] {
            let answer = format!(r#"{{"access_token":"t","token_type":"{token_type}"}}"#);
            assert_eq!(read(&answer), Err(TokenFault::TokenType), "{token_type}");
        }
        assert_eq!(read(r#"{"access_token":"t"}"#), Err(TokenFault::TokenType));
    }

    /// RFC 8693 §2.2.1.
    #[test]
    fn an_exchange_names_the_type_that_it_issued() {
        let answer = r#"{"access_token":"t","token_type":"N_A","issued_token_type":"urn:x"}"#;
        assert!(read_as(answer, true).is_ok());
        let without = r#"{"access_token":"t","token_type":"Bearer"}"#;
        assert_eq!(read_as(without, true), Err(TokenFault::IssuedTypeMissing));
    }

    #[test]
    fn a_narrower_scope_is_told_and_no_error() {
        assert_eq!(with("").unwrap().missing_scopes, 0);
        assert_eq!(with(r#","scope":"b c a""#).unwrap().missing_scopes, 0);
        assert_eq!(with(r#","scope":"b""#).unwrap().missing_scopes, 1);
        assert_eq!(with(r#","scope":"""#).unwrap().missing_scopes, 2);
    }

    #[test]
    fn what_is_no_answer_says_what_it_is() {
        assert_eq!(read(" <html>down</html>"), Err(TokenFault::Markup));
        assert!(matches!(read("oops"), Err(TokenFault::Malformed(_))));
        assert!(matches!(read(""), Err(TokenFault::Malformed(_))));
        assert!(matches!(read(r#"{"access_token":"a","access_token":"b"}"#), Err(TokenFault::Malformed(_))));
        assert_eq!(read(r#"{"error":"invalid_client"}"#), Err(TokenFault::Refused(ErrorCode::InvalidClient)));
    }

    #[test]
    fn answers_are_bounded_to_the_byte() {
        let text = r#"{"access_token":"t","token_type":"Bearer"}"#;
        let padded = |size: usize| format!("{text}{}", " ".repeat(size - text.len()));
        assert!(read(&padded(MAX_TOKEN_ANSWER_BYTES)).is_ok());
        let bytes = MAX_TOKEN_ANSWER_BYTES + 1;
        assert_eq!(read(&padded(bytes)), Err(TokenFault::TooLarge(bytes)));
        let asked = Asked { scopes: &[], is_exchange: false, max_token_bytes: 1 };
        let reply = HttpReply::Response { status: 200, headers: Headers::default(), body: Err(bytes) };
        assert_eq!(TokenAnswer::read(reply, asked, NOW), Err((TokenFault::TooLarge(bytes), None)));
    }

    #[test]
    fn an_error_of_oauths_is_read_where_it_may_stand_and_retry_after_always() {
        let asked = Asked { scopes: &[], is_exchange: false, max_token_bytes: 1 };
        let of = |status, body: &str| {
            let headers = [("retry-after", "7")].into_iter().collect();
            let reply = HttpReply::Response { status, headers, body: Ok(body.into()) };
            TokenAnswer::read(reply, asked, NOW).unwrap_err()
        };
        let pause = Some(Duration::from_secs(7));
        let refused = |code| (TokenFault::Refused(code), pause);
        assert_eq!(of(400, r#"{"error":"invalid_scope"}"#), refused(ErrorCode::InvalidScope));
        assert_eq!(of(401, r#"{"error":"invalid_client"}"#), refused(ErrorCode::InvalidClient));
        assert_eq!(of(401, "<html>"), (TokenFault::Status(401), pause));
        assert_eq!(of(503, r#"{"error":"invalid_client"}"#), (TokenFault::Status(503), pause));
        assert_eq!(of(429, ""), (TokenFault::Status(429), pause));
        assert_eq!(of(302, ""), (TokenFault::Status(302), pause));
    }
}
