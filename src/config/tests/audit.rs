//! The block `audit`.

use super::*;
use crate::telemetry::AuditField;

const NAMES: [&str; 22] = [
    "outcome",
    "reason",
    "route",
    "api",
    "requirement",
    "issuer",
    "client",
    "subject",
    "token_id",
    "scopes_needed",
    "scopes_missing",
    "path_template",
    "key_id",
    "engine",
    "work",
    "duration_us",
    "request_id",
    "outbound_outcome",
    "outbound_client",
    "outbound_destination",
    "outbound_token_age_s",
    "outbound_retried",
];

fn audited(audit: Json) -> Json {
    let mut document = base();
    document["audit"] = audit;
    document
}

fn listed(audit: Json) -> Vec<&'static str> {
    compiled(&audited(audit)).unwrap().audit.fields().map(AuditField::word).collect()
}

#[track_caller]
fn refused(audit: Json, problem: &str) {
    assert_eq!(problems(&audited(audit.clone())), [problem], "{audit:.200}");
}

#[test]
fn without_the_block_nothing_is_recorded() {
    let config = compiled(&base()).unwrap();
    assert_eq!(config.audit.fields().count(), 0);
    assert!(config.audit.asked.subject.is_none() && config.audit.asked.token.is_none());
    let inbound = config.inbound.unwrap();
    assert!(inbound.routes.routes().iter().all(|route| route.audit.path_template.is_none()));
}

#[test]
fn each_field_has_its_name_and_a_key_of_its_own() {
    assert_eq!(AuditField::ALL.map(AuditField::word), NAMES);
    for field in AuditField::ALL {
        assert_eq!(field.key(), format!("attache.audit.{}", field.word()));
        assert_eq!(field.is_outbound(), field.word().starts_with("outbound_"));
    }
}

#[test]
fn all_is_every_field_of_the_blocks_that_are_there_but_the_subject() {
    let inbound = |is_named: fn(&str) -> bool| -> Vec<&str> {
        NAMES[..17].iter().copied().filter(|name| is_named(name)).collect()
    };
    assert_eq!(listed(json!({ "fields": "all" })), inbound(|name| name != "subject"));
    assert_eq!(listed(json!({ "fields": "all", "subject": "plain" })), inbound(|_| true));
    assert_eq!(listed(json!({ "fields": ["reason", "client"] })), ["reason", "client"]);
}

#[test]
fn fields_that_are_unknown_repeated_or_of_no_block_are_refused() {
    let expected = format!("audit.fields[1]: expected one of {}", NAMES.join(", "));
    refused(json!({ "fields": ["client", "cliant"] }), &expected);
    refused(json!({ "fields": ["client", "client"] }), "audit.fields[1]: duplicate field");
    refused(json!({ "fields": [] }), "audit.fields: the list is empty");
    refused(json!({ "fields": "some" }), "audit.fields: expected `all`, or a list of fields");
    refused(json!({}), "audit: missing field `fields`");
    refused(
        json!({ "fields": ["outbound_client"] }),
        "audit.fields[0]: there is no block `outbound` to fill this in: leave it out",
    );
    refused(
        json!({ "fields": "all", "field": 1 }),
        "audit: unknown field `field`, expected one of fields, subject, token, digest_key, token_events",
    );
}

#[test]
fn the_subject_is_recorded_only_where_it_is_said_how() {
    refused(
        json!({ "fields": ["subject"] }),
        "audit: missing field `subject`: say how the field `subject` is written",
    );
    let unlisted = "the field that this is about is not listed: leave this out";
    refused(json!({ "fields": ["client"], "subject": "plain" }), &format!("audit.subject: {unlisted}"));
    refused(json!({ "fields": ["client"], "token": "jti" }), &format!("audit.token: {unlisted}"));
    refused(
        json!({ "fields": ["subject"], "subject": "hash" }),
        "audit.subject: expected one of plain, digest",
    );
}

#[test]
fn a_digest_has_a_key_and_a_key_a_digest() {
    let missing = "audit: missing field `digest_key`: a digest needs a key";
    refused(json!({ "fields": ["subject"], "subject": "digest" }), missing);
    refused(json!({ "fields": ["token_id"], "token": "digest" }), missing);
    let key =
        |name: &str| json!({ "fields": ["token_id"], "token": "digest", "digest_key": { "env": name } });
    assert_eq!(listed(key("MIDDLE")), ["token_id"]);
    refused(key("SHORT"), "audit.digest_key.env: a key of digests has at least 32 bytes");
    refused(key("TEXT"), "audit.digest_key.env: the variable does not hold base64url without padding");
    refused(
        json!({ "fields": ["token_id"], "digest_key": { "env": "MIDDLE" } }),
        "audit.digest_key: nothing is written as a digest: leave this out",
    );
    refused(
        json!({ "fields": "all", "digest_key": { "env": "MIDDLE" } }),
        "audit.digest_key: nothing is written as a digest: leave this out",
    );
}

#[test]
fn what_happens_to_tokens_is_recorded_where_there_are_any_unless_it_is_turned_off() {
    let has_events = |audit: Json| {
        let mut document = outbound::with("/position", json!("downstream"));
        document["audit"] = audit;
        outbound::compiled(&document).map(|config| config.audit.token_events)
    };
    assert_eq!(has_events(json!({ "fields": "all" })), Ok(true));
    assert_eq!(has_events(json!({ "fields": "all", "token_events": "log" })), Ok(true));
    assert_eq!(has_events(json!({ "fields": "all", "token_events": "none" })), Ok(false));
    assert!(!compiled(&audited(json!({ "fields": "all" }))).unwrap().audit.token_events);
    refused(
        json!({ "fields": "all", "token_events": "log" }),
        "audit.token_events: there is no block `outbound` to record the tokens of: leave this out",
    );
}

#[test]
fn a_label_of_an_api_is_a_name() {
    let of = |api: &str| with("/routes/0/api", json!(api));
    let inbound = compiled(&of("orders-v2")).unwrap().inbound.unwrap();
    assert_eq!(inbound.routes.routes()[0].audit.api.as_deref(), Some("orders-v2"));
    let longest = "a".repeat(64);
    assert_eq!(problems(&of(&longest)), Vec::<String>::new());
    let name = "a name of a-z, 0-9, _ and -, at most 64 characters";
    for bad in ["Orders", "a b", "a\nb", "a\"", &"a".repeat(65)] {
        assert_eq!(problems(&of(bad)), [format!("inbound.routes[0].api: expected {name}")], "{bad}");
    }
    let reserved = "the name `none` is reserved for metrics: choose another";
    assert_eq!(problems(&of("none")), [format!("inbound.routes[0].api: {reserved}")]);
}

#[test]
fn a_path_is_kept_as_it_is_written_where_it_is_recorded() {
    let template = |matches: Json| {
        let mut document = audited(json!({ "fields": ["path_template"] }));
        document["inbound"]["routes"][0]["match"] = matches;
        let inbound = compiled(&document).unwrap().inbound.unwrap();
        inbound.routes.routes()[0].audit.path_template.as_deref().map(str::to_owned)
    };
    assert_eq!(template(json!({ "path": "/orders/{id}" })).unwrap(), "/orders/{id}");
    assert_eq!(template(json!({ "prefix": "/files" })).unwrap(), "/files/*");
    assert_eq!(template(json!({ "prefix": "/" })).unwrap(), "/*");
}

#[test]
fn a_field_that_is_written_again_for_a_request_stays_open() {
    let open = |config: Result<Config, ConfigErrors>| -> Vec<&str> {
        let config = config.unwrap();
        AuditField::ALL.into_iter().filter(|field| !config.is_final(*field)).map(AuditField::word).collect()
    };
    let positioned = |position: &str| outbound::compiled(&outbound::with("/position", json!(position)));
    assert_eq!(open(compiled(&base())), Vec::<&str>::new());
    assert_eq!(open(compiled(&with("/streams", json!({ "end": "at_expiry" })))), ["outcome", "reason"]);
    assert_eq!(open(positioned("downstream")), Vec::<&str>::new());
    assert_eq!(open(positioned("upstream")), NAMES[17..]);
}
