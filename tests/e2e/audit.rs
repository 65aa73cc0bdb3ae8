//! The audit record, as Envoy's file logger writes it: each line is what the schema says, of whatever became of the
//! request, and no other module changes it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use attache_harness::http::Request;
use attache_harness::issuer::{Endpoint, Fault, TokenSpec};
use serde_json::{Value, json};

use crate::egress::{
    HOST, asserted, bare, call, client, destination, document, grow_old, hosts, in_listener, replaying,
    setup, upstream,
};
use crate::proxy::{
    self, Document, Listener, Proxy, Setup, Shared, Visit, checkout, echo, eventually, inbound, join, route,
    trust,
};
use crate::secrets::{scoped, token};

static ENVOY: Shared = LazyLock::new(|| {
    let second = Listener::new("second", Document::Struct(reading("second-route", json!({})))).filter();
    let ours = Listener::new("behind", Document::Struct(reading("behind-route", json!({})))).filter();
    setup()
        .issuer("corp")
        .cluster("billing", asserted())
        .cluster("redirecting", json!({ "load_assignment": endpoint(redirecting()) }))
        .listener(logged("both", both()).manager(hosts(json!({}))))
        .listener(logged("twice", reading("first-route", json!({}))).followed_by(vec![second]))
        .listener(logged("native", reading("first-route", json!({}))).followed_by(vec![writing(json!({}))]))
        .listener(logged("scripted", reading("first-route", json!({}))).followed_by(vec![scripted()]))
        .listener(logged("ending", ending()))
        .listener(bare("behind").manager(log("behind")).followed_by(vec![writing(json!({})), ours.clone()]))
        .listener(bare("guarded").manager(log("guarded")).followed_by(vec![writing(json!({ "read_only": true })), ours]))
        .listener(logged("redirect", reading("first-route", json!({}))).routes(&[
            json!({ "match": { "prefix": "/target" }, "route": { "cluster": "upstream" } }),
            json!({ "match": { "prefix": "/" }, "route": { "cluster": "redirecting",
                "internal_redirect_policy": { "max_internal_redirects": 1, "redirect_response_codes": [302] } } }),
        ]))
        .start()
});

/// A filter of Envoy's that writes a field of ours; `more` joins in.
fn writing(more: Value) -> Value {
    let mut value = json!({
        "object_key": "wasm.attache.audit.client", "factory_key": "envoy.string",
        "format_string": { "text_format_source": { "inline_string": "of-another-filter" } },
    });
    join(&mut value, more);
    json!({ "name": "native", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
        "on_request_headers": [value],
    } })
}

/// A script that tries to write a field of ours, and tells the upstream what came of it.
fn scripted() -> Value {
    let script = r#"
function envoy_on_request(handle)
  local ok, why = pcall(function()
    handle:streamInfo():filterState():set("wasm.attache.audit.client", "envoy.string", "of-a-script")
  end)
  handle:headers():replace("x-script", ok and "written" or tostring(why))
end
"#;
    json!({ "name": "script", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": { "inline_string": script },
    } })
}

/// Streams end with their token.
fn ending() -> Value {
    let all = json!({ "name": "ending-route", "match": { "prefix": "/" }, "require": { "scopes": ["orders:read"] },
        "streams": { "end": "at_expiry" } });
    let mut document = inbound(&[trust("corp", json!({ "clock_skew": "0s" }))], &[all], json!({}));
    document["audit"] = json!({ "fields": "all" });
    document
}

/// A listener whose log is that of the example, in a file of its name, and tells requests apart.
fn logged(name: &str, document: Value) -> Listener {
    Listener::new(name, Document::Struct(document)).manager(log(name))
}

/// The access log of such a listener.
fn log(name: &str) -> Value {
    let text = fs::read_to_string(checkout().join("deploy/observability/access-log.yaml")).unwrap();
    let mut log: Value = serde_saphyr::from_str(&text).unwrap();
    let file = &mut log["access_log"][0]["typed_config"];
    file["path"] = format!("{{{{dir}}}}/{name}.log").into();
    file["log_format"]["json_format"]["mark"] = "%REQ(X-MARK)%".into();
    log
}

/// Both halves, with all fields, and a rule for each outcome.
fn both() -> Value {
    let down = json!({ "name": "down", "token_endpoint": { "uri": "https://down.example/token", "cluster": "gone" } });
    let down_to =
        json!({ "match": { "authorities": ["down.internal"], "clusters": ["upstream"] }, "client": "down" });
    let mut document = document(
        "downstream",
        &[client(json!({})), client(down)],
        &[destination(json!({ "caller_credential": "replace" })), down_to],
        json!({ "outbound": { "plaintext_clusters": ["upstream"], "waiting": { "deadline": "100ms" } } }),
    );
    let reads = json!({ "require": { "scopes": ["orders:read"] } });
    let mut reported = reads.clone();
    reported["mode"] = "report_only".into();
    let mut orders = route("orders", "/orders", reads);
    orders["api"] = "orders-v2".into();
    let routes = [
        orders,
        route("report", "/report", reported),
        route("optional", "/optional", json!({ "optional": { "authenticated": {} } })),
        route("health", "/healthz", json!({ "public": {} })),
        route("closed", "/closed", json!({ "deny": {} })),
        route("named", "/named", json!({ "require": "batch" })),
    ];
    let more = json!({
        "requirements": { "batch": { "clients": ["batch"] } },
        "resource": { "identifier": "https://orders.example" },
    });
    join(&mut document, inbound(&[trust("corp", json!({}))], &routes, more));
    document["audit"] = json!({ "fields": "all", "subject": "plain" });
    document
}

/// The inbound half alone, with a route of this name for everything.
fn reading(name: &str, more: Value) -> Value {
    let all = json!({ "name": name, "match": { "prefix": "/" }, "require": { "scopes": ["orders:read"] } });
    let mut document = inbound(&[trust("corp", json!({}))], &[all], more);
    document["audit"] = json!({ "fields": "all" });
    document
}

fn endpoint(addr: SocketAddr) -> Value {
    let address =
        json!({ "socket_address": { "address": addr.ip().to_string(), "port_value": addr.port() } });
    json!({ "cluster_name": "redirecting", "endpoints": [
        { "lb_endpoints": [{ "endpoint": { "address": address } }] }] })
}

/// A server that sends every request elsewhere.
fn redirecting() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 65_536]);
            let _ = stream.write_all(
                b"HTTP/1.1 302 Found\r\nlocation: http://orders.example/target\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            );
        }
    });
    addr
}

fn visit() -> Visit {
    proxy::visit(&ENVOY)
}

/// Whether this is the oldest supported Envoy.
fn is_old() -> bool {
    let output = Command::new(proxy::binary()).arg("--version").output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains("/1.36.")
}

/// The records of a request, when there are so many.
fn records(proxy: &Proxy, log: &str, mark: &str, count: usize) -> Vec<Value> {
    eventually("the record", || {
        let text = fs::read_to_string(proxy.envoy().directory().join(format!("{log}.log"))).ok()?;
        let entries = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        let entries: Vec<Value> = entries.filter(|entry: &Value| entry["mark"] == mark).collect();
        (entries.len() >= count).then_some(entries)
    })
}

/// The record of a request, held against the schema.
fn record(proxy: &Proxy, log: &str, request: Request, mark: &str) -> Value {
    request.header("x-mark", mark).send().unwrap();
    let mut record = records(proxy, log, mark, 1).remove(0);
    record.as_object_mut().unwrap().remove("mark");
    assert_valid(&record);
    record
}

/// Holds a record against the schema.
#[track_caller]
fn assert_valid(record: &Value) {
    assert_valid_by("docs/audit.schema.json", record);
}

#[track_caller]
fn assert_valid_by(schema: &str, record: &Value) {
    let schema: Value = serde_json::from_str(&fs::read_to_string(checkout().join(schema)).unwrap()).unwrap();
    let problems: Vec<String> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(record)
        .map(|error| error.to_string())
        .collect();
    assert!(problems.is_empty(), "{problems:?}: {record:#}");
}

/// The fields that say something, but for those of the key and of the time.
fn said(record: &Value) -> String {
    let own = [
        "time",
        "method",
        "duration_ms",
        "bytes_sent",
        "key_id",
        "duration_us",
        "outbound_token_age_s",
        "request_id",
    ];
    let members = record.as_object().unwrap().iter();
    let is_said = |value: &Value| !value.is_null() && *value != "";
    let members = members.filter(|(name, value)| !own.contains(&name.as_str()) && is_said(value));
    let mut members: Vec<String> =
        members.map(|(name, value)| format!("{name}={}", value.to_string().trim_matches('"'))).collect();
    members.sort();
    members.join(" ")
}

#[test]
fn every_outcome_of_both_halves_is_a_record_of_the_schema() {
    let world = visit();
    let corp = world.issuer("corp");
    let get = |path: &str| world.get("both", path);
    let read = scoped(corp, "orders:read");
    let spec = TokenSpec::scoped("other")
        .claim("sub", "jane")
        .claim("jti", "t-1")
        .claim("client_id", "stock-counter-17");
    let other = token(corp, &spec);
    let expired = token(corp, &TokenSpec::default().expired());
    let tells = |mark: &str, request: Request, expected: &[&str]| {
        let record = record(&world, "both", request, mark);
        let said = said(&record);
        for part in expected {
            assert!(format!("{said} ").contains(&format!("{part} ")), "{mark}: {part} in {said}");
        }
        record
    };
    let first = tells(
        "permit",
        get("/orders").bearer(&read),
        &[
            "outcome=permit",
            "reason=ok",
            "route=orders",
            "api=orders-v2",
            "issuer=corp",
            "path_template=/orders",
            "status=200",
            "outbound_outcome=passed",
        ],
    );
    assert!(["checked", "waited", "cached"].contains(&first["work"].as_str().unwrap()));
    assert_eq!(first["request_id"].as_str().unwrap().len(), 36, "Envoy's own");
    // Another worker may not know the token yet.
    let mut number = 0;
    eventually("a worker that knows the token", || {
        number += 1;
        let again = record(&world, "both", get("/orders").bearer(&read), &format!("again-{number}"));
        (again["outcome"] == "permit" && again["work"] == "cached").then_some(())
    });
    tells(
        "scope",
        get("/orders").bearer(&other),
        &[
            "outcome=deny",
            "reason=scope_insufficient",
            "status=403",
            "requirement=scopes",
            "client=stock-counter-17",
            "subject=jane",
            "token_id=t-1",
            "scopes_needed=orders:read",
            "scopes_missing=orders:read",
        ],
    );
    tells("named", get("/named").bearer(&other), &["reason=client_not_accepted", "requirement=batch"]);
    tells("missing", get("/orders"), &["outcome=deny", "reason=credential_missing", "status=401"]);
    tells("expired", get("/orders").bearer(&expired), &["outcome=deny", "reason=expired", "issuer=corp"]);
    tells("unknown", get("/nowhere"), &["outcome=deny", "reason=route_unknown", "route=default"]);
    tells("closed", get("/closed"), &["outcome=deny", "reason=route_denied"]);
    tells(
        "report",
        get("/report").bearer(&other),
        &["outcome=report", "reason=scope_insufficient", "status=200"],
    );
    tells("anonymous", get("/optional"), &["outcome=permit", "reason=anonymous"]);
    tells("public", get("/healthz"), &["outcome=permit", "reason=ok", "route=health"]);
    tells("metadata", get("/.well-known/oauth-protected-resource"), &["outcome=resource_metadata"]);
    let injected = tells(
        "injected",
        get("/healthz").header("host", HOST),
        &[
            "outbound_outcome=injected",
            "outbound_client=billing",
            "outbound_destination=billing",
            "outbound_retried=false",
        ],
    );
    injected["outbound_token_age_s"].as_str().unwrap().parse::<u32>().unwrap();
    tells(
        "unavailable",
        get("/healthz").header("host", "down.internal"),
        &["outcome=permit", "outbound_outcome=token_unavailable", "outbound_client=down", "status=503"],
    );
}

#[test]
fn no_value_breaks_a_line() {
    let world = visit();
    let corp = world.issuer("corp");
    let longest = "x".repeat(3_000);
    for (number, odd) in ["a\"b\\c,d", "a\nb\r\n{\"x\":1}", "gr\u{fc}n\u{1f600}", "a\0\u{1b}[31m", &longest]
        .into_iter()
        .enumerate()
    {
        let spec =
            TokenSpec::scoped("orders:read").claim("client_id", odd).claim("sub", odd).claim("jti", odd);
        let mark = format!("odd-{number}");
        let get = world.get("both", "/orders").bearer(&token(corp, &spec));
        let record = record(&world, "both", get, &mark);
        let written = record["client"].as_str().unwrap();
        assert!(!written.is_empty() && written.len() <= 1024, "{mark}: {record:#}");
        assert!(written.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{mark}: {record:#}");
        if number == 0 {
            assert_eq!(written, odd);
        }
    }
}

#[test]
fn a_module_behind_ours_does_not_overwrite_the_record() {
    let world = visit();
    let read = scoped(world.issuer("corp"), "orders:read");
    let record = record(&world, "twice", world.get("twice", "/x").bearer(&read), "twice-1");
    assert_eq!((&record["route"], &record["outcome"]), (&json!("first-route"), &json!("permit")));
    eventually("a line about it", || world.envoy().logs().contains(NOT_WRITTEN).then_some(()));
}

/// Envoy's own filters are the operator's.
#[test]
fn a_filter_of_envoys_can_replace_a_field() {
    let world = visit();
    let read = scoped(world.issuer("corp"), "orders:read");
    let record = record(&world, "native", world.get("native", "/x").bearer(&read), "native-1");
    assert_eq!(record["client"], "of-another-filter");
}

/// The scripts of Envoy 1.36 cannot write filter state.
#[test]
fn a_script_behind_ours_can_replace_a_field() {
    let world = visit();
    let read = scoped(world.issuer("corp"), "orders:read");
    let answer = world.get("scripted", "/x").bearer(&read).header("x-mark", "scripted-1").send().unwrap();
    let seen = echo(&answer);
    let came = seen.header("x-script").expect("the script ran");
    let client = if is_old() { "orders-service" } else { "of-a-script" };
    assert_eq!(came.contains("call method 'set'"), is_old(), "{came}");
    assert_eq!(records(&world, "scripted", "scripted-1", 1)[0]["client"], client, "{came}");
}

/// Another module that writes the same keys, and has made them read-only as ours does.
#[test]
fn a_module_before_ours_keeps_its_record_which_fails_no_request_and_is_told_once() {
    let second = Listener::new("second", Document::Struct(reading("second-route", json!({})))).filter();
    let proxy = Setup::new()
        .issuer("corp")
        .workers(1)
        .listener(logged("twice", reading("first-route", json!({}))).followed_by(vec![second]))
        .start();
    let read = scoped(proxy.issuer("corp"), "orders:read");
    let told = || proxy.envoy().logs().matches(NOT_WRITTEN).count();
    for number in 0..5 {
        let mark = format!("twice-{number}");
        let answer = proxy.get("twice", "/x").bearer(&read).header("x-mark", mark.as_str()).send().unwrap();
        assert_eq!(answer.status, 200, "{mark}: {}", answer.text());
        let record = records(&proxy, "twice", &mark, 1).remove(0);
        assert_eq!(
            (&record["route"], &record["outcome"]),
            (&json!("first-route"), &json!("permit")),
            "{mark}"
        );
    }
    // There is one worker.
    eventually("the line", || (told() > 0).then_some(()));
    assert_eq!(told(), 1);
}

/// Envoy 1.36 keeps the value, as a fault of its own that it logs for each request.
#[test]
fn a_filter_of_envoys_before_ours_keeps_no_field_even_as_read_only() {
    if is_old() {
        return;
    }
    let world = visit();
    let read = scoped(world.issuer("corp"), "orders:read");
    let record = record(&world, "guarded", world.get("guarded", "/x").bearer(&read), "guarded-1");
    let told = [&record["route"], &record["outcome"], &record["client"]];
    assert_eq!(told, [&json!("behind-route"), &json!("permit"), &json!("orders-service")]);
}

#[test]
fn a_stream_that_ended_with_its_token_is_recorded_so() {
    let world = visit();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let spec = TokenSpec::scoped("orders:read").claim("exp", now + 4);
    let token = token(world.issuer("corp"), &spec);
    let mut socket = TcpStream::connect(world.addr("ending")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The upstream waits for the rest of it.
    let head = format!(
        "POST /x HTTP/1.1\r\nhost: orders.example\r\nx-mark: ending-1\r\nauthorization: Bearer {token}\r\n\
         content-length: 10\r\n\r\nhalf"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert!(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() >= now + 4);
    let mut record = records(&world, "ending", "ending-1", 1).remove(0);
    record.as_object_mut().unwrap().remove("mark");
    assert_valid(&record);
    let said = [&record["outcome"], &record["reason"], &record["route"], &record["issuer"]];
    assert_eq!(
        said,
        [&json!("end"), &json!("expired"), &json!("ending-route"), &json!("corp")],
        "{record:#}"
    );
    assert_eq!(record["method"], "POST");
}

#[test]
fn what_a_filter_before_ours_wrote_is_gone() {
    let world = visit();
    // Nobody's: the field is empty.
    let record = record(&world, "behind", world.get("behind", "/x"), "behind-1");
    assert_eq!((&record["route"], &record["client"]), (&json!("behind-route"), &json!("")));
}

#[test]
fn a_request_that_is_redirected_inside_is_recorded_each_time() {
    let world = visit();
    let read = scoped(world.issuer("corp"), "orders:read");
    let answer = world.get("redirect", "/start").bearer(&read).header("x-mark", "redirected").send().unwrap();
    assert_eq!(answer.status, 200);
    let records = records(&world, "redirect", "redirected", 2);
    let told: Vec<_> = records.iter().map(|record| [&record["status"], &record["outcome"]]).collect();
    assert_eq!(told, [[&json!(302), &json!("permit")], [&json!(200), &json!("permit")]]);
    assert_eq!(records[1]["work"], "cached", "not what the first run has written");
}

/// A token that the API refuses is replaced, and the request sent again: the record says so.
#[test]
fn a_filter_in_a_cluster_records_the_last_attempt() {
    let mut document = document(
        "upstream",
        &[client(json!({}))],
        &[destination(json!({}))],
        json!({ "outbound": { "purge_interval": "1s" } }),
    );
    document["audit"] = json!({ "fields": "all" });
    let proxy = setup()
        .cluster("billing", upstream("egress", document))
        .listener(bare("cluster").manager(hosts(replaying())).manager(log("cluster")))
        .start();
    let issuer = proxy.issuer("idp");
    proxy.upstream().accept_tokens(issuer.liveness());
    let call = || proxy.get("cluster", "/invoices").header("host", HOST);
    let first = said(&record(&proxy, "cluster", call(), "first"));
    let of = |retried: bool| {
        format!(
            "outbound_client=billing outbound_destination=billing outbound_outcome=injected \
             outbound_retried={retried} status=200"
        )
    };
    assert_eq!(first, of(false));
    grow_old(Instant::now(), Duration::from_millis(1_100));
    issuer.revoke_all_tokens();
    let second = record(&proxy, "cluster", call(), "second");
    assert_eq!(said(&second), of(true));
    assert_eq!(second["outbound_token_age_s"], "0", "the age of the new token");
    assert_eq!(issuer.token_requests(), 2);
    assert!(!proxy.envoy().logs().contains(NOT_WRITTEN));
}

/// What is told once where a field cannot be written.
const NOT_WRITTEN: &str = "a field of the audit record cannot be written";

/// The same API as a good one, then one that refuses the token while the token endpoint fails.
#[test]
fn what_happens_to_tokens_is_in_envoys_log_as_records_of_the_schema() {
    let more = json!({ "outbound": { "purge_interval": "1s" }, "audit": { "fields": ["outbound_outcome"] } });
    let scopes = json!({ "scopes": ["invoices:read", "invoices:write"] });
    let proxy = in_listener(scopes, more).start();
    let issuer = proxy.issuer("idp");
    proxy.upstream().accept_tokens(issuer.liveness());
    let status = || call(&proxy, "egress", "/").send().unwrap().status;
    let records = || -> Vec<Value> {
        let logs = proxy.envoy().logs();
        let records = logs.lines().filter_map(|line| Some(line.split_once(" audit: ")?.1));
        records.map(|record| serde_json::from_str(record).unwrap()).collect()
    };
    let seen = |event: &str, result: &str| {
        eventually(&format!("a record of {event}: {result}"), || {
            records().into_iter().find(|record| record["event"] == event && record["result"] == result)
        })
    };
    assert_eq!(status(), 200);
    let obtained = seen("token_request", "obtained");
    assert_eq!(
        (&obtained["client"], &obtained["grant"]),
        (&json!("billing"), &json!("client_credentials")),
        "{obtained}"
    );
    assert_eq!(obtained["scopes_granted"], "invoices:read invoices:write", "{obtained}");
    assert!(obtained["lifetime_s"].as_u64() > Some(0) && obtained["duration_ms"].is_u64(), "{obtained}");
    grow_old(Instant::now(), Duration::from_millis(1_100));
    issuer.fault_at(Endpoint::Token, Fault::Status(503));
    issuer.revoke_all_tokens();
    assert_eq!(status(), 401);
    seen("token_purge", "purged");
    seen("token_request", "status");
    seen("breaker", "opened");
    issuer.heal();
    seen("breaker", "closed");
    records().iter().for_each(|record| assert_valid_by("docs/token-record.schema.json", record));
}
