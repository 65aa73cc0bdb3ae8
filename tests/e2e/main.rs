//! The filter in a real Envoy, with two workers: requests in, what the caller, the upstream, the issuer and the operator see out.
//!
//! Needs `ATTACHE_ENVOY` (an Envoy) and `ATTACHE_WASM` (the module): `make test` sets both, for the newest supported Envoy and
//! for the oldest. Tests of a module share an Envoy where its configuration allows; whenever a test ends, [`proxy`] proves that
//! no VM trapped and that the log tells no secret.

#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "a test may fail"
)]
#![allow(clippy::disallowed_methods, reason = "a real process runs in real time")]
#![allow(clippy::print_stderr, reason = "what a failed test has to tell")]

/// An Envoy that requests leave through.
mod egress;
/// A gate that keeps requests waiting.
mod gate;
/// HTTP/2 for gRPC, and for requests that have to meet one worker.
mod h2;
/// Modules that trap, or lie.
mod module;
/// A certified authorization server with clients of every kind.
mod provider;
/// A real Envoy with the filter in it.
mod proxy;
/// Requests that no client library would send.
mod raw;
/// Tokens, and what must never be in a log.
mod secrets;
/// The Envoy that most modules share.
mod world;

/// The access log shows the decision.
mod access_log;
mod audit;
/// Documents that are refused, and that both encodings mean the same.
mod config;
/// Answers that are compressed.
mod content_coding;
/// Preflights.
mod cors;
/// `envoy.yaml` as it is shipped.
mod demo_config;
/// Keys found by the issuer's URL.
mod discovery;
/// What the pages show of Envoy's configuration.
mod documents;
/// Configuration as Istio delivers it.
mod ecds;
/// What an edit of ours, a redirect or an upgrade makes of a request.
mod edits;
/// Where tokens go, and where they must not.
mod egress_guard;
/// What the upstream sees.
mod forwarding;
/// How long keys count, and when they are asked for.
mod freshness;
/// Statuses that gRPC callers understand.
mod grpc;
/// Keys behind authentication.
mod guarded_keys;
/// What attackers send.
mod hostile;
/// What `attachectl init` writes, over TLS.
mod init;
/// Tokens of our own on requests that go out.
mod injection;
/// Issuers that are not one `iss`.
mod issuer_forms;
/// Where keys come from, and sets that are odd.
mod key_sources;
/// First keys, rotation, outages.
mod keys;
/// A rule for each tool of an MCP server.
mod mcp;
/// The official MCP client and server.
mod mcp_client;
/// The Prometheus page.
mod metrics;
/// Envoy's own filters behind ours.
mod neighbours;
/// A certified authorization server's clients.
mod oidc_clients;
/// A certified authorization server's tokens.
mod oidc_provider;
/// Token endpoints that fail.
mod outage;
/// Paths and headers that servers understand differently.
mod paths_and_headers;
/// What another module leaves in shared data.
mod planted;
/// VMs that come anew.
mod rebuild;
/// Exact answers to refused callers.
mod refusals;
/// Configurations swapped under load.
mod reload;
/// Tokens that are new, renewed, revoked.
mod renewal;
/// Evaluated, counted, forwarded.
mod report_only;
/// RFC 9728.
mod resource_metadata;
/// A filter that may do what it has to, and nothing else.
mod restriction;
/// Requirements on Envoy's own routes.
mod route_metadata;
/// One fetch for all threads.
mod sharing;
/// Secrets that are Envoy's alone, and `sidecar.yaml` as it is shipped.
mod sidecar;
/// Streams that end with the token that let them in.
mod streams;
/// How the filter finds token endpoints and authenticates there, and exchanges.
mod token_endpoint;
/// Metrics of the outbound half.
mod token_metrics;
/// One token for all threads, and for no other module.
mod token_sharing;
/// Which tokens are good.
mod tokens;
/// What an operator reads on the first day.
mod words;
