//! A configuration from its bytes to a filter at work. Problems are few and tell no secret; what is taken is driven for a while;
//! and as JSON or as Envoy's `Struct`, one document is taken or refused alike.

use core::time::Duration;

use attache::base::{
    CallId, Command, Headers, HttpReply, Jitter, RequestHead, StreamId, Timestamp, encode_pairs,
};
use attache::config::{self, Config};
use attache::filter::Filter;
use attache::jose::RustCrypto;
use attache::sharing::Context;
use prost::Message as _;
use prost_types::value::Kind;
use serde_json::{Map, Value};

use crate::environment::{SECRET_WORD, Variables};
use crate::json_mutator;
use crate::process::Thread;
use crate::random::{Choices, Drawn};
use crate::signer::{START, Signer, claims};

#[path = "config_values.rs"]
mod values;

use values::Values;

pub(super) fn run(data: &[u8]) {
    let read = config::parse(data, &Variables);
    match &read {
        Ok(config) => drive(config),
        Err(errors) => {
            assert!((1..=MAX_PROBLEMS + 1).contains(&errors.0.len()), "{} problems", errors.0.len());
            assert!(!errors.to_string().contains(SECRET_WORD), "a secret is told");
        }
    }
    let Ok(Value::Object(document)) = serde_json::from_slice::<Value>(data) else { return };
    // Written again, because members that come twice are lost in the `Struct`.
    let text = serde_json::to_vec(&document).unwrap();
    let as_json = config::parse(&text, &Variables);
    let as_struct = config::parse(&to_struct(&document).encode_to_vec(), &Variables);
    if document.values().all(has_exact_numbers)
        && !document.is_empty()
        && as_json.is_ok() != as_struct.is_ok()
    {
        let problems = [as_json, as_struct].map(|read| read.err().map(|errors| errors.to_string()));
        panic!("JSON and Struct disagree: {problems:?}");
    }
    if let Ok(config) = as_struct
        && read.is_err()
    {
        drive(&config);
    }
}

pub(super) fn mutate(data: &[u8], seed: u32) -> Option<Vec<u8>> {
    VALUES.with(|values| {
        if seed % 8 < 6 { set(values, data, seed) } else { json_mutator::mutate(data, seed, &values.words()) }
    })
}

/// Sets what a configuration may have where it may have it, to one of a few good values: of mutants that know nothing of that,
/// nearly all are refused at once.
fn set(values: &Values, text: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut choices = Choices::new(seed, text);
    let mut root: Value = serde_json::from_slice(text).ok()?;
    for _ in 0..=choices.below(3) {
        for _ in 0..12 {
            let Value::Object(members) = json_mutator::any(&mut root, &mut choices) else { continue };
            let settings = values.settings_for(members);
            let Some(setting) = settings.get(choices.below(settings.len())) else { continue };
            match &setting.value {
                Some(value) => drop(members.insert(setting.name.clone(), value.clone())),
                None => drop(members.remove(&setting.name)),
            }
            break;
        }
    }
    serde_json::to_vec(&root).ok()
}

/// Requests, replies and ticks: nothing traps, and at the end no request waits.
fn drive(config: &Config) {
    let process = Thread { memory: Default::default(), number: 1 };
    let random = Drawn::new();
    let (mut jitter, mut observations) = (Jitter::new([3; 16]), Vec::new());
    let mut context = Context {
        now: Timestamp::from_secs(START),
        stopwatch: &(),
        crypto: &RustCrypto,
        random: &random,
        shared: &process,
        jitter: &mut jitter,
        observations: &mut observations,
    };
    let mut filter = Filter::new(config, [3; 16], &mut context);
    let _ = filter.needs();
    let mut commands = Vec::new();
    let bodies: [&[u8]; 3] =
        [br#"{"keys":[]}"#, br#"{"access_token":"t","token_type":"Bearer","expires_in":5}"#, b"{"];
    for (round, body) in (0..).zip(bodies) {
        for (number, head) in (0..).zip(heads()) {
            let _ = filter.handle_request(StreamId(round * 3 + number), head, &mut context);
        }
        context.now = context.now.after(Duration::from_millis(100));
        filter.handle_tick(&mut context, &mut commands);
        for id in calls(&mut commands) {
            let body = Ok(body.to_vec());
            let reply = HttpReply::Response { status: 200, headers: Headers::default(), body };
            filter.handle_reply(id, reply, &mut context, &mut commands);
        }
    }
    filter.handle_response(StreamId(0), 401, &mut context);
    filter.handle_shutdown(&mut context, &mut commands);
    assert_eq!(filter.waiting(), 0, "a request waits after the end");
}

fn calls(commands: &mut Vec<Command>) -> Vec<CallId> {
    let calls = commands.drain(..).filter_map(|command| match command {
        Command::Call { id, call } => {
            assert!(!call.timeout.is_zero(), "a call without end");
            Some(id)
        }
        Command::Resume { .. } | Command::Reset { .. } => None,
    });
    calls.collect()
}

fn heads() -> [RequestHead; 3] {
    BEARER.with(|bearer| {
        let head = |headers: &[(&str, &str)], route_metadata| RequestHead {
            headers: headers.iter().copied().collect(),
            route_metadata,
            cluster: Some(b"billing".to_vec()),
            cluster_tls: Some(b"asserted".to_vec()),
            ..RequestHead::default()
        };
        let plain = [
            (":method", "GET"),
            (":path", "/orders"),
            (":authority", "api.example"),
            ("authorization", bearer.as_str()),
        ];
        let odd = [
            (":method", "POST"),
            (":path", "/a/b%2f;x?access_token=a.b.c&access_token=x"),
            (":authority", "x.example:80"),
            ("cookie", "token=a; token=b"),
            ("x-a", "x"),
            ("x_a", "y"),
        ];
        let preflight = [
            (":method", "OPTIONS"),
            (":path", "/.well-known/oauth-protected-resource"),
            (":authority", "billing.internal"),
            ("origin", "https://o"),
            ("access-control-request-method", "GET"),
        ];
        let metadata = encode_pairs([("scopes", "a b"), ("client", "billing")].into_iter());
        let heads = [head(&plain, None), head(&odd, None), head(&preflight, Some(metadata))];
        heads.map(|head| RequestHead { route_name: Some(b"r".to_vec()), ..head })
    })
}

/// Envoy hands a `Struct` over, whose numbers are doubles.
fn to_struct(members: &Map<String, Value>) -> prost_types::Struct {
    let fields = members.iter().map(|(name, value)| (name.clone(), to_value(value)));
    prost_types::Struct { fields: fields.collect() }
}

fn to_value(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.iter().map(to_value).collect() })
        }
        Value::Object(members) => Kind::StructValue(to_struct(members)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// Whether each number is one that both encodings can say.
fn has_exact_numbers(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i64().is_some_and(|number| number.unsigned_abs() < 1 << 53),
        Value::Array(items) => items.iter().all(has_exact_numbers),
        Value::Object(members) => members.values().all(has_exact_numbers),
        _ => true,
    }
}

thread_local! {
    static VALUES: Values = Values::read();
    static BEARER: String = {
        let token = Signer::new("k1").token(&claims("https://idp.example", "a", START + 60, "s"));
        format!("Bearer {token}")
    };
}

/// How many problems are told at once; one more says that there are others.
const MAX_PROBLEMS: usize = 100;
