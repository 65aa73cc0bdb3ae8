//! One request → one decision. Reads no clock and sends nothing: [`Authorizer::authorize`] is a function of the request, the
//! settings, the issuers' keys and `now`.
//!
//! `credential` (where the token sits) → `verifier` (one token, one verdict; `cache`) → `authorizer` (route, requirement) →
//! [`Decision`] → `forward` (what the upstream sees) or `challenge` (what the caller sees).

mod authorizer;
mod cache;
mod challenge;
mod credential;
mod decision;
mod denial;
mod forward;
mod observer;
mod overrides;
mod preflight;
mod resource;
mod settings;
mod twins;
mod unknown;
mod verifier;
mod waiting;

pub use authorizer::{Authorizer, Moment};
pub use cache::{CacheSettings, TokenCache};
pub use decision::{Decision, Evaluation, Permit, Wait, WaitReason, Work};
pub use denial::Denial;
pub use observer::{Observer, Step};
pub use overrides::{Overridden, Overrides};
pub use resource::Resource;
pub use settings::{
    AfterVerification, Detail, FilterState, ForwardedClaim, Inbound, Issuer, MetadataUse, Preflight,
    RefusalBody, Refusals, TokenSource,
};
pub use twins::Twins;
pub use unknown::MAX_UNKNOWN_TOKENS;
pub use waiting::{Parked, Waiting, WaitingSettings};
