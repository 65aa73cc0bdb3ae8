//! docs/audit.md, docs/audit.schema.json and the example of an access log against the code's list of fields.

use std::fs;
use std::path::Path;

use attache::base::MAX_AUDIT_TEXT;
use attache::telemetry::AuditField;
use serde_json::{Map, Value, json};

const PAGE: &str = include_str!("../../docs/audit.md");
const EXAMPLE: &str = include_str!("../../deploy/observability/access-log.yaml");

/// The rows of the table: the name of a field, and what it is.
fn rows() -> Vec<(&'static str, &'static str)> {
    let (_, table) = PAGE.split_once("| field | value |\n|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches(['|', ' ']).split_once(" | ").unwrap())
        .map(|(name, text)| (name.trim_matches('`'), text))
        .collect()
}

/// A text without links and marks.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let (words, behind) = link.split_once("](").unwrap();
        plain += before;
        plain += words;
        rest = behind.split_once(')').unwrap().1;
    }
    plain + rest
}

/// The schema of a record, made of the code's list and of the texts of the page.
fn schema() -> Value {
    let whole = |text: &str| json!({ "type": "integer", "minimum": 0, "description": text });
    let mut properties = Map::new();
    properties.insert(
        "time".into(),
        json!({ "type": "string", "format": "date-time", "description": "when the request came" }),
    );
    properties.insert(
        "method".into(),
        json!({ "type": ["string", "null"], "description": "the request's method" }),
    );
    properties.insert("status".into(), json!({ "type": "integer", "minimum": 0, "maximum": 599, "description": "the status of the answer; 0: there was none" }));
    properties.insert("duration_ms".into(), json!({ "type": ["integer", "null"], "minimum": 0, "description": "how long the request took, in milliseconds" }));
    properties.insert("bytes_sent".into(), whole("the size of the answer's body"));
    for (field, (name, text)) in AuditField::ALL.into_iter().zip(rows()) {
        assert_eq!(field.word(), name, "the rows are in the order of the code");
        let mut property = json!({
            "type": ["string", "null"], "maxLength": MAX_AUDIT_TEXT, "pattern": "^[ -~]*$", "description": plain(text),
        });
        let words: &[&str] = match field {
            AuditField::Outcome => &["", "permit", "deny", "report", "end", "resource_metadata"],
            AuditField::Engine => &["", "envoy", "portable"],
            AuditField::Work => &["", "cached", "checked", "waited"],
            AuditField::OutboundRetried => &["", "true", "false"],
            _ => &[],
        };
        if !words.is_empty() {
            let words = words.iter().map(|word| json!(word)).chain([Value::Null]);
            property = json!({ "enum": words.collect::<Vec<_>>(), "description": plain(text) });
        }
        let pattern = match field {
            AuditField::Reason | AuditField::OutboundOutcome => Some("^[a-z0-9_]*$"),
            AuditField::DurationUs | AuditField::OutboundTokenAgeS => Some("^[0-9]*$"),
            _ => None,
        };
        if let Some(pattern) = pattern {
            property["pattern"] = pattern.into();
        }
        properties.insert(name.to_owned(), property);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Attaché's audit record",
        "description": "One request, as the access log of deploy/observability/access-log.yaml writes it. A field that the \
            configuration does not list is null. More members may be there.",
        "type": "object",
        "required": ["time", "method", "status", "duration_ms", "bytes_sent"],
        "properties": properties,
    })
}

#[test]
fn the_page_has_a_row_for_each_field_and_no_other() {
    let names: Vec<&str> = rows().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, AuditField::ALL.map(AuditField::word));
}

#[test]
fn the_schema_is_made_of_the_list_of_fields() {
    hold("docs/audit.schema.json", &schema());
}

/// Compares a file with what it is made of.
#[track_caller]
pub fn hold(file: &str, made: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let made = serde_json::to_string_pretty(made).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(made == kept, "{file} is not what the code says: write it with UPDATE_GOLDEN=1");
}

#[test]
fn the_example_of_an_access_log_has_each_field_under_its_name() {
    let document: Value = serde_saphyr::from_str(EXAMPLE).unwrap();
    let format = &document["access_log"][0]["typed_config"]["log_format"]["json_format"];
    for field in AuditField::ALL {
        let expected = format!("%FILTER_STATE(wasm.{}:PLAIN)%", field.key());
        assert_eq!(format[field.word()], expected.as_str());
    }
    let own = ["time", "method", "status", "duration_ms", "bytes_sent"];
    assert_eq!(format.as_object().unwrap().len(), AuditField::ALL.len() + own.len());
    assert!(own.iter().all(|name| format[name].is_string()));
}
