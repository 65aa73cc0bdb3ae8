//! Where an issuer's metadata is (RFC 8414), and how it is read: for keys, and for token endpoints.

use std::rc::Rc;

use url::Url;

use super::address::Address;
use super::definition::Definition;
use super::fetch::FetchError;
use super::metadata::{Member, read};
use super::timetable::Schedule;

/// The metadata of an issuer, as configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetadataSource {
    /// The cluster that carries the fetches.
    pub cluster: Rc<str>,
    /// The issuer that the metadata must name exactly.
    pub issuer: Rc<str>,
    /// Where the metadata is.
    pub location: MetadataLocation,
    /// Whether what the metadata names may be without TLS.
    pub allow_http: bool,
    /// How the metadata is kept fresh.
    pub schedule: Schedule,
}

/// Where metadata is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MetadataLocation {
    /// At one of the well-known places of the issuer, which is this URL.
    WellKnown(Url),
    /// Here.
    At(Address),
}

impl MetadataSource {
    /// What it is known by in the process.
    pub(crate) fn identity(&self) -> Rc<str> {
        match &self.location {
            MetadataLocation::WellKnown(_) => Rc::clone(&self.issuer),
            // No issuer has a space.
            MetadataLocation::At(address) => format!("{} {}", self.issuer, address.url()).into(),
        }
    }

    /// The document, of at most `max_bytes`.
    pub(crate) fn definition(&self, kind: &'static str, max_bytes: usize) -> Definition {
        Definition {
            kind,
            identity: self.identity(),
            is_loose: self.allow_http,
            cluster: Rc::clone(&self.cluster),
            addresses: match &self.location {
                MetadataLocation::WellKnown(issuer) => Address::of_metadata(issuer).into(),
                MetadataLocation::At(address) => vec![address.clone()],
            },
            schedule: self.schedule.clone(),
            max_bytes,
            client: None,
        }
    }

    /// Whether an address is at the host and port where the metadata is: both are written in the configuration.
    pub(crate) fn is_beside(&self, address: &Address) -> bool {
        match &self.location {
            MetadataLocation::WellKnown(issuer) => Address::of(issuer).authority == address.authority,
            MetadataLocation::At(metadata) => metadata.authority == address.authority,
        }
    }

    /// What the document names as `member`.
    pub(crate) fn read(&self, document: &[u8], member: Member) -> Result<Address, FetchError> {
        Ok(read(document, &self.issuer, member, self.allow_http)?)
    }
}
