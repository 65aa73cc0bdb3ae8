//! What `attachectl check` says of Envoy, held against Envoy itself. Needs `ATTACHE_ENVOY` and `ATTACHE_WASM`, which
//! `make test` sets.

#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

#[path = "attachectl/copied.rs"]
mod copied;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Has Envoy read a bootstrap, without running it. Returns whether it would start, and what it says.
fn starts(name: &str, bootstrap: &str) -> (bool, String) {
    let from_environment = |name: &str| {
        let path = std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run `make test`"));
        fs::canonicalize(path).unwrap()
    };
    let module = from_environment("ATTACHE_WASM");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    let mut bootstrap = bootstrap.to_owned();
    for shown in ["target/attache.wasm", "attache.wasm"] {
        let filename = format!("filename: {shown}");
        bootstrap = bootstrap.replace(&filename, &format!("filename: {}", module.display()));
    }
    fs::write(&file, bootstrap).unwrap();
    let output = Command::new(from_environment("ATTACHE_ENVOY"))
        .args(["--mode", "validate", "--use-dynamic-base-id", "--log-level", "error", "--config-path"])
        .arg(&file)
        // The sidecar's file names its credential from here.
        .current_dir(root())
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn envoy_does_not_start_where_check_says_so() {
    let folder = root().join("tests/attachectl/check");
    let mut claims = 0;
    for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let said = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        if path.extension().is_none_or(|extension| extension != "yaml")
            || !said.contains("Envoy does not start")
        {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (starts, error) = starts(&name, &fs::read_to_string(&path).unwrap());
        assert!(!starts, "{name}");
        let expected = ["must be the last filter", "unknown cluster", "duplicate cluster"];
        assert!(expected.iter().any(|reason| error.contains(reason)), "{name}: {error}");
        claims += 1;
    }
    assert!(claims >= 3, "{claims}");
}

#[test]
fn envoy_starts_with_a_copy_that_has_the_tls_of_the_comment() {
    for (name, _) in copied::EXAMPLES {
        let example = fs::read_to_string(root().join(name)).unwrap();
        let copy = copied::with_tls(&example);
        assert!(copy.contains("auto_sni_san_validation: true\n"), "{copy}");
        let (starts, error) = starts(name, &copy);
        assert!(starts, "{name}: {error}");
    }
}
