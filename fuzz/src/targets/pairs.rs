//! Headers and metadata as the host hands them over, any bytes: one request through a filter. Nothing is forwarded without the token,
//! no caller imitates a claim's header, a token that is to be stripped is gone, and no answer or log line tells it.

use attache::base::{
    Edit, Headers, Jitter, Observation, Outcome, RequestHead, StreamId, Timestamp, encode_pairs,
};
use attache::config::{self, Config};
use attache::filter::Filter;
use attache::jose::RustCrypto;
use attache::policy::RouteMetadata;
use attache::sharing::{Context, NoSharedState};
use serde_json::{Value, json};

use crate::environment::Variables;
use crate::input::Input;
use crate::random::Drawn;
use crate::signer::{START, Signer, claims};

pub(super) fn run(data: &[u8]) {
    check_pairs(data);
    let _ = RouteMetadata::parse(data);
    let mut input = Input::new(data);
    WORLD.with(|world| {
        let head = head(&mut input, &world.token);
        let now = Timestamp::from_secs(START);
        let random = Drawn::new();
        let (mut jitter, mut observations) = (Jitter::new([1; 16]), Vec::new());
        let mut context = Context {
            now,
            stopwatch: &(),
            crypto: &RustCrypto,
            random: &random,
            shared: &NoSharedState,
            jitter: &mut jitter,
            observations: &mut observations,
        };
        let mut filter = Filter::new(&world.config, [1; 16], &mut context);
        let outcome = filter.handle_request(StreamId(1), head.clone(), &mut context);
        match outcome {
            Some(Outcome::Forward { edits, .. }) => check_forward(&head.headers, &edits, &world.token),
            Some(Outcome::Respond { response, annotation, .. }) => {
                for (_, value) in &response.headers {
                    assert!(is_field_value(value), "{value:?}");
                }
                let values = response.headers.iter().map(|(_, value)| value.as_str());
                let texts = values.chain([&*response.body, &*annotation]);
                assert!(texts.into_iter().all(|text| !text.contains(&world.token)), "a token is told");
                if response.body.starts_with('{') {
                    serde_json::from_str::<Value>(&response.body).expect("a body of JSON");
                }
                assert!(annotation.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{annotation:?}");
            }
            Some(Outcome::AwaitBody { .. }) => panic!("no route asks for messages"),
            None => assert_eq!(filter.waiting(), 1),
        }
        for observation in &observations {
            if let Observation::Log { line, .. } = observation {
                assert!(!line.contains(&world.token) && !line.contains('\n'), "{line:?}");
            }
        }
    });
}

pub(super) fn mutate(_: &[u8], _: u32) -> Option<Vec<u8>> {
    None
}

/// Bytes that are pairs are all of them pairs, and each is found under its name.
fn check_pairs(data: &[u8]) {
    let Ok(headers) = Headers::from_pairs(data.to_vec()) else { return };
    // No bytes at all are no pairs, which are otherwise written with their count.
    assert_eq!(encode_pairs(headers.iter()).len(), data.len().max(4), "not all bytes are pairs");
    for (name, value) in headers.iter() {
        if let Ok(name) = str::from_utf8(name) {
            assert!(headers.values(name).any(|found| found == value));
        }
    }
}

fn head(input: &mut Input<'_>, token: &str) -> RequestHead {
    let (shape, cluster) = (input.byte(), input.byte());
    let headers = if shape & 1 == 1 { Headers::from_pairs(input.text().to_vec()).ok() } else { None };
    let metadata = match shape >> 1 & 3 {
        0 => None,
        1 => Some(input.text().to_vec()),
        count => {
            let pairs = (0..count).map(|_| (input.one_of(METADATA), input.text()));
            Some(encode_pairs(pairs.collect::<Vec<_>>().into_iter()))
        }
    };
    if let Some(metadata) = &metadata {
        let _ = RouteMetadata::parse(metadata);
    }
    let headers = headers.unwrap_or_else(|| fields(input, token).into_iter().collect());
    let clusters = [None, Some("billing"), Some("sts"), Some("other")];
    let cluster_tls = (cluster & 4 == 0).then(|| b"asserted".to_vec());
    let cluster = clusters[usize::from(cluster & 3)].map(|name| name.as_bytes().to_vec());
    RequestHead { headers, route_metadata: metadata, cluster, cluster_tls, ..RequestHead::default() }
}

/// Headers by a byte for the name, one for how the value begins, and the rest of the value, in which `~` is the token.
fn fields(input: &mut Input<'_>, token: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields = Vec::new();
    while !input.is_empty() && fields.len() < 40 {
        let (name, beginning, rest) = (input.byte(), input.one_of(BEGINNINGS), input.text());
        let name = NAMES.get(usize::from(name)).map_or(rest, |name| name.as_bytes());
        let mut value = Vec::new();
        for byte in beginning.bytes().chain(rest.iter().copied()) {
            match byte {
                b'~' => value.extend(token.bytes()),
                byte => value.push(byte),
            }
        }
        fields.push((name.to_vec(), value));
    }
    fields
}

fn check_forward(headers: &Headers, edits: &[Edit], token: &str) {
    let first = |name: &str| headers.first(name).unwrap_or_default();
    let path = first(":path").split(|byte| *byte == b'?').next().unwrap_or_default();
    let is_open = OPEN_PREFIXES.iter().any(|prefix| percent_decoded(path).starts_with(prefix));
    let is_preflight = first(":method") == b"OPTIONS" && headers.first("origin").is_some();
    let has_token =
        |value: &[u8]| percent_decoded(value).windows(token.len()).any(|window| window == token.as_bytes());
    let carries = headers.iter().any(|(_, value)| has_token(value));
    let shown = String::from_utf8_lossy(path);
    assert!(is_open || is_preflight || carries, "forwarded without a token: {shown:?}");
    for name in ["x-auth-subject", "x-auth-tenant"] {
        // To one server or another, `X_Auth.Subject` is the same name.
        for (theirs, _) in headers.iter().filter(|(theirs, _)| is_taken_for(theirs, name)) {
            let is_edited = edits.iter().any(|edit| edit.name().as_bytes() == theirs);
            assert!(is_edited, "a caller's {name} passes as {:?}", String::from_utf8_lossy(theirs));
        }
        let is_forged =
            |edit: &Edit| matches!(edit, Edit::Set(set, value) if &**set == name && &**value != SUBJECT);
        assert!(!edits.iter().any(is_forged), "{name} is set to something else");
    }
    if is_open || is_preflight {
        return;
    }
    // Stripped: the token is nowhere that the filter reads, after it has been verified.
    let is_left = |name: &&[u8]| edits.iter().all(|edit| edit.name().as_bytes() != *name);
    let left = headers.iter().filter(|(name, _)| is_left(name));
    let set = edits.iter().filter_map(|edit| match edit {
        Edit::Set(name, value) => Some((name.as_bytes(), value.as_bytes())),
        Edit::Remove(_) => None,
    });
    for (name, value) in left.chain(set) {
        assert!(name != b"x-token" || value.is_empty(), "x-token is left");
        let is_bearer = value.len() > 7 && value[..7].eq_ignore_ascii_case(b"bearer ");
        assert!(name != b"authorization" || !is_bearer, "a bearer token is left");
    }
}

fn is_taken_for(theirs: &[u8], ours: &str) -> bool {
    let folded =
        theirs.iter().map(|byte| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' });
    folded.eq(ours.bytes())
}

fn is_field_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte))
}

/// Each escape that is one, decoded.
fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *byte == b'%');
        decoded.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    decoded
}

struct Fixed {
    config: Config,
    token: String,
}

impl Fixed {
    fn new() -> Self {
        let key = Signer::new("k1");
        let document = json!({
            "inbound": {
                "issuers": [
                    { "name": "corp", "issuer": "https://idp.example", "audiences": ["https://api.example"],
                        "keys": { "inline": { "keys": [key.jwk()] } }, "type": "at+jwt", "max_lifetime": "24h" },
                    { "name": "partner", "issuer": "https://partner.example", "audiences": "any",
                        "keys": { "jwks": { "uri": "https://partner.example/jwks", "cluster": "partner" } } },
                ],
                "token": { "after_verification": "strip", "sources": [
                    { "header": { "name": "authorization", "scheme": "Bearer" } },
                    { "header": { "name": "x-token" } },
                    { "query": { "name": "access_token" } },
                    { "cookie": { "name": "token" } },
                ] },
                "forward_claims": [
                    { "claim": "sub", "header": "x-auth-subject" },
                    { "claim": ["realm_access", "tenant"], "header": "x-auth-tenant" },
                ],
                "resource": { "identifier": "https://api.example/v1", "documentation": "https://docs.example" },
                "denials": { "realm": "api", "body": "problem_json", "detail": "full" },
                "cors_preflight": "forward", "route_metadata": "ignore", "filter_state": "all",
                "waiting": { "requests": 4, "deadline": "1s" },
                "routes": [
                    { "name": "trial", "match": { "prefix": "/trial" }, "mode": "report_only",
                        "require": { "issuers": ["corp"], "scopes": ["nobody"] } },
                    { "name": "public", "match": { "prefix": "/public" }, "public": {},
                        "allow_in_path": ["encoded_slash", "semicolon", "dot_segment", "empty_segment"] },
                    { "name": "internal", "match": { "prefix": "/internal" }, "deny": {} },
                    { "name": "orders", "require": { "issuers": ["corp"], "scopes": ["orders:read"] },
                        "match": { "path": "/orders/{id}", "methods": ["GET"],
                            "authorities": ["api.example", "*.internal"] } },
                ],
                "default": { "require": { "issuers": ["corp", "partner"], "authenticated": {} } },
            },
            "outbound": {
                "position": "downstream", "unmatched": "pass", "route_metadata": "read",
                "clients": [{ "name": "billing", "client_id": "b", "header": { "name": "x-own" }, "obtain": "on_demand",
                    "token_endpoint": { "uri": "https://sts.example/token", "cluster": "sts" },
                    "authentication": { "client_secret_post": { "secret": { "env": "SECRET" } } } }],
                "destinations": [{ "client": "billing",
                    "match": { "authorities": ["billing.internal"], "clusters": ["billing"] } }],
            },
        });
        let config = config::parse(document.to_string().as_bytes(), &Variables);
        let token = key.token(&claims("https://idp.example", "orders:read", START + 3600, SUBJECT));
        Self { config: config.unwrap_or_else(|problems| panic!("{problems}")), token }
    }
}

thread_local! {
    static WORLD: Fixed = Fixed::new();
}

const SUBJECT: &str = "someone";
/// Paths for which no token is asked, or none is insisted on.
const OPEN_PREFIXES: [&[u8]; 2] = [b"/public", b"/trial"];
const METADATA: &[&str] = &["scopes", "any_scope", "issuers", "client", "x"];

const NAMES: &[&str] = &[
    "authorization",
    "cookie",
    "x-token",
    ":path",
    ":method",
    ":authority",
    "origin",
    "x-auth-subject",
    "x_auth_subject",
    "X-Auth-Subject",
    "x.token",
    "access-control-request-method",
    "content-type",
    "te",
    "authorization ",
    "x-own",
    "x_own",
    "",
    "host",
    "proxy-authorization",
    "grpc-timeout",
    "x-auth-tenant",
    "referer",
    "x-forwarded-for",
    "x-http-method-override",
    "x-original-url",
    "connection",
];

const BEGINNINGS: &[&str] = &[
    "",
    "Bearer ",
    "bearer  ",
    "Basic ",
    "token=",
    "a=b; token=",
    "/",
    "/orders",
    "/public/",
    "/trial",
    "/.well-known/oauth-protected-resource",
    "/?access_token=",
    "/x?a=1&access_token=",
    "GET",
    "OPTIONS",
    "application/grpc",
    "api.example",
    "billing.internal",
    "\"",
    "Bearer ~",
    "/orders/7",
    "~",
    "POST",
];
