//! What the filter takes of its host, and whether a capability restriction leaves it that.

use attache::config::{Config, Value};

use crate::document::member;

/// What is missing from the restriction of a plugin, if it has one: the host refuses these calls, or never makes them.
pub(crate) fn missing(plugin: &Value, config: &Config) -> Vec<String> {
    // Envoy 1.40 has it in `vm_config`, older ones beside it.
    let places = [Some(plugin), member(plugin, "vm_config")];
    let restriction =
        places.into_iter().flatten().find_map(|place| member(place, "capability_restriction_config"));
    let allowed = restriction.and_then(|restriction| member(restriction, "allowed_capabilities"));
    // Without names in it, everything is allowed.
    let Some(allowed) = allowed.and_then(Value::as_object).filter(|allowed| !allowed.is_empty()) else {
        return Vec::new();
    };
    let outgoing = ALSO_FOR_WHAT_GOES_OUT.iter().filter(|_| config.outbound.is_some());
    let needed = ALWAYS.iter().chain(outgoing);
    needed
        .filter(|(name, _)| allowed.iter().all(|(other, _)| other != name))
        .map(|(name, why)| format!("capability_restriction_config: {name} is missing: {why}"))
        .collect()
}

/// All that a filter takes which verifies the requests that come in, and does nothing else.
pub fn of_inbound() -> impl Iterator<Item = &'static str> {
    ALWAYS.iter().map(|(name, _)| *name).chain(OPTIONAL)
}

/// What the filter cannot do without, and what becomes of it.
const ALWAYS: [(&str, &str); 22] = [
    ("proxy_on_configure", "no configuration would be read, and every request refused"),
    ("proxy_on_context_create", "every request would be refused"),
    ("proxy_on_delete", "requests that have gone would keep their places among those that wait"),
    ("proxy_on_http_call_response", "no key and no token would ever come"),
    ("proxy_on_request_headers", "every request would pass unseen"),
    ("proxy_on_tick", "no key and no token would ever be asked for"),
    ("proxy_continue_stream", "requests that wait would never go on"),
    ("proxy_define_metric", "there would be no metrics"),
    ("proxy_get_buffer_bytes", "no configuration would be read, and every request refused"),
    ("proxy_get_current_time_nanoseconds", "every token would have expired"),
    ("proxy_get_header_map_pairs", "every request would be refused"),
    ("proxy_get_property", "Envoy's routes and clusters would say nothing"),
    ("proxy_http_call", "no key and no token would ever be asked for"),
    ("proxy_increment_metric", "there would be no metrics"),
    ("proxy_log", "there would be no log lines"),
    ("proxy_record_metric", "there would be no metrics"),
    ("proxy_remove_header_map_value", "requests whose headers have to change would be refused"),
    ("proxy_replace_header_map_value", "requests whose headers have to change would be refused"),
    ("proxy_send_local_response", "nobody could be told that a request is refused"),
    ("proxy_set_effective_context", "requests that wait would never go on"),
    ("proxy_set_tick_period_milliseconds", "no key and no token would ever be asked for"),
    ("random_get", "nothing that must not be guessed could be made"),
];
const ALSO_FOR_WHAT_GOES_OUT: [(&str, &str); 2] = [
    ("proxy_on_response_headers", "a token that an API refuses would stay in use"),
    ("proxy_get_header_map_value", "a token that an API refuses would stay in use"),
];
/// What it can do without: by itself, or as other settings have it.
const OPTIONAL: [&str; 10] = [
    "environ_get",
    "environ_sizes_get",
    "proxy_call_foreign_function",
    "proxy_dequeue_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_get_shared_data",
    "proxy_on_queue_ready",
    "proxy_register_shared_queue",
    "proxy_set_property",
    "proxy_set_shared_data",
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::document::Document;

    const INBOUND: &str = r#"{ inbound: { issuers: [{ name: a, issuer: "https://a.example", audiences: [b],
        keys: { discovery: { cluster: a } } }], default: deny } }"#;
    const OUTBOUND: &str = r#"{ outbound: { position: downstream, unmatched: refuse,
        clients: [{ name: a, token_endpoint: { uri: "https://a.example/t", cluster: a }, authentication: { set_by_cluster: {} } }],
        destinations: [{ match: { authorities: [b], clusters: [b] }, client: a }] } }"#;

    fn problems(configuration: &str, beside: &str, inside: &str) -> Vec<String> {
        let text = format!(
            r#"{{ "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm, config: {{ name: a, {beside}
            vm_config: {{ {inside} }}, configuration: {{ value: {configuration} }} }} }}"#
        );
        let document = Document::parse_all(&text).unwrap().remove(0);
        document.contradictions(&document.compile().unwrap())
    }

    fn restriction(without: &[&str]) -> String {
        let names = ALWAYS.iter().chain(&ALSO_FOR_WHAT_GOES_OUT).map(|(name, _)| *name);
        let names = names.filter(|name| !without.contains(name)).map(|name| format!("{name}: {{}}"));
        let names = names.collect::<Vec<_>>().join(", ");
        format!("capability_restriction_config: {{ allowed_capabilities: {{ {names} }} }},")
    }

    #[test]
    fn a_restriction_that_leaves_out_what_is_needed_is_a_problem_in_either_place() {
        for (name, why) in ALWAYS {
            let expected = [format!("capability_restriction_config: {name} is missing: {why}")];
            assert_eq!(problems(INBOUND, &restriction(&[name]), ""), expected);
            assert_eq!(problems(OUTBOUND, "", &restriction(&[name])), expected);
        }
        for configuration in [INBOUND, OUTBOUND] {
            assert_eq!(problems(configuration, &restriction(&[]), ""), [""; 0]);
            assert_eq!(problems(configuration, "", ""), [""; 0]);
            let empty = "capability_restriction_config: { allowed_capabilities: {} },";
            assert_eq!(problems(configuration, empty, ""), [""; 0]);
        }
    }

    #[test]
    fn responses_are_needed_only_where_something_goes_out() {
        let restriction = restriction(&["proxy_on_response_headers", "proxy_get_header_map_value"]);
        assert_eq!(problems(INBOUND, &restriction, ""), [""; 0]);
        assert_eq!(problems(OUTBOUND, &restriction, "").len(), 2);
    }

    /// The list that operators copy. That it is what the module takes, `tests/e2e` says.
    #[test]
    fn the_documented_restriction_has_all_that_is_known_here_and_nothing_else() {
        let page = include_str!("../../docs/operations.md");
        let mut blocks = page.split("```text\n");
        let block = blocks.find(|block| block.starts_with("capability_restriction_config")).unwrap();
        let block: Value = serde_saphyr::from_str(block.split("```").next().unwrap()).unwrap();
        let restriction = member(&block, "capability_restriction_config").unwrap();
        let documented = member(restriction, "allowed_capabilities").and_then(Value::as_object).unwrap();
        let documented: BTreeSet<&str> = documented.iter().map(|(name, _)| name.as_str()).collect();
        let outgoing = ALSO_FOR_WHAT_GOES_OUT.iter().map(|(name, _)| *name);
        assert_eq!(documented, of_inbound().chain(outgoing).collect());
    }
}
