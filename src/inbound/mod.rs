//! One request → one decision. Reads no clock and sends nothing: [`Authorizer::authorize`] is a function of the
//! request, the settings, the issuers' keys and `now`.
//!
//! `credential` (where the token sits) → `verifier` (one token, one verdict; `cache`, `trial` of keys within a
//! `budget`) → `authorizer` (route, requirement) → [`Decision`] → `forward` (what the upstream sees) or `challenge`
//! (what the client sees).

mod audited;
mod authorizer;
mod budget;
mod cache;
mod challenge;
mod credential;
mod decision;
mod denial;
mod denied_tokens;
mod facts;
mod forward;
mod issuer_index;
mod mcp;
mod mcp_body;
mod mcp_headers;
mod observer;
mod preflight;
mod protected_headers;
mod request;
mod resource;
mod route_requirement;
mod settings;
mod streams;
mod trial;
mod verifier;
mod waiting;

pub use authorizer::Authorizer;
pub use budget::{BUDGET as CHECK_BUDGET, ONE_IN as CHECKS_ONE_IN};
pub use cache::{CacheSettings, TokenCache};
pub use decision::{
    CacheResult, Decision, DecisionOutcome, Evaluation, Permit, TriedKeys, Wait, WaitReason, Work, WorkPath,
};
pub use denial::Denial;
pub use denied_tokens::MAX_DENIED_TOKENS;
pub use issuer_index::IssuerIndex;
pub use mcp::{McpSettings, OlderVersions};
pub use mcp_body::{MAX_MCP_MEMBERS, McpBodyError};
pub use mcp_headers::McpHeaderError;
pub use observer::{Observer, Step};
pub use protected_headers::ProtectedHeaders;
pub use request::Request;
pub use resource::Resource;
pub use settings::{
    AfterVerification, DenialBody, DenialSettings, Detail, Fact, FilterState, Issuer, MetadataUse, Preflight,
    ReservedHeaders, Settings, StreamSettings, StreamsBeyond, Timing, TokenPlace, TokenSource,
};
pub use streams::{OpenStream, OpenStreams, StreamsFull};
pub use waiting::{WaitingLists, WaitingRequest};
