//! What each reason means, and who can do what about it. docs/errors.md has the same list.

/// A reason of either half.
#[derive(Debug)]
pub(super) struct Reason {
    pub(super) label: &'static str,
    /// The text that the caller gets; `…` where that has something of the request's.
    pub(super) text: &'static str,
    /// Who can do something about it.
    pub(super) who: &'static str,
    pub(super) what: &'static str,
}

/// The reason of this name in a list.
pub(super) fn find<'a>(reasons: &'a [Reason], label: &str) -> Option<&'a Reason> {
    reasons.iter().find(|reason| reason.label == label)
}

const fn reason(label: &'static str, text: &'static str, who: &'static str, what: &'static str) -> Reason {
    Reason { label, text, who, what }
}

const CLIENT: &str = "client";
const OPERATOR: &str = "operator";
const ISSUER: &str = "issuer";

/// Those of the inbound half.
pub(super) const INBOUND: &[Reason] = &[
    reason("algorithm_missing", "`alg` is missing", ISSUER, "it has to write `alg` into the token's header"),
    reason(
        "algorithm_none",
        "`alg` is none: the token is not signed",
        CLIENT,
        "use the access token of the token endpoint: an unsigned token is never accepted",
    ),
    reason(
        "algorithm_not_allowed",
        "the algorithm … is not allowed for this issuer",
        OPERATOR,
        "if the issuer is to sign with this algorithm, add it to its `algorithms`",
    ),
    reason(
        "algorithm_unknown",
        "`alg` is not a known signature algorithm",
        ISSUER,
        "have it sign with one of the algorithms of docs/configuration.md",
    ),
    reason(
        "audience_not_accepted",
        "the token's audience is not accepted here",
        CLIENT,
        "ask for a token for this API: its `aud` needs one of the requirement's `audiences`",
    ),
    reason(
        "authority_invalid",
        "the authority is not one that the filter reads",
        CLIENT,
        "send a plain host, with a port up to 65535 where it needs one",
    ),
    reason(
        "body_too_large",
        "the body is larger than … bytes",
        CLIENT,
        "send a smaller message; the operator can raise `mcp.max_body`",
    ),
    reason(
        "checks_limited",
        "too many signature checks have failed lately",
        OPERATOR,
        "find who sends forged tokens, and limit them in front of the filter; a good client may repeat the request",
    ),
    reason(
        "claim_malformed",
        "a claim is malformed",
        ISSUER,
        "it has to write the claim as RFC 7519 defines it; `attachectl explain --token` names the claim",
    ),
    reason(
        "claim_missing",
        "a claim is missing",
        ISSUER,
        "it has to write the claim into its tokens; `attachectl explain --token` names it",
    ),
    reason(
        "claim_not_accepted",
        "a claim of the token is not accepted here",
        OPERATOR,
        "compare the token's claims with the rule: `attachectl explain --token` shows both",
    ),
    reason(
        "client_not_accepted",
        "the token's client is not accepted here",
        OPERATOR,
        "if the client is to have access, add it to the requirement's `clients`",
    ),
    reason("compressed", "`zip` is not supported", ISSUER, "it must not compress its tokens"),
    reason(
        "credential_malformed",
        "the token is not well-formed",
        CLIENT,
        "send `authorization: Bearer ` and the token, with nothing else in it",
    ),
    reason(
        "credential_missing",
        "a bearer token is required",
        CLIENT,
        "get a token, and send it with the request",
    ),
    reason(
        "credential_repeated",
        "the request carries more than one token",
        CLIENT,
        "send one token, in one place",
    ),
    reason(
        "critical_extension",
        "`crit` names extensions that are not understood",
        ISSUER,
        "it must not ask for extensions in the token's header",
    ),
    reason("expired", "the token expired", CLIENT, "get a new token before the old one expires"),
    reason(
        "header_hop_by_hop",
        "`connection` names a protected header",
        CLIENT,
        "do not name headers with verified claims in `connection`",
    ),
    reason(
        "header_lookalike",
        "the request carries a header that could be mistaken for a protected one",
        CLIENT,
        "do not send a header that resembles one with verified claims",
    ),
    reason(
        "header_member_too_long",
        "a member in the header is too long",
        ISSUER,
        "it has to write shorter names into the token's header",
    ),
    reason(
        "header_member_type",
        "a member in the header is not a string",
        ISSUER,
        "it has to write `alg`, `kid` and `typ` as strings",
    ),
    reason(
        "header_reserved",
        "the request carries a protected header",
        CLIENT,
        "do not send headers with verified claims: the filter sets them",
    ),
    reason("internal", "internal error", OPERATOR, "report this with the log line: it should be impossible"),
    reason(
        "issued_in_future",
        "the token was issued in the future",
        OPERATOR,
        "compare the clocks of the issuer and of this host; `clock_skew` bounds how far they may differ",
    ),
    reason(
        "issuer_not_accepted",
        "the token's issuer is not accepted here",
        OPERATOR,
        "if tokens of this issuer are to be accepted on the route, add it to `issuers` of its requirement",
    ),
    reason(
        "issuer_unknown",
        "the token's issuer is unknown",
        OPERATOR,
        "compare the token's `iss` with the configured issuers byte for byte: `attachectl explain --token` does",
    ),
    reason(
        "key_unknown",
        "the token is signed with an unknown key",
        OPERATOR,
        "see whether the issuer publishes the key that it signs with, and whether its tokens are of this issuer",
    ),
    reason(
        "keys_unavailable",
        "the issuer's keys are not available",
        OPERATOR,
        "see why the keys cannot be fetched: the log and `attache_key_fetches_total` say it; the client may repeat",
    ),
    reason(
        "lifetime_too_long",
        "the token's lifetime is longer than allowed",
        OPERATOR,
        "have the issuer issue shorter tokens, or raise `max_lifetime`",
    ),
    reason(
        "mcp_body_invalid",
        "the body is no MCP message by which the filter can decide",
        CLIENT,
        "send one JSON-RPC message as application/json",
    ),
    reason(
        "mcp_header_mismatch",
        "the headers of the MCP message do not say what its body says",
        CLIENT,
        "send the headers that belong to the message",
    ),
    reason(
        "mcp_headers_invalid",
        "the headers of the MCP message are not those of a message",
        CLIENT,
        "send `mcp-protocol-version`, `mcp-method` and `mcp-name` once each",
    ),
    reason(
        "mcp_uri_ambiguous",
        "the MCP message names a resource by a URI that could be read as another",
        CLIENT,
        "send the URI in normal form",
    ),
    reason(
        "mcp_version",
        "the MCP message is of a version before 2026-07-28",
        CLIENT,
        "use the newer version; the operator can accept older ones with `mcp.older_versions`",
    ),
    reason("method_invalid", "the method is not in upper case", CLIENT, "send the method in upper case"),
    reason(
        "method_overridden",
        "the request carries a header that replaces its method",
        CLIENT,
        "send the method as the request's own; the operator can permit the header with `allow_overrides`",
    ),
    reason(
        "not_yet_valid",
        "the token is not valid yet",
        OPERATOR,
        "compare the clocks of the issuer and of this host; `clock_skew` bounds how far they may differ",
    ),
    reason(
        "path_ambiguous",
        "the path is ambiguous",
        CLIENT,
        "send the path in plain spelling; the operator can permit a spelling with `allow_in_path`",
    ),
    reason(
        "path_invalid",
        "the path is not one that the filter reads",
        CLIENT,
        "send an absolute path as a URI has it",
    ),
    reason(
        "path_overridden",
        "the request carries a header that replaces its path",
        CLIENT,
        "send the path as the request's own; the operator can permit the header with `allow_overrides`",
    ),
    reason(
        "route_denied",
        "the route is closed",
        OPERATOR,
        "if requests are to be let through, give the route a requirement in place of `deny`",
    ),
    reason(
        "route_metadata",
        "the route's metadata cannot be applied",
        OPERATOR,
        "correct the metadata `attache` of Envoy's route, or set `route_metadata: read`",
    ),
    reason(
        "route_unknown",
        "no route matches",
        OPERATOR,
        "if the path is one of the API's, add a route: `attachectl explain --path` shows which one a request matches",
    ),
    reason(
        "scope_insufficient",
        "the token lacks a scope",
        CLIENT,
        "ask the token endpoint for the scopes that are missing",
    ),
    reason(
        "scope_malformed",
        "a scope claim is malformed",
        ISSUER,
        "it has to write scopes as a string, or as a list of strings",
    ),
    reason(
        "signature_invalid",
        "the signature is wrong",
        CLIENT,
        "send the token as it was issued, of an issuer that signs with the configured keys",
    ),
    reason(
        "streams_full",
        "too many streams are open",
        OPERATOR,
        "raise `streams.max`, or see who opens so many; the client may repeat the request",
    ),
    reason(
        "subject_not_accepted",
        "the token's subject is not accepted here",
        OPERATOR,
        "if the subject is to have access, add it to the requirement's `subjects`",
    ),
    reason(
        "token_empty_part",
        "a part of the token is empty",
        CLIENT,
        "send the whole token: header, payload and signature",
    ),
    reason(
        "token_encoding",
        "a part of the token is not base64url",
        CLIENT,
        "send the token as it was issued",
    ),
    reason(
        "token_encrypted",
        "the token is encrypted",
        ISSUER,
        "it has to issue signed tokens that are not encrypted",
    ),
    reason(
        "token_json",
        "a part of the token is not a JSON object",
        ISSUER,
        "it has to issue tokens as RFC 7519 defines",
    ),
    reason(
        "token_parts",
        "the token does not have 3 parts",
        CLIENT,
        "send a JWT: an opaque token cannot be verified here",
    ),
    reason(
        "token_too_long",
        "the token has more than 16384 bytes",
        ISSUER,
        "it has to issue tokens with fewer claims",
    ),
    reason(
        "too_many_scopes",
        "the token carries more than 1024 scopes",
        ISSUER,
        "it has to issue tokens with fewer scopes",
    ),
    reason("unencoded_payload", "`b64` is not supported", ISSUER, "it has to encode the payload"),
    reason(
        "waiting_full",
        "too many requests are waiting for the issuer's keys",
        OPERATOR,
        "see why the keys take so long: the log and `attache_key_fetches_total` say it; the client may repeat",
    ),
    reason(
        "wrong_audience",
        "the token is for another audience",
        CLIENT,
        "ask for a token for this API: its `aud` needs one of the issuer's configured `audiences`",
    ),
    reason(
        "wrong_issuer",
        "the token is from another issuer",
        OPERATOR,
        "report this: it should be impossible",
    ),
    reason(
        "wrong_tenant",
        "the token's tenant is not its issuer's",
        ISSUER,
        "its tokens have to name in `tid` the tenant that `iss` names",
    ),
    reason(
        "wrong_type",
        "the token is not of the type that is asked for",
        CLIENT,
        "send the access token, not the ID token; or have the issuer write `typ: at+jwt`",
    ),
];

/// Those of the outbound half.
pub(super) const OUTBOUND: &[Reason] = &[
    reason(
        "token_unavailable",
        "no access token could be obtained",
        OPERATOR,
        "see why the token requests fail: the log and `attache_token_requests_total` say it; the workload may repeat",
    ),
    reason(
        "token_waiting_full",
        "too many requests wait for an access token",
        OPERATOR,
        "see why the token endpoint takes so long; `outbound.waiting` bounds the list",
    ),
    reason(
        "subject_refused",
        "the caller's token was not accepted for exchange",
        OPERATOR,
        "see whether the token endpoint may exchange tokens of the caller's issuer and audience for this client",
    ),
    reason(
        "subject_missing",
        "there is no verified token to exchange",
        OPERATOR,
        "the inbound half has to verify a token of the caller on this path: a public route has none",
    ),
    reason(
        "plaintext",
        "the cluster is neither asserted to use TLS nor allowed without",
        OPERATOR,
        "give the cluster TLS and the metadata `attache: { tls: asserted }`, or list it in `plaintext_clusters`",
    ),
    reason(
        "not_allowed",
        "the client's token may not go to this cluster and authority",
        OPERATOR,
        "add a destination of this client for the cluster and the host, or name another client in Envoy's route",
    ),
    reason(
        "client_unknown",
        "the route's metadata names no configured client",
        OPERATOR,
        "name a configured client in the metadata of Envoy's route",
    ),
    reason(
        "caller_credential",
        "the request carries a credential of its own",
        "workload",
        "do not send a credential; the operator can choose with `caller_credential`",
    ),
    reason(
        "outbound_header_hop_by_hop",
        "`connection` names the token's header",
        "workload",
        "do not name the token's header in `connection`",
    ),
    reason("outbound_path_ambiguous", "the path is ambiguous", "workload", "send the path in plain spelling"),
    reason(
        "outbound_authority_invalid",
        "the authority is not a host with an optional port",
        "workload",
        "send a plain host",
    ),
    reason(
        "outbound_method_invalid",
        "the method is not in upper case",
        "workload",
        "send the method in upper case",
    ),
    reason(
        "outbound_overridden",
        "the request carries a header that replaces its method or path",
        "workload",
        "send method and path as the request's own",
    ),
    reason(
        "unmatched",
        "the destination is not configured",
        OPERATOR,
        "add a destination for the cluster and the host: `attachectl explain --outbound` shows the nearest",
    ),
];

#[cfg(test)]
mod tests {
    use attache::outbound::InjectionOutcome;

    use super::*;

    /// The page and the code are held against each other elsewhere.
    #[test]
    fn every_reason_of_the_pages_has_its_words_here() {
        let page = include_str!("../../../../docs/metrics.md");
        let (_, list) = page.split_once("\n## Reasons\n").unwrap();
        let (_, list) = list.split_once("order:\n").unwrap();
        let (list, _) = list.split_once("\n\n[errors.md]").unwrap();
        let mut listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        let mut known: Vec<&str> = INBOUND.iter().map(|reason| reason.label).collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, listed);
        let mut known: Vec<&str> = OUTBOUND.iter().map(|reason| reason.label).collect();
        known.extend(["passed", "stripped", "kept", "injected"]);
        let mut listed = InjectionOutcome::LABELS.to_vec();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, listed);
    }

    /// Where the page has a whole text, it is the one here.
    #[test]
    fn the_texts_are_those_that_the_caller_gets() {
        let page = include_str!("../../../../docs/errors.md");
        let mut compared = 0;
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let (Some(label), Some(text)) = (cells.get(1), cells.get(cells.len() - 2)) else { continue };
            let text = text.trim_end_matches(" ¹");
            let label = label.trim_matches('`');
            let Some(reason) = find(INBOUND, label).or_else(|| find(OUTBOUND, label)) else { continue };
            let is_whole = !text.contains(['*', '…']) && !text.contains("texts") && !text.contains('`');
            if is_whole {
                assert_eq!(reason.text, text, "{label}");
                compared += 1;
            }
        }
        assert!(compared > 40, "{compared}: is the page still read?");
    }
}
