//! `attachectl explain`: what it prints, word for word, for tokens and keys that the harness's issuer has made.
//!
//! Each file `explain/*.txt` is a command and what came of it. `ATTACHE_GOLDEN=write cargo test -p attachectl` writes
//! anew what came; read the difference before it is committed.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use attache_harness::issuer::{Algorithm, Issuer, IssuerOptions, KeyPair, Signer, Tamper, TokenSpec};
use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tool::{Run, run_in};

/// The directory in which the commands run: configurations, and the tokens and keys that they name.
struct Workplace {
    directory: TempDir,
    /// What may stand in no output.
    secrets: Vec<String>,
}

static WORKPLACE: LazyLock<Workplace> = LazyLock::new(|| {
    let mut workplace = Workplace { directory: tempfile::tempdir().unwrap(), secrets: Vec::new() };
    let key = KeyPair::generate("signing-1", Algorithm::Es256).unwrap().private_jwk();
    for file in files("yaml") {
        let text = std::fs::read_to_string(&file).unwrap().replace("@KEY@", &key.to_string());
        workplace.write(file.file_name().unwrap().to_str().unwrap(), text);
    }
    for file in files("jsonl") {
        workplace.write(file.file_name().unwrap().to_str().unwrap(), std::fs::read(&file).unwrap());
    }
    workplace.secrets.push(key["d"].as_str().unwrap().to_owned());
    workplace.make();
    workplace
});

impl Workplace {
    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.directory.path().join(name), contents).unwrap();
    }

    fn make(&mut self) {
        let issuer = Issuer::start(IssuerOptions {
            identifier: Some("https://issuer.example".to_owned()),
            algorithms: vec![Algorithm::Es256, Algorithm::Rs256],
            kid_prefix: "demo".to_owned(),
            ..IssuerOptions::default()
        })
        .unwrap();
        for (name, spec) in tokens() {
            let token = issuer.mint(&spec).unwrap();
            self.write(&format!("{name}.jwt"), &token);
            self.secrets.extend(token.split('.').map(str::to_owned));
            self.secrets.push(token);
        }
        self.write("jwks.json", issuer.jwks());
        let keys: Value = serde_json::from_slice(&issuer.jwks()).unwrap();
        let mut damaged = keys["keys"].as_array().unwrap().clone();
        damaged[0]["use"] = "enc".into();
        damaged[1].as_object_mut().unwrap().remove("e");
        self.write("unusable.json", json!({ "keys": damaged }).to_string());
        let mixed = [damaged[0].clone(), keys["keys"][0].clone(), json!({ "kty": "oct", "k": "c2VjcmV0" })];
        self.write("mixed.json", json!({ "keys": mixed }).to_string());
        self.write("answer.json", r#"{"access_token":"no key set"}"#);
        let call = json!({ "method": "tools/call", "params": { "name": "orders.delete" } });
        self.write("call.json", call.to_string());
        self.write("page.html", "<html>Not found</html>");
        let metadata = |issuer: &str| json!({ "issuer": issuer, "jwks_uri": "https://issuer.example/jwks" });
        self.write("metadata.json", metadata("https://issuer.example").to_string());
        let realm = "https://issuer.example/realms/a";
        let server = json!({ "issuer": realm, "token_endpoint": format!("{realm}/token") });
        self.write("token-metadata.json", server.to_string());
        // The client secret of `outbound.yaml`, as it is and as HTTP would have it.
        let secret = "hunter2-hunter2";
        self.secrets
            .extend([secret.to_owned(), Base64::encode_string(format!("checkout:{secret}").as_bytes())]);
        self.write("metadata-slash.json", metadata("https://issuer.example/").to_string());
    }
}

/// The tokens, by the names of their files. Their times are those of the tests' `--at`.
fn tokens() -> Vec<(&'static str, TokenSpec)> {
    let token = || {
        let spec = TokenSpec::scoped("orders:read").claim("iat", 1_800_000_000).claim("nbf", 1_800_000_000);
        spec.claim("exp", 1_800_000_300)
    };
    let keycloak = token().header("typ", "JWT").without("aud").claim("azp", "orders-client");
    vec![
        ("good", token()),
        ("buyer", token().claim("groups", json!(["staff", "buyers"]))),
        ("text", token().claim("groups", "buyers").claim("client_id", "ops-batch")),
        ("slash", token().claim("iss", "https://issuer.example/")),
        ("realm", token().claim("iss", "https://sso.example/realms/staging").claim("aud", "orders")),
        ("audience", token().claim("aud", "https://orders.example/")),
        ("audiences", token().claim("aud", json!(["account", "https://orders.example:8443"]))),
        ("keycloak", keycloak),
        ("expired", token().claim("exp", 1_800_000_020)),
        ("early", token().claim("nbf", 1_800_000_900)),
        ("rsa", token().algorithm(Algorithm::Rs256)),
        ("forged", token().tamper(Tamper::Signature)),
        ("stranger", token().signer(Signer::Unknown(Algorithm::Es256)).header("kid", "new-7")),
        ("nameless", token().without_header("kid")),
    ]
}

/// The files of this kind beside the expectations.
fn files(extension: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/attachectl/explain");
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|one| one == extension)).collect();
    files.sort_unstable();
    files
}

/// Runs a command as it stands in a file: words, in single quotes where they hold spaces.
fn run(command: &str) -> Run {
    let line = command.replace("\\\n", " ");
    let mut parts = line.split('\'');
    let mut words = Vec::new();
    while let Some(plain) = parts.next() {
        words.extend(plain.split_whitespace());
        words.extend(parts.next());
    }
    let words =
        words.strip_prefix(&["attachectl"]).unwrap_or_else(|| panic!("no command of ours: {command}"));
    let run = run_in(WORKPLACE.directory.path(), words, "");
    for secret in WORKPLACE.secrets.iter().filter(|secret| !secret.is_empty()) {
        let told = [&run.stdout, &run.stderr].into_iter().any(|text| text.contains(secret));
        assert!(!told, "{command}: shows a token, or a part of one");
    }
    run
}

/// The command of a text that begins with `$`, and what it is said to print.
fn command_of(text: &str) -> (&str, &str) {
    let rest = text.strip_prefix("$ ").unwrap();
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        end += line.len();
        if !line.ends_with("\\\n") {
            break;
        }
    }
    rest.split_at(end)
}

#[test]
fn every_explanation_reads_as_it_is_written_down() {
    let mut wrong = String::new();
    for file in files("txt") {
        let expected = std::fs::read_to_string(&file).unwrap();
        let (command, _) = command_of(&expected);
        let Run { code, stdout, stderr } = run(command);
        let told = format!("$ {command}{stdout}{stderr}exit {code}\n");
        if std::env::var_os("ATTACHE_GOLDEN").is_some() {
            std::fs::write(&file, &told).unwrap();
        } else if told != expected {
            wrong += &format!("{}:\n{told}\n", file.display());
        }
    }
    assert!(wrong.is_empty(), "other than written down:\n{wrong}");
}

/// Every block of the page that begins with a command is run, and prints what the page says.
#[test]
fn every_command_of_the_page_prints_what_the_page_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/explain.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let write = std::env::var_os("ATTACHE_GOLDEN").is_some();
    let (mut written, mut wrong, mut commands) = (String::new(), String::new(), 0);
    for (index, part) in page.split("```").enumerate() {
        let block = part.strip_prefix("console\n").filter(|_| index % 2 == 1);
        let separator = if index == 0 { "" } else { "```" };
        let Some(block) = block.filter(|block| block.starts_with("$ attachectl ")) else {
            written += &format!("{separator}{part}");
            continue;
        };
        commands += 1;
        let (command, expected) = command_of(block);
        let Run { stdout, stderr, .. } = run(command);
        let told = format!("{stdout}{stderr}");
        if told != expected {
            wrong += &format!("$ {command}{told}\n");
        }
        written += &format!("{separator}console\n$ {command}{told}");
    }
    assert!(commands >= 3, "{commands} commands: is the page still read?");
    if write {
        std::fs::write(&path, written).unwrap();
    } else {
        assert!(wrong.is_empty(), "other than the page says:\n{wrong}");
    }
}

#[test]
fn a_file_that_is_given_without_its_sign_is_recognized() {
    let run = run("attachectl explain --config one.yaml --token good.jwt --path /orders");
    assert!(run.stderr.contains("write `--token @good.jwt`"), "{}{}", run.stdout, run.stderr);
    assert_ne!(run.code, 0);
}

/// Records are the text of others: nothing in them becomes a line of an explanation, or a command of the terminal.
#[test]
fn a_record_cannot_write_lines_of_its_explanation() {
    let run = run("attachectl explain --config tree.yaml --audit records-hostile.jsonl");
    assert_eq!(run.code, 1, "{}", run.stderr);
    for text in [&run.stdout, &run.stderr] {
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{7}', '\u{202e}', '\r', '\0']), "{text:?}");
    }
    let results: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with('→')).collect();
    assert_eq!(results, ["→ denied", "→ denied"], "{}", run.stdout);
}

#[test]
fn records_are_explained_up_to_a_bound_and_the_one_of_a_request_is_found_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = WORKPLACE.directory.path().join("tree.yaml");
    let record = |id: usize| {
        format!("{{\"outcome\":\"permit\",\"reason\":\"ok\",\"route\":\"health\",\"request_id\":\"{id}\"}}\n")
    };
    let mut text: String = (0..1000).map(record).collect();
    let ask = |text: &str, more: &[&str]| {
        let mut words = vec!["explain", "--config", config.to_str().unwrap(), "--audit", "-"];
        words.extend(more);
        run_in(directory.path(), &words, text)
    };
    let run = ask(&text, &[]);
    assert_eq!(run.stdout.matches("→ forwarded").count(), 1000);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    // A line of any length is passed over.
    text += &format!("{{\"x\":\"{}\"}}\n", "a".repeat(4_000_000));
    text += &record(1000);
    let run = ask(&text, &[]);
    assert_eq!(run.stdout.matches("→ forwarded").count(), 1000);
    assert!(run.stderr.contains("choose one with --request-id"), "{}", run.stderr);
    assert!(run.stderr.contains("-:1001: longer than 256 KiB"), "{}", run.stderr);
    let run = ask(&text, &["--request-id", "1000"]);
    assert!(run.stdout.contains("request \"1000\""), "{}", run.stdout);
    let run = ask(&text, &["--request-id", "1001"]);
    assert!(run.stderr.contains("no record has the request id"), "{}", run.stderr);
    assert_eq!(run.code, 2);
}
