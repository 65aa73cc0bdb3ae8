//! From a checked signature to a trusted token: the claims of RFC 7519, typed as RFC 9068 wants them, and scopes.
//!
//! [`Rules::check`] is the one list of claim rules. The prescreen runs it on an unverified token, where it may only refuse;
//! [`VerifiedToken::verify`] runs it again on a signed one.

mod error;
mod path;
mod rules;
mod scope;
mod text;
mod time;
mod token;

pub use error::ClaimError;
pub use path::ClaimPath;
pub use rules::{Audiences, Expiry, Rules, TokenType};
pub use scope::{ScopeSet, is_scope_token};
pub use text::header_text;
pub(crate) use time::numeric_date;
pub use token::VerifiedToken;
