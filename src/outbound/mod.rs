//! Getting and keeping our own tokens, and which request gets which. Sans-IO: `now`, replies and what the process shares come in,
//! calls go out.
//!
//! `destination` (where tokens may go) → `egress` (what one request is entitled to) → [`Injector`] (whose token that is). The token
//! comes from a `token_store` (one client's) or an `exchange_store` (one for each caller), which ask an `endpoint`; `lifetime` says how
//! long it counts.

mod destination;
mod egress;
mod endpoint;
mod exchange_store;
mod injection;
mod injector;
mod lifetime;
mod refusal;
mod settings;
mod token;
mod token_store;
mod unauthorized;

pub use destination::{CallerCredential, ChosenBy, Destination, DestinationTable, Match, Target};
pub use endpoint::{BreakerChange, EndpointEvent, EndpointState};
pub use exchange_store::{MAX_KNOWN_EXCHANGED_TOKENS, MAX_UNDER_WAY, Subject, SubjectDigest};
pub use injection::{Injection, OutboundCall, OutboundEvent, Outgoing};
pub use injector::{
    Injector, MAX_ACCESS_TOKEN_BYTES, MAX_EXCHANGED_BYTES, MAX_PENDING_BYTES, MAX_TOKENS_BYTES,
};
pub use lifetime::{DEFAULT_MARGIN, LifetimeRules, MAX_LIFETIME};
pub use refusal::Refusal;
pub use settings::{
    Client, Endpoint, EndpointDiscovery, EndpointPlace, Obtain, Outbound, Position, Unmatched,
};
pub use token::{Fingerprint, IssuedTokens, MAX_KNOWN_TOKENS, Token};
pub use token_store::{TokenChange, TokenEvent, TokenStore};
pub use unauthorized::Purge;
