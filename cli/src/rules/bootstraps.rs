//! What a bootstrap as a whole lacks.

use crate::finding::{Finding, table};
use crate::reading::Set;

/// What is found of the bootstraps of a set.
pub(crate) fn check(set: &Set<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, bootstrap) in set.bootstraps.iter().enumerate() {
        let filters: Vec<_> = set.filters.iter().filter(|filter| filter.bootstrap == Some(index)).collect();
        if filters.is_empty() {
            found.push(bootstrap.place.finding(
                table::FILTER_MISSING,
                "the bootstrap does not contain the filter: nothing in it is protected, and it adds no tokens",
                "add the filter to `http_filters`, or leave the file out",
            ));
            continue;
        }
        let has = |block: &str| filters.iter().any(|filter| filter.config.member(block).is_some());
        let mut labels = Vec::new();
        for (name, blocks) in LABELS {
            labels.extend(blocks.iter().any(|block| has(block)).then_some(name));
        }
        let tags =
            bootstrap.place.member("stats_config").into_iter().flat_map(|config| config.list("stats_tags"));
        let patterns: Vec<_> = tags.map(|tag| tag.text("regex")).collect();
        labels.retain(|label| !patterns.iter().any(|pattern| pattern.contains(&format!("{label}="))));
        if !labels.is_empty() {
            found.push(Finding::new(
                table::STATS_TAGS_MISSING,
                bootstrap.place.location_of("stats_config.stats_tags"),
                format!(
                    "no tag extracts {}: metrics have these labels inside their names, and the documented \
                queries find nothing",
                    labels.join(", ")
                ),
                "copy `stats_config` from envoy.yaml, or sidecar.yaml for both halves",
            ));
        }
    }
    found
}

/// The labels of metrics, and the blocks of the configuration that bring them.
const LABELS: [(&str, &[&str]); 9] = [
    ("route", &["inbound"]),
    ("issuer", &["inbound"]),
    ("client", &["inbound", "outbound"]),
    ("outcome", &["inbound", "outbound"]),
    ("reason", &["inbound", "outbound"]),
    ("result", &["inbound", "outbound"]),
    ("engine", &["inbound"]),
    ("path", &["inbound"]),
    ("plugin", &["inbound", "outbound"]),
];

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use std::collections::BTreeSet;

    use super::LABELS;
    use crate::reading::Node;

    /// The block that operators copy. That it is what the module writes, `tests/e2e` says.
    #[test]
    fn the_labels_are_those_of_the_documented_tags() {
        let page = include_str!("../../../docs/metrics.md");
        let block = page.split("```").find(|block| block.contains("stats_tags:")).unwrap();
        let block: Node = serde_saphyr::from_str(block.split_once('\n').unwrap().1).unwrap();
        let tags = &block.member("stats_config").unwrap().value.member("stats_tags").unwrap().value;
        let tags = tags.items().iter().filter_map(|tag| tag.member("tag_name")?.value.as_str());
        // That one is of Envoy's own making.
        let documented: BTreeSet<&str> = tags.filter(|tag| *tag != "cluster").collect();
        assert_eq!(documented, LABELS.iter().map(|(name, _)| *name).collect());
    }
}
