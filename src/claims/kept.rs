//! What is kept of a verified token's claims: the one place where that is decided.

use std::rc::Rc;

use crate::claims::{ClaimError, ClaimPath, ForwardedClaim, ScopeSet};
use crate::jose::Object;

/// All that the configuration asks of the claims of an issuer's tokens, compiled.
#[derive(Clone, Debug, Default)]
pub struct AskedClaims {
    /// The claims that scopes are read from.
    pub scopes_from: Vec<ClaimPath>,
    /// The claims that the upstream gets as headers.
    pub forwarded: Rc<[ForwardedClaim]>,
}

/// What was asked of one token's claims. No larger than the token: 1,024 scopes at most, and 1 KiB for each header.
#[derive(Clone, Debug)]
pub(super) struct KeptClaims {
    pub(super) scopes: ScopeSet,
    pub(super) client: Option<Box<str>>,
    /// In the order of [`AskedClaims::forwarded`]; `None` where the claim is absent or has no text.
    pub(super) forwarded: Box<[Option<Rc<str>>]>,
}

impl AskedClaims {
    /// Reads the claims, and forgets the rest of them.
    ///
    /// # Errors
    /// What is wrong with the claims that scopes are read from, or with one that names the client and is to be
    /// forwarded.
    pub(super) fn read(&self, claims: &Object<'_>) -> Result<KeptClaims, ClaimError> {
        Ok(KeptClaims {
            scopes: ScopeSet::read(claims, &self.scopes_from)?,
            client: client(claims).map(Into::into),
            forwarded: self.forwarded.iter().map(|claim| claim.text(claims)).collect::<Result<_, _>>()?,
        })
    }
}

impl KeptClaims {
    /// How many bytes of memory they take, besides their own.
    pub(super) fn size(&self) -> usize {
        let texts = self.forwarded.iter().flatten().map(|text| text.len());
        let client = self.client.iter().map(|client| client.len());
        let own = [self.scopes.size(), size_of_val(&*self.forwarded)];
        own.into_iter().chain(client).chain(texts).fold(0, usize::saturating_add)
    }
}

/// Which client presents a token with these claims: `client_id` (RFC 9068), else `azp`, else `sub`.
pub(super) fn client<'c>(claims: &'c Object<'_>) -> Option<&'c str> {
    ["client_id", "azp", "sub"].iter().find_map(|claim| claims.get(claim)?.as_str())
}
