use std::rc::Rc;

use super::kept::KeptClaims;
use super::rules::Validity;
use crate::base::Timestamp;
use crate::claims::{AuthenticToken, ClaimError, ScopeSet};
use crate::jose::KeyId;

/// A token whose signature, issuer and claims have been checked. Made only of an [`AuthenticToken`].
///
/// Keeps what the configuration asks of its claims and forgets the rest. What can change with time
/// ([`VerifiedToken::check_time`]) or with the key set ([`VerifiedToken::key`]) has to be looked at again at each use.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    key: KeyId,
    validity: Validity,
    claims: KeptClaims,
}

impl VerifiedToken {
    /// Keeps what the issuer's rules ask of the claims.
    ///
    /// # Errors
    /// What is wrong with the claims that scopes are read from, or with one that names the client and is to be
    /// forwarded.
    pub fn new(token: &AuthenticToken<'_>) -> Result<Self, ClaimError> {
        Ok(Self {
            key: token.signed().key(),
            validity: token.validity(),
            claims: token.rules().asked.read(token.signed().claims())?,
        })
    }

    /// Whether the token may still (or already) be used.
    ///
    /// # Errors
    /// [`ClaimError::Expired`], [`ClaimError::NotYetValid`] or [`ClaimError::IssuedInFuture`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), ClaimError> {
        self.validity.check(now)
    }

    /// From when on the token is good no more, clock skew included; the end of time if it does not expire.
    pub fn expires_at(&self) -> Timestamp {
        self.validity.expires_at()
    }

    /// The key that verified the signature.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// The scopes that the token carries.
    pub fn scopes(&self) -> &ScopeSet {
        &self.claims.scopes
    }

    /// The client that presents it: `client_id` (RFC 9068), else `azp`, else `sub`. For shares of memory and work, not
    /// for authorization.
    pub fn client(&self) -> Option<&str> {
        self.claims.client.as_deref()
    }

    /// The header texts of the forwarded claims, in their order; `None` where the claim is absent or has no text.
    pub fn forwarded(&self) -> &[Option<Rc<str>>] {
        &self.claims.forwarded
    }

    /// How many bytes of memory the token takes.
    pub fn size(&self) -> usize {
        size_of::<Self>().saturating_add(self.claims.size())
    }
}
