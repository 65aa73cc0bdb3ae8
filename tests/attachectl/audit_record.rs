//! docs/audit.schema.json and docs/audit.md: the records that pages and tests show are such records, and the command
//! that finds a token's records makes its digest.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::documents::{blocks, root};

fn schema() -> Value {
    schema_in("docs/audit.schema.json")
}

fn schema_in(file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(root().join(file)).unwrap()).unwrap()
}

#[track_caller]
fn hold(schema: &Value, place: &str, record: &str) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let record: Value = serde_json::from_str(record).unwrap();
    // A name that is not of the schema would be held by nothing.
    for name in record.as_object().unwrap().keys() {
        assert!(schema["properties"].get(name).is_some(), "{place}: the schema has no {name}");
    }
    let faults: Vec<String> = validator.iter_errors(&record).map(|error| error.to_string()).collect();
    assert!(faults.is_empty(), "{place}: {}", faults.join(", "));
}

#[test]
fn records_in_the_pages_match_the_schema() {
    let records: Vec<_> = blocks().into_iter().filter(|block| block.language == "json").collect();
    assert!(!records.is_empty(), "are the pages still read?");
    for block in records {
        let is_of_a_token = block.text.contains(r#""event":"#);
        let schema = if is_of_a_token { schema_in("docs/token-record.schema.json") } else { schema() };
        hold(&schema, &block.place, &block.text);
    }
}

/// Without Envoy's own keys, which explain does not need. The other files have records that differ, to be told of, and
/// types of other loggers.
#[test]
fn records_that_explain_is_shown_with_match_the_schema() {
    let mut schema = schema();
    schema.as_object_mut().unwrap().remove("required").unwrap();
    for name in ["records-tree", "records-both"] {
        let path = root().join(format!("tests/attachectl/explain/{name}.jsonl"));
        for (index, record) in fs::read_to_string(path).unwrap().lines().enumerate() {
            hold(&schema, &format!("{name}:{}", index + 1), record);
        }
    }
}

#[test]
fn the_command_of_the_page_takes_the_records_out_of_a_log() {
    let block = blocks().into_iter().find(|block| block.text.contains("envoy.log")).unwrap();
    let record = r#"{"event":"breaker","client":"a \" audit: b","result":"opened"}"#;
    let log = format!(
        "[2026-12-01 04:19:01.512][7][info][wasm] [source/x.cc:1] wasm log attache: client a: a token\n\
         [2026-12-01 04:19:01.513][7][info][wasm] [source/x.cc:1] wasm log attache: audit: {record}\n"
    );
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("envoy.log"), log).unwrap();
    let run = Command::new("sh").args(["-c", &block.text]).current_dir(directory.path()).output().unwrap();
    assert_eq!(String::from_utf8(run.stdout).unwrap().trim_end(), record);
}

#[test]
fn the_command_of_the_page_makes_the_digest_of_a_token() {
    let is_it = |text: &str| text.contains("attache.audit.token") && text.contains("openssl dgst");
    let block = blocks().into_iter().find(|block| block.language == "sh" && is_it(&block.text)).unwrap();
    let run = Command::new("sh")
        .args(["-c", &block.text])
        .envs([("TOKEN", "some.token.here".to_owned()), ("KEY_HEX", "07".repeat(32))])
        .output()
        .unwrap();
    // Made by another implementation, Python's hmac, over the label, a line feed and the token.
    assert_eq!(
        String::from_utf8_lossy(&run.stdout).trim(),
        "poGrbrdBpEn-WgulEQmLlA",
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
}
