//! Finds Attaché's configurations in a file, whatever it is: the plugin's own document, an Envoy bootstrap or resource,
//! or a manifest of Istio or Envoy Gateway; YAML or JSON, one document or several.

use core::cell::Cell;
use std::path::Path;

use anyhow::{Context, Result, bail};
use attache::config::{self, Config, ConfigErrors, Value};
use attache::sharing::PublicationUse;

use crate::members::member;
use crate::{capabilities, edits, egress, former_order, metadata_places};

/// A configuration and where it stands.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where in the file: `document 2, filter attache`; empty when the file is nothing else.
    pub place: String,
    content: Content,
    /// The plugin that it configures, as Envoy is told of it.
    plugin: Option<Value>,
    /// Whether its VM has a `vm_id`; `None` where the file does not tell.
    has_vm_id: Option<bool>,
    /// The connection manager that the filter is in, where there is one.
    manager: Option<Value>,
    /// All connection managers of the same file.
    managers: Vec<Value>,
    /// Its clusters.
    clusters: Vec<Value>,
}

#[derive(Clone, Debug)]
enum Content {
    Value(Value),
    /// A `StringValue`, which Envoy hands over as it is.
    Text(String),
}

/// The environment of this process, in place of the VM's.
#[derive(Clone, Copy, Debug)]
pub struct Environment;

impl config::Environment for Environment {
    #[allow(clippy::disallowed_methods, reason = "a command line reads its environment")]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// The VM that a document is for.
struct Vm<'a> {
    variables: &'a dyn config::Environment,
    has_vm_id: bool,
}

impl config::Environment for Vm<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.variable(name)
    }

    fn has_vm_id(&self) -> bool {
        self.has_vm_id
    }
}

/// Whether an environment has been asked for anything.
#[derive(Default)]
struct Asked(Cell<bool>);

impl config::Environment for Asked {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.set(true);
        config::Environment::variable(&Environment, name)
    }
}

impl Document {
    fn new(place: String, content: Content, manager: Option<Value>) -> Self {
        let (plugin, has_vm_id) = (None, None);
        Self { place, content, plugin, has_vm_id, manager, managers: Vec::new(), clusters: Vec::new() }
    }

    /// Reads all configurations of a file; `-` is standard input.
    pub fn read_all(path: &Path) -> Result<Vec<Self>> {
        let text = if path == Path::new("-") {
            std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?
        } else {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
        };
        Self::parse_all(&text).with_context(|| path.display().to_string())
    }

    /// Finds all configurations of a text.
    pub fn parse_all(text: &str) -> Result<Vec<Self>> {
        let values: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| {
            let text = error.to_string();
            match text.split_once(", set DuplicateKeyPolicy") {
                // The library's advice is for programmers.
                Some((text, _)) => {
                    anyhow::anyhow!("{text}: it stands twice, and Envoy would silently take the last")
                }
                None => anyhow::anyhow!("no valid YAML: {text}"),
            }
        })?;
        let mut documents = Vec::new();
        let several = values.len() > 1;
        for (index, value) in values.iter().enumerate() {
            let place = if several { format!("document {}", index.saturating_add(1)) } else { String::new() };
            let from = documents.len();
            find(value, &place, &mut documents);
            let clusters =
                member(value, "static_resources").and_then(|resources| member(resources, "clusters"));
            let mut managers = Vec::new();
            collect_managers(value, &mut managers);
            for document in documents.iter_mut().skip(from) {
                document.managers.clone_from(&managers);
                document.clusters = clusters.and_then(Value::as_list).unwrap_or_default().to_vec();
            }
        }
        if documents.is_empty() {
            bail!(
                "no configuration of Attaché here: expected `inbound: …` or `outbound: …`, an Envoy bootstrap with a wasm filter, a \
                 WasmPlugin or an EnvoyExtensionPolicy"
            );
        }
        Ok(documents)
    }

    /// What the rest of the file does to a configuration that holds together by itself: calls that the filter may not
    /// make, places where a token would go by mistake, and assertions that the file contradicts.
    pub fn contradictions(&self, config: &Config) -> Vec<String> {
        let mut found: Vec<String> = self
            .plugin
            .iter()
            .flat_map(|plugin| capabilities::missing(plugin, config, self.names_variables()))
            .collect();
        found.extend(self.manager.iter().flat_map(|manager| edits::contradictions(config, manager)));
        found
            .extend(self.manager.iter().flat_map(|manager| metadata_places::contradictions(config, manager)));
        if let Some(outbound) = &config.outbound {
            let (manager, managers) = (self.manager.as_ref(), &self.managers);
            found.extend(egress::contradictions(outbound, manager, managers, &self.clusters));
        }
        found
    }

    /// What an operator should know all the same: what its threads share, and settings with less effect than they seem
    /// to have; requests that another version gave to another route, or that Envoy gives to another one for their
    /// spelling.
    pub fn notices(&self, config: &Config) -> Vec<String> {
        let where_unknown = "in a VM without `vm_id`, as Istio makes them: ";
        let depends_on_vm = config
            .sharing
            .as_ref()
            .is_some_and(|sharing| sharing.publication_use() == PublicationUse::Confirm);
        let condition = if self.has_vm_id.is_none() && depends_on_vm { where_unknown } else { "" };
        let own = config.notices().into_iter().map(|(_, line)| format!("{condition}{line}"));
        own.chain(self.notes(config)).collect()
    }

    /// What there is to know of its routes and of Envoy's.
    pub(crate) fn notes(&self, config: &Config) -> Vec<String> {
        let manager = self.manager.iter();
        let mut found: Vec<String> =
            manager.flat_map(|manager| metadata_places::notes(config, manager)).collect();
        if let (Some(inbound), Some(document)) = (&config.inbound, self.value()) {
            found.extend(former_order::changes(&config::route_patterns(&document), &inbound.routes));
        }
        found
    }

    fn value(&self) -> Option<Value> {
        match &self.content {
            Content::Value(value) => Some(value.clone()),
            Content::Text(text) => serde_saphyr::from_str(text).ok(),
        }
    }

    /// Compiles it as the filter does.
    pub fn compile(&self) -> Result<Config, ConfigErrors> {
        self.compile_in(&Environment)
    }

    fn compile_in(&self, variables: &dyn config::Environment) -> Result<Config, ConfigErrors> {
        let vm = Vm { variables, has_vm_id: self.has_vm_id.unwrap_or_default() };
        match &self.content {
            Content::Value(value) => config::parse_value(value, &vm),
            Content::Text(text) => config::parse(text.as_bytes(), &vm),
        }
    }

    /// Whether it says that something is in a variable of the environment.
    fn names_variables(&self) -> bool {
        let asked = Asked::default();
        // It has compiled before; what matters is what it asks for on the way.
        drop(self.compile_in(&asked));
        asked.0.get()
    }
}

fn find(value: &Value, place: &str, found: &mut Vec<Document>) {
    if member(value, "inbound").is_some() || member(value, "outbound").is_some() {
        return found.push(Document::new(place.to_owned(), Content::Value(value.clone()), None));
    }
    let kind = member(value, "kind").and_then(Value::as_str).unwrap_or_default();
    let spec = member(value, "spec");
    match kind {
        "WasmPlugin" => found.extend(spec.and_then(|spec| member(spec, "pluginConfig")).map(|config| {
            let document =
                Document::new(joined(place, "spec.pluginConfig"), Content::Value(config.clone()), None);
            Document { has_vm_id: Some(false), ..document }
        })),
        "EnvoyExtensionPolicy" => {
            for wasm in
                spec.and_then(|spec| member(spec, "wasm")).and_then(Value::as_list).unwrap_or_default()
            {
                found.extend(member(wasm, "config").map(|config| {
                    let document = Document::new(
                        joined(place, "spec.wasm.config"),
                        Content::Value(config.clone()),
                        None,
                    );
                    // Envoy Gateway makes one for each extension of each policy.
                    Document { has_vm_id: Some(true), ..document }
                }));
            }
        }
        "TrafficExtension" => {
            let wasm = spec.and_then(|spec| member(spec, "wasm"));
            found.extend(wasm.and_then(|wasm| member(wasm, "pluginConfig")).map(|config| {
                let document = Document::new(
                    joined(place, "spec.wasm.pluginConfig"),
                    Content::Value(config.clone()),
                    None,
                );
                Document { has_vm_id: Some(false), ..document }
            }));
        }
        _ => filters(value, place, None, found),
    }
}

/// Looks for wasm filters anywhere below; those of other modules have no block of ours and are passed over.
fn filters(value: &Value, place: &str, manager: Option<&Value>, found: &mut Vec<Document>) {
    if member(value, "@type").and_then(Value::as_str).is_some_and(|name| name.ends_with(WASM_FILTER)) {
        let plugin = member(value, "config");
        let name = plugin
            .and_then(|plugin| member(plugin, "name"))
            .and_then(Value::as_str)
            .unwrap_or("without a name");
        let place = joined(place, &format!("filter {name}"));
        let configuration = plugin.and_then(|plugin| member(plugin, "configuration"));
        let value = configuration.and_then(|any| member(any, "value"));
        let content = value.and_then(|value| match value.as_str() {
            Some(text) => Some(Content::Text(text.to_owned())),
            None => value.as_object().map(|_| Content::Value(value.clone())),
        });
        found.extend(content.map(|content| {
            let vm_id = plugin.and_then(|plugin| member(member(plugin, "vm_config")?, "vm_id")?.as_str());
            let has_vm_id = Some(vm_id.is_some_and(|id| !id.is_empty()));
            let plugin = plugin.cloned();
            Document { plugin, has_vm_id, ..Document::new(place, content, manager.cloned()) }
        }));
        return;
    }
    let manager = if is_manager(value) { Some(value) } else { manager };
    let members = value.as_object().unwrap_or_default().iter().map(|(_, value)| value);
    let items = value.as_list().unwrap_or_default();
    members.chain(items).for_each(|value| filters(value, place, manager, found));
}

fn is_manager(value: &Value) -> bool {
    member(value, "http_filters").is_some() && member(value, "route_config").is_some()
}

fn collect_managers(value: &Value, found: &mut Vec<Value>) {
    if is_manager(value) {
        return found.push(value.clone());
    }
    value.as_object().unwrap_or_default().iter().for_each(|(_, value)| collect_managers(value, found));
    value.as_list().unwrap_or_default().iter().for_each(|value| collect_managers(value, found));
}

fn joined(place: &str, more: &str) -> String {
    if place.is_empty() { more.to_owned() } else { format!("{place}, {more}") }
}

const WASM_FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGIN: &str = "inbound:\n  issuers: []\n";

    fn places(text: &str) -> Vec<String> {
        Document::parse_all(text).unwrap().into_iter().map(|document| document.place).collect()
    }

    #[test]
    fn a_configuration_is_found_wherever_it_stands() {
        assert_eq!(places(PLUGIN), [""]);
        assert_eq!(places(r#"{"inbound": {}}"#), [""]);
        assert_eq!(
            places("kind: Service\n---\nkind: WasmPlugin\nspec: { pluginConfig: { inbound: {} } }\n"),
            ["document 2, spec.pluginConfig"]
        );
        let filter = format!(
            "a:\n- '@type': type.googleapis.com/{WASM_FILTER}\n  config: {{ name: x, configuration: {{ value: '{{}}' }} }}\n"
        );
        assert_eq!(places(&filter), ["filter x"]);
    }

    #[test]
    fn a_file_without_one_says_what_was_expected() {
        let error = Document::parse_all("a: b").unwrap_err().to_string();
        assert!(error.starts_with("no configuration of Attaché here"), "{error}");
    }
    fn notices(text: &str) -> Vec<String> {
        let document = Document::parse_all(text).unwrap().remove(0);
        document.notices(&document.compile().unwrap_or_else(|errors| panic!("{errors}")))
    }

    #[test]
    fn what_the_threads_share_is_told_of_each_kind_of_vm() {
        let inbound = "inbound: { issuers: [{ name: a, issuer: 'https://a', audiences: any, keys: { jwks: { uri: 'https://a/', \
                       cluster: a } } }], default: deny }";
        let sharing = "sharing: { process: { tokens: unsealed } }";
        let istio =
            |more: &str| format!("kind: WasmPlugin\nspec: {{ pluginConfig: {{ {inbound}, {more} }} }}\n");
        let gateway = format!(
            "kind: EnvoyExtensionPolicy\nspec: {{ wasm: [{{ config: {{ {inbound}, {sharing} }} }}] }}\n"
        );
        let none =
            "threads share no documents and no tokens: there is neither a `vm_id` nor a sealing secret";
        assert!(notices(&istio(""))[0].starts_with(none));
        assert_eq!(notices(&istio("")).len(), 1);
        assert!(notices(&istio(sharing))[1].contains("`unsealed` has no effect without a `vm_id`"));
        assert!(notices(&gateway)[0].contains("and tokens unsealed: every module of this `vm_id`"));
        assert_eq!(notices(&gateway).len(), 1);
        assert!(notices(&istio("sharing: none"))[0].starts_with("threads share nothing"));
        let plain = notices(inbound).remove(0);
        assert!(
            plain.starts_with(&format!("in a VM without `vm_id`, as Istio makes them: {none}")),
            "{plain}"
        );
        let envoy = |vm_config: &str| {
            format!(
                "'@type': type.googleapis.com/{WASM_FILTER}\nconfig: {{ name: x, vm_config: {vm_config}, \
                 configuration: {{ value: {{ {inbound} }} }} }}\n"
            )
        };
        assert!(
            notices(&envoy("{ vm_id: attache }"))[0].contains("every module of this `vm_id` can replace")
        );
        for nameless in ["{}", "{ vm_id: '' }"] {
            assert!(notices(&envoy(nameless))[0].starts_with(none));
        }
    }

    /// An operator who relied on shared metadata of token endpoints is told that it is not shared any more, and how to
    /// share it.
    #[test]
    fn unsealed_metadata_of_token_endpoints_is_explained() {
        let outbound = "outbound: { position: downstream, unmatched: pass, clients: [{ name: a, client_id: a, authentication: \
                        { set_by_cluster: {} }, discovery: { issuer: 'https://a.example', cluster: a } }], destinations: [{ client: a, \
                        match: { authorities: [b], clusters: [b] } }] }";
        let told = notices(&format!(
            "'@type': type.googleapis.com/{WASM_FILTER}\nconfig: {{ name: x, vm_config: {{ vm_id: a }}, configuration: {{ value: {{ \
             {outbound}, sharing: {{ process: {{ tokens: unsealed }} }} }} }} }}\n"
        ));
        assert!(told[1].contains("`unsealed` is not for the metadata of token endpoints"), "{told:?}");
    }
}
