//! The image that `make image` builds: which bytes are in it, and that a registry has it unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use attache_harness::CHECKOUT;
use serde_json::Value;

use crate::program::run;
use crate::registry::{IMAGE, LOCAL};
use crate::report::{Place, Report};
use crate::world::{World, checkout, installed, module};

/// The rows of the image.
pub(crate) fn image(world: &World, report: &mut Report) -> Result<()> {
    world.registry()?;
    let directory = world.directory("image")?;
    let digest = build(&module(), &directory.join("first"))?;
    let row = |report: &mut Report, scenario: &str, expected: &str, got: Result<String>| {
        report.row(PLACE, scenario, 0, expected, got);
    };
    row(report, "built twice", "the same bytes", built_twice(&directory));
    row(report, "commands of docs/operations.md", "the registry has the printed digest", commands());
    row(report, "paths of the machine that built the module", "none", paths());
    row(
        report,
        "`crane digest` and `crane validate` in the registry",
        "as `make image` says",
        validate(&digest),
    );
    row(report, "`plugin.wasm` of the pulled image", "the module", pulled(&directory));
    row(
        report,
        "the list of crates, by the image's referrers",
        "as `make image` wrote it",
        referrer(&directory, &digest),
    );
    row(report, "crates that Cargo built into the module", "those of the list", crates(&directory));
    Ok(())
}

/// Builds the image of a file into a directory as `make image` does, and returns its digest.
pub(crate) fn build(module: &Path, directory: &Path) -> Result<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--locked", "--offline", "--quiet", "--package", "attache-image", "--"]);
    Ok(run(cargo.current_dir(CHECKOUT).arg(module).arg(directory))?.trim().to_owned())
}

fn built_twice(directory: &Path) -> Result<String> {
    build(&module(), &directory.join("second"))?;
    let [first, second] = [files(&directory.join("first"))?, files(&directory.join("second"))?];
    ensure!(first.len() > 10, "only {} files", first.len());
    Ok(if first == second { "the same bytes" } else { "other bytes" }.to_owned())
}

/// All files below a directory.
fn files(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            files.extend(
                self::files(&entry.path())?
                    .into_iter()
                    .map(|(path, bytes)| (format!("{name}/{path}"), bytes)),
            );
        } else {
            files.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(files)
}

/// Runs them as they stand.
fn commands() -> Result<String> {
    let page = fs::read_to_string(checkout("docs/operations.md"))?;
    let section =
        page.split("\n## ").find(|section| section.starts_with("The image\n")).context("no section")?;
    let commands =
        section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).context("no commands")?;
    let path = format!("{}:{}", checkout(".tools/mesh/bin").display(), std::env::var("PATH")?);
    let output =
        run(Command::new("sh").args(["-e", "-c", commands]).current_dir(CHECKOUT).env("PATH", path))?;
    let digest = output.lines().find(|line| line.starts_with("sha256:")).context("no digest")?;
    let pushed = format!("registry.example.com/{}@{digest}", IMAGE.split(':').next().unwrap_or_default());
    Ok(if output.lines().any(|line| line == pushed) {
        "the registry has the printed digest"
    } else {
        &output
    }
    .to_owned())
}

/// Panics name source files: of crates and of this one, but not where they were.
fn paths() -> Result<String> {
    let module = String::from_utf8_lossy(&fs::read(module())?).into_owned();
    ensure!(module.contains("/crates/"), "the module names no source files");
    let home = std::env::var("HOME")?;
    let cargo = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let found = [CHECKOUT, &home, &cargo].into_iter().find(|path| module.contains(&format!("{path}/")));
    Ok(found.unwrap_or("none").to_owned())
}

fn validate(digest: &str) -> Result<String> {
    let image = format!("{LOCAL}/{IMAGE}");
    let found = crane(&["digest", &image])?;
    crane(&["validate", "--remote", &image])?;
    Ok(if found.trim() == digest { "as `make image` says" } else { found.trim() }.to_owned())
}

fn pulled(directory: &Path) -> Result<String> {
    let archive = directory.join("pulled.tar");
    run(Command::new(installed("crane")?).args(["export", &format!("{LOCAL}/{IMAGE}")]).arg(&archive))?;
    run(Command::new("tar").arg("-C").arg(directory).arg("-xf").arg(&archive))?;
    let same = fs::read(directory.join("plugin.wasm"))? == fs::read(module())?;
    Ok(if same { "the module" } else { "something else" }.to_owned())
}

/// Pushes the list of crates, and pulls it by the image alone. This registry knows referrers by a tag.
fn referrer(directory: &Path, digest: &str) -> Result<String> {
    let name = format!("{LOCAL}/{}", IMAGE.split(':').next().unwrap_or_default());
    let layout = directory.join("first/sbom");
    crane(&["push", layout.to_str().context("no UTF-8")?, &format!("{LOCAL}/{IMAGE}-sbom")])?;
    let referrers: Value =
        serde_json::from_str(&crane(&["manifest", &format!("{name}:{}", digest.replace(':', "-"))])?)?;
    let [list] = referrers["manifests"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        bail!("not one referrer: {referrers}");
    };
    ensure!(list["artifactType"] == "application/vnd.cyclonedx+json", "{list}");
    let of = |value: &Value| format!("{name}@{}", value["digest"].as_str().unwrap_or_default());
    let manifest: Value = serde_json::from_str(&crane(&["manifest", &of(list)])?)?;
    let list = crane(&["blob", &of(&manifest["layers"][0])])?;
    let same = list == fs::read_to_string(directory.join("first/attache.cdx.json"))?;
    Ok(if same { "as `make image` wrote it" } else { "something else" }.to_owned())
}

/// Compares the list with what Cargo says that it has built for the module's target: `tools/link` once more, which has
/// nothing to build.
fn crates(directory: &Path) -> Result<String> {
    let link = run(Command::new(checkout("tools/link")).args(["--offline", "--message-format=json"]))?;
    let mut built = BTreeSet::new();
    for line in link.lines() {
        let message: Value = serde_json::from_str(line)?;
        let library = message["filenames"][0].as_str().is_some_and(|file| file.contains("/wasm32-wasip1/"));
        if message["reason"] == "compiler-artifact" && library {
            built.insert(package(message["package_id"].as_str().unwrap_or_default())?);
        }
    }
    let list: Value = serde_json::from_slice(&fs::read(directory.join("first/attache.cdx.json"))?)?;
    let mut listed = BTreeSet::new();
    for component in
        list["components"].as_array().into_iter().flatten().chain([&list["metadata"]["component"]])
    {
        listed.insert(format!("{}@{}", text(&component["name"]), text(&component["version"])));
    }
    // It comes with the compiler.
    listed.retain(|one| !one.starts_with("rust-std@"));
    if built == listed && built.len() > 50 {
        return Ok("those of the list".to_owned());
    }
    let [missing, many] =
        [built.difference(&listed), listed.difference(&built)].map(Iterator::collect::<Vec<_>>);
    Ok(format!("missing {missing:?}; too many {many:?}"))
}

/// `NAME@VERSION` from Cargo's `registry+https://…#NAME@VERSION` or `path+file:///…#NAME@VERSION`.
fn package(id: &str) -> Result<String> {
    let (_, package) = id.rsplit_once('#').with_context(|| format!("no package: {id}"))?;
    // The package of a directory of its own name has only a version there.
    Ok(if package.contains('@') { package.to_owned() } else { format!("attache@{package}") })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn crane(arguments: &[&str]) -> Result<String> {
    run(Command::new(installed("crane")?).args(arguments))
}

const PLACE: Place = Place { control_plane: "none", position: "image" };
