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
    let answer =
        read(r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,"x":"y"}"#);
    assert_eq!(answer, Err(TokenFault::TokenType(word("example"))));
    let answer =
        read(r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"bEARER","expires_in":3600,"refresh_token":"r","x":{}}"#)
            .unwrap();
    assert_eq!(answer.token.expose(), b"2YotnFZFEjr1zCsicMWpAA");
    assert_eq!(answer.expires_in, Some(Duration::from_secs(3600)));
}

#[test]
fn each_form_of_a_lifetime_has_its_rule() {
    let lifetime = |value: &str| with(&format!(r#","expires_in":{value}"#)).map(|answer| answer.expires_in);
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
    let told = |more: &str| {
        let scopes = with(more).unwrap().scopes;
        (scopes.missing.join(" "), scopes.further)
    };
    assert_eq!(told(""), (String::new(), 0));
    assert_eq!(told(r#","scope":null"#), (String::new(), 0));
    assert_eq!(told(r#","scope":"b c a""#), (String::new(), 1));
    assert_eq!(told(r#","scope":"b""#), ("a".to_owned(), 0));
    assert_eq!(told(r#","scope":" c  d c b""#), ("a".to_owned(), 2));
    assert_eq!(told(r#","scope":"""#), ("a b".to_owned(), 0));
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
