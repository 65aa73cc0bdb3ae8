//! `attachectl top` of real Envoys: the demo's, with both halves. Needs `ATTACHE_ENVOY` and `ATTACHE_WASM`, which
//! `make test` sets.

#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use attache_harness::demo;
use attache_harness::demo_environment::{DemoEnvironment, DemoOptions};

fn top(admin: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_attachectl"))
        .args(["top", "--interval", "1", "--admin", admin])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The rows of the table whose first column has this name, as words.
fn rows(text: &str, name: &str) -> Vec<Vec<String>> {
    let lines = text.lines().skip_while(|line| !line.starts_with(name)).skip(1);
    let rows = lines.take_while(|line| !line.is_empty());
    rows.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn the_demo_is_seen_with_its_routes_keys_and_tokens() {
    let from_environment = |name: &str| {
        let path = std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run `make test`"));
        Some(std::fs::canonicalize(path).unwrap())
    };
    let (envoy, wasm) = (from_environment("ATTACHE_ENVOY"), from_environment("ATTACHE_WASM"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // The sidecar's file names its credential from here.
    std::env::set_current_dir(root).unwrap();
    let stage = DemoEnvironment::start(DemoOptions {
        envoy,
        wasm,
        config: root.join("envoy.yaml"),
        sidecar: root.join("sidecar.yaml"),
        concurrency: 2,
    })
    .unwrap();
    let places = stage.places().unwrap();
    demo::wait_until_up(&places, Duration::from_secs(120)).unwrap();
    demo::walk(&places, &mut |_| {});

    let text = top(&places.admin);
    assert!(text.contains("Envoy live, up "), "{text}");
    assert!(text.contains(", 2 workers") && text.contains(" VMs, none has failed"), "{text}");
    let decisions = rows(&text, "ROUTE");
    for wanted in [
        ["list-orders", "demo", "permit", "ok"],
        ["list-orders", "none", "deny", "credential_missing"],
        ["create-order", "demo", "deny", "scope_insufficient"],
    ] {
        let found =
            decisions.iter().find(|words| words.iter().zip(wanted).all(|(word, wanted)| word == wanted));
        let row = found.unwrap_or_else(|| panic!("{wanted:?}: {text}"));
        let total: u64 = row.last().unwrap().parse().unwrap();
        assert!(total > 0, "{text}");
    }
    let keys = rows(&text, "KEYS OF");
    assert!(keys.iter().any(|words| words.first().is_some_and(|name| name == "demo")), "{text}");

    let sidecar = places.sidecar.as_ref().unwrap();
    let text = top(&sidecar.admin);
    let tokens = rows(&text, "TOKEN OF");
    let row = tokens.first().unwrap_or_else(|| panic!("no token: {text}")).join(" ");
    assert!(row.contains(" in ") && row.contains(" closed "), "{text}");
}
