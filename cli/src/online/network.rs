//! The way from this machine to the endpoints: one call at a time, each bounded, none repeated, no redirect followed.

use core::time::Duration;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use attache::base::{Headers, HttpCall, HttpReply, Secret};
use ureq::unversioned::resolver::ResolvedSocketAddrs;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, TcpConnector};
use ureq::{Agent, Proxy};

use super::seen::{NotingResolver, Seen, resolve};
use super::tls::{Roots, TlsConnector};
use crate::printing::{bounded, escaped, shown_url};
use crate::report::{Answer, Exchange};

/// How endpoints are asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asking<'a> {
    /// A PEM file with the certificates that servers are verified by, in place of those that the system trusts.
    pub ca: Option<&'a Path>,
    /// An HTTP proxy, `http://host:port`; `None`: none, whatever the environment says.
    pub proxy: Option<&'a str>,
    /// Hosts that are asked where only a metadata document names them.
    pub allowed_hosts: &'a [String],
}

/// The network of this machine.
pub struct Network<'p> {
    roots: Roots,
    proxy: Option<Proxy>,
    allowed_hosts: Vec<String>,
    /// Is told what is asked next.
    progress: &'p mut dyn FnMut(&str),
    asked: usize,
    /// The answers to GETs, by URL: a document that several parts of a configuration name is fetched once.
    earlier: Vec<(String, Fetched)>,
}

/// What came of a call.
#[derive(Clone)]
pub(super) struct Fetched {
    pub(super) exchange: Exchange,
    /// What the filter gets: Envoy's own answer, where none came.
    pub(super) reply: HttpReply,
    /// Why none came.
    pub(super) failure: Option<String>,
}

impl Fetched {
    /// The body of an answer that is a document.
    pub(super) fn document(&self) -> Option<&[u8]> {
        if let HttpReply::Response { status: 200, body: Ok(body), .. } = &self.reply {
            Some(body)
        } else {
            None
        }
    }
}

/// Why a call is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotAsked {
    /// Only a metadata document names this host.
    Unnamed(String),
    /// There have been [`MAX_CALLS`].
    TooMany,
    /// It has a body, which holds a secret or brings a token, and would go over a network without TLS.
    PlainText,
    /// The same, and its name has no address from which to see where it would go.
    NoAddress,
}

impl<'p> Network<'p> {
    /// Reads the certificates. `progress` is told what is asked next, in words.
    ///
    /// # Errors
    /// The file with certificates cannot be used, or the proxy is none.
    pub fn new(asking: Asking<'_>, progress: &'p mut dyn FnMut(&str)) -> Result<Self> {
        let proxy = match asking.proxy {
            Some(url) if !url.starts_with("http://") => bail!("--proxy wants http://HOST:PORT"),
            Some(url) => Some(Proxy::new(url).context("--proxy wants http://HOST:PORT")?),
            None => None,
        };
        let roots = Roots::load(asking.ca)?;
        let allowed_hosts = asking.allowed_hosts.to_vec();
        Ok(Self { roots, proxy, allowed_hosts, progress, asked: 0, earlier: Vec::new() })
    }

    /// Makes a call, and reads at most `max_bytes` of the answer. `named`: where a metadata document names the address,
    /// the hosts that the files name for it. In Envoy the cluster decides where such a call goes; here, without this,
    /// the document would, with the client's secret, and into the network of this machine.
    pub(super) fn ask(
        &mut self,
        what: &str,
        call: &HttpCall,
        max_bytes: usize,
        named: Option<&[String]>,
    ) -> Result<Fetched, NotAsked> {
        let url = url(call);
        if let Some(named) = named {
            let host = host_of(&url).unwrap_or_default();
            let mut hosts = named.iter().chain(&self.allowed_hosts);
            if !hosts.any(|known| known.eq_ignore_ascii_case(&host)) {
                return Err(NotAsked::Unnamed(host));
            }
        }
        let is_get = call.body.expose().is_empty();
        if let Some((_, earlier)) = self.earlier.iter().find(|(earlier, _)| is_get && *earlier == url) {
            let mut earlier = earlier.clone();
            earlier.exchange.is_earlier = true;
            return Ok(earlier);
        }
        let pinned = if is_get { None } else { self.private_way(&url)? };
        if self.asked >= MAX_CALLS {
            return Err(NotAsked::TooMany);
        }
        self.asked = self.asked.saturating_add(1);
        (self.progress)(&escaped(&format!("{what}: {}", shown_url(&url))));
        let fetched = self.send(&url, call, max_bytes, pinned);
        if is_get {
            self.earlier.push((url, fetched.clone()));
        }
        Ok(fetched)
    }

    /// Sees to it that no other machine reads a credential on its way: without TLS it stays on this machine, at the
    /// addresses that are returned. These were judged, and a second look-up could bring others. A proxy would look the
    /// name up by itself.
    fn private_way(&self, url: &str) -> Result<Option<ResolvedSocketAddrs>, NotAsked> {
        if url.starts_with("https://") {
            return Ok(None);
        }
        if self.proxy.is_some() {
            return Err(NotAsked::PlainText);
        }
        let addresses = resolve(url, MAX_TIME).ok_or(NotAsked::NoAddress)?;
        let is_here = !addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback());
        if is_here { Ok(Some(addresses)) } else { Err(NotAsked::PlainText) }
    }

    fn send(
        &self,
        url: &str,
        call: &HttpCall,
        max_bytes: usize,
        pinned: Option<ResolvedSocketAddrs>,
    ) -> Fetched {
        let limit = call.timeout.min(MAX_TIME);
        let seen = Seen::default();
        let config = Agent::config_builder()
            .timeout_global(Some(limit))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(self.proxy.clone())
            .build();
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(TlsConnector { roots: self.roots.clone(), seen: seen.clone() });
        let agent = Agent::with_parts(config, connector, NotingResolver { seen: seen.clone(), pinned });
        let begun = Instant::now();
        let outcome = run(&agent, url, call, max_bytes);
        let took = begun.elapsed();
        let facts = seen.facts();
        let exchange = Exchange {
            addresses: facts.addresses,
            tls: facts.tls,
            took,
            limit,
            answer: None,
            is_earlier: false,
        };
        match outcome {
            Ok((answer, reply)) => {
                Fetched { exchange: Exchange { answer: Some(answer), ..exchange }, reply, failure: None }
            }
            Err(error) => {
                let (status, failure) = match (facts.tls_failure, error) {
                    (Some(failure), _) => (503, format!("no TLS connection: {failure}")),
                    (None, ureq::Error::Timeout(_)) => {
                        (504, format!("no answer within {} ms", limit.as_millis()))
                    }
                    (None, ureq::Error::HostNotFound) => (503, "the name has no address here".to_owned()),
                    (None, ureq::Error::Io(error)) => {
                        (503, format!("the connection failed: {}", bounded(&error.to_string())))
                    }
                    // Its words would be the address, with a query that may hold a key.
                    (None, ureq::Error::BadUri(_)) => (503, "the address is no URL".to_owned()),
                    (None, error) => (503, format!("no answer: {}", bounded(&error.to_string()))),
                };
                let reply = HttpReply::Response { status, headers: Headers::default(), body: Ok(Vec::new()) };
                Fetched { exchange, reply, failure: Some(failure) }
            }
        }
    }
}

fn run(
    agent: &Agent,
    url: &str,
    call: &HttpCall,
    max_bytes: usize,
) -> Result<(Answer, HttpReply), ureq::Error> {
    let mut request = ureq::http::Request::builder().method(header(call, ":method").as_str()).uri(url);
    for (name, value) in call.headers.iter().filter(|(name, _)| !name.starts_with(':')) {
        request = request.header(&**name, value.expose());
    }
    let body = call.body.expose();
    let mut response =
        if body.is_empty() { agent.run(request.body(())?)? } else { agent.run(request.body(body)?)? };
    let stated = response.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
    let headers: Headers =
        response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let mut read = Vec::new();
    let most = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    response.body_mut().as_reader().take(most).read_to_end(&mut read)?;
    let bytes = read.len();
    let body = if bytes > max_bytes { Err(stated.unwrap_or(bytes).max(bytes)) } else { Ok(read) };
    let status = response.status().as_u16();
    let content_type = content_type(&headers);
    Ok((Answer { status, content_type, bytes }, HttpReply::Response { status, headers, body }))
}

/// The media type, in our own words: a server may say there what it knows of the client.
fn content_type(headers: &Headers) -> &'static str {
    let Some(value) = headers.first("content-type") else { return "no content type" };
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let essence = value.split(';').next().unwrap_or_default().trim();
    CONTENT_TYPES.into_iter().find(|known| *known == essence).unwrap_or("another content type")
}

/// The host of a URL: a name, or an IP address without brackets.
pub(super) fn host_of(url: &str) -> Option<String> {
    let uri: ureq::http::Uri = url.parse().ok()?;
    Some(uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned())
}

/// The address of a call as it may be shown.
pub(super) fn shown(call: &HttpCall) -> String {
    shown_url(&url(call))
}

/// The address of a call, with a query that may hold a key: for the call itself.
fn url(call: &HttpCall) -> String {
    format!("{}://{}{}", header(call, ":scheme"), header(call, ":authority"), header(call, ":path"))
}

fn header(call: &HttpCall, name: &str) -> String {
    let found = call.headers.iter().find(|(header, _)| **header == *name);
    found.map(|(_, value)| text(value)).unwrap_or_default()
}

fn text(value: &Secret) -> String {
    String::from_utf8_lossy(value.expose()).into_owned()
}

/// As many as one person reads, and no server takes amiss.
pub(super) const MAX_CALLS: usize = 32;
/// How long a call takes at most, whatever the configuration allows.
const MAX_TIME: Duration = Duration::from_secs(10);
/// What such endpoints send, and what stands in front of them.
const CONTENT_TYPES: [&str; 8] = [
    "application/json",
    "application/jwk-set+json",
    "application/problem+json",
    "application/octet-stream",
    "application/xml",
    "text/html",
    "text/plain",
    "text/xml",
];
