//! README and `docs/`: the configurations in them compile, and the commands in them run, or it is said here why not.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tool::run_in;

/// A block of a page.
pub(crate) struct Block {
    /// The page and the line, for messages.
    pub(crate) place: String,
    pub(crate) language: String,
    pub(crate) text: String,
}

/// How a command of a page is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// It is run here, in the checkout, and ends with this exit code.
    Run(i32),
    /// A target of the Makefile, of that name; what it does is seen where the targets are run.
    Make,
    /// Another test runs it.
    Elsewhere(&'static str),
    /// Nothing runs it, for this reason.
    Not(&'static str),
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The pages that people read.
fn pages() -> Vec<PathBuf> {
    let named = ["README.md", "CONTRIBUTING.md", "SECURITY.md"];
    let folders = [
        "docs",
        "docs/decisions",
        "deploy/docker",
        "deploy/envoy-gateway",
        "deploy/istio",
        "deploy/istio/outbound",
    ];
    let listed = folders.into_iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let listed = listed.map(|entry| entry.unwrap().path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    named.map(|name| root().join(name)).into_iter().chain(listed.filter(is_page)).collect()
}

pub(crate) fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    let place = format!("{}:{}", path.strip_prefix(root()).unwrap().display(), index + 1);
                    open = Some(Block { place, language: language.to_owned(), text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.text += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", path.display());
    }
    blocks
}

/// Pieces of Envoy's own configuration are given to Envoy, in the end-to-end tests.
#[test]
fn every_configuration_of_a_page_compiles() {
    let first =
        |block: &Block| block.text.lines().find(|line| !line.starts_with('#')).unwrap_or_default().to_owned();
    let is_ours = |block: &&Block| ["inbound:", "outbound:"].contains(&&*first(block));
    let blocks = blocks();
    let ours: Vec<_> = blocks.iter().filter(is_ours).collect();
    assert!(ours.len() >= 5, "{} configurations: are the pages still read?", ours.len());
    for Block { place, language, text } in ours {
        assert_eq!(language, "yaml", "{place}");
        let run = run_in(&root(), &["check", "-"], text);
        assert_eq!(run.code, 0, "{place}:\n{}{}", run.stdout, run.stderr);
    }
}

/// What is written as a configuration is read as one: nothing hides in a block of another language.
#[test]
fn configurations_are_marked_as_such() {
    for Block { place, language, text } in blocks() {
        let known = ["sh", "console", "text", "yaml", "mermaid", "promql", "json"];
        assert!(known.contains(&&*language), "{place}: `{language}`");
        if language == "text" {
            let first = text.lines().next().unwrap_or_default();
            let is_key = |key: &str| key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let is_yaml = first.strip_suffix(':').is_some_and(is_key);
            assert!(!is_yaml, "{place}: `{first}` begins YAML: mark it as yaml, and it is tested");
        }
    }
}

/// The first words of a command, and how it is held. The longest that fits counts.
const COMMANDS: &[(&str, Proof)] = &[
    ("make", Proof::Make),
    ("target/debug/attachectl schema", Proof::Elsewhere("schema.rs holds what it prints")),
    ("target/debug/attachectl init", Proof::Elsewhere("init.rs: the same options")),
    ("target/debug/attachectl check", Proof::Run(0)),
    (
        "target/debug/attachectl check --online",
        Proof::Elsewhere("online.rs asks servers that it has started"),
    ),
    ("CLIENT_SECRET=demo-secret target/debug/attachectl check --online", Proof::Elsewhere("online.rs")),
    (
        "CLIENT_SECRET=demo-secret target/debug/attachectl check --online",
        Proof::Elsewhere("online.rs, beside an issuer"),
    ),
    (
        "target/debug/attachectl explain --config envoy.yaml --jwks",
        Proof::Elsewhere("explain.rs: the same options"),
    ),
    ("attachectl explain", Proof::Elsewhere("explain.rs runs those of docs/explain.md")),
    ("cargo test --package attache-harness", Proof::Not("one test, by a name that the reader gives")),
    ("export", Proof::Not("variables for the next command")),
    // Those of docs/keycloak.md.
    ("kcadm.sh", KEYCLOAK),
    ("API=$(kcadm.sh", KEYCLOAK),
    ("AUTHORITY=$(openssl", KEYCLOAK),
    ("CLIENT=$(kcadm.sh", KEYCLOAK),
    ("OLD=$(kcadm.sh", KEYCLOAK),
    ("ORDERS=$(kcadm.sh", KEYCLOAK),
    ("ORDERS_SECRET=$(kcadm.sh", KEYCLOAK),
    ("READ=$(kcadm.sh", KEYCLOAK),
    ("WEB=$(kcadm.sh", KEYCLOAK),
    ("kc.sh start", Proof::Elsewhere("tests/mesh/keycloak.rs starts it with these options, and more")),
    ("openssl req", KEYCLOAK),
    ("{ printf 'attache.audit.token", Proof::Elsewhere("audit_record.rs runs it")),
    ("sed -n 's/^.* audit: {", Proof::Elsewhere("audit_record.rs runs it")),
    ("otelcol-contrib --config", STATISTICS),
    ("jq --compact-output", STATISTICS),
    ("kubectl", MESH),
    ("crane", Proof::Elsewhere("tests/mesh/image.rs runs those of docs/operations.md")),
    ("curl", Proof::Not("it asks an issuer that is not there")),
    ("curl -s 127.0.0.1:9901/", ADMIN),
    ("curl -s '127.0.0.1:9901/", ADMIN),
    ("curl -s -X POST '127.0.0.1:9901/", ADMIN),
    ("egress=$(kubectl", MESH),
    ("token=$(curl", MESH),
    ("token=$(printf", MESH),
    ("printf", MESH),
    ("head -c 32 /dev/urandom", MESH),
    ("seal=$(head", MESH),
    ("sed -E", MESH),
    ("docker", DOCKER),
    ("TOKEN=$(docker", DOCKER),
    ("podman", DOCKER),
    ("DOCKER_HOST=", DOCKER),
];

const ADMIN: Proof = Proof::Elsewhere("tests/mesh/alerts.rs runs those of docs/runbooks.md");
const DOCKER: Proof = Proof::Not("it needs a docker engine");
const MESH: Proof = Proof::Elsewhere("tests/mesh runs each block of the pages in deploy");
const STATISTICS: Proof =
    Proof::Elsewhere("tests/mesh/statistics starts a collector with this file, and runs the other command");
const KEYCLOAK: Proof = Proof::Elsewhere("tests/mesh/keycloak_rows runs each block of the page");

/// Each command of the pages' shell blocks, with the lines that it goes on in.
fn commands() -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for Block { place, text, .. } in blocks().into_iter().filter(|block| block.language == "sh") {
        let mut goes_on = false;
        for line in text.lines() {
            // A comment behind a command is for the reader.
            let words = line.split("  #").next().unwrap().trim();
            if words.is_empty() || words.starts_with('#') {
                continue;
            }
            let text = words.trim_end_matches('\\').trim();
            match commands.last_mut().filter(|_| goes_on) {
                Some((_, command)) => *command += &format!(" {text}"),
                None => commands.push((place.clone(), text.to_owned())),
            }
            goes_on = words.ends_with(['\\', '|']);
        }
    }
    commands
}

#[test]
fn every_command_of_a_page_runs_or_it_is_said_why_not() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let commands = commands();
    assert!(commands.len() > 15, "{} commands: are the pages still read?", commands.len());
    for (place, command) in commands {
        let fitting = COMMANDS.iter().filter(|(words, _)| command.starts_with(words));
        let (_, proof) = fitting
            .max_by_key(|(words, _)| words.len())
            .unwrap_or_else(|| panic!("{place}: how is `{command}` held? Add it to COMMANDS"));
        match proof {
            Proof::Make => {
                let target = command.split_whitespace().nth(1).unwrap();
                assert!(makefile.contains(&format!("\n{target}:")), "{place}: no target for `{command}`");
            }
            Proof::Run(code) => {
                let words: Vec<&str> = command.split_whitespace().skip(1).collect();
                let run = run_in(&root(), &words, "");
                assert_eq!(run.code, *code, "{place}: {command}\n{}{}", run.stdout, run.stderr);
            }
            Proof::Elsewhere(_) | Proof::Not(_) => {}
        }
    }
}
