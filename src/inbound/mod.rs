//! One request → one decision. Reads no clock and sends nothing: [`Authorizer::authorize`] is a function of the
//! request, the settings, the issuers' keys and `now`.
//!
//! `credential` (where the token sits) → `verifier` (one token, one verdict; `cache`, `trial` of keys within a
//! `budget`) → `authorizer` (route, requirement) → [`Decision`] → `forward` (what the upstream sees) or `challenge`
//! (what the client sees).

mod authorizer;
mod budget;
mod cache;
mod challenge;
mod credential;
mod decision;
mod denial;
mod denied_tokens;
mod forward;
mod observer;
mod preflight;
mod protected_headers;
mod request;
mod resource;
mod route_requirement;
mod settings;
mod trial;
mod verifier;
mod waiting;

pub use authorizer::Authorizer;
pub use budget::{BUDGET as CHECK_BUDGET, ONE_IN as CHECKS_ONE_IN};
pub use cache::{CacheSettings, TokenCache};
pub use decision::{
    CacheResult, Decision, DecisionOutcome, Evaluation, Permit, TriedKeys, Wait, WaitReason, Work,
};
pub use denial::Denial;
pub use denied_tokens::MAX_DENIED_TOKENS;
pub use observer::{Observer, Step};
pub use protected_headers::ProtectedHeaders;
pub use request::Request;
pub use resource::Resource;
pub use settings::{
    AfterVerification, DenialBody, DenialSettings, Detail, FilterState, Issuer, MetadataUse, Preflight,
    ReservedHeaders, Settings, TokenPlace, TokenSource,
};
pub use waiting::{WaitingLists, WaitingRequest};
