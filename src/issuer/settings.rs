//! Where an issuer's keys come from, as configured.

use std::rc::Rc;

use crate::jose::KeySet;
use crate::oauth::{Address, FetchClient, MetadataSource, Schedule};

/// Where keys of an issuer come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// Written out in the configuration.
    Inline(Rc<KeySet>),
    /// A JWKS document (RFC 7517 §5) at a known address.
    Jwks(Jwks),
    /// A JWKS document whose address the issuer's metadata names (RFC 8414).
    Discovery(Discovery),
}

/// A JWKS document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwks {
    /// The cluster that carries the fetches.
    pub cluster: Rc<str>,
    /// Where it is.
    pub address: Address,
    /// How it is kept fresh.
    pub schedule: Schedule,
    /// Whether a set that lists no key is believed.
    pub accepts_empty_set: bool,
    /// Whose token the fetches carry; `None`: everybody may have the document.
    pub client: Option<FetchClient>,
}

/// The metadata of an issuer, and the JWKS document that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The metadata.
    pub metadata: MetadataSource,
    /// The cluster that carries the fetches of the keys.
    pub jwks_cluster: Rc<str>,
    /// How the keys are kept fresh.
    pub jwks_schedule: Schedule,
    /// Whether a set that lists no key is believed.
    pub accepts_empty_set: bool,
    /// Whose token the fetches from the host of the metadata carry; `None`: everybody may have the documents.
    pub client: Option<FetchClient>,
}

impl Discovery {
    /// Whose token the fetches carry from an address that the metadata names: whoever writes the metadata, or answers
    /// in the issuer's place, does not choose who gets one.
    pub(super) fn client_at(&self, address: &Address) -> Option<FetchClient> {
        self.client.clone().filter(|_| self.metadata.is_beside(address))
    }
}

impl KeySource {
    /// Whose token the fetches carry.
    pub fn client(&self) -> Option<&FetchClient> {
        match self {
            Self::Inline(_) => None,
            Self::Jwks(jwks) => jwks.client.as_ref(),
            Self::Discovery(discovery) => discovery.client.as_ref(),
        }
    }

    /// The same, to be changed.
    pub fn client_mut(&mut self) -> Option<&mut Option<FetchClient>> {
        match self {
            Self::Inline(_) => None,
            Self::Jwks(jwks) => Some(&mut jwks.client),
            Self::Discovery(discovery) => Some(&mut discovery.client),
        }
    }
}
