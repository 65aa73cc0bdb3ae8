//! The filter's configurations in a file, whatever it is: the configuration itself, an Envoy bootstrap or resource, or
//! a manifest of Istio or Envoy Gateway; YAML or JSON, one document or several.

use std::path::Path;

use anyhow::{Result, bail};
use attache::config::{self, Config, ConfigErrors, Value};

use crate::reading::{Body, File, Filter, read, read_file};
use crate::variables::Variables;

/// A configuration and where it stands.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where in the file: `document 2, spec.pluginConfig`; empty when the file is nothing else.
    pub place: String,
    value: Value,
    /// Where Envoy hands over a text as it is.
    text: Option<String>,
    variables: Variables,
    /// Whether its VM has a `vm_id`; `None` where the file does not tell.
    has_vm_id: Option<bool>,
}

/// The VM that a configuration is for.
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

impl Document {
    /// Reads all configurations of a file; `-` is standard input.
    ///
    /// # Errors
    /// The file cannot be read, or holds no configuration.
    pub fn read_all(path: &Path) -> Result<Vec<Self>> {
        Self::of_file(&read_file(path))
    }

    /// Finds all configurations of a text.
    ///
    /// # Errors
    /// As [`Self::read_all`].
    pub fn parse_all(text: &str) -> Result<Vec<Self>> {
        Self::of_file(&File::of_text("-", text))
    }

    fn of_file(file: &File) -> Result<Vec<Self>> {
        if let Body::Unreadable(finding) = &file.body {
            let line = finding.location.line.map(|line| format!(":{line}")).unwrap_or_default();
            bail!("{}{line}: {}", file.name, finding.message);
        }
        let files = core::slice::from_ref(file);
        let documents: Vec<_> = read(files).filters.iter().map(Self::of).collect();
        if documents.is_empty() {
            bail!(
                "{}: no configuration of Attaché here: expected `inbound: …` or `outbound: …`, an Envoy bootstrap with a wasm \
                 filter, a WasmPlugin or an EnvoyExtensionPolicy",
                file.name
            );
        }
        Ok(documents)
    }

    /// The configuration of a filter.
    pub(crate) fn of(filter: &Filter<'_>) -> Self {
        let location = filter.location();
        let number = location.document.map(|number| format!("document {number}"));
        let path = Some(location.path).filter(|path| !path.is_empty());
        Self {
            place: number.into_iter().chain(path).collect::<Vec<_>>().join(", "),
            value: filter.config.node().to_value(),
            text: filter.text().map(str::to_owned),
            variables: Variables::of(filter),
            has_vm_id: filter.has_vm_id(),
        }
    }

    /// What it says, before it has a meaning.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Compiles it as the filter does.
    ///
    /// # Errors
    /// Every problem, each with its path.
    pub fn compile(&self) -> Result<Config, ConfigErrors> {
        let has_vm_id = self.has_vm_id.unwrap_or_default();
        self.compile_in(&Vm { variables: &self.variables, has_vm_id })
    }

    /// The same in another environment.
    pub(crate) fn compile_in(&self, environment: &dyn config::Environment) -> Result<Config, ConfigErrors> {
        match &self.text {
            Some(text) => config::parse(text.as_bytes(), environment),
            None => config::parse_value(&self.value, environment),
        }
    }
}
