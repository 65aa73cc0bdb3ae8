//! `attachectl init`: what it writes, that `check` finds nothing in it, and what it never does.
//!
//! `init/*.yaml` and `init/*.txt` are what it writes and prints; `ATTACHE_GOLDEN=write cargo test -p attachectl` writes
//! them anew. The end-to-end tests start `init/both.yaml`.

use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};

use crate::tool::{Run, run_in};

const CASES: [(&str, &[&str]); 3] = [
    (
        "inbound",
        &[
            "inbound",
            "--issuer=https://login.example/realms/shop",
            "--jwks-uri=https://keys.example:8443/realms/shop/certs",
            "--audience=https://orders.example",
            "--audience=orders",
            "--route=GET /orders/{id} orders:read",
            "--route=POST,PUT /orders orders:write orders:admin",
            "--route=/files/*",
            "--route=/healthz public",
            "--upstream=orders.internal:8080",
            "--at-jwt",
        ],
    ),
    (
        "outbound",
        &[
            "outbound",
            "--token-endpoint=https://issuer.example/token",
            "--client-id=checkout",
            "--secret-sds=client-credential.yaml",
            "--scope=billing:read",
            "--scope=billing:write",
            "--destination=https://billing.example:9443",
        ],
    ),
    (
        "both",
        &[
            "both",
            "--issuer=https://issuer.example",
            "--audience=https://orders.example",
            "--route=GET /orders orders:read",
            "--route=/healthz public",
            "--client-id=orders-service",
            "--destination=https://billing.example",
        ],
    ),
];

fn expected(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/attachectl/init").join(name)
}

fn init(directory: &TempDir, arguments: &[&str]) -> Run {
    run_in(directory.path(), &[&["init"], arguments].concat(), "")
}

#[test]
fn what_is_written_is_what_is_kept_and_check_finds_nothing_in_it() {
    let directory = tempdir().unwrap();
    let mut wrong = String::new();
    for (name, arguments) in CASES {
        let file = format!("{name}.yaml");
        let run = init(&directory, &[arguments, &["--output", &file]].concat());
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{name}: {}", run.stdout);
        let written = std::fs::read_to_string(directory.path().join(&file)).unwrap();
        for (suffix, told) in [("yaml", &written), ("txt", &run.stdout)] {
            let path = expected(&format!("{name}.{suffix}"));
            if std::env::var_os("ATTACHE_GOLDEN").is_some() {
                std::fs::write(&path, told).unwrap();
            } else if std::fs::read_to_string(&path).unwrap() != *told {
                wrong += &format!("{}:\n{told}\n", path.display());
            }
        }
        let check = run_in(directory.path(), &["check", "--strict", &file], "");
        assert_eq!(check.code, 0, "{}", check.stdout);
        assert!(!check.stdout.contains("error") && !check.stdout.contains("warning"), "{}", check.stdout);
    }
    assert!(wrong.is_empty(), "other than kept:\n{wrong}");
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("envoy.yaml");
    std::fs::write(&path, "mine").unwrap();
    let run = init(&directory, CASES[0].1);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("envoy.yaml is there already"), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(init(&directory, &[CASES[0].1, &["--force"]].concat()).code, 0);
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("# Written by"));
}

#[test]
fn without_a_terminal_everything_that_is_missing_is_named_at_once() {
    let directory = tempdir().unwrap();
    let run = init(&directory, &[]);
    assert!(run.code == 2 && run.stderr.contains("attachectl init inbound"), "{}", run.stderr);
    let run = init(&directory, &["both"]);
    for flag in ["--issuer", "--audience", "--route", "--client-id", "--destination"] {
        assert!(run.code == 2 && run.stderr.contains(flag), "{flag}: {}", run.stderr);
    }
    assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none(), "something was written");
}

/// Envoy refuses two clusters of one name.
#[test]
fn keys_on_another_host_than_the_issuer_have_a_cluster_of_another_name() {
    let directory = tempdir().unwrap();
    let (_, both) = CASES[2];
    let run = init(&directory, &[both, &["--jwks-uri=https://keys.example/jwks"]].concat());
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    let written = std::fs::read_to_string(directory.path().join("envoy.yaml")).unwrap();
    for name in ["api", "keys", "issuer", "destination"] {
        assert_eq!(written.matches(&format!("\n  - name: {name}\n")).count(), 1, "{name}: {written}");
    }
}

#[test]
fn a_secret_in_the_place_of_its_variable_is_neither_written_nor_repeated() {
    let directory = tempdir().unwrap();
    let (_, both) = CASES[2];
    for secret in ["hunter2-hunter2", "2hunter2", "hunter2/+=", ""] {
        let run = init(&directory, &[both, &[&*format!("--secret-env={secret}")]].concat());
        assert!(run.code == 2 && run.stderr.contains("name of a variable"), "{secret}: {}", run.stderr);
        assert!(!run.stderr.contains("hunter2") && !run.stdout.contains("hunter2"), "{}", run.stderr);
    }
    assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none(), "something was written");
}

/// The lines are there to be copied, so a shell has to read each name as the one word that it is.
#[test]
fn what_to_run_is_quoted_for_the_shell() {
    let directory = tempdir().unwrap();
    let (_, both) = CASES[2];
    let file = "a #b $(touch c) it's.yaml";
    let run = init(&directory, &[both, &["--output", file]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let line = run.stdout.lines().find(|line| line.contains("envoy --config-path")).unwrap();
    let script = line.replace("envoy --config-path", "printf '%s\\n'");
    let mut shell = std::process::Command::new("sh");
    let shell = shell.args(["-c", &script]).current_dir(directory.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shell.stdout), format!("{file}\n"), "{line}");
    let quoted = line.split_once("--config-path ").unwrap().1;
    assert_eq!(run.stdout.matches(quoted).count(), 3, "{}", run.stdout);
}

#[test]
fn what_other_hosts_reach_is_told() {
    let directory = tempdir().unwrap();
    let (_, both) = CASES[2];
    let open = ["--admin=0.0.0.0:9901", "--listen=0.0.0.0:10000", "--listen-outbound=[::]:10001"];
    let run = init(&directory, &[both, &open].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    for rule in ["admin-exposed", "egress-exposed"] {
        assert_eq!(run.stdout.matches(&format!("[{rule}]")).count(), 1, "{rule}: {}", run.stdout);
    }
    // Callers are meant to reach that one.
    assert!(run.stdout.contains("0 errors, 2 warnings"), "{}", run.stdout);
}

#[test]
fn nothing_is_written_that_would_send_secrets_or_keys_in_plain_text() {
    let directory = tempdir().unwrap();
    let (_, both) = CASES[2];
    for flag in [
        "--issuer=http://issuer.example",
        "--destination=http://billing.example",
        "--destination=https://10.0.0.1",
    ] {
        let name = flag.split('=').next().unwrap();
        let others = both.iter().filter(|other| !other.starts_with(name)).copied();
        let run = init(&directory, &others.chain([flag]).collect::<Vec<_>>());
        assert!(run.code == 2 && run.stderr.contains("expected"), "{flag}: {} {}", run.code, run.stderr);
    }
    assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none(), "something was written");
}
