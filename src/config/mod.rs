//! The configuration as written → the settings that each layer owns. The only way to get [`Config`] is [`parse`].
//!
//! A document is JSON text or a serialized protobuf `Struct`; both become the same [`Value`], which is then read by a reader
//! that reports **every** problem with its path. Nothing falls back to a default that opens.

mod document;
mod error;
mod inbound;
mod issuers;
mod key_sources;
mod reader;
mod routes;
mod sharing;
mod value;
mod words;

use std::rc::Rc;

pub use document::MAX_CONFIG_BYTES;
pub use error::{ConfigErrors, Problem};
pub use issuers::{MAX_ISSUERS, MAX_KEY_SOURCES};
pub use value::Value;

use crate::inbound::Inbound;
use crate::sharing::Sharing;
use reader::{Node, Problems};

/// A configuration that holds together.
#[derive(Clone, Debug)]
pub struct Config {
    /// What requests that come in have to bring.
    pub inbound: Rc<Inbound>,
    /// What the threads of a process share; `None`: nothing.
    pub sharing: Option<Sharing>,
}

/// Where secrets that the configuration names come from.
pub trait Environment {
    /// The value of a variable, if it is set.
    fn variable(&self, name: &str) -> Option<String>;
}

/// Reads a document as the host hands it over: JSON text, or a serialized `google.protobuf.Struct`.
///
/// # Errors
/// Every problem there is, each with its path; at most 100.
pub fn parse(document: &[u8], environment: &dyn Environment) -> Result<Config, ConfigErrors> {
    compile(&document::read(document)?, environment, version_of(document))
}

/// Reads a document that is a [`Value`] already, as `attachectl` gets it from YAML.
///
/// # Errors
/// As [`parse`].
pub fn parse_value(document: &Value, environment: &dyn Environment) -> Result<Config, ConfigErrors> {
    compile(document, environment, 0)
}

fn compile(document: &Value, environment: &dyn Environment, version: u64) -> Result<Config, ConfigErrors> {
    let problems = Problems::default();
    let root = Node::root(document, &problems);
    let fields = root.fields(&["inbound", "sharing"]);
    let inbound = fields.as_ref().and_then(|fields| fields.required("inbound"));
    let inbound = inbound.and_then(|node| inbound::read(&node, environment, version));
    let shared = Some(Sharing { seal: None, group: version });
    let sharing = fields
        .and_then(|fields| fields.or("sharing", shared, |node| sharing::read(&node, environment, version)));
    problems.into_result(
        inbound.zip(sharing).map(|(inbound, sharing)| Config { inbound: Rc::new(inbound), sharing }),
    )
}

/// A number that tells two documents apart, for those that do not number themselves: 32 bits of a digest.
fn version_of(document: &[u8]) -> u64 {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(document);
    u64::from(digest.first_chunk::<4>().copied().map_or(0, u32::from_be_bytes))
}

#[cfg(test)]
mod tests;
