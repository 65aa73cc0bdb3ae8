//! From a checked signature to a trusted token: the claims of RFC 7519, typed as RFC 9068 wants them, and scopes.
//!
//! [`Rules::check`] is the one list of claim rules. It runs on an unverified token, where it may only deny: what passes
//! is a [`PrescreenedToken`], which its signature makes an [`AuthenticToken`], of which alone a [`VerifiedToken`] is
//! made.

mod error;
mod forwarded;
mod kept;
mod path;
mod rules;
mod scope;
mod time;
mod token;

pub use error::ClaimError;
pub use forwarded::{ForwardedClaim, ForwardedType};
pub use kept::AskedClaims;
pub use path::ClaimPath;
pub use rules::{Audiences, AuthenticToken, Expiry, PrescreenedToken, Rules, TokenType};
pub use scope::{ScopeSet, is_scope_token};
pub(crate) use time::numeric_date;
pub use token::VerifiedToken;
