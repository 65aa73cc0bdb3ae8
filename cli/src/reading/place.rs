use super::file::File;
use super::node::{Content, Node};
use crate::finding::{Finding, Location, Rule};

/// A value, and the way to it: the file, the document and the path.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    file: &'a File,
    /// Which document of the file, from 0.
    document: usize,
    node: &'a Node,
    path: String,
    /// The line of the name before it, or of the value.
    line: u64,
}

impl<'a> Place<'a> {
    /// A document of a file as a whole.
    pub(crate) fn root(file: &'a File, document: usize, node: &'a Node) -> Self {
        Self { file, document, node, path: String::new(), line: node.line }
    }

    pub(crate) fn file(&self) -> &'a File {
        self.file
    }

    pub(crate) fn node(&self) -> &'a Node {
        self.node
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// A member by its name, or by the same in camel case.
    pub(crate) fn member(&self, name: &str) -> Option<Self> {
        let member = self.node.member(name)?;
        Some(Self { node: &member.value, path: self.joined(&member.name), line: member.line, ..self.clone() })
    }

    /// The member at the end of a path of names.
    pub(crate) fn at(&self, names: &[&str]) -> Option<Self> {
        names.iter().try_fold(self.clone(), |place, name| place.member(name))
    }

    /// All members, each with its name.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let here = self.clone();
        self.node.members().iter().map(move |member| {
            let path = here.joined(&member.name);
            let place = Self { node: &member.value, path, line: member.line, ..here.clone() };
            (member.name.as_str(), place)
        })
    }

    /// The items of a list; nothing where it is none.
    pub(crate) fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let here = self.clone();
        self.node.items().iter().enumerate().map(move |(index, node)| {
            let path = format!("{}[{index}]", here.path);
            Self { node, path, line: node.line, ..here.clone() }
        })
    }

    /// The items of a member that is a list.
    pub(crate) fn list(&self, name: &str) -> impl Iterator<Item = Self> + use<'a> {
        self.member(name).into_iter().flat_map(|list| list.items())
    }

    pub(crate) fn as_str(&self) -> Option<&'a str> {
        self.node.as_str()
    }

    /// A member that is a string, or the empty one.
    pub(crate) fn text(&self, name: &str) -> &'a str {
        self.node.member(name).and_then(|member| member.value.as_str()).unwrap_or_default()
    }

    /// Whether a member is `true`; `None` where it is not there.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        if let Content::Bool(value) = self.node.member(name)?.value.content { Some(value) } else { None }
    }

    /// Whether it is this value of an enumeration, by its name or by its number: JSON of protobuf has both.
    pub(crate) fn is_value(&self, name: &str, number: i64) -> bool {
        self.as_str() == Some(name) || self.integer() == Some(number)
    }

    /// Whether it says anything: an empty message, an empty list and `null` are as if they were not there.
    pub(crate) fn is_filled(&self) -> bool {
        match &self.node.content {
            Content::Null => false,
            Content::List(items) => !items.is_empty(),
            Content::Object(members) => !members.is_empty(),
            Content::Bool(_)
            | Content::Integer(_)
            | Content::Float(_)
            | Content::String(_)
            | Content::Embedded(..) => true,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.node.content, Content::Null)
    }

    /// The whole number, if it is one.
    pub(crate) fn integer(&self) -> Option<i64> {
        if let Content::Integer(value) = self.node.content { Some(value) } else { None }
    }

    pub(crate) fn location(&self) -> Location {
        let document = (self.file.documents().len() > 1).then(|| self.document.saturating_add(1));
        let line = (self.line > 0).then_some(self.line);
        Location { file: self.file.name.clone(), document, path: self.path.clone(), line }
    }

    /// The location of a value that is, or would be, further along a path of names and places:
    /// `inbound.routes[2].match`. The line is that of the nearest value which is there.
    pub(crate) fn location_of(&self, path: &str) -> Location {
        let mut location = self.location();
        let mut here = Some(self.clone());
        for step in steps(path) {
            here = here.and_then(|place| place.step(step));
            location.line = here.as_ref().map_or(location.line, |place| place.location().line);
        }
        location.path = match (self.path.is_empty(), path.is_empty()) {
            (true, _) => path.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) if path.starts_with('[') => format!("{}{path}", self.path),
            (false, false) => format!("{}.{path}", self.path),
        };
        location
    }

    /// A finding at this place.
    pub(crate) fn finding(
        &self,
        rule: &'static Rule,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding::new(rule, self.location(), message, advice)
    }

    fn step(&self, step: &str) -> Option<Self> {
        match step.parse::<usize>() {
            Ok(index) if !self.node.items().is_empty() => self.items().nth(index),
            Ok(_) | Err(_) => self.member(step),
        }
    }

    fn joined(&self, name: &str) -> String {
        match (self.path.is_empty(), name.contains(['.', '['])) {
            (true, _) => name.to_owned(),
            (false, false) => format!("{}.{name}", self.path),
            (false, true) => format!("{}[\"{name}\"]", self.path),
        }
    }
}

/// The steps of a path: `a.b[2].c` is a, b, 2, c.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[', ']']).filter(|step| !step.is_empty())
}
