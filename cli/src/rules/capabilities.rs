//! What the filter takes of its host, and whether a capability restriction leaves it that.

use attache::config::Config;
use attache::inbound::MetadataUse;
use attache::oauth::Authentication;
use attache::outbound::Client;

use super::subject::Subject;
use crate::finding::{Finding, table};
use crate::reading::Host;

/// What is missing from the restriction of a plugin, if it has one: the host refuses these calls, or never makes them.
pub(crate) fn check(subject: &Subject<'_, '_>, config: &Config) -> Vec<Finding> {
    let plugin = &subject.filter.plugin;
    // Envoy 1.40 has it in `vm_config`, older ones beside it.
    let places = [Some(plugin.clone()), subject.filter.vm_config()];
    let mut found = Vec::new();
    for place in places.into_iter().flatten() {
        let Some(allowed) = place.at(&["capability_restriction_config", "allowed_capabilities"]) else {
            continue;
        };
        // Without names in it, everything is allowed.
        if allowed.node().members().is_empty() {
            continue;
        }
        for (name, need, why) in NEEDS {
            if is_needed(need, config, !subject.references.is_empty()) && allowed.member(name).is_none() {
                found.push(allowed.finding(
                    table::CAPABILITY_MISSING,
                    format!("{name} is missing: {why}"),
                    "add it to the list",
                ));
            }
        }
    }
    found
}

/// Bodies that the host does not show, where MCP messages are judged by them.
pub(crate) fn bodies(subject: &Subject<'_, '_>, config: &Config) -> Option<Finding> {
    let plugin = &subject.filter.plugin;
    let reads = config.inbound.as_ref().is_some_and(|inbound| inbound.reads_bodies());
    let advice = match subject.filter.host {
        _ if !reads => return None,
        Host::Unknown => return None,
        Host::Envoy if plugin.flag(SHOWS_BODIES) == Some(true) => return None,
        Host::Envoy => "write `allow_on_headers_stop_iteration: true` beside `vm_config`",
        Host::Istio | Host::EnvoyGateway => {
            "this resource cannot say so: configure Envoy's filter by a patch, or read no bodies, by \
             `verify_body: false` and `older_versions: deny` in `inbound.mcp`"
        }
    };
    Some(plugin.finding(
        table::BODIES_HIDDEN,
        "MCP messages are judged by their bodies, which the proxy does not show the filter: they would wait until a \
         timeout",
        advice,
    ))
}

fn is_needed(need: Need, config: &Config, reads_variables: bool) -> bool {
    match need {
        Need::Always => true,
        Need::Properties => {
            let inbound = config.inbound.as_ref();
            let looks_at_routes = |inbound: &std::rc::Rc<attache::inbound::Settings>| {
                inbound.route_metadata != MetadataUse::Ignore
            };
            config.outbound.is_some() || inbound.is_some_and(looks_at_routes)
        }
        Need::Variables => reads_variables,
        Need::Outgoing => config.outbound.is_some(),
        Need::Facts => config.inbound.as_ref().is_some_and(|inbound| !inbound.facts.is_empty()),
        Need::Streams => config.ends_streams(),
        Need::Bodies => config.inbound.as_ref().is_some_and(|inbound| inbound.reads_bodies()),
        Need::Signing => config
            .outbound
            .as_ref()
            .is_some_and(|outbound| outbound.clients.iter().any(|client| signs_in_envoy(client))),
    }
}

/// All that a filter takes which verifies the requests that come in, and does nothing else.
pub fn of_inbound() -> impl Iterator<Item = &'static str> {
    let needs = NEEDS.iter().filter(|(_, need, _)| *need != Need::Outgoing);
    needs.map(|(name, ..)| *name).chain(OPTIONAL)
}

/// Whether its assertions can be signed by the host alone.
fn signs_in_envoy(client: &Client) -> bool {
    let authentication = &client.request.credentials.authentication;
    matches!(authentication, Authentication::PrivateKeyJwt(assertion) if !assertion.key.may_be_portable())
}

/// When something is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Always,
    /// Where it matters what Envoy's routes or clusters say.
    Properties,
    /// Where the configuration names variables.
    Variables,
    /// With a block `outbound`.
    Outgoing,
    /// Where a client's RSA key may sign in Envoy only.
    Signing,
    /// Where other filters are told facts.
    Facts,
    /// Where streams end with their token.
    Streams,
    /// Where MCP messages are judged by their bodies.
    Bodies,
}

/// Beside `vm_config`.
const SHOWS_BODIES: &str = "allow_on_headers_stop_iteration";
/// What the filter cannot do without, and what becomes of it.
const NEEDS: [(&str, Need, &str); 31] = [
    ("proxy_on_configure", Need::Always, "no configuration would be read, and every request refused"),
    ("proxy_on_context_create", Need::Always, "every request would be refused"),
    (
        "proxy_on_delete",
        Need::Always,
        "what has ended would keep its place: requests that wait, and configurations that were replaced",
    ),
    ("proxy_on_http_call_response", Need::Always, "no key and no token would ever come"),
    ("proxy_on_request_headers", Need::Always, "every request would pass unseen"),
    ("proxy_on_tick", Need::Always, "no key and no token would ever be asked for"),
    ("proxy_continue_stream", Need::Always, "requests that wait would never go on"),
    ("proxy_define_metric", Need::Always, "there would be no metrics"),
    ("proxy_get_buffer_bytes", Need::Always, "no configuration would be read, and every request refused"),
    ("proxy_get_current_time_nanoseconds", Need::Always, "every token would have expired"),
    ("proxy_get_header_map_pairs", Need::Always, "every request would be refused"),
    ("proxy_http_call", Need::Always, "no key and no token would ever be asked for"),
    ("proxy_increment_metric", Need::Always, "there would be no metrics"),
    ("proxy_log", Need::Always, "there would be no log lines"),
    ("proxy_record_metric", Need::Always, "there would be no metrics"),
    ("proxy_remove_header_map_value", Need::Always, "requests whose headers have to change would be refused"),
    (
        "proxy_replace_header_map_value",
        Need::Always,
        "requests whose headers have to change would be refused",
    ),
    ("proxy_send_local_response", Need::Always, "no client could be told that its request is refused"),
    ("proxy_set_effective_context", Need::Always, "requests that wait would never go on"),
    ("proxy_set_tick_period_milliseconds", Need::Always, "the configuration would be refused"),
    ("random_get", Need::Always, "the module would end at its start"),
    (
        "proxy_get_property",
        Need::Properties,
        "every request would be refused, as if its route or its cluster were at fault",
    ),
    ("environ_get", Need::Variables, "the module would end when it reads a variable"),
    ("environ_sizes_get", Need::Variables, "the module would end when it reads a variable"),
    ("proxy_call_foreign_function", Need::Signing, "a client's assertions could not be signed"),
    (
        "proxy_set_property",
        Need::Facts,
        "every request would be refused: other filters would decide without facts",
    ),
    ("proxy_close_stream", Need::Streams, "the configuration would be refused"),
    ("proxy_on_request_body", Need::Bodies, "MCP messages would wait for their bodies until a timeout"),
    (
        "proxy_on_request_trailers",
        Need::Bodies,
        "an MCP message whose body ends with trailers would pass unseen",
    ),
    ("proxy_on_response_headers", Need::Outgoing, "a token that an API refuses would stay in use"),
    ("proxy_get_header_map_value", Need::Outgoing, "a token that an API refuses would stay in use"),
];
/// What it can do without: it fetches for itself what others could have shown it.
const OPTIONAL: [&str; 6] = [
    "proxy_dequeue_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_get_shared_data",
    "proxy_on_queue_ready",
    "proxy_register_shared_queue",
    "proxy_set_shared_data",
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::check::check_text;
    use crate::reading::Node;

    const INBOUND: &str = r#"{ inbound: { issuers: [{ name: a, issuer: "https://a.example", audiences: [b],
        keys: { discovery: { cluster: a } } }], default: deny } }"#;
    const OUTBOUND: &str = r#"{ outbound: { position: downstream, unmatched: deny,
        clients: [{ name: a, token_endpoint: { uri: "https://a.example/t", cluster: a }, authentication: { set_by_cluster: {} } }],
        destinations: [{ match: { authorities: [b], clusters: [b] }, client: a }] } }"#;

    fn problems(configuration: &str, beside: &str, inside: &str) -> Vec<String> {
        let text = format!(
            r#"{{ "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm, config: {{ name: a, {beside}
            vm_config: {{ {inside} }}, configuration: {{ value: {configuration} }} }} }}"#
        );
        let report = check_text("-", &text);
        let findings =
            report.findings.into_iter().filter(|finding| finding.rule == table::CAPABILITY_MISSING);
        findings.map(|finding| finding.message).collect()
    }

    fn restriction(without: &[&str]) -> String {
        let names = NEEDS.iter().map(|(name, ..)| *name);
        let names = names.filter(|name| !without.contains(name)).map(|name| format!("{name}: {{}}"));
        let names = names.collect::<Vec<_>>().join(", ");
        format!("capability_restriction_config: {{ allowed_capabilities: {{ {names} }} }},")
    }

    /// What is missing once each need has been taken away.
    fn told(configuration: &str) -> Vec<&'static str> {
        let needs = NEEDS.iter().filter(|(name, _, why)| {
            let expected = format!("{name} is missing: {why}");
            let found = problems(configuration, &restriction(&[name]), "");
            assert!(found.is_empty() || found == [expected], "{name}: {found:?}");
            assert_eq!(problems(configuration, "", &restriction(&[name])), found, "{name}, in vm_config");
            !found.is_empty()
        });
        needs.map(|(name, ..)| *name).collect()
    }

    fn with(more: &[Need]) -> Vec<&'static str> {
        let needs = NEEDS.iter().filter(|(_, need, _)| *need == Need::Always || more.contains(need));
        needs.map(|(name, ..)| *name).collect()
    }

    #[test]
    fn a_restriction_that_leaves_out_what_the_configuration_needs_is_a_problem() {
        assert_eq!(told(INBOUND), with(&[Need::Properties]));
        let mcp = INBOUND.replace(
            "default: deny",
            "default: deny, routes: [{ name: a, match: { path: /m }, deny: {} },
             { name: b, match: { path: /m, mcp: { methods: [tools/call] } }, deny: {} }]",
        );
        assert_eq!(told(&mcp), with(&[Need::Properties, Need::Bodies]));
        let ignores = INBOUND.replace("default: deny", "route_metadata: ignore, default: deny");
        assert_eq!(told(&ignores), with(&[]));
        let tells = "filter_state: { facts: [client] }, default: deny";
        assert_eq!(told(&INBOUND.replace("default: deny", tells)), with(&[Need::Properties, Need::Facts]));
        let ends =
            "route_metadata: ignore, streams: { end: at_expiry }, default: { require: { scopes: [a] } }";
        assert_eq!(told(&INBOUND.replace("default: deny", ends)), with(&[Need::Streams]));
        assert_eq!(told(OUTBOUND), with(&[Need::Properties, Need::Outgoing]));
        let secret = OUTBOUND.replace(
            "{ set_by_cluster: {} }",
            "{ client_secret_basic: { secret: { env: PATH } } }, client_id: a",
        );
        assert_eq!(told(&secret), with(&[Need::Properties, Need::Outgoing, Need::Variables]));
    }

    #[test]
    fn where_nothing_is_restricted_nothing_is_missing() {
        let empty = "capability_restriction_config: { allowed_capabilities: {} },";
        for configuration in [INBOUND, OUTBOUND] {
            for (beside, inside) in [("", ""), (empty, ""), ("", empty), (empty, &restriction(&[]))] {
                assert_eq!(problems(configuration, beside, inside), [""; 0]);
            }
        }
    }

    #[test]
    fn an_empty_restriction_hides_no_other_and_names_may_be_in_camel_case() {
        let without = restriction(&["proxy_on_request_headers"]);
        assert_eq!(problems(INBOUND, "capability_restriction_config: {},", &without).len(), 1);
        let camel = without
            .replace("capability_restriction_config", "capabilityRestrictionConfig")
            .replace("allowed_capabilities", "allowedCapabilities");
        assert_eq!(problems(INBOUND, &camel, "").len(), 1);
    }

    /// The list that operators copy. That it is what the module takes, `tests/e2e` says.
    #[test]
    fn the_documented_restriction_has_all_that_is_known_here_and_nothing_else() {
        let page = include_str!("../../../docs/operations.md");
        let block =
            page.split("```").find(|block| block.contains("\ncapability_restriction_config")).unwrap();
        let block: Node = serde_saphyr::from_str(block.split_once('\n').unwrap().1).unwrap();
        let restriction = block.member("capability_restriction_config").unwrap();
        let documented = restriction.value.member("allowed_capabilities").unwrap().value.members();
        let documented: BTreeSet<&str> = documented.iter().map(|member| member.name.as_str()).collect();
        let known: BTreeSet<&str> = NEEDS.iter().map(|(name, ..)| *name).chain(OPTIONAL).collect();
        assert_eq!(documented, known);
        assert!(of_inbound().all(|name| known.contains(name)));
    }
}
