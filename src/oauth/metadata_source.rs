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
    /// The issuer as configured; the metadata must name it exactly.
    pub issuer: Rc<str>,
    /// The same, as a URL.
    pub url: Url,
    /// Whether what the metadata names may be without TLS.
    pub allow_http: bool,
    /// How the metadata is kept fresh.
    pub schedule: Schedule,
}

impl MetadataSource {
    /// The document, of at most `max_bytes`.
    pub(crate) fn definition(&self, kind: &'static str, max_bytes: usize) -> Definition {
        Definition {
            kind,
            identity: Rc::clone(&self.issuer),
            is_loose: self.allow_http,
            cluster: Rc::clone(&self.cluster),
            addresses: Address::of_metadata(&self.url).into(),
            schedule: self.schedule.clone(),
            max_bytes,
        }
    }

    /// What the document names as `member`.
    pub(crate) fn read(&self, document: &[u8], member: Member) -> Result<Address, FetchError> {
        Ok(read(document, &self.issuer, member, self.allow_http)?)
    }
}
