use std::collections::BTreeMap;
use std::rc::Rc;

use crate::claims::{TokenIssuer, TrustDomain};
use crate::jose::{Json, Object};
use crate::policy::IssuerId;

/// Finds the issuer whose rules and keys a token is held against: one, or none. As fast among a thousand as among ten.
#[derive(Clone, Debug, Default)]
pub struct IssuerIndex {
    /// By `iss`: of each issuer one, or one for each of its tenants.
    names: BTreeMap<Rc<str>, IssuerId>,
    trust_domains: BTreeMap<Rc<str>, IssuerId>,
}

impl IssuerIndex {
    /// Of issuers that differ in all names. Where two have one in common, it is the first one's.
    pub fn new<'i>(issuers: impl Iterator<Item = &'i TokenIssuer>) -> Self {
        let mut index = Self::default();
        for (id, issuer) in
            issuers.enumerate().filter_map(|(place, issuer)| Some((IssuerId::at(place)?, issuer)))
        {
            for name in issuer.names() {
                index.names.entry(Rc::clone(name)).or_insert(id);
            }
            if let TokenIssuer::TrustDomain(domain) = issuer {
                index.trust_domains.entry(domain.name().into()).or_insert(id);
            }
        }
        index
    }

    /// By the claims of a token, which are not to be trusted: the issuer's rules look at them again, and its keys have
    /// to verify them. Whoever is named by `iss` is meant; the trust domain of `sub` counts only where `iss` names no
    /// configured issuer, so that no token is held against the keys of two.
    pub fn find(&self, claims: &Object<'_>) -> Option<IssuerId> {
        let iss = match claims.get("iss") {
            None | Some(Json::Null) => None,
            Some(iss) => Some(iss.as_str()?),
        };
        if let Some(id) = iss.and_then(|iss| self.names.get(iss)) {
            return Some(*id);
        }
        if self.trust_domains.is_empty() {
            return None;
        }
        let domain = TrustDomain::named_in(claims.get("sub")?.as_str()?)?;
        self.trust_domains.get(domain).copied()
    }
}
