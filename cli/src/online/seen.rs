use std::sync::{Arc, Mutex, PoisonError};

use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::report::Tls;

/// What the parts of a call have seen of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Arc<Mutex<Facts>>);

/// The facts of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) addresses: Vec<String>,
    pub(super) tls: Option<Tls>,
    /// Why TLS failed, if it did.
    pub(super) tls_failure: Option<String>,
}

impl Seen {
    /// Notes something.
    pub(super) fn update(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What was noted.
    pub(super) fn facts(&self) -> Facts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Resolves names as the system does, and notes the addresses.
#[derive(Debug)]
pub(super) struct NotingResolver(pub(super) Seen);

impl Resolver for NotingResolver {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        self.0.update(|facts| facts.addresses = found.iter().map(ToString::to_string).collect());
        Ok(found)
    }
}
