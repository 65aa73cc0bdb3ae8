//! HTTP/2 without TLS. One connection stays with one worker, and its requests arrive in the order in which they were sent.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};

/// An answer with all that came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    /// How long after the connection's first request it was complete.
    pub(crate) after: Duration,
}

impl Answer {
    /// A header's or a trailer's value.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).or_else(|| self.trailers.get(name))?.to_str().ok()
    }
}

/// Sends all requests over one connection, without waiting for answers, and returns those in the same order.
pub(crate) fn send_all(addr: SocketAddr, requests: Vec<Request<Full<Bytes>>>) -> Vec<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("Envoy speaks HTTP/2");
        tokio::spawn(connection);
        let start = Instant::now();
        let mut pending = Vec::new();
        for request in requests {
            sender.ready().await.unwrap();
            let answer = sender.send_request(request);
            pending.push(tokio::spawn(async move {
                let answer = answer.await.expect("an answer");
                let status = answer.status().as_u16();
                let headers = answer.headers().clone();
                let body = answer.into_body().collect().await.expect("a whole body");
                let trailers = body.trailers().cloned().unwrap_or_default();
                Answer { status, headers, trailers, after: start.elapsed() }
            }));
        }
        let mut answers = Vec::new();
        for answer in pending {
            answers.push(tokio::time::timeout(PATIENCE, answer).await.expect("an answer in time").unwrap());
        }
        answers
    })
}

/// A GET.
pub(crate) fn get(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    request("GET", addr, path, headers, Bytes::new())
}

/// A request of any method: HTTP/2 lets clients write it as they like.
pub(crate) fn of_method(method: &str, addr: SocketAddr, path: &str) -> Request<Full<Bytes>> {
    request(method, addr, path, &[], Bytes::new())
}

/// A gRPC call with an empty message.
pub(crate) fn grpc(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let headers = [&[("content-type", "application/grpc"), ("te", "trailers")], headers].concat();
    request("POST", addr, path, &headers, Bytes::from_static(&[0; 5]))
}

fn request(
    method: &str,
    addr: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(format!("http://{addr}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body)).unwrap()
}

const PATIENCE: Duration = Duration::from_secs(30);
