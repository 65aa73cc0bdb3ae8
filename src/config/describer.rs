//! Asks the reader what it would take, and makes a JSON Schema of the answers.
//!
//! The reader runs without a document. Each place that it looks at is a path, and each form that it would take there a
//! [`Shape`]. Where it goes on by what it finds (a field that may be left out, one of several kinds, a word), it is told
//! one of the possibilities, and runs again for each of the others: so no field of the configuration is declared twice.

use core::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::shape::Shape;

/// One run of the reader: what it is told, and what it asked for.
#[derive(Debug, Default)]
pub(super) struct Describer {
    told: Told,
    asked: RefCell<Asked>,
}

/// What the reader is told to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    /// This, and all that it stands in.
    possibility: Option<Possibility>,
    /// What stands in the definition that the possibility belongs to.
    reached_by: String,
    /// Whether all else that may be left out is there as well.
    whole: bool,
}

/// Something that may be so or otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Possibility {
    path: String,
    what: What,
}

/// What may be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// It is there.
    Present,
    /// It is a string.
    String,
    /// It is the word at this place of its list.
    Word(usize),
    /// It is a list.
    List,
}

/// What the reader asked for.
#[derive(Debug, Default)]
struct Asked {
    shapes: BTreeSet<(String, Shape)>,
    required: BTreeSet<(String, String)>,
    possibilities: BTreeSet<Possibility>,
    /// Where each definition was first reached from.
    reached: BTreeMap<&'static str, String>,
}

impl Describer {
    /// Notes a form that would be taken at `path`.
    pub(super) fn note(&self, path: &str, shape: Shape) {
        self.asked.borrow_mut().shapes.insert((path.to_owned(), shape));
    }

    /// Notes that the object at `path` must have this member.
    pub(super) fn require(&self, path: &str, name: &str) {
        self.asked.borrow_mut().required.insert((path.to_owned(), name.to_owned()));
    }

    /// Whether what may be left out is there.
    pub(super) fn is_present(&self, path: &str) -> bool {
        self.may_be(path, What::Present);
        self.told.whole || self.told.leads_to(path)
    }

    /// Whether what may be a string is one.
    pub(super) fn is_string(&self, path: &str) -> bool {
        self.may_be(path, What::String);
        let told = self.told.possibility.as_ref();
        told.is_some_and(|told| told.path == path && matches!(told.what, What::String | What::Word(_)))
    }

    /// Whether what may be a list is one.
    pub(super) fn is_list(&self, path: &str) -> bool {
        self.may_be(path, What::List);
        let told = self.told.possibility.as_ref();
        told.is_some_and(|told| {
            (told.path == path && told.what == What::List) || told.path.starts_with(&format!("{path}[]"))
        })
    }

    /// Which of several kinds the object at `path` is.
    pub(super) fn kind<'k>(&self, path: &str, known: &[&'k str]) -> Option<&'k str> {
        let below = |kind: &str| format!("{path}.{kind}");
        for kind in known {
            self.may_be(&below(kind), What::Present);
        }
        let told = known.iter().find(|kind| self.told.leads_to(&below(kind)));
        told.or_else(|| known.first()).copied()
    }

    /// Which of so many words stands at `path`.
    pub(super) fn word(&self, path: &str, words: usize) -> usize {
        (0..words).for_each(|place| self.may_be(path, What::Word(place)));
        match &self.told.possibility {
            Some(Possibility { path: told, what: What::Word(place) }) if told == path => *place,
            Some(_) | None => 0,
        }
    }

    /// Whether a definition is to be read, which was reached at `path`: once in a run.
    pub(super) fn enter(&self, path: &str, name: &'static str) -> bool {
        let mut asked = self.asked.borrow_mut();
        let is_new = !asked.reached.contains_key(name);
        if is_new {
            asked.reached.insert(name, path.to_owned());
        }
        is_new
    }

    fn may_be(&self, path: &str, what: What) {
        self.asked.borrow_mut().possibilities.insert(Possibility { path: path.to_owned(), what });
    }
}

impl Told {
    /// Whether what it is about is this place, or stands in it.
    fn leads_to(&self, path: &str) -> bool {
        let leads = |target: &str| {
            let rest = target.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let possibility = self.possibility.as_ref();
        possibility.is_some_and(|possibility| leads(&possibility.path)) || leads(&self.reached_by)
    }
}

/// The JSON Schema (draft 2020-12) of what `read` takes. `read` is given a describer, and reads with it.
///
/// It says what one place takes, and nothing of what two places must have in common: the reader refuses more.
/// `description` gives the text for a path such as `inbound.issuers[].name`.
pub(super) fn schema(
    read: impl Fn(Describer) -> Describer,
    description: &dyn Fn(&str) -> Option<String>,
) -> Json {
    let mut places = Places::default();
    let mut done: BTreeSet<Told> = BTreeSet::new();
    let mut open: Vec<Told> =
        [true, false].map(|whole| Told { whole, ..Told::default() }).into_iter().collect();
    let mut reached: BTreeMap<&'static str, String> = BTreeMap::new();
    while let Some(told) = open.pop() {
        if !done.insert(told.clone()) {
            continue;
        }
        let asked = read(Describer { told, ..Describer::default() }).asked.into_inner();
        for (name, path) in &asked.reached {
            reached.entry(name).or_insert_with(|| path.clone());
        }
        for possibility in &asked.possibilities {
            let definition = possibility.path.split(['.', '[']).next().unwrap_or_default();
            let reached_by = definition.strip_prefix(DEFINITION).and_then(|name| reached.get(name));
            for whole in [true, false] {
                let reached_by = reached_by.cloned().unwrap_or_default();
                open.push(Told { possibility: Some(possibility.clone()), reached_by, whole });
            }
        }
        places.add(asked);
    }
    let mut schema = places.schema("", description);
    let definitions: Map<String, Json> = reached
        .keys()
        .map(|name| ((*name).to_owned(), places.schema(&format!("{DEFINITION}{name}"), description)))
        .collect();
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        if !definitions.is_empty() {
            members.insert("$defs".to_owned(), Json::Object(definitions));
        }
    }
    schema
}

/// All that was asked for, in all runs.
#[derive(Debug, Default)]
struct Places {
    shapes: BTreeMap<String, BTreeSet<Shape>>,
    /// In how many runs the place was an object, and in how many of them it had to have a member.
    objects: BTreeMap<String, usize>,
    required: BTreeMap<(String, String), usize>,
}

impl Places {
    fn add(&mut self, asked: Asked) {
        let mut objects = BTreeSet::new();
        for (path, shape) in asked.shapes {
            if matches!(shape, Shape::Object(_)) {
                objects.insert(path.clone());
            }
            self.shapes.entry(path).or_default().insert(shape);
        }
        for path in objects {
            let count = self.objects.entry(path).or_default();
            *count = count.saturating_add(1);
        }
        for required in asked.required {
            let count = self.required.entry(required).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn schema(&self, path: &str, description: &dyn Fn(&str) -> Option<String>) -> Json {
        let shapes = self.shapes.get(path).into_iter().flatten();
        let mut forms: Vec<Json> = shapes.map(|shape| self.form(path, shape, description)).collect();
        let form = match forms.len() {
            0 => json!({}),
            1 => forms.pop().unwrap_or_default(),
            _ => json!({ "anyOf": forms }),
        };
        match (description(path), form) {
            (Some(text), Json::Object(members)) => {
                let mut described = Map::new();
                described.insert("description".to_owned(), json!(text));
                described.extend(members);
                Json::Object(described)
            }
            (_, form) => form,
        }
    }

    fn form(&self, path: &str, shape: &Shape, description: &dyn Fn(&str) -> Option<String>) -> Json {
        let dot = if path.is_empty() { "" } else { "." };
        let members = |names: &[String]| {
            let member =
                |name: &String| (name.clone(), self.schema(&format!("{path}{dot}{name}"), description));
            Json::Object(names.iter().map(member).collect())
        };
        match shape {
            Shape::Object(names) => {
                let must = |name: &&String| {
                    let required = self.required.get(&(path.to_owned(), (*name).clone()));
                    required.is_some() && required == self.objects.get(path)
                };
                let required: Vec<&String> = names.iter().filter(must).collect();
                let mut object = json!({
                    "type": "object", "properties": members(names), "additionalProperties": false,
                });
                if let Some(object) = object.as_object_mut().filter(|_| !required.is_empty()) {
                    object.insert("required".to_owned(), json!(required));
                }
                object
            }
            Shape::Variant(names) => json!({
                "type": "object", "properties": members(names), "additionalProperties": false,
                "minProperties": 1, "maxProperties": 1,
            }),
            Shape::Map(max) => json!({
                "type": "object", "additionalProperties": self.schema(&format!("{path}.*"), description),
                "minProperties": 1, "maxProperties": max,
            }),
            Shape::List(max) => json!({
                "type": "array", "items": self.schema(&format!("{path}[]"), description),
                "minItems": 1, "maxItems": max,
            }),
            Shape::String(expected) if expected.is_empty() => json!({ "type": "string", "minLength": 1 }),
            Shape::String(expected) => json!({ "type": "string", "minLength": 1, "$comment": expected }),
            Shape::Word(words) => json!({ "enum": words }),
            Shape::Boolean => json!({ "type": "boolean" }),
            Shape::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Shape::Duration(min, max) => json!({
                "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "$comment": format!("from {min:?} to {max:?}"),
            }),
            Shape::Scalar => json!({
                "type": ["string", "boolean", "integer"], "minLength": 1, "minimum": i32::MIN, "maximum": i32::MAX,
            }),
            Shape::Empty => json!({ "type": "object", "maxProperties": 0 }),
            Shape::Json => json!({ "type": "object" }),
            Shape::Defined(name) => json!({ "$ref": format!("#/$defs/{name}") }),
        }
    }
}

/// What the path of a definition begins with.
pub(super) const DEFINITION: &str = "$";
