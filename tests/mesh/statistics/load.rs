//! Requests of several kinds, and what the plane has to count of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use attache_harness::http::Request;
use attache_harness::issuer::{Issuer, TokenSpec};

/// The load generator.
pub(crate) struct Load {
    kinds: Vec<Kind>,
}

/// Requests that are alike.
struct Kind {
    method: &'static str,
    path: &'static str,
    token: Option<String>,
    status: u16,
    /// `client api route method class`.
    labels: &'static str,
}

impl Load {
    pub(crate) fn new(issuer: &Issuer) -> Result<Self> {
        let token = |client: &str, scope: &str| -> Result<Option<String>> {
            let spec = TokenSpec::scoped(scope).claim("client_id", client).claim("sub", client);
            Ok(Some(issuer.mint(&spec)?))
        };
        let (shop, billing) = (token("shop", "orders:read orders:write")?, token("billing", "orders:read")?);
        let kind = |method, path, token: &Option<String>, status, labels| {
            let token = token.clone();
            Kind { method, path, token, status, labels }
        };
        let kinds = vec![
            kind("GET", "/orders/7", &shop, 200, "shop orders read-orders GET 2xx"),
            kind("GET", "/orders/8", &billing, 200, "billing orders read-orders GET 2xx"),
            kind("POST", "/orders", &shop, 200, "shop orders write-orders POST 2xx"),
            kind("POST", "/orders", &billing, 403, "billing orders write-orders POST 4xx"),
            kind("GET", "/orders/7", &None, 401, "none orders read-orders GET 4xx"),
            kind("PROPFIND", "/healthz", &None, 200, "none none health other 2xx"),
        ];
        Ok(Self { kinds })
    }

    /// Sends so many requests to a base URL, over a few connections at once, and checks their statuses.
    pub(crate) fn send(&self, base: &str, requests: usize) -> Result<()> {
        let next = AtomicUsize::new(0);
        let client = || -> Result<()> {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= requests {
                    return Ok(());
                }
                let kind = self.kind(n);
                let mut request = Request::new(kind.method, format!("{base}{}", kind.path));
                if let Some(token) = &kind.token {
                    request = request.bearer(token);
                }
                let status = request.send()?.status;
                ensure!(status == kind.status, "{} of {}: {status}", kind.labels, kind.path);
            }
        };
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
            clients.into_iter().try_for_each(|client| client.join().ok().context("a client panicked")?)
        })
    }

    /// What a plane has to count of so many requests.
    pub(crate) fn counts(&self, requests: usize) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for n in 0..requests {
            *counts.entry(self.kind(n).labels.to_owned()).or_default() += 1;
        }
        counts
    }

    fn kind(&self, n: usize) -> &Kind {
        &self.kinds[n % self.kinds.len()]
    }
}

const CLIENTS: usize = 4;
