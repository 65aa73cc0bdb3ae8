//! The filter's configurations in a file, whatever it is: the configuration itself, an Envoy bootstrap or resource, or
//! a manifest of Istio or Envoy Gateway; YAML or JSON, one document or several.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use attache::config::{self, Config, ConfigErrors, Environment as _, Value};

use crate::reading::{Body, File, Filter, read, read_file};
use crate::variables::{StandIns, Variables, references};

/// A configuration and where it stands.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where in the file: `document 2, spec.pluginConfig`; empty when the file is nothing else.
    pub place: String,
    value: Value,
    /// Where Envoy hands over a text as it is.
    text: Option<String>,
    variables: Variables,
    /// What stands in for the variables that it names and that are not set here.
    stand_ins: BTreeMap<String, String>,
    /// Whether its VM has a `vm_id`; `None` where the file does not tell.
    has_vm_id: Option<bool>,
}

/// The VM that a configuration is for.
struct Vm<'a> {
    variables: &'a Variables,
    stand_ins: &'a BTreeMap<String, String>,
    has_vm_id: bool,
}

impl config::Environment for Vm<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.variable(name).or_else(|| self.stand_ins.get(name).cloned())
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
                "{}: no configuration of Attaché here: expected `inbound: …` or `outbound: …`, an Envoy bootstrap \
                with a wasm \
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
        let variables = Variables::of(filter);
        let references = references(&filter.config);
        let has_vm_id = filter.has_vm_id();
        let known = StandIns {
            variables: &variables,
            references: &references,
            has_vm_id: has_vm_id.unwrap_or_default(),
        };
        let unset = references.iter().filter(|reference| variables.variable(reference.name).is_none());
        let stand_ins =
            unset.filter_map(|reference| Some((reference.name.to_owned(), known.variable(reference.name)?)));
        Self {
            stand_ins: stand_ins.collect(),
            place: number.into_iter().chain(path).collect::<Vec<_>>().join(", "),
            value: filter.config.node().to_value(),
            text: filter.text().map(str::to_owned),
            variables,
            has_vm_id,
        }
    }

    /// What it says, before it has a meaning.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The variables that it names and that are not set here: something stands in for each.
    pub fn unset(&self) -> impl Iterator<Item = &str> {
        self.stand_ins.keys().map(String::as_str)
    }

    /// Compiles it as the filter does, with stand-ins for variables that are not set here.
    ///
    /// # Errors
    /// Every problem, each with its path.
    pub fn compile(&self) -> Result<Config, ConfigErrors> {
        let has_vm_id = self.has_vm_id.unwrap_or_default();
        self.compile_in(&Vm { variables: &self.variables, stand_ins: &self.stand_ins, has_vm_id })
    }

    /// The same in another environment.
    pub(crate) fn compile_in(&self, environment: &dyn config::Environment) -> Result<Config, ConfigErrors> {
        match &self.text {
            Some(text) => config::parse(text.as_bytes(), environment),
            None => config::parse_value(&self.value, environment),
        }
    }
}
