use std::rc::Rc;

use super::audited::AuditedNames;
use super::rules::Validity;
use crate::base::Timestamp;
use crate::claims::{AuthenticToken, ClaimError, KeptClaims, ScopeSet};
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
    audited: Option<Box<AuditedNames>>,
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
            claims: token.rules().keep(token.signed().claims())?,
            audited: token.rules().asked.audit.read(token.signed()),
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

    /// What is kept of its claims.
    pub fn claims(&self) -> &KeptClaims {
        &self.claims
    }

    /// The scopes that the token carries.
    pub fn scopes(&self) -> &ScopeSet {
        &self.claims.scopes
    }

    /// The client that presents it, as the issuer names it, of an issuer with tenants as `<tenant>/<client>`; `None`
    /// where it names none. Together with the issuer, this is who is calling.
    pub fn client(&self) -> Option<&str> {
        self.claims.presenter.client()
    }

    /// The client, or else the subject: for shares of memory and work, never for authorization.
    pub fn presenter(&self) -> Option<&str> {
        self.claims.presenter.name()
    }

    /// Its `sub`, if the configuration asks for it.
    pub fn subject(&self) -> Option<&str> {
        self.claims.subject.as_deref()
    }

    /// What the audit record says of it, if the configuration asks for it.
    pub fn audited(&self) -> Option<&AuditedNames> {
        self.audited.as_deref()
    }

    /// The header texts of the forwarded claims, in their order; `None` where the claim is absent or has no text.
    pub fn forwarded(&self) -> &[Option<Rc<str>>] {
        &self.claims.forwarded
    }

    /// How many bytes of memory the token takes.
    pub fn size(&self) -> usize {
        let audited = self.audited().map_or(0, AuditedNames::size);
        size_of::<Self>().saturating_add(self.claims.size()).saturating_add(audited)
    }
}
