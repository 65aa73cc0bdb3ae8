//! An echo upstream: answers what it received, so that a test sees what passed the proxy. HTTP/1.1 and h2c; a gRPC
//! request gets an empty message and `grpc-status: 0`. It remembers what came, and refuses, redirects or dawdles when
//! a test tells it to.

mod answer;
mod behaviour;
mod echo;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::Request;

pub use self::echo::Echo;

use self::behaviour::Behaviour;
use crate::server::Server;

/// A running echo upstream. Ends when dropped.
#[derive(Debug)]
pub struct Upstream {
    server: Server,
    requests: Arc<AtomicU64>,
    behaviour: Arc<Behaviour>,
}

impl Upstream {
    /// Starts one on 127.0.0.1 and a free port.
    pub fn start() -> Result<Self> {
        Self::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts one on this address.
    pub fn listen(listen: SocketAddr) -> Result<Self> {
        let requests = Arc::new(AtomicU64::new(0));
        let behaviour = Arc::new(Behaviour::default());
        let (counter, shared) = (Arc::clone(&requests), Arc::clone(&behaviour));
        let server = Server::start("upstream", listen, |_| {
            Router::new().fallback(move |request: Request| {
                counter.fetch_add(1, Ordering::Relaxed);
                answer::answer(Arc::clone(&shared), request)
            })
        })
        .with_context(|| {
            format!("the upstream cannot listen on {listen}: choose another address with --listen")
        })?;
        Ok(Self { server, requests, behaviour })
    }

    /// Returns the address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Returns how many requests reached it.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns the last 10,000 requests, or fewer if they are large, oldest first.
    pub fn seen(&self) -> Vec<Echo> {
        self.behaviour.seen()
    }

    /// Forgets the requests that it has seen, not how many there were.
    pub fn forget(&self) {
        self.behaviour.forget();
    }

    /// Answers each request with the status that this returns for it. The body stays the echo.
    pub fn accept_only(&self, judge: impl Fn(&Echo) -> u16 + Send + Sync + 'static) {
        self.behaviour.set_judge(Some(Arc::new(judge)));
    }

    /// Answers 401 unless the request bears one token, and this accepts it.
    pub fn accept_tokens(&self, is_good: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.accept_only(move |echo| if echo.bearer().is_some_and(&is_good) { 200 } else { 401 });
    }

    /// Answers 401 to requests that bear one of these tokens.
    pub fn answer_401_to(&self, tokens: Vec<String>) {
        self.accept_only(move |echo| {
            let is_bad = echo.bearer().is_some_and(|token| tokens.iter().any(|bad| bad == token));
            if is_bad { 401 } else { 200 }
        });
    }

    /// Answers 200 to all requests again.
    pub fn accept_all(&self) {
        self.behaviour.set_judge(None);
    }

    /// Answers requests whose path starts so with 302 to this location.
    pub fn redirect(&self, prefix: &str, location: &str) {
        self.behaviour.set_redirect(Some((prefix.to_owned(), location.to_owned())));
    }

    /// Redirects no more.
    pub fn stop_redirecting(&self) {
        self.behaviour.set_redirect(None);
    }

    /// Answers this much later than it has decided what to answer.
    pub fn delay(&self, delay: Duration) {
        self.behaviour.set_delay(delay);
    }
}
