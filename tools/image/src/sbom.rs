//! The software bill of materials: a [CycloneDX](https://cyclonedx.org) list of the crates that are in the module, and
//! of which of them uses which. Cargo says which they are; those that only build it (macros, build scripts) or test it
//! are not among them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cyclonedx_bom::models::component::Classification;
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::prelude::{
    Bom, Component, Components, Metadata, Purl, SpdxExpression, SpecVersion, Validate as _,
};

use crate::layout::digest;

/// The list for the module of this checkout, as JSON.
pub(crate) fn of_module(module: &[u8]) -> Result<Vec<u8>> {
    let mut crates = read(&run("cargo", &TREE)?)?;
    let compiler = run("rustc", &["--version"])?;
    let compiler = compiler.split(' ').nth(1).context("rustc does not tell its version")?;
    let library =
        Crate::new("rust-std", compiler, "MIT OR Apache-2.0", Purl::new("generic", "rust-std", compiler)?)?;

    let filter = crates.get_mut(FILTER).context("cargo does not name the filter itself")?;
    filter.uses.insert(library.id.clone());
    let mut component = filter.component.clone();
    component.component_type = Classification::Application;
    // It is in no registry.
    component.purl = None;
    let content = HashValue(digest(module).trim_start_matches("sha256:").to_owned());
    component.hashes = Some(Hashes(vec![Hash { alg: HashAlgorithm::SHA_256, content }]));
    crates.insert(library.id.clone(), library);

    let dependencies = crates.values().map(Crate::dependency).collect();
    crates.remove(FILTER);
    let list = Bom {
        spec_version: SpecVersion::V1_5,
        // A number of its own for each list would be other bytes for the same module.
        serial_number: None,
        metadata: Some(Metadata { component: Some(component), ..Metadata::default() }),
        components: Some(Components(crates.into_values().map(|one| one.component).collect())),
        dependencies: Some(Dependencies(dependencies)),
        ..Bom::default()
    };
    let errors = list.validate();
    ensure!(errors.passed(), "the list of crates is not valid: {errors:?}");
    let mut json = Vec::new();
    list.output_as_json(&mut json, SpecVersion::V1_5)?;
    Ok(json)
}

struct Crate {
    id: String,
    component: Component,
    uses: BTreeSet<String>,
}

impl Crate {
    fn new(name: &str, version: &str, licence: &str, purl: Purl) -> Result<Self> {
        let id = purl.to_string();
        let mut component = Component::new(Classification::Library, name, version, Some(id.clone()));
        // Some crates still write MIT/Apache-2.0.
        let licence =
            SpdxExpression::parse_lax(licence.to_owned()).with_context(|| format!("{name}: {licence}"))?;
        component.licenses = Some(Licenses(vec![LicenseChoice::Expression(licence)]));
        component.purl = Some(purl);
        Ok(Self { id, component, uses: BTreeSet::new() })
    }

    fn dependency(&self) -> Dependency {
        Dependency { dependency_ref: self.id.clone(), dependencies: self.uses.iter().cloned().collect() }
    }
}

/// Reads what `cargo tree` tells.
fn read(tree: &str) -> Result<BTreeMap<String, Crate>> {
    let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
    // The crates on the way from the root to the line.
    let mut path: Vec<String> = Vec::new();
    for line in tree.lines() {
        let (package, licence) = line.split_once(';').with_context(|| format!("no licence: {line}"))?;
        let mut words = package.split(' ');
        let [depth, name, version] =
            [words.next(), words.next(), words.next()].map(Option::unwrap_or_default);
        let version = version.trim_start_matches('v');
        let one = Crate::new(name, version, licence, Purl::new("cargo", name, version)?)?;
        path.truncate(depth.parse().with_context(|| format!("no depth: {line}"))?);
        if let Some(parent) = path.last().and_then(|id| crates.get_mut(id)) {
            parent.uses.insert(one.id.clone());
        }
        path.push(one.id.clone());
        crates.entry(one.id.clone()).or_insert(one);
    }
    Ok(crates)
}

/// Standard output of a program that succeeds.
fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{program} does not start"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

const FILTER: &str = concat!("pkg:cargo/attache@", env!("CARGO_PKG_VERSION"));
pub(crate) const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";
/// What is linked into the module. A line is `DEPTH NAME vVERSION[ (PATH)];LICENCE`.
const TREE: [&str; 13] = [
    "tree",
    "--locked",
    "--package",
    "attache",
    "--edges",
    "normal,no-proc-macro",
    "--target",
    "wasm32-wasip1",
    "--no-dedupe",
    "--prefix",
    "depth",
    "--format",
    " {p};{l}",
];
