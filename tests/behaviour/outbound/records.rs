//! Each token request, purge and change of a circuit breaker is one line of JSON, where a block `audit` asks for it.

use attache::base::{HttpReply, Level};
use serde_json::{Value, json};

use super::exchange::{by, caller, exchanging_with};
use super::{client, document, proxy, ready, to, with_clients};
use crate::proxy::{CLIENT_SECRET, Proxy, Time as _, status};

/// The same configuration with a block `audit`.
pub fn audited(mut document: Value, audit: Value) -> Value {
    document["audit"] = audit;
    document
}

/// The records of the log.
#[track_caller]
fn records(proxy: &Proxy) -> Vec<Value> {
    let records = proxy.logs(Level::Info).into_iter().filter_map(|line| line.strip_prefix("audit: "));
    records.map(|record| serde_json::from_str(record).unwrap()).collect()
}

/// What records say, apart from whose they are.
#[track_caller]
fn told(proxy: &Proxy) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    records(proxy).iter().map(|record| text(&record["event"]) + " " + &text(&record["result"])).collect()
}

fn fields() -> Value {
    json!({ "fields": ["outbound_outcome"] })
}

#[test]
fn a_token_request_is_recorded_with_what_it_brought() {
    let scopes = json!({ "scopes": ["invoices:read", "invoices:write", "invoices:list"] });
    let document = with_clients(&[client("billing", scopes)], json!({}));
    let (mut proxy, tokens) = proxy(&audited(document, fields()));
    tokens.live(300).grant("invoices:list openid invoices:read profile");
    tokens.fall_silent();
    proxy.tick();
    proxy.sleep(40.ms());
    let answer = tokens.issue();
    proxy.reply(answer);
    assert_eq!(
        records(&proxy),
        [json!({
            "event": "token_request",
            "client": "billing",
            "grant": "client_credentials",
            "endpoint": "https://idp.example/token",
            "cluster": "idp",
            "result": "obtained",
            "duration_ms": 40,
            "lifetime_s": 300,
            "scopes_granted": "invoices:read invoices:list",
            "scopes_missing": "invoices:write",
            "scopes_further": 2,
        })]
    );
}

/// RFC 6749 §5.1: the scopes are those that were asked for.
#[test]
fn where_the_server_names_no_scopes_those_asked_for_are_recorded() {
    let scopes = json!({ "scopes": ["invoices:read"] });
    let (mut proxy, _) = proxy(&audited(with_clients(&[client("billing", scopes)], json!({})), fields()));
    proxy.tick();
    let record = &records(&proxy)[0];
    assert_eq!(record["scopes_granted"], "invoices:read");
    assert_eq!((&record["scopes_missing"], &record["scopes_further"]), (&json!(""), &json!(0)));
}

/// The sentences for people are thinned; these are not.
#[test]
fn each_failure_is_recorded_and_each_change_of_the_breaker() {
    let breaker = json!({ "breaker": { "failures": 3, "open_duration": "1s" } });
    let (mut proxy, tokens) = proxy(&audited(document(breaker), fields()));
    tokens.fail(status(503));
    for _ in 0..40 {
        proxy.advance(100.ms());
    }
    tokens.recover();
    for _ in 0..80 {
        proxy.advance(100.ms());
    }
    let told = told(&proxy);
    let (opened, last) = (told.iter().position(|record| record == "breaker opened"), told.len() - 2);
    assert_eq!(opened, Some(3), "{told:?}");
    let mut failed = told[..last].to_vec();
    failed.remove(3);
    assert!(failed.len() > 3 && failed.iter().all(|record| record == "token_request status"), "{told:?}");
    assert_eq!(told[last..], ["token_request obtained", "breaker closed"]);
    let breaker = records(&proxy).into_iter().find(|record| record["event"] == "breaker").unwrap();
    assert_eq!(
        breaker,
        json!({
            "event": "breaker",
            "client": "billing",
            "grant": "client_credentials",
            "endpoint": "https://idp.example/token",
            "cluster": "idp",
            "result": "opened",
        })
    );
}

#[test]
fn a_purge_is_recorded_and_a_401_that_purges_nothing_is_not() {
    let (mut proxy, _) = ready(&audited(document(json!({})), fields()));
    for _ in 0..20 {
        let request = proxy.request(to("billing")).forwarded();
        proxy.upstream_answers(&request, 401);
    }
    assert_eq!(told(&proxy), ["token_request obtained"]);
    proxy.advance(10.secs());
    let request = proxy.request(to("billing")).forwarded();
    proxy.upstream_answers(&request, 401);
    assert_eq!(told(&proxy)[1..], ["token_purge purged", "token_request obtained"]);
}

/// Callers decide how often tokens are exchanged, and no log is theirs to fill.
#[test]
fn at_most_ten_exchanges_a_second_are_recorded_and_the_others_are_counted() {
    let (mut proxy, _, key) = exchanging_with(json!({}), json!({}), json!({ "audit": fields() }));
    for number in 0..11 {
        proxy.request(by(&caller(&key, number)));
        proxy.tick();
    }
    assert_eq!(records(&proxy).len(), 10);
    proxy.advance(1.secs());
    proxy.request(by(&caller(&key, 11)));
    proxy.advance(100.ms());
    let records = records(&proxy);
    assert_eq!(records.len(), 11);
    assert_eq!((&records[10]["not_written"], &records[10]["grant"]), (&json!(1), &json!("token_exchange")));
    assert!(records[..10].iter().all(|record| record.get("not_written").is_none()));
}

#[test]
fn nothing_is_recorded_unless_the_configuration_asks_for_it() {
    let (mut proxy, _) = ready(&document(json!({})));
    proxy.advance(10.secs());
    assert_eq!(records(&proxy), [json!(null); 0]);
    let none = json!({ "fields": "all", "token_events": "none" });
    let (mut proxy, _) = ready(&audited(document(json!({})), none));
    proxy.advance(10.secs());
    assert_eq!(records(&proxy), [json!(null); 0]);
}

/// A server's words, and what it says of us, are not repeated.
#[test]
fn no_secret_and_no_word_of_the_servers_is_recorded() {
    let scopes = json!({ "scopes": ["invoices:read"] });
    let (mut proxy, tokens) =
        proxy(&audited(with_clients(&[client("billing", scopes)], json!({})), fields()));
    tokens.grant(&format!("{CLIENT_SECRET} evil\",\"client\":\"x"));
    proxy.tick();
    let body = json!({ "error": CLIENT_SECRET }).to_string();
    tokens.fail(HttpReply::Response { status: 400, headers: Default::default(), body: Ok(body.into()) });
    proxy.request(to("billing"));
    proxy.sleep(3600.secs());
    proxy.advance(1.secs());
    let lines = proxy.logs(Level::Info).join("\n");
    assert!(
        lines.contains("scopes_further") && !lines.contains(CLIENT_SECRET) && !lines.contains("evil"),
        "{lines}"
    );
    assert_eq!(told(&proxy).last().unwrap(), "token_request other_error");
}

/// A name of Envoy's or an operator's may hold anything: a record stays one line, and one object.
#[test]
fn no_name_breaks_a_record() {
    let cluster = "outbound|443||\"é\\\u{202e}.example";
    let endpoint = json!({ "uri": "https://idp.example/token?key=hidden", "cluster": cluster });
    let document = with_clients(&[client("billing", json!({ "token_endpoint": endpoint }))], json!({}));
    let (mut proxy, _) = proxy(&audited(document, fields()));
    proxy.tick();
    proxy.sleep(600.secs());
    proxy.tick();
    let record = &records(&proxy)[0];
    assert_eq!(record["cluster"], "outbound|443||\"%C3%A9\\%E2%80%AE.example");
    assert_eq!(record["endpoint"], "https://idp.example/token");
}

const PAGE: &str = include_str!("../../../docs/audit.md");

/// The rows of the page's table.
fn rows() -> Vec<(&'static str, &'static str)> {
    let (_, table) = PAGE.split_once("| member | value |\n|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let rows = rows.map(|row| row.trim_matches(['|', ' ']).split_once(" | ").unwrap());
    rows.map(|(name, text)| (name.trim_matches('`'), text)).collect()
}

#[test]
fn the_schema_of_a_record_has_the_members_of_the_page() {
    let words = |words: &[&str]| json!({ "enum": words });
    let text =
        || json!({ "type": "string", "maxLength": attache::base::MAX_AUDIT_TEXT, "pattern": "^[ -~]*$" });
    let whole = || json!({ "type": "integer", "minimum": 0 });
    let members = [
        ("event", words(&["token_request", "token_purge", "breaker"])),
        ("client", text()),
        ("grant", words(&["client_credentials", "token_exchange"])),
        ("endpoint", text()),
        ("cluster", text()),
        ("result", json!({ "type": "string", "pattern": "^[a-z0-9_]+$" })),
        ("duration_ms", whole()),
        ("lifetime_s", whole()),
        ("scopes_granted", text()),
        ("scopes_missing", text()),
        ("scopes_further", whole()),
        ("not_written", json!({ "type": "integer", "minimum": 1 })),
    ];
    assert_eq!(rows().iter().map(|row| row.0).collect::<Vec<_>>(), members.each_ref().map(|member| member.0));
    let properties = members.into_iter().zip(rows()).map(|((name, mut property), (_, text))| {
        property["description"] = crate::audit_page::plain(text).into();
        (name.to_owned(), property)
    });
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Attaché's record of a token request, a purge or a circuit breaker",
        "description": "What follows `audit: ` in a line of Envoy's log.",
        "type": "object",
        "required": ["event", "client", "grant", "endpoint", "cluster", "result"],
        "properties": Value::Object(properties.collect()),
        "additionalProperties": false,
    });
    crate::audit_page::hold("docs/token-record.schema.json", &schema);
}
