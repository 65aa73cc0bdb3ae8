//! Strict JSON: what a token or key set says, or a refusal; never a guess.
//!
//! serde_json reads the text; this visitor adds what RFC 7515 §4 and RFC 7519 §4 leave to the implementation: a
//! repeated member is refused at any depth (two readers that pick different ones are an attack), and depth, members
//! and values are bounded.

use core::cell::Cell;
use core::fmt;
use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// A JSON value. Strings are where they stand in the text that was read, but for those with escapes.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'t> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as an integer where it is written as one.
    Number(serde_json::Number),
    /// A string.
    String(Cow<'t, str>),
    /// An array.
    Array(Vec<Json<'t>>),
    /// An object.
    Object(Object<'t>),
}

impl<'t> Json<'t> {
    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Json<'t>]> {
        if let Self::Array(elements) = self { Some(elements) } else { None }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object<'t>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<&serde_json::Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }
}

/// A JSON object: members in the order in which they were written, each name once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'t>(Vec<(Cow<'t, str>, Json<'t>)>);

impl<'t> Object<'t> {
    /// Reads a text that is one object and nothing else.
    pub fn parse(text: &'t [u8]) -> Result<Self, JsonError> {
        let text = core::str::from_utf8(text).map_err(|_| JsonError::NotUtf8)?;
        let limits = Limits { values: Cell::new(MAX_JSON_VALUES), fault: Cell::new(None) };
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = ValueReader { limits: &limits, depth: 0 }.deserialize(&mut reader);
        let value = value.map_err(|error| match limits.fault.get() {
            Some(fault) => fault,
            None if text.starts_with('\u{feff}') => JsonError::ByteOrderMark,
            None => syntax(&error),
        })?;
        reader.end().map_err(|_| JsonError::TrailingData)?;
        if let Json::Object(object) = value { Ok(object) } else { Err(JsonError::NotAnObject) }
    }

    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&Json<'t>> {
        self.0.iter().find(|(member, _)| is_named(member, name)).map(|(_, value)| value)
    }

    /// All members in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json<'t>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a text is not an object that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The bytes are not UTF-8 (RFC 8259 §8.1).
    #[error("not UTF-8")]
    NotUtf8,
    /// The text begins with a byte order mark (RFC 8259 §8.1).
    #[error("it begins with a byte order mark, which JSON may not")]
    ByteOrderMark,
    /// The text is not JSON.
    #[error("not JSON at line {line}, column {column}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// Something follows the value.
    #[error("trailing characters")]
    TrailingData,
    /// The value is not an object.
    #[error("not an object")]
    NotAnObject,
    /// An object names a member twice.
    #[error("duplicate member")]
    DuplicateMember,
    /// Arrays and objects are nested deeper than [`MAX_JSON_DEPTH`].
    #[error("nested deeper than {MAX_JSON_DEPTH} levels")]
    TooDeep,
    /// An object has more than [`MAX_JSON_MEMBERS`] members.
    #[error("an object has more than {MAX_JSON_MEMBERS} members")]
    TooManyMembers,
    /// There are more than [`MAX_JSON_VALUES`] values in all.
    #[error("more than {MAX_JSON_VALUES} values")]
    TooManyValues,
}

fn syntax(error: &serde_json::Error) -> JsonError {
    JsonError::Syntax { line: error.line(), column: error.column() }
}

/// How many values a text may still have, and the bound that it exceeded: serde_json's error cannot carry ours.
struct Limits {
    values: Cell<usize>,
    fault: Cell<Option<JsonError>>,
}

impl Limits {
    fn refuse<E: serde::de::Error>(&self, fault: JsonError) -> E {
        self.fault.set(Some(fault));
        E::custom("")
    }
}

#[derive(Clone, Copy)]
struct ValueReader<'b> {
    limits: &'b Limits,
    depth: usize,
}

impl ValueReader<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_JSON_DEPTH {
            return Err(self.limits.refuse(JsonError::TooDeep));
        }
        Ok(Self { limits: self.limits, depth: self.depth.saturating_add(1) })
    }
}

impl<'de> DeserializeSeed<'de> for ValueReader<'_> {
    type Value = Json<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Json<'de>, D::Error> {
        let Some(left) = self.limits.values.get().checked_sub(1) else {
            return Err(self.limits.refuse(JsonError::TooManyValues));
        };
        self.limits.values.set(left);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueReader<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json<'de>, E> {
        // JSON text cannot say a number that is not finite, so this cannot fail.
        let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom(""))?;
        Ok(Json::Number(number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json<'de>, A::Error> {
        let reader = self.deeper()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(reader)? {
            array.push(element);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let reader = self.deeper()?;
        let mut object: Vec<(Cow<'de, str>, Json<'de>)> = Vec::new();
        if reader.depth == 1 {
            object.reserve(COMMON_MEMBERS);
        }
        let mut sorted = SortedNames::default();
        while let Some(Name(name)) = members.next_key()? {
            let is_new = if object.len() < FEW_MEMBERS {
                !object.iter().any(|(member, _)| is_named(member, &name))
            } else {
                let name_at = |place: usize| object.get(place).map_or("", |(member, _)| member);
                sorted.add(object.len(), name_at, &&*name)
            };
            if !is_new {
                return Err(self.limits.refuse(JsonError::DuplicateMember));
            }
            if object.len() >= MAX_JSON_MEMBERS {
                return Err(self.limits.refuse(JsonError::TooManyMembers));
            }
            let value = members.next_value_seed(reader)?;
            object.push((name, value));
        }
        Ok(Json::Object(Object(object)))
    }
}

/// The places of an object's members, sorted by their names: a client that sends hundreds of members must not have each
/// compared with each.
#[derive(Debug, Default)]
struct SortedNames(Vec<usize>);

impl SortedNames {
    /// Adds the name of the next member, of which there are `count` already; `false` if one of them has it.
    fn add<N: Ord>(&mut self, count: usize, name_at: impl Fn(usize) -> N, name: &N) -> bool {
        for earlier in self.0.len()..count {
            self.insert(earlier, &name_at, &name_at(earlier));
        }
        self.insert(count, name_at, name)
    }

    fn insert<N: Ord>(&mut self, at: usize, name_at: impl Fn(usize) -> N, name: &N) -> bool {
        let place = self.0.binary_search_by(|place| name_at(*place).cmp(name));
        if let Err(place) = place {
            self.0.insert(place, at);
        }
        place.is_err()
    }
}

/// Names are short and mostly differ in their first letters: a call of the C library's comparison costs more than that.
fn is_named(member: &str, name: &str) -> bool {
    member.len() == name.len() && member.bytes().zip(name.bytes()).all(|(a, b)| a == b)
}

/// A member's name.
#[derive(Deserialize)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

/// How many members a header or the claims of an access token have, about: room for them is made at once.
const COMMON_MEMBERS: usize = 10;
/// So many names are compared pairwise, which is faster than keeping them sorted.
const FEW_MEMBERS: usize = 16;
/// How deep arrays and objects may nest. The deepest claims in use (Keycloak's `resource_access`, RFC 9396's
/// `authorization_details`) need 4 to 6; serde_json itself would recurse to 128.
pub const MAX_JSON_DEPTH: usize = 16;
/// How many members an object may have. The richest access tokens have tens.
pub const MAX_JSON_MEMBERS: usize = 256;
/// How many values a text may have, arrays and objects included: two bytes of text (`0,`) become 32 bytes of memory,
/// and [`MAX_KEYS`](super::MAX_KEYS) keys with certificates need about 2,000.
pub const MAX_JSON_VALUES: usize = 8_192;

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
