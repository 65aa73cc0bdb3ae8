//! Getting and keeping our own tokens, and which request gets which. Sans-IO: `now`, replies and what the process
//! shares come in, calls go out.
//!
//! `destination` (where tokens may go) → `egress` (what one request is entitled to) → [`Injector`] (whose token that
//! is). The token comes from a `token_store` (one client's) or an `exchange_store` (one for each caller), which ask an
//! `endpoint`; `lifetime` says how long it counts.

mod denial;
mod destination;
mod egress;
mod endpoint;
mod event;
mod exchange_store;
mod ids;
mod injection;
mod injector;
mod issued_token;
mod lifetime;
mod settings;
mod subject;
mod token;
mod token_store;
mod unauthorized;

pub use denial::EgressDenial;
pub use destination::{CallerCredential, ChosenBy, Destination, DestinationTable, Match, Target};
pub use endpoint::EndpointState;
pub use event::{BreakerChange, TokenChange, TokenEvent};
pub use exchange_store::{MAX_KNOWN_EXCHANGED_TOKENS, MAX_UNDER_WAY};
pub use ids::{ClientId, EndpointId};
pub use injection::{InjectedToken, Injection, InjectionOutcome, OutboundCall, OutboundEvent, Outgoing};
pub use injector::{Injector, MAX_EXCHANGED_BYTES, MAX_PENDING_BYTES, MAX_TOKENS_BYTES};
pub use issued_token::MAX_ACCESS_TOKEN_BYTES;
pub use lifetime::{DEFAULT_MARGIN, LifetimeRules, MAX_LIFETIME, TokenTimes};
pub use settings::{Client, Endpoint, EndpointLocation, Obtain, Position, Settings, Unmatched};
pub use subject::{Subject, SubjectDigest};
pub use token::{Fingerprint, IssuedTokens, MAX_KNOWN_TOKENS, Token};
pub use token_store::TokenStore;
pub use unauthorized::Purge;
