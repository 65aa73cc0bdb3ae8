//! What the filter promises, on the core alone: no Envoy, no network, and a clock that only the tests move.

#![cfg(not(target_family = "wasm"))]
#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects, clippy::string_slice, clippy::unwrap_in_result)]
#![allow(clippy::wildcard_enum_match_arm)]

// The bench: one filter with a virtual clock.
mod proxy;
// The writer of tokens that the harness has too: without the harness, which depends on the library.
#[path = "../../harness/src/jws.rs"]
mod jws;
// What several of them share.
mod process;
// Several filters in one process, in lockstep.
mod threads;

// One token, one verdict: RFC 6750, 7515, 7519, 8725, 9068.
mod verification;
// Routes that take requests with and without a token.
mod optional;
// exp, nbf, iat, skew, lifetimes; what the token cache may not outlive.
mod time;
// What a route may demand of a token: trees of scopes, clients, subjects, audiences and claims.
mod requirements;
// The same of every tree and every token, beside a plain evaluator.
mod requirement_trees;
// Who may sign for whom, and what a stranger's token costs.
mod issuers;
mod spiffe;
mod tenants;
// Keys: the first ones, refresh, rotation, outages, every fault of an issuer.
mod keys;
// One fetch for a whole process, whichever thread dies, joins or reloads.
mod sharing;
// What another module can do to them by shared data, and what not.
mod forgery;
// The same where every module of the proxy can, and nothing is sealed.
mod neighbours;
// How threads wake each other, and who speaks for all.
mod slots;
// When a set is asked for again: HTTP caching, tags, pauses, backoff.
mod freshness;
// How long keys count that cannot be fetched again; empty sets.
mod staleness;
// Tokens of unknown keys over all threads: what they get, and what they cost.
mod unknown_keys;
// Keys whose address the issuer's metadata names.
mod discovery;
// Several sources of one issuer, and a thousand issuers.
mod key_sources;
// Keys behind authentication: fetches that carry a client's token.
mod fetch_clients;
// Many requests at once: bounded work in each callback, no request forgotten.
mod storms;
// All of it in any order, against what must never happen.
mod properties;
// Forged tokens: what they cost, and how honest ones fare meanwhile.
mod flood;
// Requests that wait: their bounds and deadlines.
mod waiting;
// Streams that end with the token that let them in.
mod streams;
// Every way to be refused, as it goes over the wire: golden.
mod refusals;
// The fields of the configuration, in the reference documentation.
mod fields;
// The reference documentation's lists of reasons.
mod reference;
// What the upstream sees.
mod forwarding;
// What Envoy's own filters see.
mod facts;
// What Envoy's access logs see.
mod audit;
mod audit_page;
// Report-only for the tokens of an issuer, or of all.
mod reports;
// Paths and header names that could be read in two ways.
mod confusion;
// Which route a request matches, against a naive reference.
mod routes;
// Other spellings of a request, against the rule of the plain one.
mod spellings;
// Headers by which frameworks take another method or path.
mod overrides;
// The messages of an MCP endpoint: a rule for each tool.
mod mcp;
// Scopes on Envoy's own route.
mod metadata;
// Preflight, report-only, the resource's metadata document.
mod modes;
// Counters, gauges, log lines, annotations.
mod telemetry;
// How long decisions take.
mod decision_times;
// The client as a label.
mod client_metrics;
// What is printed on which failure.
mod words;
// The page of all metrics.
mod metrics_page;
// The page of all log lines, held against the code both ways.
mod log_lines;
mod log_page;
// The cache of verified tokens: bounds and fairness.
mod token_cache;
// One document in three encodings; the documentation's sample.
mod documents;
// The page of issuers: each configuration against tokens of that issuer's shape.
mod recipes;
// The page that compares: our cells are tests.
mod alternatives;
// All bounds of one VM, added up.
mod memory;
// The other half: tokens of our own, and which request gets which.
mod outbound;
// Random bytes into every parser.
mod hostile_bytes;
// One file for each bug that was found, named by what it broke.
mod regressions;
