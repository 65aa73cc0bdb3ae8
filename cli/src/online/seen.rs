use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use ureq::config::Config;
use ureq::http::Uri;
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

/// Resolves names as the system does, or to the addresses that a call is pinned to, and notes the addresses.
#[derive(Debug)]
pub(super) struct NotingResolver {
    pub(super) seen: Seen,
    pub(super) pinned: Option<ResolvedSocketAddrs>,
}

impl Resolver for NotingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = match &self.pinned {
            Some(pinned) => pinned.clone(),
            None => DefaultResolver::default().resolve(uri, config, timeout)?,
        };
        self.seen.update(|facts| facts.addresses = found.iter().map(ToString::to_string).collect());
        Ok(found)
    }
}

/// The addresses of a URL's host, as the system has them; `None` where it has none within this time.
pub(super) fn resolve(url: &str, limit: Duration) -> Option<ResolvedSocketAddrs> {
    let timeout = NextTimeout { after: limit.into(), ..NextTimeout::default() };
    DefaultResolver::default().resolve(&url.parse().ok()?, &Config::default(), timeout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_goes_to_the_addresses_that_were_judged_whatever_a_second_look_up_brings() {
        let judged = resolve("http://127.0.0.1:9000/token", Duration::from_secs(10)).unwrap();
        let resolver = NotingResolver { seen: Seen::default(), pinned: Some(judged) };
        let other = "http://192.0.2.1/token".parse().unwrap();
        let found = resolver.resolve(&other, &Config::default(), NextTimeout::default()).unwrap();
        assert_eq!(&*found, &["127.0.0.1:9000".parse().unwrap()]);
        assert_eq!(resolver.seen.facts().addresses, ["127.0.0.1:9000"]);
    }
}
