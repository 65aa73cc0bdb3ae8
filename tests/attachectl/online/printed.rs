//! What others say, as it is printed.

use std::fs;
use std::path::Path;

use attache_harness::issuer::{Endpoint, Fault};
use serde_json::json;

use super::tls_server::TlsServer;
use super::{at, block, check, client, discovery, inbound, issuer, outbound, secret, token_endpoint};
use crate::tool::run_in;

#[test]
fn a_server_writes_no_line_of_its_own_and_nothing_that_a_terminal_acts_on() {
    let issuer = issuer();
    let forged = "https://a\u{1b}[2J.example\n  verdict  ✓ the filter takes it";
    issuer.fault_at(Endpoint::Metadata, Fault::Patch(json!({ "issuer": forged })));
    let config = json!({ "inbound": inbound(issuer.identifier(), discovery()) });
    let run = check(&config, &[&issuer], &[]);
    let lines: Vec<&str> = run.stdout.lines().map(str::trim_start).collect();
    assert!(!lines.iter().any(|line| line.starts_with("verdict  ✓")), "{}", run.stdout);
    assert!(!run.stdout.contains('\u{1b}'), "{:?}", run.stdout);
    assert!(block(&run, "metadata of issuer corp").contains("what differs: "), "{}", run.stdout);
}

/// Its certificate is for 40 other names.
#[test]
fn why_tls_failed_is_told_in_no_more_than_256_characters() {
    let server = TlsServer::start_as("many_names.pem", Vec::new());
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/attachectl/online/many_names.pem");
    let uri = format!("https://localhost:{}/jwks", server.port);
    let keys = json!({ "jwks": { "uri": uri, "cluster": "idp" } });
    let run = check(
        &json!({ "inbound": inbound("https://issuer.example", keys) }),
        &[],
        &["--ca", ca.to_str().unwrap()],
    );
    let verdict = "  verdict  ✗ no TLS connection: ";
    let why = run
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix(verdict))
        .unwrap_or_else(|| panic!("{}", run.stdout));
    assert!(why.contains("name-number-1.example") && !why.contains("name-number-40.example"), "{why}");
    assert_eq!(why.chars().count(), 256 + 1, "{why}");
}

/// As a command of a CI system would stand there.
#[test]
fn a_file_writes_no_line_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let name = "a\n::error::all is well\u{1b}[2J.json";
    fs::write(folder.path().join(name), json!({ "inbound": { "\u{1b}[2J\n::error::b": 1 } }).to_string())
        .unwrap();
    for arguments in [&["check", name][..], &["check", "--online", name]] {
        let run = run_in(folder.path(), arguments, "");
        for output in [&run.stdout, &run.stderr] {
            assert!(!output.lines().any(|line| line.starts_with("::")), "{output}");
            assert!(!output.contains('\u{1b}'), "{output:?}");
        }
        assert!(run.stdout.contains("a\\n::error::all is well\\u{1b}[2J.json"), "{}", run.stdout);
    }
}

#[test]
fn the_query_of_an_address_is_not_shown() {
    const KEY: &str = "QUERYKEY0123456789";
    let issuer = issuer();
    let uri = |path: &str| format!("{}/{path}?key={KEY}", issuer.url());
    let client_at = |name: &str, url: &str| client(name, token_endpoint(url), secret());
    let absent = format!("http://127.0.0.1:1/token?key={KEY}");
    let config = json!({
        "inbound": inbound(issuer.identifier(), json!({ "jwks": { "uri": uri("jwks"), "cluster": "idp" } })),
        "outbound": outbound(vec![client_at("orders", &uri("token")), client_at("absent", &absent)]),
    });
    for output in ["text", "json", "sarif"] {
        let run = check(&config, &[&issuer], &["--output", output]);
        let all = format!("{}{}", run.stdout, run.stderr);
        assert!(!all.contains(KEY), "{all}");
        assert!(all.contains("/jwks?…") && all.contains("/token?…"), "{all}");
    }
    // They are asked with it, all the same.
    assert_eq!((issuer.jwks_requests(), issuer.token_requests()), (3, 3));
    let run = check(
        &json!({ "outbound": outbound(vec![client("orders", at(&issuer), secret())]) }),
        &[&issuer],
        &[],
    );
    assert!(run.stdout.contains("/token\n"), "{}", run.stdout);
}
