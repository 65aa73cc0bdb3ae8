//! **Attaché**: OAuth 2.0 client credentials inside Envoy.
//!
//! # The map
//!
//! Imports point down only; `tests/architecture.rs` holds this table.
//!
//! | layer | what it knows |
//! |---|---|
//! | `host` | the proxy-wasm ABI: callbacks in, hostcalls out; decides nothing (wasi only) |
//! | [`filter`] | events in, commands and observations out: the only code that knows all the parts |
//! | [`config`] | the file as written → the settings that each layer owns → errors with a path |
//! | [`telemetry`] | metrics and log lines, derived from decisions |
//! | [`inbound`] | one request → one decision: extraction, verification, cache, denial, challenge |
//! | [`issuer`] | what changes about an issuer over time: its keys (sans-IO) |
//! | [`outbound`] | getting and keeping our own tokens, and which request gets which (sans-IO) |
//! | [`oauth`] | what both halves share: a server's documents, client authentication, token messages, breaker |
//! | [`sharing`] | the context of an event, and what threads of a process share: leases, publications, wake-ups |
//! | [`policy`] | what a route demands; immutable |
//! | [`claims`] | signed → trusted; scopes |
//! | [`jose`] | bytes → checked signature; bytes → signature |
//! | [`base`] | time, randomness, secrets, HTTP as plain values, effects |
//!
//! # One request that comes in
//!
//! `host::request` hands a [`base::RequestHead`] to [`filter::Filter::handle_request`]; [`inbound::Authorizer`] finds
//! the route ([`policy::RouteTable`]), takes the token from its place and has it verified: [`jose::UnverifiedToken`] →
//! [`jose::SignedToken`] → [`claims::VerifiedToken`] → [`inbound::Permit`]. The [`inbound::Decision`] is counted
//! ([`telemetry::Metrics`]) and becomes edits or a response, which the host carries out. A request that needs keys
//! waits ([`inbound::WaitingLists`]) until [`filter::Filter::handle_reply`] brings them to its [`issuer::KeyStore`], or
//! [`filter::Filter::handle_tick`] finds its time is up.
//!
//! # One token
//!
//! A request that goes out passes [`filter::Filter::handle_request`] as well; [`outbound::Injector`] finds its
//! destination ([`outbound::DestinationTable`]: cluster and authority first), sees that no caller's credential is
//! overwritten and that the way is encrypted, and puts the client's token on it. Where there is none yet, the request
//! waits; on the next tick, or at once if threads share, the [`outbound::TokenStore`] has its turn: [`oauth::Breaker`],
//! lease ([`sharing::SingleFlight`]), call ([`oauth::TokenRequest`]). The reply ([`oauth::TokenAnswer`]) becomes the
//! token of all threads. When an upstream answers 401, [`filter::Filter::handle_response`] purges it.
//!
//! # One key set
//!
//! On a tick an [`issuer::KeyStore`] finds that a document is due, takes the lease that the threads share
//! ([`sharing::SingleFlight`]), and has the host send a call. The reply becomes the issuer's keys, is published, and
//! ([`sharing::WorkerGroup`]) wakes the other threads, which take it over by [`filter::Filter::handle_wake`]; those who
//! waited for it are decided about.

#![cfg_attr(test, allow(clippy::unwrap_in_result, reason = "a test that fails may panic"))]

pub mod base;
pub mod claims;
pub mod config;
pub mod filter;
#[cfg(target_os = "wasi")]
pub mod host;
pub mod inbound;
pub mod issuer;
pub mod jose;
pub mod oauth;
pub mod outbound;
pub mod policy;
pub mod sharing;
pub mod telemetry;
