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
            enforce_alias_anchor_ratio: false,
        },
        // A snippet could show a secret.
        with_snippet: false,
        emit_comments: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
        let told = error.to_string();
        let problem = match told.split_once(", set DuplicateKeyPolicy") {
            // The library's advice is for programmers.
            Some((told, _)) => format!("{told}: it stands twice, and Envoy would silently take the last"),
            None => format!("not valid YAML: {told}"),
        };
        Unreadable { problem, line }
    })
}

/// A configuration of the largest allowed size has fewer. With the library's bound for what aliases repeat, a file
/// takes a few hundred megabytes at most.
const MAX_NODES: usize = 2_000_000;
