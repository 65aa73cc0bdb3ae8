//! Messages of an MCP endpoint, by headers and by body: any bytes. No message is forwarded that some server could read as one which a
//! route denies, whatever its JSON reader makes of members that are there twice or in letters of another case. Headers that count say
//! what the body says, where that is looked at, and a body is asked for once.
//!
//! An input is written as a message of HTTP: a digit for the settings, headers, an empty line, the body.

use std::fmt;

use attache::base::{Jitter, Outcome, RequestBody, RequestHead, StreamId, Timestamp};
use attache::config::{self, Config};
use attache::filter::Filter;
use attache::jose::RustCrypto;
use attache::sharing::{Context, NoSharedState};
use base64ct::{Base64, Encoding as _};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};
use url::Url;

use crate::environment::Variables;
use crate::json_mutator;
use crate::random::Drawn;
use crate::signer::START;

pub(super) fn run(data: &[u8]) {
    let Some(message) = Message::read(data) else { return };
    WORLDS.with(|worlds| {
        let random = Drawn::new();
        let (mut jitter, mut observations) = (Jitter::new([1; 16]), Vec::new());
        let mut context = Context {
            now: Timestamp::from_secs(START),
            stopwatch: &(),
            crypto: &RustCrypto,
            random: &random,
            shared: &NoSharedState,
            jitter: &mut jitter,
            observations: &mut observations,
        };
        let mut filter = Filter::new(&worlds[message.settings.place()], [1; 16], &mut context);
        let mut head = RequestHead {
            headers: message.headers.iter().cloned().collect(),
            has_body: !message.body.is_empty(),
            ..RequestHead::default()
        };
        let mut outcome = filter.handle_request(StreamId(1), head.clone(), &mut context);
        let is_read = matches!(outcome, Some(Outcome::AwaitBody { .. }));
        if let Some(Outcome::AwaitBody { most }) = outcome {
            let is_whole = message.body.len() <= most;
            let whole = || RequestBody::Whole(message.body.to_vec());
            head.body = Some(if is_whole { whole() } else { RequestBody::TooLarge });
            outcome = filter.handle_request(StreamId(1), head, &mut context);
        }
        match outcome {
            Some(Outcome::Forward { .. }) => message.check_forwarded(is_read),
            Some(Outcome::Respond { response, .. }) => {
                serde_json::from_str::<Value>(&response.body).expect("a body of JSON");
            }
            Some(Outcome::AwaitBody { .. }) => panic!("a body is asked for twice"),
            None => panic!("nothing waits for keys"),
        }
    });
}

/// Changes the body, which is what has a grammar.
pub(super) fn mutate(data: &[u8], seed: u32) -> Option<Vec<u8>> {
    let end = data.windows(2).position(|window| window == b"\n\n")? + 2;
    let body = json_mutator::mutate(&data[end..], seed, WORDS)?;
    Some([&data[..end], &body].concat())
}

struct Message<'d> {
    settings: Settings,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: &'d [u8],
}

#[derive(Clone, Copy)]
struct Settings {
    verifies_body: bool,
    takes_older: bool,
}

impl Settings {
    fn place(self) -> usize {
        usize::from(!self.verifies_body) + 2 * usize::from(!self.takes_older)
    }
}

impl<'d> Message<'d> {
    fn read(data: &'d [u8]) -> Option<Self> {
        let (digit, mut rest) = data.split_first()?;
        let settings = Settings { verifies_body: digit & 1 == 0, takes_older: digit & 2 == 0 };
        let fixed = [(":method", "POST"), (":path", "/mcp"), (":authority", "api.example")];
        let mut headers: Vec<_> =
            fixed.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).into();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            match line.iter().position(|byte| *byte == b':') {
                Some(colon) if headers.len() < 20 => {
                    let value = line[colon + 1..].trim_ascii().to_vec();
                    headers.push((line[..colon].to_ascii_lowercase(), value));
                }
                Some(_) => {}
                None if line.is_empty() => break,
                None => {}
            }
        }
        Some(Self { settings, headers, body: rest })
    }

    fn values<'m>(&'m self, name: &str) -> Vec<&'m [u8]> {
        let fields = self.headers.iter().filter(|(theirs, _)| theirs == name.as_bytes());
        fields.map(|(_, value)| &**value).collect()
    }

    fn check_forwarded(&self, is_read: bool) {
        let versions = self.values("mcp-protocol-version");
        assert!(versions.len() < 2, "forwarded with two versions");
        let is_new =
            versions.first().is_some_and(|version| is_date(version) && *version >= &b"2026-07-28"[..]);
        assert!(is_new || self.settings.takes_older, "an older version is forwarded");
        if is_new {
            let said = self.said();
            assert!(
                !is_denied(&said.method, said.name.as_deref()),
                "forwarded, and the headers name what is denied"
            );
        }
        if is_new && !self.settings.verifies_body {
            return;
        }
        assert!(is_read, "forwarded without a look at the body");
        let body: Doc = match serde_json::from_slice(self.body) {
            Ok(body) => body,
            // What is too deep for this reader may be deep within what no rule looks at.
            Err(error) => {
                return assert!(error.to_string().contains("recursion"), "forwarded, and no JSON: {error}");
            }
        };
        for call in calls(&body) {
            let name = call.name.as_deref();
            assert!(
                !is_denied(&call.method, name),
                "forwarded, and some server reads what is denied: {call:?}"
            );
            if is_new {
                let said = self.said();
                assert_eq!(said.method, call.method, "forwarded, and the headers say another method");
                let agrees = said.name.is_none() || said.name == call.name;
                assert!(agrees, "forwarded, and the headers say another name: {said:?} {call:?}");
            }
        }
    }

    /// What the headers say.
    fn said(&self) -> Call {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("forwarded with odd bytes");
        let methods = self.values("mcp-method");
        assert_eq!(methods.len(), 1, "forwarded without one method");
        let method = text(methods[0]);
        let names = self.values("mcp-name");
        assert!(names.len() < 2, "forwarded with two names");
        // Only messages that name something are judged by a name.
        let name = names.first().filter(|_| member_of(&method).is_some()).map(|name| {
            let name = text(name);
            let coded = name.strip_prefix("=?base64?").and_then(|name| name.strip_suffix("?="));
            coded.map_or(name.clone(), |coded| text(&Base64::decode_vec(coded).expect("no base64")))
        });
        Call { method, name }
    }
}

/// What a message asks for, in one way to read it.
#[derive(Debug)]
struct Call {
    method: String,
    name: Option<String>,
}

/// All ways to read the messages of a body: each member that some reader takes for one that counts, as far as some reader reads it.
fn calls(body: &Doc) -> Vec<Call> {
    let messages = match body {
        Doc::List(messages) => messages.iter().collect(),
        Doc::Text(_) | Doc::Object(_) | Doc::Other => vec![body],
    };
    let mut calls = Vec::new();
    for message in messages {
        for method in message.texts("method") {
            let Some(member) = member_of(&method) else {
                calls.push(Call { method, name: None });
                continue;
            };
            for params in message.members("params") {
                let names = params.texts(member).into_iter();
                calls.extend(names.map(|name| Call { method: method.clone(), name: Some(name) }));
            }
        }
    }
    calls
}

fn member_of(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
        _ => None,
    }
}

/// Whether the routes deny it, however the name is spelled.
fn is_denied(method: &str, name: Option<&str>) -> bool {
    let Some(name) = name else { return false };
    match method {
        "tools/call" => name == DENIED_TOOL,
        "resources/read" => {
            let url = |text: &str| Url::parse(text.trim()).ok().map(|url| url.path().to_owned());
            name == DENIED_RESOURCE || url(name).is_some_and(|path| Some(path) == url(DENIED_RESOURCE))
        }
        _ => false,
    }
}

fn is_date(text: &[u8]) -> bool {
    let shape = text.iter().map(|byte| if byte.is_ascii_digit() { b'0' } else { *byte });
    shape.eq(*b"0000-00-00")
}

/// A JSON value with all its members, in their order.
enum Doc {
    Text(String),
    Object(Vec<(String, Doc)>),
    List(Vec<Doc>),
    Other,
}

impl Doc {
    /// The members that some reader takes for this one: whatever the case of their letters, and up to a NUL.
    fn members(&self, name: &str) -> Vec<&Self> {
        let Self::Object(members) = self else { return Vec::new() };
        let folded = |text: &str| -> String {
            let letters = text.split('\0').next().unwrap_or_default().chars();
            letters
                .map(|letter| if letter == 'İ' { 'i' } else { letter })
                .flat_map(char::to_uppercase)
                .collect()
        };
        members.iter().filter(|(member, _)| folded(member) == folded(name)).map(|(_, value)| value).collect()
    }

    /// Their texts, each whole, and up to a NUL.
    fn texts(&self, name: &str) -> Vec<String> {
        let texts = self.members(name).into_iter().filter_map(|value| match value {
            Self::Text(text) => Some(text),
            Self::Object(_) | Self::List(_) | Self::Other => None,
        });
        texts
            .flat_map(|text| [text.clone(), text.split('\0').next().unwrap_or_default().to_owned()])
            .collect()
    }
}

impl<'de> Deserialize<'de> for Doc {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(Whole)
    }
}

struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = Doc;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Doc, E> {
        Ok(Doc::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Doc, E> {
        Ok(Doc::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Doc, E> {
        Ok(Doc::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Doc, E> {
        Ok(Doc::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Doc, E> {
        Ok(Doc::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Doc, E> {
        Ok(Doc::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Doc, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Doc::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Doc, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Doc::Object(object))
    }
}

fn world(settings: Settings) -> Config {
    let messages = |methods: Value, names: Value| json!({ "path": "/mcp", "mcp": { "methods": methods, "names": names } });
    let document = json!({ "inbound": {
        "issuers": [{
            "name": "corp", "issuer": "https://idp.example", "audiences": "any",
            "keys": { "jwks": { "uri": "https://idp.example/jwks", "cluster": "idp" } },
        }],
        "mcp": {
            "verify_body": settings.verifies_body,
            "older_versions": if settings.takes_older { "by_body" } else { "deny" },
        },
        "denials": { "body": "json_rpc" },
        "routes": [
            { "name": "mcp", "match": { "path": "/mcp" }, "public": {} },
            { "name": "delete", "match": messages(json!(["tools/call"]), json!([DENIED_TOOL])), "deny": {} },
            { "name": "reports", "match": messages(json!(["resources/read"]), json!([DENIED_RESOURCE])), "deny": {} },
        ],
        "default": "deny",
    }});
    config::parse(document.to_string().as_bytes(), &Variables).unwrap_or_else(|problems| panic!("{problems}"))
}

thread_local! {
    /// By [`Settings::place`].
    static WORLDS: [Config; 4] = [0, 1, 2, 3].map(|digit: u8| {
        world(Settings { verifies_body: digit & 1 == 0, takes_older: digit & 2 == 0 })
    });
}

const DENIED_TOOL: &str = "orders.delete";
const DENIED_RESOURCE: &str = "file:///reports/2026";
const WORDS: &[&str] = &[
    "jsonrpc",
    "2.0",
    "id",
    "method",
    "params",
    "name",
    "uri",
    "result",
    "error",
    "Method",
    "PARAMS",
    "Name",
    "URI",
    "method\0",
    "name\0",
    "\u{212a}",
    "tools/call",
    "tools/list",
    "prompts/get",
    "resources/read",
    "resources/subscribe",
    "orders.delete",
    "orders.delete\0",
    "orders.list",
    "file:///reports/2026",
    "FILE:///reports/2026",
    "file:///./reports/2026",
    "file://localhost/reports/2026",
    "file:///reports/2025",
];
