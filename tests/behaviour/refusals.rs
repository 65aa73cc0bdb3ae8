//! Every way to be refused, as it goes over the wire. `denials.golden` is what callers, dashboards and access logs depend on: a
//! change of a line in it is a change of the interface. `UPDATE_GOLDEN=1 cargo test --test behaviour refusals` writes it anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use attache::base::Timestamp;
use attache::claims::{AskedRule, AskedRules, ClaimError, ClaimPath, ClaimRule, ClaimTest};
use attache::inbound::{self, Denial, McpBodyError, McpHeaderError};
use attache::jose::{Algorithm, JsonError, SignatureError, TokenError, TokenPart};
use attache::policy::{AuthorityError, PathError, RouteMetadataError};
use serde_json::json;

use crate::proxy::{Proxy, Request, compile, config};

#[test]
fn every_denial_looks_as_the_golden_file_says() {
    let golden = include_str!("refusals.golden");
    let written = written();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/behaviour/refusals.golden"), &written)
            .unwrap();
        return;
    }
    for (line, (expected, got)) in golden.lines().zip(written.lines()).enumerate() {
        assert_eq!(got, expected, "line {} of refusals.golden", line + 1);
    }
    assert_eq!(written.lines().count(), golden.lines().count());
}

/// One block for each denial: the four modes, each with all that a caller gets.
fn written() -> String {
    let bare = compile(&config(json!({}))).unwrap();
    let full = compile(&config(json!({
        "denials": { "realm": "api" }, "resource": { "identifier": "https://api.example/v1" },
    })));
    let problem = compile(&config(json!({ "denials": { "body": "problem_json" } })));
    let json_rpc = compile(&config(json!({ "denials": { "body": "json_rpc" } })));
    let terse = compile(&config(json!({
        "denials": { "detail": "terse" }, "resource": { "identifier": "https://api.example/v1" },
    })));
    let modes = [
        ("bare", bare),
        ("full", full.unwrap()),
        ("problem", problem.unwrap()),
        ("json_rpc", json_rpc.unwrap()),
        ("terse", terse.unwrap()),
    ];
    let mut text = String::new();
    for denial in every() {
        writeln!(text, "{}: {denial}", denial.label()).unwrap();
        for (mode, settings) in &modes {
            writeln!(text, "  {mode}: {}", on_the_wire(settings.inbound.as_ref().unwrap(), &denial)).unwrap();
        }
    }
    text
}

fn on_the_wire(settings: &inbound::Settings, denial: &Denial) -> String {
    let response = settings.denial_response(denial, None);
    assert_eq!(response.details, denial.label());
    let headers: Vec<_> = response.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let grpc = response.grpc_status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let mut line = format!("{} grpc {grpc} | {}", response.status, headers.join(" | "));
    if !response.body.is_empty() {
        write!(line, " | {}", response.body).unwrap();
    }
    line
}

/// Each variant at least once, down to the innermost. The functions below stop compiling when one is added.
pub fn every() -> Vec<Denial> {
    let secs = Timestamp::from_secs;
    let mut all = vec![
        Denial::CredentialMissing { scopes: [].into() },
        Denial::CredentialMissing { scopes: ["orders:read".into(), "orders:write".into()].into() },
        Denial::CredentialRepeated,
        Denial::CredentialMalformed,
        Denial::HeaderLookalike,
        Denial::HeaderReserved,
        Denial::HeaderHopByHop,
        Denial::Path(PathError::NotAbsolute),
        Denial::Path(PathError::BadCharacter),
        Denial::Path(PathError::TooManySegments),
        Denial::PathAmbiguous { feature: "encoded_slash" },
        Denial::Method,
        Denial::Authority(AuthorityError::NoHost),
        Denial::Authority(AuthorityError::NoPort),
        Denial::Authority(AuthorityError::Spelling),
        Denial::MethodOverridden,
        Denial::PathOverridden,
        Denial::McpHeaderMismatch,
        Denial::McpVersion,
        Denial::McpUriAmbiguous,
        Denial::BodyTooLarge { most: 65_536 },
        Denial::RouteUnknown,
        Denial::RouteDenied,
        Denial::RouteMetadata(RouteMetadataError::NotAMap),
        Denial::RouteMetadata(RouteMetadataError::UnknownKey),
        Denial::RouteMetadata(RouteMetadataError::BadList { key: "scopes" }),
        Denial::RouteMetadata(RouteMetadataError::NoScope),
        Denial::RouteMetadata(RouteMetadataError::BadIssuers),
        Denial::RouteMetadata(RouteMetadataError::BadRequirements),
        Denial::RouteMetadata(RouteMetadataError::NotConfigured),
    ];
    all.extend(
        [McpHeaderError::Version, McpHeaderError::Method, McpHeaderError::Name].map(Denial::McpHeaders),
    );
    all.extend(
        [
            McpBodyError::Missing,
            McpBodyError::ContentType,
            McpBodyError::ContentCoding,
            McpBodyError::NotJson,
            McpBodyError::NotAMessage,
            McpBodyError::DuplicateMember,
            McpBodyError::ControlCharacter,
            McpBodyError::TooManyMembers,
            McpBodyError::NameMissing,
            McpBodyError::MixedBatch,
        ]
        .map(Denial::McpBody),
    );
    all.extend(
        [
            TokenError::TooLong { bytes: 20_000, limit: 16_384 },
            TokenError::Parts { found: 2 },
            TokenError::Encrypted,
            TokenError::EmptyPart { part: TokenPart::Claims },
            TokenError::Encoding { part: TokenPart::Signature },
            TokenError::Json { part: TokenPart::Header, error: JsonError::NotUtf8 },
            TokenError::MemberType { member: "kid" },
            TokenError::MemberTooLong { member: "kid", limit: 256 },
            TokenError::AlgorithmMissing,
            TokenError::AlgorithmNone,
            TokenError::AlgorithmUnknown,
            TokenError::Critical,
            TokenError::UnencodedPayload,
            TokenError::Compressed,
        ]
        .map(Denial::Token),
    );
    all.extend([Denial::IssuerUnknown, Denial::IssuerNotAccepted]);
    all.extend(
        [
            ClaimError::Missing { claim: "exp" },
            ClaimError::RequiredMissing { claim: ClaimPath::new(&["realm_access", "roles"]).unwrap() },
            ClaimError::Malformed { claim: "aud" },
            ClaimError::MalformedScope,
            ClaimError::TooManyScopes { max: 1024 },
            ClaimError::WrongIssuer,
            ClaimError::WrongAudience,
            ClaimError::WrongType { expected: "at+jwt" },
            ClaimError::WrongTenant,
            ClaimError::AlgorithmNotAllowed { algorithm: Algorithm::Hs256 },
            ClaimError::Expired { exp: secs(1), now: secs(2) },
            ClaimError::NotYetValid { nbf: secs(2), now: secs(1) },
            ClaimError::IssuedInFuture { iat: secs(2), now: secs(1) },
            ClaimError::LifetimeTooLong { lifetime: Duration::from_secs(90), max: Duration::from_secs(60) },
        ]
        .map(Denial::Claim),
    );
    all.extend([Denial::KeyUnknown, Denial::StreamsFull { retry_after: Duration::from_secs(1) }]);
    all.extend(
        [
            SignatureError::Mismatch,
            SignatureError::AlgorithmNotForKey { algorithm: Algorithm::Es256 },
            SignatureError::BadLength { expected: 64, got: 63 },
            SignatureError::OutOfRange,
            SignatureError::KeyOfOtherIssuer,
        ]
        .map(Denial::Signature),
    );
    all.extend([
        Denial::AudienceNotAccepted,
        Denial::ClientNotAccepted,
        Denial::SubjectNotAccepted,
        Denial::ClaimNotAccepted { rule: rule() },
        Denial::ScopeInsufficient { scopes: ["orders:read".into(), "orders:write".into()].into() },
        Denial::KeysUnavailable { retry_after: Duration::ZERO },
        Denial::KeysUnavailable { retry_after: Duration::from_millis(1001) },
        Denial::WaitingFull { retry_after: Duration::from_secs(60) },
        Denial::ChecksLimited { tried: 3, keys: 12, retry_after: Duration::from_secs(1) },
        Denial::Internal("a state that should not be"),
    ]);
    all
}

#[test]
fn the_golden_file_covers_every_variant() {
    let seen = |places: &dyn Fn(&Denial) -> Option<usize>| {
        let seen: BTreeSet<usize> = every().iter().filter_map(places).collect();
        (seen.len(), seen.last().map_or(0, |last| last + 1))
    };
    let complete = |(seen, count): (usize, usize), expected: usize| {
        assert_eq!((seen, count), (expected, expected));
    };
    complete(seen(&|denial| Some(denial_place(denial))), 37);
    complete(
        seen(&|denial| if let Denial::Token(error) = denial { Some(token_place(error)) } else { None }),
        14,
    );
    complete(
        seen(&|denial| if let Denial::Claim(error) = denial { Some(claim_place(error)) } else { None }),
        14,
    );
    let signature = |denial: &Denial| match denial {
        Denial::Signature(error) => Some(signature_place(error)),
        _ => None,
    };
    complete(seen(&signature), 5);
    complete(
        seen(&|denial| if let Denial::Path(error) = denial { Some(path_place(error)) } else { None }),
        3,
    );
    let mcp = |denial: &Denial| match denial {
        Denial::McpHeaders(error) => Some(mcp_headers_place(*error)),
        Denial::McpBody(error) => Some(mcp_body_place(*error)),
        _ => None,
    };
    complete(seen(&mcp), 13);
    let authority = |denial: &Denial| match denial {
        Denial::Authority(error) => Some(authority_place(error)),
        _ => None,
    };
    complete(seen(&authority), 3);
    let metadata = |denial: &Denial| match denial {
        Denial::RouteMetadata(error) => Some(metadata_place(error)),
        _ => None,
    };
    complete(seen(&metadata), 7);
}

fn rule() -> Rc<AskedRule> {
    let rule = ClaimRule { claim: ClaimPath::new(&["tier"]).unwrap(), test: ClaimTest::Exists };
    AskedRules::default().ask(rule).unwrap()
}

fn denial_place(denial: &Denial) -> usize {
    match denial {
        Denial::CredentialMissing { .. } => 0,
        Denial::CredentialRepeated => 1,
        Denial::CredentialMalformed => 2,
        Denial::HeaderLookalike => 3,
        Denial::HeaderReserved => 4,
        Denial::Path(_) => 5,
        Denial::PathAmbiguous { .. } => 6,
        Denial::RouteUnknown => 7,
        Denial::RouteDenied => 8,
        Denial::RouteMetadata(_) => 9,
        Denial::Token(_) => 10,
        Denial::IssuerUnknown => 11,
        Denial::IssuerNotAccepted => 12,
        Denial::Claim(_) => 13,
        Denial::KeyUnknown => 14,
        Denial::Signature(_) => 15,
        Denial::ScopeInsufficient { .. } => 16,
        Denial::KeysUnavailable { .. } => 17,
        Denial::WaitingFull { .. } => 18,
        Denial::Internal(_) => 19,
        Denial::Method => 20,
        Denial::ChecksLimited { .. } => 21,
        Denial::HeaderHopByHop => 22,
        Denial::Authority(_) => 23,
        Denial::MethodOverridden => 24,
        Denial::PathOverridden => 25,
        Denial::AudienceNotAccepted => 26,
        Denial::ClientNotAccepted => 27,
        Denial::SubjectNotAccepted => 28,
        Denial::ClaimNotAccepted { .. } => 29,
        Denial::StreamsFull { .. } => 30,
        Denial::McpHeaders(_) => 31,
        Denial::McpBody(_) => 32,
        Denial::McpHeaderMismatch => 33,
        Denial::McpVersion => 34,
        Denial::BodyTooLarge { .. } => 35,
        Denial::McpUriAmbiguous => 36,
    }
}

fn mcp_headers_place(error: McpHeaderError) -> usize {
    match error {
        McpHeaderError::Version => 0,
        McpHeaderError::Method => 1,
        McpHeaderError::Name => 2,
    }
}

fn mcp_body_place(error: McpBodyError) -> usize {
    match error {
        McpBodyError::Missing => 3,
        McpBodyError::ContentType => 4,
        McpBodyError::ContentCoding => 5,
        McpBodyError::NotJson => 6,
        McpBodyError::NotAMessage => 7,
        McpBodyError::DuplicateMember => 8,
        McpBodyError::TooManyMembers => 9,
        McpBodyError::NameMissing => 10,
        McpBodyError::MixedBatch => 11,
        McpBodyError::ControlCharacter => 12,
    }
}

fn token_place(error: &TokenError) -> usize {
    match error {
        TokenError::TooLong { .. } => 0,
        TokenError::Parts { .. } => 1,
        TokenError::Encrypted => 2,
        TokenError::EmptyPart { .. } => 3,
        TokenError::Encoding { .. } => 4,
        TokenError::Json { .. } => 5,
        TokenError::MemberType { .. } => 6,
        TokenError::MemberTooLong { .. } => 7,
        TokenError::AlgorithmMissing => 8,
        TokenError::AlgorithmNone => 9,
        TokenError::AlgorithmUnknown => 10,
        TokenError::Critical => 11,
        TokenError::UnencodedPayload => 12,
        TokenError::Compressed => 13,
    }
}

fn claim_place(error: &ClaimError) -> usize {
    match error {
        ClaimError::Missing { .. } => 0,
        ClaimError::Malformed { .. } => 1,
        ClaimError::MalformedScope => 2,
        ClaimError::TooManyScopes { .. } => 3,
        ClaimError::WrongIssuer => 4,
        ClaimError::WrongAudience => 5,
        ClaimError::WrongType { .. } => 6,
        ClaimError::AlgorithmNotAllowed { .. } => 7,
        ClaimError::Expired { .. } => 8,
        ClaimError::NotYetValid { .. } => 9,
        ClaimError::IssuedInFuture { .. } => 10,
        ClaimError::LifetimeTooLong { .. } => 11,
        ClaimError::RequiredMissing { .. } => 12,
        ClaimError::WrongTenant => 13,
    }
}

fn signature_place(error: &SignatureError) -> usize {
    match error {
        SignatureError::Mismatch => 0,
        SignatureError::AlgorithmNotForKey { .. } => 1,
        SignatureError::BadLength { .. } => 2,
        SignatureError::OutOfRange => 3,
        SignatureError::KeyOfOtherIssuer => 4,
    }
}

fn path_place(error: &PathError) -> usize {
    match error {
        PathError::NotAbsolute => 0,
        PathError::BadCharacter => 1,
        PathError::TooManySegments => 2,
    }
}

fn authority_place(error: &AuthorityError) -> usize {
    match error {
        AuthorityError::NoHost => 0,
        AuthorityError::NoPort => 1,
        AuthorityError::Spelling => 2,
    }
}

fn metadata_place(error: &RouteMetadataError) -> usize {
    match error {
        RouteMetadataError::NotAMap => 0,
        RouteMetadataError::UnknownKey => 1,
        RouteMetadataError::BadList { .. } => 2,
        RouteMetadataError::NoScope => 3,
        RouteMetadataError::BadIssuers => 4,
        RouteMetadataError::NotConfigured => 5,
        RouteMetadataError::BadRequirements => 6,
    }
}

/// RFC 6750 §3, RFC 9110 §5.6.4: whatever the denial, the challenge is what a parser expects.
#[test]
fn a_challenge_is_one_scheme_with_quoted_strings() {
    for settings in [
        compile(&config(
            json!({ "denials": { "realm": "a b, c=d" }, "resource": { "identifier": "https://a.example" } }),
        )),
        compile(&config(json!({}))),
        compile(&config(json!({ "denials": { "detail": "terse" } }))),
    ] {
        let settings = settings.unwrap();
        for denial in every() {
            let response = settings.inbound.as_ref().unwrap().denial_response(&denial, None);
            let challenges: Vec<_> =
                response.headers.iter().filter(|(name, _)| *name == "www-authenticate").collect();
            let expected = matches!(response.status, 400 | 401) || denial.label() == "scope_insufficient";
            assert_eq!(challenges.len(), usize::from(expected), "{denial:?}");
            for (_, challenge) in challenges {
                let parameters = challenge.strip_prefix("Bearer").unwrap();
                let mut rest = parameters.strip_prefix(' ').unwrap_or_default();
                while !rest.is_empty() {
                    let (name, after) = rest.split_once("=\"").unwrap();
                    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{challenge}");
                    let (value, after) = after.split_once('"').unwrap();
                    assert!(value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'\\'), "{challenge}");
                    rest = after.strip_prefix(", ").unwrap_or(after);
                }
            }
        }
    }
}

#[test]
fn a_problem_body_is_json_of_the_registered_members() {
    let settings = compile(&config(json!({ "denials": { "body": "problem_json" } }))).unwrap();
    for denial in every() {
        let response = settings.inbound.as_ref().unwrap().denial_response(&denial, None);
        let body: serde_json::Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(body["status"], json!(response.status));
        assert_eq!(body["reason"], json!(denial.label()));
        assert_eq!(body["detail"], json!(denial.to_string()));
        assert!(response.headers.contains(&("content-type", "application/problem+json".to_owned())));
    }
}

#[test]
fn terse_tells_the_status_and_nothing_else() {
    let settings = compile(&config(json!({ "denials": { "detail": "terse" } }))).unwrap();
    for denial in every() {
        let response = settings.inbound.as_ref().unwrap().denial_response(&denial, None);
        assert_eq!(response.body, "");
        for (name, value) in response.headers {
            match name {
                "www-authenticate" => assert_eq!(value, "Bearer"),
                "cache-control" => assert_eq!(value, "no-store"),
                "retry-after" => assert!(value.parse::<u64>().is_ok()),
                other => panic!("{other}: {value}"),
            }
        }
    }
}

/// Envoy makes the body the grpc-message.
#[test]
fn a_grpc_caller_gets_a_text_and_no_json() {
    let settings = config(json!({ "denials": { "body": "problem_json" } }));
    let body = |request: Request| Proxy::new(&settings).request(request).refused().response.body;
    let call = || Request::new("POST", "/orders");
    assert_eq!(body(call().header("content-type", "application/grpc+proto")), "a bearer token is required");
    assert!(body(call().header("content-type", "application/json")).starts_with('{'));
}
