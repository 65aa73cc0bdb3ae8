//! The JSON-RPC messages in a body, as far as rules look at them: what each asks for, and nothing of its arguments.
//!
//! Servers read the same body with readers of all kinds. What two of them could read in two ways is refused: a member
//! that is there twice, or whose name differs from one that counts by the case of its letters alone; and a control
//! character, at which a reader in C may end the text.

use core::cell::Cell;
use core::fmt;
use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::policy::McpCall;

/// Why a body is none by which a request can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum McpBodyError {
    /// There is none.
    #[error("the MCP message is missing: the request has no body")]
    Missing,
    /// It is not said to be JSON in UTF-8, once.
    #[error("the MCP message is not `application/json` in UTF-8")]
    ContentType,
    /// It is compressed.
    #[error("the MCP message has a content coding")]
    ContentCoding,
    /// It is no JSON.
    #[error("the MCP message is not JSON")]
    NotJson,
    /// It is JSON, but neither a message nor a list of messages.
    #[error("the body is not a JSON-RPC message")]
    NotAMessage,
    /// A member is there twice, or so that some servers take it for another.
    #[error("the MCP message names a member twice, or in letters of another case")]
    DuplicateMember,
    /// A member's name, the method or the name of what it asks for has a control character.
    #[error("the MCP message has a control character in a name")]
    ControlCharacter,
    /// An object has more than [`MAX_MCP_MEMBERS`] members, or a batch more messages.
    #[error("the MCP message has more than {MAX_MCP_MEMBERS} members, or the batch more messages")]
    TooManyMembers,
    /// It does not say which tool, prompt or resource.
    #[error("the MCP message does not name what it asks for")]
    NameMissing,
    /// Its messages meet different rules.
    #[error("the messages of the batch meet different rules: send each alone")]
    MixedBatch,
}

/// What one message asks for; without a method it answers the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct McpMessage<'t> {
    method: Option<Cow<'t, str>>,
    name: Option<Cow<'t, str>>,
}

impl McpMessage<'_> {
    /// What it asks for; `None` where it asks for nothing.
    pub(super) fn call(&self) -> Option<McpCall<'_>> {
        Some(McpCall { method: self.method.as_deref()?, name: self.name.as_deref() })
    }
}

/// The messages of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum McpMessages<'t> {
    /// A message.
    One(McpMessage<'t>),
    /// Several, or one in a list: the versions 2025-03-26 and before have batches.
    Batch(Vec<McpMessage<'t>>),
}

impl<'t> McpMessages<'t> {
    /// Reads a body that is one message or a batch of them, and nothing else.
    pub(super) fn parse(body: &'t [u8]) -> Result<Self, McpBodyError> {
        let text = str::from_utf8(body).map_err(|_| McpBodyError::NotJson)?;
        let fault = Cell::new(McpBodyError::NotJson);
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = Part { objects: 2, is_body: true, fault: &fault }.deserialize(&mut reader);
        let value = value.map_err(|_| fault.get())?;
        reader.end().map_err(|_| McpBodyError::NotJson)?;
        match value {
            Value::Object(members) => message(members).map(Self::One),
            Value::List(values) => {
                let messages = values.into_iter().map(|value| match value {
                    Value::Object(members) => message(members),
                    Value::Text(_) | Value::List(_) | Value::Other => Err(McpBodyError::NotAMessage),
                });
                let messages = messages.collect::<Result<Vec<_>, _>>()?;
                if messages.is_empty() { Err(McpBodyError::NotAMessage) } else { Ok(Self::Batch(messages)) }
            }
            Value::Text(_) | Value::Other => Err(McpBodyError::NotAMessage),
        }
    }
}

/// The members of an object, each name once.
type Members<'t> = Vec<(Cow<'t, str>, Value<'t>)>;

/// A value, as far as it is looked at.
enum Value<'t> {
    Text(Cow<'t, str>),
    Object(Members<'t>),
    List(Vec<Value<'t>>),
    /// Anything else, and what stands too deep to matter.
    Other,
}

fn message(members: Members<'_>) -> Result<McpMessage<'_>, McpBodyError> {
    if ["method", "params"].into_iter().any(|name| is_imitated(&members, name)) {
        return Err(McpBodyError::DuplicateMember);
    }
    let (mut method, mut params, mut is_answer) = (None, None, false);
    for (name, value) in members {
        match &*name {
            "method" => method = Some(value),
            "params" => params = Some(value),
            "result" | "error" => is_answer = true,
            _ => {}
        }
    }
    let method = match method {
        Some(Value::Text(method)) => plain(method)?,
        None if is_answer => return Ok(McpMessage { method: None, name: None }),
        Some(Value::Object(_) | Value::List(_) | Value::Other) | None => {
            return Err(McpBodyError::NotAMessage);
        }
    };
    let name = match McpCall::named_by(&method) {
        Some(member) => Some(named(params, member)?),
        None => None,
    };
    Ok(McpMessage { method: Some(method), name })
}

/// The text of this member of a message's parameters.
fn named<'t>(params: Option<Value<'t>>, member: &str) -> Result<Cow<'t, str>, McpBodyError> {
    let Some(Value::Object(members)) = params else { return Err(McpBodyError::NameMissing) };
    if is_imitated(&members, member) {
        return Err(McpBodyError::DuplicateMember);
    }
    let value = members.into_iter().find(|(name, _)| name == member).map(|(_, value)| value);
    if let Some(Value::Text(text)) = value { plain(text) } else { Err(McpBodyError::NameMissing) }
}

/// A text without control characters.
fn plain(text: Cow<'_, str>) -> Result<Cow<'_, str>, McpBodyError> {
    if text.chars().any(char::is_control) { Err(McpBodyError::ControlCharacter) } else { Ok(text) }
}

/// Whether a member has this name but for the case of letters: Go's `encoding/json` takes it for the other, and what
/// comes last counts.
fn is_imitated(members: &Members<'_>, name: &str) -> bool {
    let fold = |letter: char| match letter {
        'ſ' => 's',
        '\u{212a}' => 'k',
        'İ' | 'ı' => 'i',
        other => other.to_ascii_lowercase(),
    };
    members.iter().any(|(member, _)| *member != name && member.chars().map(fold).eq(name.chars()))
}

/// Reads one value.
#[derive(Clone, Copy)]
struct Part<'f> {
    /// How many levels of objects are looked into.
    objects: u8,
    /// It is the body, which may be a list.
    is_body: bool,
    /// Why it cannot be read: serde's error cannot carry that.
    fault: &'f Cell<McpBodyError>,
}

impl Part<'_> {
    fn refuse<E: serde::de::Error>(self, fault: McpBodyError) -> E {
        self.fault.set(fault);
        E::custom("")
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value<'de>, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value<'de>, A::Error> {
        if !self.is_body {
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Other);
        }
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(Self { is_body: false, ..self })? {
            if list.len() >= MAX_MCP_MEMBERS {
                return Err(self.refuse(McpBodyError::TooManyMembers));
            }
            list.push(element);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value<'de>, A::Error> {
        let Some(objects) = self.objects.checked_sub(1) else {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Other);
        };
        let mut object: Members<'de> = Vec::new();
        while let Some(Name(name)) = members.next_key()? {
            if object.iter().any(|(member, _)| *member == name) {
                return Err(self.refuse(McpBodyError::DuplicateMember));
            }
            if object.len() >= MAX_MCP_MEMBERS {
                return Err(self.refuse(McpBodyError::TooManyMembers));
            }
            let name = plain(name).map_err(|fault| self.refuse(fault))?;
            let value = members.next_value_seed(Self { objects, is_body: false, ..self })?;
            object.push((name, value));
        }
        Ok(Value::Object(object))
    }
}

/// A member's name.
#[derive(Deserialize)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

/// A message has four members, and its parameters have few; what is deeper is not counted. Few enough to compare each
/// with each.
pub const MAX_MCP_MEMBERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn one(body: &str) -> Result<(Option<String>, Option<String>), McpBodyError> {
        let text = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        match McpMessages::parse(body.as_bytes())? {
            McpMessages::One(message) => Ok((text(message.method), text(message.name))),
            McpMessages::Batch(_) => panic!("a batch"),
        }
    }

    fn call(method: &str, name: &str) -> Result<(Option<String>, Option<String>), McpBodyError> {
        Ok((Some(method.to_owned()), Some(name.to_owned())))
    }

    #[test]
    fn a_message_says_its_method_and_what_that_names() {
        let tool = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"name":"b"}}}"#;
        assert_eq!(one(tool), call("tools/call", "a"));
        let resource = r#"{"params":{"uri":"file:///x","name":"y"},"method":"resources/read","id":"1"}"#;
        assert_eq!(one(resource), call("resources/read", "file:///x"));
        assert_eq!(one(r#"{"method":"tools/list"}"#), Ok((Some("tools/list".to_owned()), None)));
        assert_eq!(one(r#"{"method":"x","params":[1,{"name":2}]}"#), Ok((Some("x".to_owned()), None)));
        assert_eq!(one(r#"{"id":1,"result":{}}"#), Ok((None, None)));
    }

    #[test]
    fn escapes_are_decoded_before_anything_is_compared() {
        let escaped = r#"{"m\u0065thod":"tools\u002fcall","params":{"n\u0061me":"\u0061"}}"#;
        assert_eq!(one(escaped), call("tools/call", "a"));
        let twice = r#"{"method":"tools/list","m\u0065thod":"tools/call","params":{"name":"a"}}"#;
        assert_eq!(one(twice), Err(McpBodyError::DuplicateMember));
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        for body in [
            r#"{"method":"tools/list","method":"tools/call","params":{"name":"a"}}"#,
            r#"{"method":"tools/list","METHOD":"tools/call","params":{"name":"a"}}"#,
            r#"{"Method":"tools/call"}"#,
            r#"{"method":"tools/list","paramſ":{}}"#,
            r#"{"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
            r#"{"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            r#"{"method":"tools/call","params":{"name":"a","x":1,"x":2}}"#,
            r#"{"method":"tools/call","params":{"name":"a"},"params":{}}"#,
            r#"{"method":"resources/read","params":{"uri":"a","ur\u0131":"b"}}"#,
        ] {
            assert_eq!(one(body), Err(McpBodyError::DuplicateMember), "{body}");
        }
        // What is deeper is the tool's own.
        let deep = r#"{"method":"tools/call","params":{"name":"a","arguments":{"A":1,"a":2,"a":3}}}"#;
        assert_eq!(one(deep), call("tools/call", "a"));
    }

    #[test]
    fn a_name_that_a_reader_in_c_would_cut_short_is_refused() {
        for body in [
            r#"{"method":"tools/call\u0000","params":{"name":"a"}}"#,
            r#"{"method":"tools/call","params":{"name":"a\u0000b"}}"#,
            r#"{"method":"tools/call","params":{"name":"a\n"}}"#,
            r#"{"method":"tools/list","method\u0000":"tools/call"}"#,
            r#"{"method":"tools/call","params":{"name":"a","name\u0000":"b"}}"#,
            r#"{"method":"resources/read","params":{"uri":"file:///x\u007f"}}"#,
        ] {
            assert_eq!(one(body), Err(McpBodyError::ControlCharacter), "{body}");
        }
        // What is deeper is the tool's own.
        let deep = r#"{"method":"tools/call","params":{"name":"a","arguments":{"b\u0000":"\n"}}}"#;
        assert_eq!(one(deep), call("tools/call", "a"));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for body in
            ["", " ", "{", "{}x", "{}{}", "\u{feff}{}", "nul", "{\"method\":}", "[{},]", "{'method':1}"]
        {
            assert_eq!(one(body), Err(McpBodyError::NotJson), "{body}");
        }
        for body in
            ["{}", "1", "null", "\"tools/list\"", "[]", "[1]", "[[]]", r#"{"id":1}"#, r#"{"method":1}"#]
        {
            assert_eq!(one(body), Err(McpBodyError::NotAMessage), "{body}");
        }
        for params in ["", r#","params":{}"#, r#","params":["a"]"#, r#","params":{"name":1}"#] {
            let body = format!(r#"{{"method":"tools/call"{params}}}"#);
            assert_eq!(one(&body), Err(McpBodyError::NameMissing), "{body}");
        }
        assert_eq!(McpMessages::parse(b"{\"method\":\"\xff\"}"), Err(McpBodyError::NotJson));
    }

    #[test]
    fn members_are_counted_where_they_are_kept() {
        let members = |count: usize| (0..count).map(|n| format!(r#","m{n}":0"#)).collect::<String>();
        let body = |count: usize| format!(r#"{{"method":"x"{}}}"#, members(count));
        assert!(one(&body(MAX_MCP_MEMBERS - 1)).is_ok());
        assert_eq!(one(&body(MAX_MCP_MEMBERS)), Err(McpBodyError::TooManyMembers));
        let batch = |count: usize| format!("[{}]", vec![r#"{"method":"x"}"#; count].join(","));
        assert!(McpMessages::parse(batch(MAX_MCP_MEMBERS).as_bytes()).is_ok());
        let long = batch(MAX_MCP_MEMBERS + 1);
        assert_eq!(McpMessages::parse(long.as_bytes()), Err(McpBodyError::TooManyMembers));
        let deep = format!(r#"{{"method":"x","params":{{"a":[{{"b":0{}}}]}}}}"#, members(1000));
        assert!(one(&deep).is_ok());
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = |open: &str, close: &str| {
            format!(r#"{{"method":"x","params":{{"a":{}1{}}}}}"#, open.repeat(30_000), close.repeat(30_000))
        };
        assert!(one(&deep("[", "]")).is_ok());
        assert!(one(&deep(r#"{"a":"#, "}")).is_ok());
        assert_eq!(one(&"[".repeat(60_000)), Err(McpBodyError::NotJson));
    }
}
