//! An echo upstream: answers what it received, so that a test sees what passed the proxy. HTTP/1.1 and h2c; a gRPC
//! request gets an empty message and `grpc-status: 0`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::server::Server;

/// A running echo upstream. Ends when dropped.
#[derive(Debug)]
pub struct Upstream {
    server: Server,
    requests: Arc<AtomicU64>,
}

/// What the upstream received, as it answers it in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// The method.
    pub method: String,
    /// The path with its query, as it came.
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// All headers in order, repeated ones too; bytes outside ASCII are shown as in Latin-1.
    pub headers: Vec<(String, String)>,
    /// The body's length in bytes.
    pub body_length: usize,
    /// The body's SHA-256 in hex.
    pub body_sha256: String,
}

impl Upstream {
    /// Starts one on 127.0.0.1 and a free port.
    pub fn start() -> Result<Self> {
        Self::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts one on this address.
    pub fn listen(listen: SocketAddr) -> Result<Self> {
        let requests = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&requests);
        let server = Server::start("upstream", listen, |_| {
            Router::new().fallback(move |request: Request| {
                counter.fetch_add(1, Ordering::Relaxed);
                echo(request)
            })
        })
        .with_context(|| {
            format!("the upstream cannot listen on {listen}: choose another address with --listen")
        })?;
        Ok(Self { server, requests })
    }

    /// Returns the address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Returns how many requests reached it.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Echo {
    /// Reads an echo from a response's body.
    pub fn parse(body: &[u8]) -> Result<Self> {
        serde_json::from_slice(body).context("the body is not the upstream's echo")
    }

    /// Returns all values of a header.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns a header's value if it came exactly once.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.header_values(name);
        let first = values.next();
        if values.next().is_some() { None } else { first }
    }
}

async fn echo(request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let is_grpc = parts
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if is_grpc {
        return grpc(&parts.headers);
    }
    let headers =
        parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), latin1(value))).collect();
    let echo = Echo {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        version: format!("{:?}", parts.version),
        headers,
        body_length: body.len(),
        body_sha256: Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let mut response = Response::new(Body::from(serde_json::to_vec(&echo).unwrap_or_default()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An empty message and a good status; the claims that arrived go back as `echo-<name>`.
fn grpc(received: &HeaderMap) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    for (name, value) in received.iter().filter(|(name, _)| name.as_str().starts_with("x-")) {
        if let Ok(name) = axum::http::HeaderName::try_from(format!("echo-{name}")) {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

fn latin1(value: &HeaderValue) -> String {
    value.as_bytes().iter().copied().map(char::from).collect()
}

const MAX_BODY: usize = 64 << 20;
