//! What authorization servers answer: caching headers, tokens, metadata. The first byte says which.

use core::time::Duration;

use attache::base::{Headers, HttpReply, Secret, Timestamp, entity_tag, freshness, retry_after};
use attache::oauth::{
    Address, Authentication, Credentials, Grant, Member, TokenAnswer, TokenFailure, TokenQuery, TokenRequest,
    fuzzed_metadata,
};
use serde_json::Value;

use crate::json_mutator;
use crate::signer::START;

pub(super) fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind {
        b'H' => caching(rest),
        b'A' => token_answer(rest, false),
        b'X' => token_answer(rest, true),
        kind => {
            metadata(rest, if kind & 1 == 0 { Member::KeySet } else { Member::TokenEndpoint }, kind & 2 == 0)
        }
    }
}

pub(super) fn mutate(data: &[u8], seed: u32) -> Option<Vec<u8>> {
    let before = match data.first()? {
        b'H' => return None,
        b'A' | b'X' => 2,
        _ => 1,
    };
    let (before, json) = data.split_at_checked(before)?;
    Some([before, &json_mutator::mutate(json, seed, WORDS)?].concat())
}

/// One value a line.
fn caching(text: &[u8]) {
    let names = ["cache-control", "age", "expires", "retry-after", "etag", "cache-control", "date"];
    let headers: Headers = names.into_iter().zip(text.split(|byte| *byte == b'\n')).collect();
    for now in [Timestamp::EPOCH, Timestamp::from_secs(START), Timestamp::MAX] {
        for duration in [freshness(&headers, now), retry_after(&headers, now)].into_iter().flatten() {
            let _ = now.after(duration);
            assert!(duration <= Duration::from_secs(600 * 365 * 86400), "{duration:?}");
        }
    }
    if let Some(tag) = entity_tag(&headers) {
        assert!(tag.len() <= 128 && tag.bytes().all(|byte| byte.is_ascii_graphic()), "{tag:?}");
    }
}

/// A byte for the status, then the body.
fn token_answer(text: &[u8], is_exchange: bool) {
    let (chosen, body) = text.split_first().unwrap_or((&0, &[]));
    let status = [200, 400, 401, 403, 503, 203, 304, 65535][usize::from(chosen & 7)];
    let headers = [("retry-after", "7")].into_iter().collect();
    let now = Timestamp::from_secs(START);
    let request = request(is_exchange);
    let subject = Secret::new("a caller's token");
    let asked = TokenQuery {
        request: &request,
        subject: is_exchange.then_some(&subject),
        max_token_bytes: MAX_TOKEN_BYTES,
    };
    let reply = HttpReply::Response { status, headers, body: Ok(body.to_vec()) };
    match TokenAnswer::read(reply, asked, now) {
        Ok(answer) => {
            assert!([200, 203].contains(&status), "a token with status {status}");
            let token = answer.token.expose();
            let is_visible = |byte: &u8| byte.is_ascii_graphic() && *byte != b',';
            assert!(!token.is_empty() && token.len() <= MAX_TOKEN_BYTES && token.iter().all(is_visible));
            assert!(answer.expires_in.is_none_or(|lifetime| lifetime >= Duration::from_secs(1)));
            let _ = answer.expires_in.map(|lifetime| now.after(lifetime));
            assert!(answer.scopes.missing.len() <= request.scopes.len());
            let second: Value = serde_json::from_slice(body).expect("a second reader reads it");
            assert_eq!(second["access_token"].as_str().map(str::as_bytes), Some(token));
            assert!(second["error"].as_str().is_none(), "a token beside an error");
        }
        Err(TokenFailure { fault, retry_after: pause }) => {
            let _ = (fault.label(), fault.class(), fault.to_string());
            assert!(pause.is_none_or(|pause| pause == Duration::from_secs(7)), "{pause:?}");
        }
    }
}

fn request(is_exchange: bool) -> TokenRequest {
    let grant = if is_exchange {
        Grant::TokenExchange { subject_token_type: "urn:x".into(), requested_token_type: None }
    } else {
        Grant::ClientCredentials
    };
    TokenRequest {
        credentials: Credentials { client_id: None, authentication: Authentication::TlsClientAuth },
        grant,
        scopes: ["a".into(), "b".into()].into(),
        audience: None,
        resources: Vec::new(),
        parameters: Vec::new(),
        headers: Vec::new(),
        token_types: Vec::new(),
    }
}

fn metadata(text: &[u8], member: Member, allow_http: bool) {
    let address = match fuzzed_metadata(text, ISSUER, member, allow_http) {
        Ok(address) => address,
        Err(error) => {
            let _ = (error.label(), error.to_string());
            return;
        }
    };
    assert!(address.scheme == "https" || allow_http, "{address:?}");
    let (authority, path) = (&*address.authority, &*address.path);
    assert!(
        [authority, path].iter().all(|text| text.bytes().all(|byte| byte.is_ascii_graphic())),
        "{address:?}"
    );
    assert!(!authority.is_empty() && !authority.contains(['@', '/', '?', '#', '\\']), "{address:?}");
    assert!(path.starts_with('/') && !path.contains('#'), "{address:?}");
    let again = url::Url::parse(&address.url()).expect("its own text is a URL");
    assert_eq!(Address::of(&again), address);
    let second: Value = serde_json::from_slice(text).expect("a second reader reads it");
    assert_eq!(second["issuer"], ISSUER);
    assert!(second[member.name()].is_string());
}

const ISSUER: &str = "https://h/a";
const MAX_TOKEN_BYTES: usize = 100;

const WORDS: &[&str] = &[
    "issuer",
    "jwks_uri",
    "token_endpoint",
    "access_token",
    "token_type",
    "expires_in",
    "scope",
    "error",
    "error_description",
    "issued_token_type",
    "refresh_token",
    "Bearer",
    "bearer",
    "Bearer ",
    "N_A",
    "DPoP",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "invalid_request",
    ISSUER,
    "http://h/a",
    "https://h:443/x?y#z",
    "https://u:p@h/",
    "https://[::1]/",
    "https://h\\@x/",
    "https://h/\r\n",
    "//h",
    "https:h",
    "https://0x7f.1/",
    "https://h%2f/",
    "https://xn--a/",
    "https://H/../..",
    "urn:x",
];
