//! All rules. `docs/check.md` has the same table, and a test compares the two.

use super::rule::{Rule, Severity};

/// How the names of the rules begin that only `--online` looks for.
pub const ONLINE: &str = "online-";

/// Defines each rule and the list of all.
macro_rules! rules {
    ($($constant:ident, $name:literal, $severity:ident, $finds:literal, $cure:literal;)*) => {
        $(#[doc = $finds] pub const $constant: &Rule =
            &Rule { name: $name, severity: Severity::$severity, finds: $finds, cure: $cure };)*
        /// Every rule, in the order of the document.
        pub const ALL: &[&Rule] = &[$($constant),*];
    };
}

rules! {
    UNREADABLE, "unreadable", Error,
    "A file that cannot be read: it is missing, is not UTF-8, is not YAML, has a key twice, or takes too much to read.",
    "Correct the file. Nothing in it was checked.";
    NOTHING_CHECKED, "nothing-checked", Error,
    "None of the files configures the filter.",
    "Give the file that does: a configuration, an Envoy bootstrap or resource, or a manifest.";
    FILTER_MISSING, "filter-missing", Warning,
    "A bootstrap that does not contain the filter.",
    "Add the filter, or leave the file out.";
    FILTER_NOT_READ, "filter-not-read", Warning,
    "A wasm filter whose configuration is elsewhere (ECDS) or has a form that is not known here.",
    "Give the file that holds the configuration as well.";
    FAIL_OPEN, "fail-open", Error,
    "A filter that lets requests pass when its module cannot be loaded or has failed.",
    "Use `FAIL_RELOAD`, or `FAIL_CLOSED`; in Envoy Gateway `failOpen: false`.";
    FILTER_DISABLED, "filter-disabled", Error,
    "A filter that is disabled, for all requests or for those of a virtual host or route.",
    "Remove `disabled`; write a route with `public: {}` where requests are meant to pass.";
    FILTER_CONDITIONAL, "filter-conditional", Warning,
    "A filter that a matcher of Envoy's, or `match` of a `WasmPlugin`, keeps from some requests.",
    "Remove it: the filter's own routes decide.";
    CHAIN_WITHOUT_FILTER, "chain-without-filter", Warning,
    "A filter chain without the filter, in a listener that has it in another one.",
    "Add the filter there.";
    ROUTES_NOT_READ, "routes-not-read", Warning,
    "Routes of Envoy's in no file, or in a form that is not known here: what they say of the filter was not checked.",
    "Give the file that has them, or check them yourself and allow this by a comment.";
    FILTER_AFTER_ROUTER, "filter-after-router", Error,
    "The filter behind the router or the upstream codec: Envoy does not start.",
    "Move it before that.";
    POSITION_MISMATCH, "position-mismatch", Error,
    "A `position` opposite to where the filter stands, or `inbound` in a cluster.",
    "Correct `position`, or move the filter.";
    ADMIN_EXPOSED, "admin-exposed", Warning,
    "Envoy's admin interface on an address that other hosts reach: it has no authentication.",
    "Listen on 127.0.0.1, or allow this by a comment where a network policy closes the port.";
    EGRESS_EXPOSED, "egress-exposed", Warning,
    "A listener that adds tokens, without rules for inbound requests, on an address that other hosts reach.",
    "Listen on 127.0.0.1, or allow this by a comment where other hosts are meant to use it.";
    FILTER_MISPLACED, "filter-misplaced", Error,
    "The filter as a network filter (`type: NETWORK` in Istio) or a wasm service, where it gets no requests.",
    "Put it into the `http_filters` of a connection manager or of a cluster; remove `type`.";
    OTHER_MODULE, "other-module", Note,
    "A wasm filter without a block `inbound` or `outbound`: it is taken for another module and passed over.",
    "Nothing, unless it was meant to be this filter.";
    RESOURCE_UNKNOWN, "resource-unknown", Warning,
    "A document that is no configuration, Envoy resource or manifest known here: it was passed over.",
    "Correct its `kind` or `@type`, or leave it out.";
    TYPE_UNKNOWN, "type-unknown", Warning,
    "An `@type` that is not one of Envoy's: what is below it was passed over.",
    "Correct the type's name, or check that part yourself.";
    ALLOW_MALFORMED, "allow-malformed", Warning,
    "A comment `attachectl: allow` with an unknown rule, without a reason, or at another column than what follows it.",
    "Write `# attachectl: allow RULE: REASON` right above what it is for, at the same column.";
    ALLOW_UNUSED, "allow-unused", Warning,
    "A comment that allows what was not found.",
    "Remove the comment.";
    CONFIGURATION_INVALID, "configuration-invalid", Error,
    "A configuration that the filter would refuse.",
    "Correct the field. Until then Envoy keeps the configuration it had, or does not start.";
    VARIABLE_NOT_PASSED, "variable-not-passed", Error,
    "An environment variable that the configuration names and the VM does not get.",
    "List it in `host_env_keys` (Envoy), `vmConfig.env` (Istio) or `env.hostKeys` (Envoy Gateway).";
    VARIABLE_INLINE, "variable-inline", Warning,
    "A secret written into `key_values` or an inline value, visible in the file and in configuration dumps.",
    "Pass it from Envoy's own environment: `host_env_keys`, or `valueFrom: HOST`.";
    VARIABLE_UNSET, "variable-unset", Note,
    "An environment variable that is not set where `attachectl` runs, so its content was not checked.",
    "Export it for attachectl to have its content checked.";
    CAPABILITY_MISSING, "capability-missing", Error,
    "A capability restriction without a call that the filter needs.",
    "Add the call to `allowed_capabilities`.";
    BODIES_HIDDEN, "bodies-hidden", Error,
    "MCP messages that are judged by their bodies, where the proxy does not show bodies to the filter.",
    "Set `allow_on_headers_stop_iteration: true` beside `vm_config`, or read no bodies.";
    REPORT_ONLY, "report-only", Warning,
    "A configuration that denies no token for what it says: every issuer, or every route, is `report_only`.",
    "When nothing is reported any more, remove the modes.";
    MESSAGES_UNJUDGED, "messages-unjudged", Warning,
    "Requests of an MCP endpoint that its routes with `mcp` do not judge: another route of the same path takes them.",
    "Write the routes with `mcp` for that route's hosts and path too, or remove it.";
    STATS_TAGS_MISSING, "stats-tags-missing", Warning,
    "A bootstrap without the `stats_tags` that make labels of metrics.",
    "Copy `stats_config` from envoy.yaml.";
    NORMALIZE_PATH_OFF, "normalize-path-off", Warning,
    "`normalize_path` is off where scopes depend on Envoy's routes.",
    "Set `normalize_path: true`.";
    EARLY_MUTATION_MISSING, "early-mutation-missing", Warning,
    "A header of `forward_claims` that Envoy does not remove before it chooses a route, with `route_metadata: read`.",
    "Remove it in `early_header_mutation_extensions`.";
    OTHER_FILTER_EDITS, "other-filter-edits", Warning,
    "Another filter that can change a header on which a route matches, where rules or tokens depend on the route.",
    "Do not match routes on headers that it changes.";
    ROUTE_DEPENDS_ON_EDIT, "route-depends-on-edit", Error,
    "A route of Envoy's that matches on what the filter edits, where rules or tokens depend on Envoy's route.",
    "Do not match on it.";
    REDIRECT_DENIED, "redirect-denied", Error,
    "A redirect that Envoy follows itself, and that the filter would refuse when it comes by again.",
    "Remove `internal_redirect_policy`: the client follows the redirect itself.";
    METADATA_LOST, "metadata-lost", Error,
    "A requirement in metadata that Envoy does not show the filter, or that the configuration does not read.",
    "Write it on a route, or set `route_metadata: read`.";
    METADATA_ESCAPED, "metadata-escaped", Warning,
    "A requirement in metadata that another spelling of a request's host or path gets around.",
    "Add the other spelling, or let Envoy remove ports and use `path_separated_prefix`.";
    TOKEN_MIRRORED, "token-mirrored", Error,
    "A mirror that would get the token as well.",
    "Remove `request_mirror_policies`, or put the filter into the cluster.";
    TOKEN_REDIRECTED, "token-redirected", Error,
    "A redirect that Envoy follows itself and that takes the token along.",
    "Remove `internal_redirect_policy`, or list the routes that may be followed.";
    CLUSTER_UNKNOWN, "cluster-unknown", Error,
    "A cluster that is not there. Keys or tokens never come; a route to it keeps Envoy from starting.",
    "Correct the name, or add the cluster.";
    CLUSTER_DUPLICATE, "cluster-duplicate", Error,
    "Two clusters of the same name in a bootstrap: Envoy does not start.",
    "Give one of them another name.";
    CLUSTER_DOUBTFUL, "cluster-doubtful", Warning,
    "A cluster that none of the files has, where others may come at run time.",
    "Correct the name, or give the file that has the cluster.";
    RESOURCES_NOT_GIVEN, "resources-not-given", Note,
    "A cluster that another resource makes, which was not given.",
    "Give the `ServiceEntry` and `DestinationRule`, or the `HTTPRoute` and its backend, as well.";
    ENDPOINT_PLAINTEXT, "endpoint-plaintext", Error,
    "Keys, metadata or tokens through a cluster without TLS: they travel in plain text, whatever the address says.",
    "Give the cluster a TLS transport socket. In Istio, add a `DestinationRule` with `tls`.";
    ENDPOINT_LOOPBACK, "endpoint-loopback", Warning,
    "An https address through a cluster without TLS whose addresses are all on this host.",
    "Nothing if a server there is meant. Before the address is changed, give the cluster TLS.";
    ENDPOINT_HTTP, "endpoint-http", Warning,
    "An http address that may be meant: with `tls: optional`, or through a cluster that no file has.",
    "Use https and a cluster with TLS.";
    TLS_UNVERIFIED, "tls-unverified", Error,
    "TLS that accepts every certificate, on a cluster of an issuer, a token endpoint or a destination.",
    "Add a `validation_context` with `trusted_ca` and `match_typed_subject_alt_names`.";
    TLS_NAME_UNVERIFIED, "tls-name-unverified", Warning,
    "TLS that checks the CA of a certificate but not the server's name.",
    "Add `match_typed_subject_alt_names`, or `auto_sni_san_validation: true`.";
    TLS_SNI_MISSING, "tls-sni-missing", Warning,
    "TLS that does not tell the server which name is meant.",
    "Add `sni`, or `auto_host_sni: true`.";
    TLS_NOT_KNOWN, "tls-not-known", Warning,
    "A transport socket, or a validator of certificates, that is not known here: what it verifies was not checked.",
    "See that it verifies the server's CA and name, and allow it by a comment.";
    CREDENTIAL_REACHABLE, "credential-reachable", Error,
    "A route of callers into the token cluster that adds the client's credential.",
    "Use a cluster for token requests that no route leads to.";
    CREDENTIAL_MISSING, "credential-missing", Warning,
    "A token cluster that should bring the client's credential or certificate, and does not.",
    "Add a `credential_injector`, or `tls_certificates`.";
    ADDRESS_FROM_HEADER, "address-from-header", Error,
    "A destination whose address the caller chooses by a header (`ORIGINAL_DST` with `use_http_header`).",
    "Remove `use_http_header`, or the destination.";
    TOKENS_NOT_SHARED, "tokens-not-shared", Warning,
    "Outbound tokens without a seal: each worker gets its own.",
    "Set `sharing.process.sealing_secret`, or say `sharing: none`.";
    DESTINATION_TLS_UNDECLARED, "destination-tls-undeclared", Error,
    "A destination's cluster that neither asserts TLS nor is allowed without it: its requests get 503.",
    "Assert TLS in the cluster's metadata, or name it in `plaintext_clusters`.";
    DESTINATION_UNMATCHED, "destination-unmatched", Warning,
    "A host whose requests reach a destination's cluster and match no destination.",
    "Add it to `authorities`, if its requests are to get a token.";
    TLS_ASSERTED_WITHOUT_SOCKET, "tls-asserted-without-socket", Error,
    "A cluster whose metadata asserts TLS and that has no transport socket for it.",
    "Add the transport socket, or remove the assertion.";
    ONLINE_UNREACHABLE, "online-unreachable", Error,
    "`--online`: an endpoint that cannot be reached from here, or does not answer in time.",
    "Correct the address or the name. Where only Envoy can reach it, run the check from there.";
    ONLINE_DOCUMENT, "online-document", Error,
    "`--online`: an answer that the filter does not take as metadata or keys of this issuer.",
    "Correct the address or `issuer`; what differs is in the endpoint's block.";
    ONLINE_TOKEN, "online-token", Error,
    "`--online`: a token request that brings no token which the filter can use.",
    "Correct the client's credential, scopes or grant, here or at the server.";
    ONLINE_NOT_ASKED, "online-not-asked", Note,
    "`--online`: an endpoint that was not asked.",
    "Check it in Envoy itself.";
    ONLINE_TOKEN_DENIED, "online-token-denied", Note,
    "`--online`: a token that the inbound half of these files would deny.",
    "Nothing where the token is for other servers.";
    ROUTE_MOVED, "route-moved", Note,
    "Requests that an earlier version of the filter gave to another route.",
    "Check that the new route is the one that is meant.";
    SHARING, "sharing", Note,
    "What the threads share, and settings about it that have less effect than it seems.",
    "See docs/keys.md.";
}
