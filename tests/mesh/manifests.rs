//! Each manifest of `deploy` is what the definitions of its resources allow (CRDs with their CEL rules), what the
//! control planes' own validators allow, and what `attachectl check` allows of the plugin configuration in it. A
//! manifest with a mistake is refused by the program that is there to find it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::program::run as finish;
use crate::report::{Place, Report};
use crate::world::{World, checkout, installed};

pub(crate) fn run(world: &World, report: &mut Report) -> Result<()> {
    let directory = world.directory("manifests")?;
    let all = manifests(&directory)?;
    let of = |folder: &str| -> Vec<PathBuf> {
        let folders = ["deploy", "deploy/observability"].map(|parent| checkout(parent).join(folder));
        all.iter().filter(|file| folders.iter().any(|folder| file.starts_with(folder))).cloned().collect()
    };
    for (validator, files) in [
        (Validator::Definitions, all.clone()),
        (Validator::Istioctl, of("istio")),
        (Validator::Egctl, of("envoy-gateway")),
        (Validator::Attachectl, all.clone()),
    ] {
        let place = Place { control_plane: "none", position: "manifests of deploy" };
        let said = validator
            .said_of(&files, &directory)
            .map(|said| said.unwrap_or_else(|| "all accepted".to_owned()));
        report.row(place, &format!("{} of each manifest", validator.name()), 0, "all accepted", said);
    }
    let place = Place { control_plane: "none", position: "a manifest with a mistake" };
    for (kind, said) in unknown_fields(&all, &directory)? {
        let scenario = format!("{kind}, a field that there is not");
        report.row(place, &scenario, 0, UNKNOWN, Ok(said));
    }
    for mistake in &MISTAKES {
        let scenario = format!("{}: {}", mistake.validator.name(), mistake.what);
        report.row(place, &scenario, 0, mistake.expected, mistake.refusal(&directory));
    }
    Ok(())
}

/// A program that says whether manifests are right.
#[derive(Clone, Copy)]
enum Validator {
    /// The definitions that a cluster would hold, with their CEL rules.
    Definitions,
    Istioctl,
    Egctl,
    Attachectl,
}

/// One mistake in a manifest of `deploy`, and what its validator says.
struct Mistake {
    what: &'static str,
    validator: Validator,
    file: &'static str,
    /// What is replaced, and by what.
    edit: (&'static str, &'static str),
    expected: &'static str,
}

impl Validator {
    fn name(self) -> &'static str {
        match self {
            Self::Definitions => "kubectl-validate",
            Self::Istioctl => "istioctl validate",
            Self::Egctl => "egctl x validate",
            Self::Attachectl => "attachectl check",
        }
    }

    /// What it says of the files if it refuses one.
    fn said_of(self, files: &[PathBuf], directory: &Path) -> Result<Option<String>> {
        match self {
            Self::Definitions => failure(kubectl_validate()?.args(files)),
            Self::Istioctl => {
                let mut command = Command::new(installed("istioctl")?);
                command.arg("validate");
                for file in files {
                    command.arg("-f").arg(file);
                }
                failure(&mut command)
            }
            Self::Egctl => {
                let texts: Vec<String> = files.iter().map(fs::read_to_string).collect::<Result<_, _>>()?;
                let all = directory.join("all.yaml");
                fs::write(&all, texts.join("\n---\n"))?;
                let mut command = Command::new(installed("egctl")?);
                let said = finish(command.args(["x", "validate", "-f"]).arg(all))?;
                // It succeeds in any case.
                Ok((!said.contains("OK")).then_some(said))
            }
            Self::Attachectl => failure(Command::new(attachectl()?).arg("check").args(files)),
        }
    }
}

impl Mistake {
    /// What the validator says, if it says what is expected; else all of it.
    fn refusal(&self, directory: &Path) -> Result<String> {
        let manifest = fs::read_to_string(checkout("deploy").join(self.file))?;
        let (right, wrong) = self.edit;
        if manifest.matches(right).count() != 1 {
            bail!("{} does not have `{right}` once", self.file);
        }
        let file = directory.join("broken.yaml");
        fs::write(&file, manifest.replace(right, wrong))?;
        let Some(said) = self.validator.said_of(&[file], directory)? else {
            return Ok("accepted".to_owned());
        };
        Ok(if said.contains(self.expected) { self.expected.to_owned() } else { said })
    }
}

/// Adds to one manifest of each kind, and to each patch, a field that its definition does not have. Returns for each
/// what is said of it.
fn unknown_fields(files: &[PathBuf], directory: &Path) -> Result<Vec<(String, String)>> {
    let mut broken = BTreeMap::new();
    for file in files {
        for document in fs::read_to_string(file)?.split("\n---\n") {
            let mut manifest: Value = serde_saphyr::from_str(document)?;
            let kind = if file.starts_with(directory) {
                format!("the patch {}", file.file_name().unwrap_or_default().to_string_lossy())
            } else {
                let version = manifest["apiVersion"].as_str().context("a manifest without a version")?;
                let group = version.split_once('/').map_or("core", |(group, _)| group);
                format!("{} of {group}", manifest["kind"].as_str().context("a manifest without a kind")?)
            };
            manifest["spec"]["mistake"] = Value::Bool(true);
            broken.entry(kind).or_insert(manifest);
        }
    }
    let mut command = kubectl_validate()?;
    command.args(["--output", "json"]);
    let mut kinds = Vec::new();
    for (n, (kind, manifest)) in broken.into_iter().enumerate() {
        let file = directory.join(format!("mistake-{n}.json"));
        fs::write(&file, manifest.to_string())?;
        command.arg(&file);
        kinds.push((kind, file));
    }
    let said: Value = serde_json::from_slice(&command.output()?.stdout)?;
    let said_of = |file: &Path| {
        let cause = &said[&*file.to_string_lossy()][0]["details"]["causes"][0];
        let text = |name: &str| cause[name].as_str().unwrap_or("nothing");
        format!("{}: {}", text("field"), text("message"))
    };
    Ok(kinds.into_iter().map(|(kind, file)| (kind, said_of(&file))).collect())
}

/// The program that knows the definitions that a cluster would hold.
fn kubectl_validate() -> Result<Command> {
    let mut command = Command::new(installed("kubectl-validate")?);
    // The newest version whose own resources the program knows without asking the network.
    command.args(["--version", "1.32"]);
    for folder in ["istio/crds", "envoy-gateway/crds", "envoy-gateway/crds/generated"] {
        command.arg("--local-crds").arg(checkout(".tools/mesh").join(folder));
    }
    Ok(command)
}

/// `attachectl`, which `tools/mesh` has built beside this program.
pub(crate) fn attachectl() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let built = own.ancestors().nth(2).context("this program is in no directory")?.join("attachectl");
    if !built.is_file() {
        bail!("no {}: run `cargo build --package attachectl`", built.display());
    }
    Ok(built)
}

/// What a program wrote, if it failed.
fn failure(command: &mut Command) -> Result<Option<String>> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let said = [output.stdout, output.stderr].concat();
    Ok((!output.status.success()).then(|| String::from_utf8_lossy(&said).into_owned()))
}

/// The files of `deploy` that a cluster gets. A patch of a workload stands in a workload.
fn manifests(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![checkout("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = fs::read_to_string(&path)?;
                if text.lines().any(|line| line.starts_with("apiVersion:")) {
                    found.push(path);
                } else if text.lines().any(|line| line == "spec:") {
                    found.push(patched(&path, &text, directory)?);
                } else if !text.contains("\"@type\"") && !path.starts_with(checkout("deploy/observability")) {
                    bail!("{} is neither a manifest nor a file of Envoy's or a collector's", path.display());
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A workload with this patch.
fn patched(path: &Path, patch: &str, directory: &Path) -> Result<PathBuf> {
    let mut workload: Value = serde_saphyr::from_str(WORKLOAD)?;
    merge(&mut workload, serde_saphyr::from_str(patch)?);
    let file = directory.join(path.file_name().context("a file has a name")?);
    fs::write(&file, workload.to_string())?;
    Ok(file)
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

const UNKNOWN: &str = "spec.mistake: Invalid value: value provided for unknown field";
const WORKLOAD: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: orders, namespace: orders }
spec:
  selector: { matchLabels: { app: orders } }
  template:
    metadata: { labels: { app: orders } }
    spec: { containers: [{ name: orders, image: registry.example.com/orders:1 }] }
"#;

const MISTAKES: [Mistake; 10] = [
    Mistake {
        what: "WasmPlugin, a CEL rule: the scheme of `url`",
        validator: Validator::Definitions,
        file: "istio/wasmplugin.yaml",
        edit: ("url: oci://", "url: docker://"),
        expected: "url must have schema one of [http, https, file, oci]",
    },
    Mistake {
        what: "ServiceEntry, a CEL rule: a port's protocol and number",
        validator: Validator::Definitions,
        file: "istio/issuer.yaml",
        edit: (
            "{ number: 443, name: https, protocol: HTTPS }",
            "{ number: 80, name: https, protocol: HTTPS }",
        ),
        expected: "port number cannot be duplicated",
    },
    Mistake {
        what: "EnvoyExtensionPolicy, a CEL rule: where the code comes from",
        validator: Validator::Definitions,
        file: "envoy-gateway/envoyextensionpolicy.yaml",
        edit: ("      type: Image", "      type: HTTP"),
        expected: "If type is HTTP, http field needs to be set",
    },
    Mistake {
        what: "BackendTLSPolicy, a CEL rule: whom it trusts",
        validator: Validator::Definitions,
        file: "envoy-gateway/issuer.yaml",
        edit: ("    wellKnownCACertificates: System\n", ""),
        expected: "must specify either CACertificateRefs or WellKnownCACertificates",
    },
    Mistake {
        what: "a module from a server of an unknown kind",
        validator: Validator::Istioctl,
        file: "istio/wasmplugin.yaml",
        edit: ("url: oci://", "url: docker://"),
        expected: "url contains unsupported scheme",
    },
    Mistake {
        what: "DestinationRule without a host",
        validator: Validator::Istioctl,
        file: "istio/issuer.yaml",
        edit: ("  host: issuer.example\n", ""),
        expected: "empty domain name not allowed",
    },
    Mistake {
        what: "BackendTLSPolicy without an authority",
        validator: Validator::Egctl,
        file: "envoy-gateway/issuer.yaml",
        edit: ("    wellKnownCACertificates: System\n", ""),
        expected: "must specify either CACertificateRefs or WellKnownCACertificates",
    },
    Mistake {
        what: "WasmPlugin, a setting that there is not",
        validator: Validator::Attachectl,
        file: "istio/wasmplugin.yaml",
        edit: ("        audiences: [", "        audience: ["),
        expected: "unknown field `audience`",
    },
    Mistake {
        what: "EnvoyExtensionPolicy, a scope that is no list",
        validator: Validator::Attachectl,
        file: "envoy-gateway/envoyextensionpolicy.yaml",
        edit: ("require: { scopes: [orders:write] }", "require: { scopes: orders:write }"),
        expected: "spec.wasm[0].config.inbound.routes[2].require.scopes",
    },
    Mistake {
        what: "EnvoyExtensionPolicy that lets requests through without the module",
        validator: Validator::Attachectl,
        file: "envoy-gateway/envoyextensionpolicy.yaml",
        edit: ("failOpen: false", "failOpen: true"),
        expected: "[fail-open]",
    },
];
