//! From a checked signature to a trusted token: the claims of RFC 7519, typed as RFC 9068 wants them, and scopes.
//!
//! [`Rules::check`] is the one list of claim rules. It runs on an unverified token, where it may only deny: what passes
//! is a [`PrescreenedToken`], which its signature makes an [`AuthenticToken`], of which alone a [`VerifiedToken`] is
//! made.

mod audited;
mod error;
mod forwarded;
mod kept;
mod path;
mod rule;
mod rules;
mod scope;
mod scope_syntax;
mod time;
mod token;
mod token_issuer;

pub use audited::{AskedAudit, AuditedForm, AuditedNames, DigestKey, MIN_DIGEST_KEY_BYTES};
pub use error::ClaimError;
pub use forwarded::{ForwardedClaim, ForwardedType, TextEncoding};
pub use kept::{AskedClaims, AskedRule, AskedRules, KeptClaims};
pub use path::ClaimPath;
pub use rule::{ClaimRule, ClaimTest, ClaimValue, RuleOutcome};
pub use rules::{Audiences, AuthenticToken, Expiry, PrescreenedToken, Rules, TokenType};
pub use scope::{ScopeSet, is_scope_token};
pub use scope_syntax::{AsciiSet, ScopeMatching, ScopeSyntax};
pub(crate) use time::numeric_date;
pub use token::VerifiedToken;
pub use token_issuer::{TENANT, TenantTemplate, TokenIssuer, TrustDomain};
