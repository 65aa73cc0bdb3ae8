//! Finds Attaché's configurations in a file, whatever it is: the plugin's own document, an Envoy bootstrap or resource, or a
//! manifest of Istio or Envoy Gateway; YAML or JSON, one document or several.

use std::path::Path;

use anyhow::{Context, Result, bail};
use attache::config::{self, Config, ConfigErrors, Value};

/// A configuration and where it stands.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where in the file: `document 2, filter attache`; empty when the file is nothing else.
    pub place: String,
    content: Content,
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

impl Document {
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
            find(value, &place, &mut documents);
        }
        if documents.is_empty() {
            bail!(
                "no configuration of Attaché here: expected `inbound: …`, an Envoy bootstrap with a wasm filter, a \
                 WasmPlugin or an EnvoyExtensionPolicy"
            );
        }
        Ok(documents)
    }

    /// Compiles it as the filter does.
    pub fn compile(&self) -> Result<Config, ConfigErrors> {
        match &self.content {
            Content::Value(value) => config::parse_value(value, &Environment),
            Content::Text(text) => config::parse(text.as_bytes(), &Environment),
        }
    }
}

fn find(value: &Value, place: &str, found: &mut Vec<Document>) {
    if member(value, "inbound").is_some() {
        return found.push(Document { place: place.to_owned(), content: Content::Value(value.clone()) });
    }
    let kind = member(value, "kind").and_then(Value::as_text).unwrap_or_default();
    let spec = member(value, "spec");
    match kind {
        "WasmPlugin" => found.extend(spec.and_then(|spec| member(spec, "pluginConfig")).map(|config| {
            Document { place: joined(place, "spec.pluginConfig"), content: Content::Value(config.clone()) }
        })),
        "EnvoyExtensionPolicy" => {
            for wasm in
                spec.and_then(|spec| member(spec, "wasm")).and_then(Value::as_list).unwrap_or_default()
            {
                found.extend(member(wasm, "config").map(|config| Document {
                    place: joined(place, "spec.wasm.config"),
                    content: Content::Value(config.clone()),
                }));
            }
        }
        "TrafficExtension" => {
            let wasm = spec.and_then(|spec| member(spec, "wasm"));
            found.extend(wasm.and_then(|wasm| member(wasm, "pluginConfig")).map(|config| Document {
                place: joined(place, "spec.wasm.pluginConfig"),
                content: Content::Value(config.clone()),
            }));
        }
        _ => filters(value, place, found),
    }
}

/// Looks for wasm filters anywhere below; those of other modules have no block of ours and are passed over.
fn filters(value: &Value, place: &str, found: &mut Vec<Document>) {
    if member(value, "@type").and_then(Value::as_text).is_some_and(|name| name.ends_with(WASM_FILTER)) {
        let plugin = member(value, "config");
        let name = plugin
            .and_then(|plugin| member(plugin, "name"))
            .and_then(Value::as_text)
            .unwrap_or("without a name");
        let place = joined(place, &format!("filter {name}"));
        let configuration = plugin.and_then(|plugin| member(plugin, "configuration"));
        let value = configuration.and_then(|any| member(any, "value"));
        let content = value.and_then(|value| match value.as_text() {
            Some(text) => Some(Content::Text(text.to_owned())),
            None => value.as_object().map(|_| Content::Value(value.clone())),
        });
        found.extend(content.map(|content| Document { place, content }));
        return;
    }
    value.as_object().unwrap_or_default().iter().for_each(|(_, value)| filters(value, place, found));
    value.as_list().unwrap_or_default().iter().for_each(|value| filters(value, place, found));
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(member, _)| member == name).map(|(_, value)| value)
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
}
