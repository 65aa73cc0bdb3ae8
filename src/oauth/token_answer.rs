//! What a token endpoint answers (RFC 6749 §5.1, §5.2; RFC 8693 §2.2): a token, or why there is none and what that
//! means for the next attempt. Whatever a server sends, nothing here traps, and no error holds more of it than a
//! [`Word`].

use core::time::Duration;

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
    /// How many of the scopes that were asked for it lacks. More than none is no error (RFC 6749 §3.3), and worth a
    /// line.
    pub missing_scopes: usize,
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
        let missing_scopes = text("scope").map_or(0, |granted| {
            let has = |scope: &str| granted.split_ascii_whitespace().any(|one| one == scope);
            asked.request.scopes.iter().filter(|scope| !has(scope)).count()
        });
        let expires_in = answer.get("expires_in").map(expires_in).transpose()?.flatten();
        Ok(Self { token: Secret::new(token), expires_in, missing_scopes })
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
mod tests {
    use super::*;
    use crate::base::Headers;
    use crate::oauth::{Authentication, BasicEncoding, Credentials};
    use base64ct::{Base64, Encoding as _};

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn reply(status: u16, body: impl Into<Vec<u8>>) -> HttpReply {
        HttpReply::Response { status, headers: Headers::default(), body: Ok(body.into()) }
    }

    fn read(body: &str) -> Result<TokenAnswer, TokenFault> {
        read_with(body, &request())
    }

    fn read_with(body: &str, request: &TokenRequest) -> Result<TokenAnswer, TokenFault> {
        let asked = TokenQuery { request, subject: None, max_token_bytes: 100 };
        TokenAnswer::read(reply(200, body), asked, NOW).map_err(|failure| failure.fault)
    }

    fn request() -> TokenRequest {
        let credentials = Credentials {
            client_id: Some("orders".into()),
            authentication: Authentication::Basic(Secret::new("hunter2"), BasicEncoding::Form),
        };
        TokenRequest {
            credentials,
            grant: Grant::ClientCredentials,
            scopes: ["a".into(), "b".into()].into(),
            audience: None,
            resources: Vec::new(),
            parameters: Vec::new(),
            headers: Vec::new(),
            token_types: Vec::new(),
        }
    }

    fn exchange() -> TokenRequest {
        let grant = Grant::TokenExchange { subject_token_type: "urn:x".into(), requested_token_type: None };
        TokenRequest { grant, ..request() }
    }

    fn word(text: &str) -> Option<Word> {
        Word::quote(text, [])
    }

    fn refused(code: ErrorCode) -> TokenFault {
        TokenFault::Refused(code.into())
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
        assert_eq!(answer, Err(TokenFault::TokenType(word("example"))));
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
        for (bad, character) in [
            ("a b,", ' '),
            ("a\\r\\nx: y", '\r'),
            ("a\\u0000", '\0'),
            ("\u{e9}", '\u{e9}'),
            ("a\\tb", '\t'),
            ("a,b", ','),
        ] {
            assert_eq!(token(bad), Err(TokenFault::TokenCharacter(character)), "{bad}");
        }
        assert_eq!(read(r#"{"access_token":7,"token_type":"Bearer"}"#), Err(TokenFault::TokenMissing));
        assert_eq!(read("{}"), Err(TokenFault::TokenMissing));
    }

    fn typed(token_type: &str) -> String {
        format!(r#"{{"access_token":"t0k3n","token_type":{token_type},"issued_token_type":"urn:x"}}"#)
    }

    #[test]
    fn a_type_that_is_left_out_is_bearer_and_spaces_at_its_ends_are_none() {
        for token_type in [r#""Bearer""#, r#""bEARER""#, r#"" Bearer ""#, r#""Bearer\t""#, "null"] {
            assert!(read(&typed(token_type)).is_ok(), "{token_type}");
        }
        assert!(read(r#"{"access_token":"t"}"#).is_ok());
    }

    /// RFC 9449 wants proofs, which we do not send.
    #[test]
    fn a_token_of_another_type_is_refused_with_its_word() {
        for token_type in ["DPoP", "mac", "N_A", "Bearer-Token"] {
            let fault = TokenFault::TokenType(word(token_type));
            assert_eq!(read(&typed(&format!("\" {token_type}\""))), Err(fault), "{token_type}");
        }
        // What is no word is not told, nor what holds a secret or the token, nor a part of one.
        for odd in ["7", "{}", "[]", "true", r#""""#, r#"" ""#, r#""Bearer Bearer""#, r#""Bearer\nroot""#] {
            assert_eq!(read(&typed(odd)), Err(TokenFault::TokenType(None)), "{odd}");
        }
        let basic = Base64::encode_string(b"orders:hunter2").replace('=', "");
        for leak in ["hunter2", "Xhunter2X", "unter", "t0k3n", "0k3", &basic] {
            assert_eq!(read(&typed(&format!("\"{leak}\""))), Err(TokenFault::TokenType(None)), "{leak}");
        }
    }

    /// Gateways have keys, and operators write them beside the client; what is shorter is a setting.
    #[test]
    fn neither_further_headers_nor_parameters_are_told() {
        let pair = |name: &str, value: &str| vec![(name.into(), value.into())];
        let request = TokenRequest {
            headers: pair("x-api-key", "APIKEY-12345"),
            parameters: pair("tenant", "tenant-1"),
            ..request()
        };
        for leak in ["APIKEY-12345", "apikey-12", "XtEnAnT-1"] {
            let read = read_with(&typed(&format!("\"{leak}\"")), &request);
            assert_eq!(read, Err(TokenFault::TokenType(None)), "{leak}");
        }
        let short = TokenRequest { headers: pair("x-region", "europe1"), ..request };
        assert_eq!(read_with(&typed("\"europe1\""), &short), Err(TokenFault::TokenType(word("europe1"))));
    }

    /// What the cluster sets, we do not know: a server could say it back unnoticed.
    #[test]
    fn no_word_is_told_where_the_credential_is_not_known_here() {
        let mut request = request();
        request.credentials.authentication = Authentication::SetByCluster;
        assert_eq!(read_with(&typed(r#""DPoP""#), &request), Err(TokenFault::TokenType(None)));
        let answer = read_with(r#"{"error":"hunter2"}"#, &request);
        assert_eq!(answer, Err(refused(ErrorCode::Other)));
        request.credentials.authentication = Authentication::TlsClientAuth;
        assert_eq!(read_with(&typed(r#""DPoP""#), &request), Err(TokenFault::TokenType(word("DPoP"))));
    }

    #[test]
    fn a_type_that_is_configured_is_taken() {
        let request = TokenRequest { token_types: vec!["BearerToken".into()], ..request() };
        assert!(read_with(&typed(r#""bearertoken ""#), &request).is_ok());
        assert!(read_with(&typed(r#""Bearer""#), &request).is_ok());
        assert!(read_with(&typed(r#""DPoP""#), &request).is_err());
    }

    /// RFC 8693 §2.2.1.
    #[test]
    fn an_exchange_names_the_types_that_it_issued() {
        let exchange = exchange();
        assert!(read_with(&typed(r#""N_A""#), &exchange).is_ok());
        assert!(read_with(&typed(r#""Bearer""#), &exchange).is_ok());
        let without = r#"{"access_token":"t","token_type":"Bearer"}"#;
        assert_eq!(read_with(without, &exchange), Err(TokenFault::IssuedTypeMissing));
        let without = r#"{"access_token":"t","issued_token_type":"urn:x"}"#;
        assert_eq!(read_with(without, &exchange), Err(TokenFault::TokenTypeMissing));
        assert_eq!(read_with(&typed("null"), &exchange), Err(TokenFault::TokenTypeMissing));
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
        assert_eq!(read(r#"{"error":"invalid_client"}"#), Err(refused(ErrorCode::InvalidClient)));
    }

    #[test]
    fn an_error_that_says_nothing_is_none() {
        for error in [r#""""#, "null"] {
            assert!(with(&format!(r#","error":{error}"#)).is_ok(), "{error}");
        }
        assert_eq!(read(r#"{"error":""}"#), Err(TokenFault::TokenMissing));
    }

    #[test]
    fn answers_are_bounded_to_the_byte() {
        let text = r#"{"access_token":"t","token_type":"Bearer"}"#;
        let padded = |size: usize| format!("{text}{}", " ".repeat(size - text.len()));
        assert!(read(&padded(MAX_TOKEN_ANSWER_BYTES)).is_ok());
        let bytes = MAX_TOKEN_ANSWER_BYTES + 1;
        assert_eq!(read(&padded(bytes)), Err(TokenFault::TooLarge(bytes)));
        let request = request();
        let asked = TokenQuery { request: &request, subject: None, max_token_bytes: 1 };
        let reply = HttpReply::Response { status: 200, headers: Headers::default(), body: Err(bytes) };
        assert_eq!(TokenAnswer::read(reply, asked, NOW), Err(TokenFault::TooLarge(bytes).into()));
    }

    #[test]
    fn an_error_of_oauths_is_read_where_it_may_stand_and_retry_after_always() {
        let request = request();
        let asked = TokenQuery { request: &request, subject: None, max_token_bytes: 1 };
        let of = |status, body: &str| {
            let headers = [("retry-after", "7")].into_iter().collect();
            let reply = HttpReply::Response { status, headers, body: Ok(body.into()) };
            let TokenFailure { fault, retry_after } = TokenAnswer::read(reply, asked, NOW).unwrap_err();
            (fault, retry_after)
        };
        let pause = Some(Duration::from_secs(7));
        let refused = |code| (refused(code), pause);
        assert_eq!(of(400, r#"{"error":"invalid_scope"}"#), refused(ErrorCode::InvalidScope));
        assert_eq!(of(401, r#"{"error":"invalid_client"}"#), refused(ErrorCode::InvalidClient));
        assert_eq!(of(401, "<html>"), (TokenFault::Status(401), pause));
        assert_eq!(of(503, r#"{"error":"invalid_client"}"#), (TokenFault::Status(503), pause));
        assert_eq!(of(429, ""), (TokenFault::Status(429), pause));
        assert_eq!(of(302, ""), (TokenFault::Status(302), pause));
    }

    /// RFC 9110 §15.3.4; and some servers create a token.
    #[test]
    fn a_token_is_taken_with_each_status_that_says_that_it_is_there() {
        let body = r#"{"access_token":"t"}"#;
        let request = request();
        let of = |status| {
            let asked = TokenQuery { request: &request, subject: None, max_token_bytes: 1 };
            TokenAnswer::read(reply(status, body), asked, NOW).map_err(|failure| failure.fault)
        };
        for status in [200, 201, 203] {
            assert!(of(status).is_ok(), "{status}");
        }
        for status in [0, 100, 202, 204, 205, 206, 226, 299, 300, 304] {
            assert_eq!(of(status), Err(TokenFault::Status(status)));
        }
    }

    #[test]
    fn an_error_of_the_servers_own_is_told_by_its_word_and_its_numbers() {
        let error = |body: &str| match read(body) {
            Err(TokenFault::Refused(error)) => error,
            other => panic!("{other:?}"),
        };
        let own = error(r#"{"error":"use_dpop_nonce","error_codes":[7000215,-1,"x",5e3,50011]}"#);
        assert_eq!((own.code, own.word), (ErrorCode::Other, word("use_dpop_nonce")));
        assert_eq!(own.numbers, [word("7000215"), word("50011")].map(Option::unwrap)[..1]);
        let many = error(r#"{"error":"invalid_client","error_codes":[65001,70011,70016,90002,90094]}"#);
        assert_eq!((many.word, many.numbers.len()), (None, MAX_NUMBERS));
        for leak in ["hunter2", "the hunter", "t0k3n"] {
            let body = format!(r#"{{"error":"{leak}","access_token":"t0k3n"}}"#);
            assert_eq!(error(&body).word, None, "{leak}");
        }
    }
}
