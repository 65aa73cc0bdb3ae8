use core::fmt;

use attache::config::Value;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A value of a YAML or JSON document, and its line.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// From 1; 0 where it is not known.
    pub(crate) line: u64,
    pub(crate) content: Content,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    String(String),
    List(Vec<Node>),
    Object(Vec<Member>),
    /// A string that holds a document of its own, as a `StringValue` does: the text, and what it says.
    Embedded(String, Box<Node>),
}

/// A member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// The line of its name.
    pub(crate) line: u64,
    pub(crate) value: Node,
}

impl Node {
    /// The member of this name, or of the same in camel case: Envoy takes both.
    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        let is_named = |member: &&Member| member.name == name || is_camel_case_of(&member.name, name);
        self.members().iter().find(is_named)
    }

    pub(crate) fn members(&self) -> &[Member] {
        if let Content::Embedded(_, node) = &self.content {
            return node.members();
        }
        if let Content::Object(members) = &self.content { members } else { &[] }
    }

    pub(crate) fn items(&self) -> &[Self] {
        if let Content::List(items) = &self.content { items } else { &[] }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Content::String(text) | Content::Embedded(text, _) = &self.content { Some(text) } else { None }
    }

    /// Reads what stands in texts: the configuration of a plugin may be a `StringValue`.
    pub(super) fn read_texts(&mut self, parse: &dyn Fn(&str) -> Option<Self>) {
        let is_text =
            |member: &Member| member.name == "@type" && member.value.as_str().is_some_and(is_string_value);
        let holds_text = self.members().iter().any(is_text);
        for node in self.children() {
            node.read_texts(parse);
        }
        let Content::Object(members) = &mut self.content else { return };
        for value in members.iter_mut().filter(|member| holds_text && member.name == "value") {
            let value = &mut value.value;
            if let Some((text, mut node)) =
                value.as_str().and_then(|text| Some((text.to_owned(), parse(text)?)))
            {
                node.set_line(value.line);
                value.content = Content::Embedded(text, Box::new(node));
            }
        }
    }

    fn children(&mut self) -> Vec<&mut Self> {
        let (items, members) = match &mut self.content {
            Content::List(items) => (Some(items), None),
            Content::Object(members) => (None, Some(members)),
            Content::Null
            | Content::Bool(_)
            | Content::Integer(_)
            | Content::Float(_)
            | Content::String(_)
            | Content::Embedded(..) => (None, None),
        };
        let values = members.into_iter().flatten().map(|member| &mut member.value);
        items.into_iter().flatten().chain(values).collect()
    }

    fn set_line(&mut self, line: u64) {
        self.line = line;
        if let Content::Object(members) = &mut self.content {
            members.iter_mut().for_each(|member| member.line = line);
        }
        self.children().into_iter().for_each(|node| node.set_line(line));
    }

    /// The same without lines, as the filter's compiler takes it.
    pub(crate) fn to_value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Integer(value) => Value::Integer(*value),
            Content::Float(value) => Value::Float(*value),
            Content::String(text) => Value::String(text.clone()),
            Content::List(items) => Value::List(items.iter().map(Self::to_value).collect()),
            Content::Object(members) => {
                let members = members.iter().map(|member| (member.name.clone(), member.value.to_value()));
                Value::Object(members.collect())
            }
            Content::Embedded(_, node) => node.to_value(),
        }
    }
}

fn is_string_value(name: &str) -> bool {
    name.ends_with("google.protobuf.StringValue")
}

fn is_camel_case_of(member: &str, name: &str) -> bool {
    let mut words = name.split('_');
    let Some(mut rest) = words.next().and_then(|first| member.strip_prefix(first)) else { return false };
    for word in words {
        let Some((first, others)) = word.split_at_checked(1) else { return false };
        let after =
            rest.strip_prefix(&*first.to_ascii_uppercase()).and_then(|rest| rest.strip_prefix(others));
        let Some(after) = after else { return false };
        rest = after;
    }
    rest.is_empty()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self { line: spanned.defined.line(), content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        // Beyond what any setting may be, so that saturating changes no answer.
        Ok(Content::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Content, A::Error> {
        let mut object = Vec::new();
        while let Some((name, value)) = members.next_entry::<Spanned<String>, Node>()? {
            object.push(Member { line: name.defined.line(), name: name.value, value });
        }
        Ok(Content::Object(object))
    }
}
