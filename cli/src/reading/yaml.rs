use super::node::Node;

/// Why a text cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// Holds names of the text, and no value.
    pub(crate) problem: String,
    /// From 1.
    pub(crate) line: Option<u64>,
}

/// Reads all documents of a YAML or JSON text, within bounds: anchors that refer to themselves, or that grow without
/// end when they are written out, are refused.
pub(crate) fn parse_text(text: &str) -> Result<Vec<Node>, Unreadable> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: MAX_NODES.saturating_mul(2),
            max_nodes: MAX_NODES,
            max_aliases: MAX_NODES,
            max_recorded_anchor_events: MAX_ANCHORED,
            enforce_alias_anchor_ratio: false,
        },
        // A snippet could show a secret.
        with_snippet: false,
        emit_comments: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
        Unreadable { problem: problem(&error.to_string()), line }
    })
}

/// What an operator is told: the library speaks to programmers.
fn problem(told: &str) -> String {
    // The line is told elsewhere.
    let told = told.split_once(" at line ").map_or(told, |(told, _)| told);
    if let Some((told, _)) = told.split_once(", set DuplicateKeyPolicy") {
        return format!("{told}: it stands twice, and Envoy would silently take the last");
    }
    if told.contains("recursive") {
        return "not valid YAML: an anchor refers to itself".to_owned();
    }
    if told.contains("budget breached") || told.contains("limit exceeded") {
        return "takes more than is read here: too many values or levels, or anchors that grow without end"
            .to_owned();
    }
    format!("not valid YAML: {told}")
}

/// A configuration of the largest allowed size has fewer. With the library's bound for what aliases repeat, a file
/// takes a few hundred megabytes at most.
const MAX_NODES: usize = 2_000_000;
/// What anchors may hold, written out: far more than configurations repeat.
const MAX_ANCHORED: usize = 250_000;
