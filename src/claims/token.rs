use std::rc::Rc;

use super::rules::Validity;
use crate::base::Timestamp;
use crate::claims::{AuthenticToken, ClaimError, ForwardedClaim, ScopeSet};
use crate::jose::{KeyId, Object};

/// A token whose signature, issuer and claims have been checked. Made only of an [`AuthenticToken`].
///
/// Keeps what a decision needs and forgets the rest. What can change with time ([`VerifiedToken::check_time`]) or with the
/// key set ([`VerifiedToken::key`]) has to be looked at again at each use.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    key: KeyId,
    scopes: ScopeSet,
    validity: Validity,
    client: Option<Box<str>>,
    forwarded: Vec<Option<Rc<str>>>,
}

impl VerifiedToken {
    /// Reads the scopes, and keeps the header texts of the claims that are forwarded.
    ///
    /// # Errors
    /// What is wrong with the claims that scopes are read from, or with one that names somebody and is to be forwarded.
    pub fn new(token: &AuthenticToken<'_>, forwarded: &[ForwardedClaim]) -> Result<Self, ClaimError> {
        let claims = token.signed().claims();
        Ok(Self {
            key: token.signed().key(),
            scopes: ScopeSet::read(claims, &token.rules().scopes_from)?,
            validity: token.validity(),
            client: client(claims).map(Into::into),
            forwarded: forwarded.iter().map(|claim| claim.text(claims)).collect::<Result<_, _>>()?,
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
        &self.scopes
    }

    /// Who presents it: `client_id` (RFC 9068), else `azp`, else `sub`. For shares of memory and work, not for authorization.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// The header texts of the forwarded claims, in their order; `None` where the claim is absent or has no text.
    pub fn forwarded(&self) -> &[Option<Rc<str>>] {
        &self.forwarded
    }

    /// How many bytes of memory the token takes.
    pub fn size(&self) -> usize {
        let texts =
            self.forwarded.iter().flatten().fold(0, |sum: usize, text| sum.saturating_add(text.len()));
        let lists = self.forwarded.len().saturating_mul(size_of::<Option<Rc<str>>>());
        size_of::<Self>()
            .saturating_add(self.scopes.size())
            .saturating_add(self.client.as_ref().map_or(0, |client| client.len()))
            .saturating_add(texts)
            .saturating_add(lists)
    }
}

/// Who presents a token with these claims.
pub(super) fn client<'c>(claims: &'c Object<'_>) -> Option<&'c str> {
    ["client_id", "azp", "sub"].iter().find_map(|claim| claims.get(claim)?.as_str())
}
