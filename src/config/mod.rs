//! The configuration as written → the settings that each layer owns. The only way to get [`Config`] is [`parse`].
//!
//! A document is JSON text or a serialized protobuf `Struct`; both become the same [`Value`], which is then read by a
//! reader that reports **every** problem with its path. Nothing falls back to a default that opens.

mod authentication;
mod clients;
mod destinations;
mod digest;
mod document;
mod endpoints;
mod environment;
mod error;
mod inbound;
mod issuers;
mod key_sources;
mod notices;
mod outbound;
mod reader;
mod renamed;
mod routes;
mod sharing;
mod value;
mod values;

use std::rc::Rc;

pub use clients::MAX_CLIENTS;
pub use destinations::MAX_DESTINATIONS;
pub use document::MAX_CONFIG_BYTES;
pub use environment::Environment;
pub use error::{ConfigErrors, Problem};
pub use issuers::{MAX_ISSUERS, MAX_KEY_SOURCES};
pub use notices::{NOTICES, Notice};
pub use value::Value;

use crate::inbound::ReservedHeaders;
use crate::policy::Pattern;
use crate::sharing::Sharing;
use reader::{Node, Problems};

/// A configuration that holds together.
#[derive(Clone, Debug)]
pub struct Config {
    /// What requests that come in have to bring; `None`: nothing.
    pub inbound: Option<Rc<crate::inbound::Settings>>,
    /// Which requests that go out get whose token; `None`: none.
    pub outbound: Option<Rc<crate::outbound::Settings>>,
    /// What the threads of a process share; `None`: nothing.
    pub sharing: Option<Sharing>,
    /// Tells the document from others: the inbound half's `version`, or a digest.
    pub version: u64,
    /// Tells the filter from others of its proxy, in a metric's label and in the log: its name, as the host knows it.
    pub plugin: Rc<str>,
}

impl Config {
    /// What the threads share, and each setting about it that has less effect than it seems to have. One line each.
    pub fn notices(&self) -> Vec<Notice> {
        notices::notices(self.sharing.as_ref(), self.outbound.as_deref())
    }
}

/// Reads a document as the host hands it over: JSON text, or a serialized `google.protobuf.Struct`.
///
/// # Errors
/// Every problem there is, each with its path; at most 100.
pub fn parse(document: &[u8], environment: &dyn Environment) -> Result<Config, ConfigErrors> {
    compile(&document::read(document)?, environment)
}

/// Reads a document that is a [`Value`] already, as `attachectl` gets it from YAML.
///
/// # Errors
/// As [`parse`].
pub fn parse_value(document: &Value, environment: &dyn Environment) -> Result<Config, ConfigErrors> {
    compile(document, environment)
}

/// The patterns of the routes of `inbound`, in their order, as far as they can be read: for `attachectl explain`, since
/// a table does not keep them.
pub fn route_patterns(document: &Value) -> Vec<Pattern> {
    let problems = Problems::default();
    let root = Node::root(document, &problems);
    let inbound =
        root.fields(&["inbound", "outbound", "sharing"]).and_then(|fields| fields.optional("inbound"));
    inbound.map(|node| routes::patterns(&node)).unwrap_or_default()
}

/// The same of the destinations of `outbound`, in their order.
pub fn destination_patterns(document: &Value) -> Vec<Pattern> {
    let problems = Problems::default();
    let root = Node::root(document, &problems);
    let outbound =
        root.fields(&["inbound", "outbound", "sharing"]).and_then(|fields| fields.optional("outbound"));
    outbound.map(|node| destinations::patterns(&node)).unwrap_or_default()
}

fn compile(document: &Value, environment: &dyn Environment) -> Result<Config, ConfigErrors> {
    let version = digest::version_of(document);
    let problems = Problems::default();
    let root = Node::root(document, &problems);
    let config = root.fields(&["inbound", "outbound", "sharing"]).and_then(|fields| {
        let (inbound, outbound) = (fields.optional("inbound"), fields.optional("outbound"));
        if inbound.is_none() && outbound.is_none() {
            root.problem::<()>("expected a block `inbound` or `outbound`");
        }
        let has_inbound = inbound.is_some();
        let inbound = inbound.map(|node| inbound::read(&node, environment, version));
        let outbound = outbound.map(|node| outbound::read(&node, environment, has_inbound));
        let has_vm_id = environment.has_vm_id();
        let shared = Some(Sharing { seal: None, shares_unsealed_tokens: false, has_vm_id, group: version });
        let sharing = fields.or("sharing", shared, |node| sharing::read(node, environment, version));
        // What is there and was not understood has been reported.
        let outbound =
            outbound.map_or(Some(None), |outbound| outbound.map(|outbound| Some(Rc::new(outbound))))?;
        let mut inbound = inbound.map_or(Some(None), |inbound| inbound.map(Some))?;
        if let Some(inbound) = inbound.as_mut().filter(|_| outbound.is_some()) {
            // Beside it, the outbound half is in the listener as well, and follows it.
            inbound.reserved_headers = ReservedHeaders::DenyAlways;
        }
        let inbound = inbound.map(Rc::new);
        let version = inbound.as_ref().map_or(version, |inbound| inbound.version);
        let plugin = plugin_label(environment.plugin_name().as_deref().unwrap_or_default());
        Some(Config { inbound, outbound, sharing: sharing?, version, plugin })
    });
    problems.into_result(config)
}

/// A name as a label may hold it: bounded, and without a separator of metrics' names.
fn plugin_label(name: &str) -> Rc<str> {
    let is_held = |c: char| c.is_ascii_alphanumeric() || "._-/~".contains(c);
    let label: String =
        name.chars().take(MAX_PLUGIN_LABEL).map(|c| if is_held(c) { c } else { '_' }).collect();
    if label.is_empty() { "none".into() } else { label.into() }
}

/// What Istio makes of the name of a plugin and its namespace.
const MAX_PLUGIN_LABEL: usize = 128;

#[cfg(test)]
mod tests;
