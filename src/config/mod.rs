//! The configuration as written → the settings that each layer owns. The only way to get [`Config`] is [`parse`].
//!
//! A document is JSON text or a serialized protobuf `Struct`; both become the same [`Value`], which is then read by a
//! reader that reports **every** problem with its path. Nothing falls back to a default that opens.

mod audit;
mod authentication;
mod clients;
#[cfg(not(target_os = "wasi"))]
mod describer;
mod destinations;
mod digest;
mod document;
mod endpoints;
mod environment;
mod error;
mod fetch_clients;
mod inbound;
mod issuers;
mod key_sources;
mod mcp;
mod notices;
mod outbound;
mod problems;
mod reader;
mod renamed;
mod requirements;
mod routes;
mod shape;
mod sharing;
mod streams;
mod value;
mod values;

use std::rc::Rc;

pub use clients::MAX_CLIENTS;
pub use destinations::MAX_DESTINATIONS;
pub use document::MAX_CONFIG_BYTES;
pub use environment::Environment;
pub use error::{ConfigErrors, Problem};
pub use issuers::{MAX_ISSUERS, MAX_KEY_SOURCES};
pub use notices::{NOTICES, Notice, NoticeTopic};
pub use value::Value;

use crate::inbound::ReservedHeaders;
use crate::outbound::Position;
use crate::policy::Pattern;
use crate::sharing::Sharing;
use crate::telemetry::{AuditField, AuditSettings};
#[cfg(not(target_os = "wasi"))]
use environment::NoVariables;
use fetch_clients::FetchClients;
use problems::Problems;
use reader::Node;

/// A configuration that holds together.
#[derive(Clone, Debug)]
pub struct Config {
    /// What requests that come in have to bring; `None`: nothing.
    pub inbound: Option<Rc<crate::inbound::Settings>>,
    /// Which requests that go out get whose token; `None`: none.
    pub outbound: Option<Rc<crate::outbound::Settings>>,
    /// What the threads of a process share; `None`: nothing.
    pub sharing: Option<Sharing>,
    /// What Envoy's access logs are told of each request; nothing where there is no block `audit`.
    pub audit: Rc<AuditSettings>,
    /// Tells the document from others: the inbound half's `version`, or a digest.
    pub version: u64,
    /// Tells the filter from others of its proxy, in a metric's label and in the log: its name, as the host knows it.
    pub plugin: Rc<str>,
}

impl Config {
    /// Whether streams of some route end with their token.
    pub fn ends_streams(&self) -> bool {
        self.inbound.as_ref().is_some_and(|inbound| inbound.streams.is_some())
    }

    /// Whether a field of the audit record is written once for a request: the end of a stream writes some again, and in
    /// a cluster each attempt writes those of the outbound half.
    pub fn is_final(&self, field: AuditField) -> bool {
        let outbound = self.outbound.as_ref();
        let is_in_cluster = outbound.is_some_and(|outbound| outbound.position == Position::Upstream);
        !(self.ends_streams() && field.changes_at_end() || is_in_cluster && field.is_outbound())
    }

    /// What the threads share, each setting about it that has less effect than it seems to have, and whether nothing is
    /// enforced. One line each.
    pub fn notices(&self) -> Vec<Notice> {
        notices::notices(self.sharing.as_ref(), self.inbound.as_deref(), self.outbound.as_deref())
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
    let inbound = root.fields(&BLOCKS).and_then(|fields| fields.optional("inbound"));
    inbound.map(|node| routes::patterns(&node)).unwrap_or_default()
}

/// The same of the destinations of `outbound`, in their order.
pub fn destination_patterns(document: &Value) -> Vec<Pattern> {
    let problems = Problems::default();
    let root = Node::root(document, &problems);
    let outbound = root.fields(&BLOCKS).and_then(|fields| fields.optional("outbound"));
    outbound.map(|node| destinations::patterns(&node)).unwrap_or_default()
}

/// The JSON Schema (draft 2020-12) of a document, made of what the reader would take. `description` gives the text for
/// a path like `inbound.issuers[].name`. The schema knows each place, and nothing of what two must have in common: the
/// reader refuses more, and nothing that the schema does.
#[cfg(not(target_os = "wasi"))]
pub fn schema(description: &dyn Fn(&str) -> Option<String>) -> serde_json::Value {
    let read = |describer| {
        let problems = Problems::describing(describer);
        read(&Node::root(&Value::Null, &problems), &NoVariables, 0);
        problems.into_describer()
    };
    describer::schema(read, description)
}

fn compile(document: &Value, environment: &dyn Environment) -> Result<Config, ConfigErrors> {
    let problems = Problems::default();
    let config = read(&Node::root(document, &problems), environment, digest::version_of(document));
    problems.into_result(config)
}

fn read(root: &Node<'_>, environment: &dyn Environment, version: u64) -> Option<Config> {
    root.fields(&BLOCKS).and_then(|fields| {
        let (inbound, outbound) = (fields.optional("inbound"), fields.optional("outbound"));
        if inbound.is_none() && outbound.is_none() {
            root.problem::<()>("expected a block `inbound` or `outbound`");
        }
        let has_inbound = inbound.is_some();
        let halves = audit::Halves { has_inbound, has_outbound: outbound.is_some() };
        let audit =
            fields.or("audit", AuditSettings::default(), |node| audit::read(node, halves, environment));
        let clients = FetchClients::of(outbound.as_ref());
        let context =
            inbound::InboundContext { environment, version, clients: &clients, audit: audit.as_ref() };
        let mut inbound = inbound.map(|node| inbound::read(&node, &context));
        let fetching = match &inbound {
            Some(None) => None,
            inbound => Some(fetch_clients::named(inbound.iter().flatten().next())),
        };
        let context = outbound::OutboundContext { environment, has_inbound, fetching: fetching.as_deref() };
        let outbound = outbound.map(|node| outbound::read(&node, &context));
        if let Some(inbound) = inbound.iter_mut().flatten().next() {
            fetch_clients::complete(inbound, outbound.iter().flatten().next());
        }
        let has_vm_id = environment.has_vm_id();
        let shared = Some(Sharing { seal: None, shares_unsealed_tokens: false, has_vm_id, group: version });
        let sharing = fields.or("sharing", shared, |node| sharing::read(node, environment, version));
        // What is there and was not understood has been reported.
        let outbound =
            outbound.map_or(Some(None), |outbound| outbound.map(|outbound| Some(Rc::new(outbound))))?;
        let mut inbound = inbound.map_or(Some(None), |inbound| inbound.map(Some))?;
        if let Some(inbound) = inbound
            .as_mut()
            .filter(|_| outbound.as_ref().is_some_and(|outbound| !outbound.destinations.is_empty()))
        {
            // Beside it, the outbound half is in the listener as well, and follows it.
            inbound.reserved_headers = ReservedHeaders::DenyAlways;
        }
        let inbound = inbound.map(Rc::new);
        let version = inbound.as_ref().map_or(version, |inbound| inbound.version);
        let plugin = plugin_label(environment.plugin_name().as_deref().unwrap_or_default());
        Some(Config { inbound, outbound, sharing: sharing?, audit: Rc::new(audit?), version, plugin })
    })
}

/// A name as a label may hold it: bounded, and without a separator of metrics' names.
fn plugin_label(name: &str) -> Rc<str> {
    let is_held = |c: char| c.is_ascii_alphanumeric() || "._-/~".contains(c);
    let label: String =
        name.chars().take(MAX_PLUGIN_LABEL).map(|c| if is_held(c) { c } else { '_' }).collect();
    if label.is_empty() { "none".into() } else { label.into() }
}

/// The blocks of a document.
const BLOCKS: [&str; 4] = ["inbound", "outbound", "sharing", "audit"];
/// What Istio makes of the name of a plugin and its namespace.
const MAX_PLUGIN_LABEL: usize = 128;

#[cfg(test)]
mod tests;
