//! docs/log-lines.md lists every line that the code can write, with every reason in it, and no other. (`Proxy` holds each
//! line that any test of this binary causes against the page.)

use std::collections::BTreeSet;
use std::time::Duration;

use attache::base::{AuditText, ContentCoding, Excerpt, Level};
use attache::config::NOTICES;
use attache::issuer::{DocumentKind, KeyChange};
use attache::jose::{
    Algorithm, AlgorithmSet, JsonError, KeyError, KeySetError, SigningError, SkippedKey, SkippedKeys,
};
use attache::oauth::{
    CallSummary, ErrorCode, FetchError, LocalCause, LocalReply, Member, MetadataError, TokenFault,
};
use attache::outbound::{EgressDenial, Purge};
use attache::policy::RouteMetadataError;
use attache::sharing::Unreadable;
use attache::telemetry::{HostFault, Message, Owner, TokenRecord};

use crate::log_page::{Pattern, lines, reasons};

#[test]
fn the_page_lists_every_line_with_its_levels_and_no_other() {
    let call = CallSummary {
        url: "https://idp.example/x".to_owned(),
        cluster: "idp".into(),
        elsewhere: Some(("https://idp.example/y".to_owned(), FetchError::Status(404))),
        serves: None,
        next: Duration::from_secs(4),
    };
    let serving = CallSummary { serves: Some(Duration::from_secs(28)), next: Duration::ZERO, ..call.clone() };
    let plain = CallSummary { elsewhere: None, ..call.clone() };
    let mut told: Vec<(Level, String)> =
        NOTICES.iter().map(|notice| (notice.level, notice.text.to_owned())).collect();
    let mut places = BTreeSet::new();
    for call in [&call, &serving, &plain] {
        for message in messages(call) {
            places.insert(place(&message));
            told.push((message.level(), message.to_string()));
        }
    }
    assert_eq!(places, (0..MESSAGES).collect(), "a message is not made here");
    let mut missing: BTreeSet<(&str, Level)> = BTreeSet::new();
    for pattern in lines() {
        missing.extend(pattern.levels.iter().map(|level| (pattern.text.as_str(), *level)));
    }
    for (level, line) in &told {
        let found: Vec<&Pattern> = lines().iter().filter(|pattern| pattern.matches(line)).collect();
        let found: Vec<_> = found.iter().filter(|pattern| pattern.levels.contains(level)).collect();
        assert!(!found.is_empty(), "docs/log-lines.md lacks ({level}): {line}");
        missing.retain(|(text, of)| !(of == level && found.iter().any(|pattern| pattern.text == *text)));
    }
    assert!(missing.is_empty(), "docs/log-lines.md has what the code cannot write: {missing:#?}");
}

fn record() -> TokenRecord {
    TokenRecord {
        event: "token_purge",
        client: AuditText::Fixed("billing"),
        grant: "client_credentials",
        endpoint: AuditText::Fixed("https://idp.example/token"),
        cluster: AuditText::Fixed("idp"),
        result: "purged",
        duration_ms: None,
        issued: None,
        not_written: 0,
    }
}

/// Each message at least once, in each of its forms. `place` stops compiling when one is added.
fn messages(call: &CallSummary) -> Vec<Message<'_>> {
    let plain = KeyChange { keys: 2, ..KeyChange::default() };
    let change = leaked(plain.clone());
    let leaking = leaked(KeyChange { private_members: true, ..plain });
    let error = leaked(FetchError::Status(404));
    let [subject, transient, configuration] =
        [TokenFault::ExpiredAtIssue, TokenFault::Status(503), TokenFault::Status(401)].map(leaked);
    let [unread, unmapped] = [RouteMetadataError::NotConfigured, RouteMetadataError::NotAMap].map(leaked);
    let annotation = "outcome=report reason=expired route=r issuer=i";
    let checked = AlgorithmSet::of(&[Algorithm::Rs256, Algorithm::Es256]);
    let client = Owner::Client("billing");
    let mut all = vec![
        Message::Configured { plugin: "attache", version: 7, checked },
        Message::Configured { plugin: "attache", version: 7, checked: AlgorithmSet::of(&[]) },
        Message::Signs(checked),
        Message::Signs(AlgorithmSet::of(&[])),
        Message::Notice(NOTICES[0].level, NOTICES[0].text),
        Message::Refused("inbound.issuers: is missing"),
        Message::WouldDeny(annotation),
        Message::Denied(unread, "outcome=deny"),
        Message::Denied(unmapped, "outcome=deny"),
        Message::EgressDenied(EgressDenial::Plaintext, "outcome=deny"),
        Message::EgressDenied(EgressDenial::NotAllowed, "outcome=deny"),
        Message::EgressDenied(EgressDenial::ClientUnknown, "outcome=deny"),
        Message::Internal("why"),
        Message::TokenExpired { owner: client, call },
        Message::BreakerOpened { owner: client, call },
        Message::BreakerClosed { owner: client, call },
        Message::Purged(client, Purge::Purged),
        Message::Purged(client, Purge::Retained),
        Message::TokenRecord(leaked(record())),
        Message::SharedRefused { owner: client, why: Unreadable::Encoding },
    ];
    for owner in [Owner::Issuer("corp"), client] {
        for kind in [DocumentKind::Keys, DocumentKind::Metadata] {
            if matches!((owner, kind), (Owner::Client(_), DocumentKind::Keys)) {
                continue;
            }
            for failures in [1, 3] {
                all.push(Message::FetchFailed { owner, kind, failures, error, call });
            }
            all.push(Message::Expired { owner, kind, call });
            all.push(Message::FetchedAgain { owner, kind, failures: 2, call });
        }
        all.push(Message::NotFoundHere { owner, kind: DocumentKind::Metadata, error, call });
        all.push(Message::Located { owner, call });
    }
    for (change, is_shared) in [(change, false), (change, true), (leaking, false)] {
        all.push(Message::KeysChanged { owner: Owner::Issuer("corp"), change, is_shared, call });
    }
    for (fault, failures) in [(transient, 1), (transient, 3), (configuration, 1)] {
        for is_exchange in [false, true] {
            all.push(Message::NoToken { owner: client, failures, fault, is_exchange, call });
        }
    }
    all.push(Message::NoToken { owner: client, failures: 1, fault: subject, is_exchange: true, call });
    for (is_shared, is_exchange, failures, missing_scopes) in [
        (false, false, 0, 0),
        (true, false, 0, 0),
        (false, false, 2, 0),
        (false, false, 0, 1),
        (true, false, 0, 1),
        (false, true, 0, 1),
        (false, true, 0, 0),
        (false, true, 5, 0),
    ] {
        let lifetime = Duration::from_secs(60);
        all.push(Message::Obtained {
            owner: client,
            lifetime,
            is_shared,
            is_exchange,
            failures,
            missing_scopes,
            call,
        });
    }
    let cluster = leaked(Excerpt::of("billing", 64));
    for (authority, is_passed) in [(Some(cluster), true), (Some(cluster), false), (None, true)] {
        all.push(Message::Unmatched { authority, cluster, is_passed });
    }
    all.extend(
        [
            HostFault::EventLost,
            HostFault::CallbackWithinCallback,
            HostFault::ResponseNotTaken,
            HostFault::StreamNotEnded,
            HostFault::WaitingNotResumed,
            HostFault::HeaderNotChanged,
            HostFault::FactNotWritten,
            HostFault::HeadersUnreadable,
            HostFault::NotConfigured,
            HostFault::BodyUnreadable,
            HostFault::BodyNotShown,
            HostFault::AuditNotWritten,
        ]
        .map(Message::Host),
    );
    all
}

fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

const MESSAGES: usize = 34;

fn place(message: &Message<'_>) -> usize {
    match message {
        Message::Configured { .. } => 0,
        Message::Signs(_) => 1,
        Message::Notice(..) => 2,
        Message::Refused(_) => 3,
        Message::FetchFailed { .. } => 4,
        Message::NotFoundHere { .. } => 5,
        Message::FetchedAgain { .. } => 6,
        Message::Expired { .. } => 7,
        Message::Located { .. } => 8,
        Message::KeysChanged { .. } => 9,
        Message::SharedRefused { .. } => 10,
        Message::WouldDeny(_) => 11,
        Message::Denied(..) => 12,
        Message::EgressDenied(..) => 13,
        Message::Internal(_) => 14,
        Message::Obtained { .. } => 15,
        Message::NoToken { .. } => 16,
        Message::TokenExpired { .. } => 17,
        Message::BreakerOpened { .. } => 18,
        Message::BreakerClosed { .. } => 19,
        Message::Purged(..) => 20,
        Message::TokenRecord(_) => 33,
        Message::Unmatched { .. } => 21,
        Message::Host(HostFault::EventLost) => 22,
        Message::Host(HostFault::CallbackWithinCallback | HostFault::NotConfigured) => 23,
        Message::Host(HostFault::ResponseNotTaken) => 24,
        Message::Host(HostFault::WaitingNotResumed) => 25,
        Message::Host(HostFault::HeaderNotChanged) => 26,
        Message::Host(HostFault::HeadersUnreadable) => 27,
        Message::Host(HostFault::StreamNotEnded) => 28,
        Message::Host(HostFault::BodyUnreadable) => 29,
        Message::Host(HostFault::BodyNotShown) => 30,
        Message::Host(HostFault::FactNotWritten) => 31,
        Message::Host(HostFault::AuditNotWritten) => 32,
    }
}

/// Holds reasons and a part of the page against each other, both ways.
fn assert_reasons(heading: &str, reasons_of_code: &[String]) {
    let listed = reasons(heading);
    for reason in reasons_of_code {
        assert!(listed.iter().any(|pattern| pattern.matches(reason)), "docs/log-lines.md lacks: {reason}");
    }
    for pattern in listed {
        let is_written = reasons_of_code.iter().any(|reason| pattern.matches(reason));
        assert!(is_written, "docs/log-lines.md has what the code cannot write: {}", pattern.text);
    }
}

#[test]
fn the_page_lists_every_reason_for_a_fetch_that_failed_and_no_other() {
    let all = every_fetch_error();
    let told: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert_reasons("Why a fetch failed", &told);
    // And the metrics know each of them.
    let mut labels: BTreeSet<&str> = all.iter().map(FetchError::label).collect();
    labels.extend(["changed", "unchanged", "adopted", "rejected"]);
    let results = [
        &FetchError::KEY_SET_RESULTS[..],
        &FetchError::METADATA_RESULTS,
        &FetchError::ENDPOINT_METADATA_RESULTS,
    ];
    assert_eq!(results.concat().into_iter().collect::<BTreeSet<_>>(), labels);
}

/// Each variant at least once. `fetch_place` stops compiling when one is added.
pub fn every_fetch_error() -> Vec<FetchError> {
    let local = LocalReply { status: 503, cause: LocalCause::Connection };
    let why = KeyError::Use;
    let skipped = SkippedKeys(vec![SkippedKey { index: 0, kid: Some(Excerpt::of("k1", 64)), why }]);
    let (found, configured) = (Excerpt::of("https://a", 64), Excerpt::of("https://a/", 64));
    let hint = ": only slashes at the end differ";
    let all = vec![
        FetchError::NotSent,
        FetchError::ClusterUnknown,
        FetchError::Reset,
        FetchError::Lost,
        FetchError::NotReached(local),
        FetchError::Status(404),
        FetchError::TooLarge(1),
        FetchError::Coded(ContentCoding::Gzip),
        FetchError::Malformed(KeySetError::TooLong { bytes: 1 }),
        FetchError::Malformed(KeySetError::Json(JsonError::ByteOrderMark)),
        FetchError::Malformed(KeySetError::KeysMissing),
        FetchError::Malformed(KeySetError::KeysType),
        FetchError::Malformed(KeySetError::TooManyKeys { keys: 1 }),
        FetchError::EmptySet,
        FetchError::NoUsableKey(skipped),
        FetchError::NoRoom { bytes: 1, share: 1 },
        FetchError::Metadata(MetadataError::TooLong { bytes: 1 }),
        FetchError::Metadata(MetadataError::Json(JsonError::NotAnObject)),
        FetchError::Metadata(MetadataError::OtherIssuer { found, configured, hint }),
        FetchError::Metadata(MetadataError::IssuerMissing),
        FetchError::Metadata(MetadataError::Missing(Member::KeySet)),
        FetchError::Metadata(MetadataError::Address(Member::KeySet)),
        FetchError::Metadata(MetadataError::Missing(Member::TokenEndpoint)),
        FetchError::Metadata(MetadataError::Address(Member::TokenEndpoint)),
        FetchError::Metadata(MetadataError::Plaintext(Member::KeySet)),
    ];
    let places: BTreeSet<usize> = all.iter().map(fetch_place).collect();
    assert_eq!(places, (0..21).collect());
    all
}

fn fetch_place(error: &FetchError) -> usize {
    match error {
        FetchError::NotSent => 0,
        FetchError::ClusterUnknown => 1,
        FetchError::Reset => 2,
        FetchError::Lost => 3,
        FetchError::NotReached(_) => 4,
        FetchError::Status(_) => 5,
        FetchError::TooLarge(_) => 6,
        FetchError::Coded(_) => 7,
        FetchError::Malformed(KeySetError::TooLong { .. }) => 8,
        FetchError::Malformed(KeySetError::Json(_)) => 9,
        FetchError::Malformed(KeySetError::KeysMissing) => 10,
        FetchError::Malformed(KeySetError::KeysType | KeySetError::TooManyKeys { .. }) => 11,
        FetchError::EmptySet => 12,
        FetchError::NoUsableKey(_) => 13,
        FetchError::NoRoom { .. } => 14,
        FetchError::Metadata(MetadataError::TooLong { .. }) => 15,
        FetchError::Metadata(MetadataError::Json(_)) => 16,
        FetchError::Metadata(MetadataError::OtherIssuer { .. }) => 17,
        FetchError::Metadata(MetadataError::IssuerMissing) => 18,
        FetchError::Metadata(MetadataError::Missing(_) | MetadataError::Address(_)) => 19,
        FetchError::Metadata(MetadataError::Plaintext(_)) => 20,
    }
}

#[test]
fn the_page_lists_every_reason_for_a_missing_token_and_no_other() {
    let all = every_token_fault();
    let told: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert_reasons("Why there is no token", &told);
    let labels: BTreeSet<&str> =
        all.iter().map(TokenFault::label).chain(["obtained", "subject_refused"]).collect();
    assert_eq!(TokenFault::RESULTS.into_iter().collect::<BTreeSet<_>>(), labels);
}

/// Each variant at least once. `token_place` stops compiling when one is added.
pub fn every_token_fault() -> Vec<TokenFault> {
    let codes = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "temporarily_unavailable",
        "server_error",
        "slow_down",
        "any other",
    ];
    let mut all = vec![
        TokenFault::NotSent,
        TokenFault::ClusterUnknown,
        TokenFault::Reset,
        TokenFault::Lost,
        TokenFault::NotReached(LocalReply { status: 504, cause: LocalCause::Timeout }),
        TokenFault::Status(404),
        TokenFault::Status(429),
        TokenFault::TooLarge(1),
        TokenFault::Markup,
        TokenFault::Malformed(JsonError::NotUtf8),
        TokenFault::TokenMissing,
        TokenFault::TokenTooLong { bytes: 2, max: 1 },
        TokenFault::TokenCharacter(','),
        TokenFault::TokenType(None),
        TokenFault::TokenTypeMissing,
        TokenFault::IssuedTypeMissing,
        TokenFault::ExpiresIn,
        TokenFault::ExpiredAtIssue,
        TokenFault::Unsigned(SigningError::PortableRsa),
    ];
    all.extend(codes.map(|code| TokenFault::Refused(ErrorCode::parse(code).into())));
    let places: BTreeSet<usize> = all.iter().map(token_place).collect();
    assert_eq!(places, (0..19).collect());
    all
}

fn token_place(fault: &TokenFault) -> usize {
    match fault {
        TokenFault::NotSent => 0,
        TokenFault::ClusterUnknown => 1,
        TokenFault::Reset => 2,
        TokenFault::Lost => 3,
        TokenFault::NotReached(_) => 4,
        TokenFault::Status(_) => 5,
        TokenFault::Refused(_) => 6,
        TokenFault::TooLarge(_) => 7,
        TokenFault::Markup => 8,
        TokenFault::Malformed(_) => 9,
        TokenFault::TokenMissing => 10,
        TokenFault::TokenTooLong { .. } => 11,
        TokenFault::TokenCharacter(_) => 12,
        TokenFault::TokenType(_) => 13,
        TokenFault::TokenTypeMissing => 14,
        TokenFault::IssuedTypeMissing => 15,
        TokenFault::ExpiresIn => 16,
        TokenFault::ExpiredAtIssue => 17,
        TokenFault::Unsigned(_) => 18,
    }
}

#[test]
fn the_page_lists_every_reason_why_a_key_is_not_usable_and_no_other() {
    let all = [
        KeyError::NotAnObject,
        KeyError::MemberMissing { member: "n" },
        KeyError::MemberType { member: "n" },
        KeyError::MemberEncoding { member: "n" },
        KeyError::MemberTooLong { member: "kid", limit: 256 },
        KeyError::KeyType,
        KeyError::Curve,
        KeyError::Use,
        KeyError::Operations,
        KeyError::Algorithm,
        KeyError::Symmetric,
        KeyError::SecretTooShort { bytes: 1, least: 32 },
        KeyError::SecretTooLong { bytes: 1 },
        KeyError::ModulusSize { bits: 512 },
        KeyError::Modulus,
        KeyError::Exponent,
        KeyError::CoordinateLength { expected: 32, got: 33 },
        KeyError::Point,
    ];
    let places: BTreeSet<usize> = all.iter().map(key_place).collect();
    assert_eq!(places.len(), all.len());
    assert_reasons("Why a key is not usable", &all.map(|error| error.to_string()));
}

fn key_place(error: &KeyError) -> usize {
    match error {
        KeyError::NotAnObject => 0,
        KeyError::MemberMissing { .. } => 1,
        KeyError::MemberType { .. } => 2,
        KeyError::MemberEncoding { .. } => 3,
        KeyError::MemberTooLong { .. } => 4,
        KeyError::KeyType => 5,
        KeyError::Curve => 6,
        KeyError::Use => 7,
        KeyError::Operations => 8,
        KeyError::Algorithm => 9,
        KeyError::Symmetric => 10,
        KeyError::SecretTooShort { .. } => 11,
        KeyError::SecretTooLong { .. } => 12,
        KeyError::ModulusSize { .. } => 13,
        KeyError::Modulus => 14,
        KeyError::Exponent => 15,
        KeyError::CoordinateLength { .. } => 16,
        KeyError::Point => 17,
    }
}
