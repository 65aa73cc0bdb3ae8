use std::io::Read as _;
use std::path::Path;

use super::allowance::{self, Allowance};
use super::node::Node;
use super::yaml::parse_text;
use crate::finding::{Finding, Location, table};

/// A file that was given, and what it holds.
#[derive(Debug)]
pub(crate) struct File {
    /// As it was given; `-` is standard input.
    pub(crate) name: String,
    pub(crate) body: Body,
}

/// What a file holds.
#[derive(Debug)]
pub(crate) enum Body {
    /// Its documents, and its comments that allow something.
    Read { documents: Vec<Node>, allowances: Vec<Allowance> },
    /// Why it could not be read.
    Unreadable(Box<Finding>),
}

impl File {
    /// Reads a text.
    pub(crate) fn of_text(name: &str, text: &str) -> Self {
        let body = match parse_text(text) {
            Ok(mut documents) => {
                let parse = |text: &str| {
                    Some(parse_text(text).ok()?.pop()?).filter(|node| !node.members().is_empty())
                };
                documents.iter_mut().for_each(|document| document.read_texts(&parse));
                Body::Read { allowances: allowance::find(text), documents }
            }
            Err(error) => {
                let location = Location { line: error.line, ..Location::of_file(name) };
                Body::Unreadable(Box::new(unreadable(location, error.problem)))
            }
        };
        Self { name: name.to_owned(), body }
    }

    /// Its documents; none where it could not be read.
    pub(crate) fn documents(&self) -> &[Node] {
        match &self.body {
            Body::Read { documents, .. } => documents,
            Body::Unreadable(_) => &[],
        }
    }
}

/// Reads a file; `-` is standard input.
pub(crate) fn read_file(path: &Path) -> File {
    let name = path.display().to_string();
    match read(path) {
        Ok(text) => File::of_text(&name, &text),
        Err(problem) => {
            let finding = unreadable(Location::of_file(&name), problem);
            File { name, body: Body::Unreadable(Box::new(finding)) }
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let limit = MAX_FILE_BYTES.saturating_add(1);
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(format!("is larger than {} MiB and was not read", MAX_FILE_BYTES / (1024 * 1024)));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8, so it is neither YAML nor JSON".to_owned())
}

fn unreadable(location: Location, problem: String) -> Finding {
    Finding::new(table::UNREADABLE, location, problem, "nothing in this file was checked")
}

/// Four configurations of the largest size: with Envoy's own resources around it, more than any file in use.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;
