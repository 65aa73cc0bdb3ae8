use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use attache_harness::issuer::TokenSpec;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::gate::endpoint;
use crate::proxy::{
    Document, Listener, Proxy, Setup, completed, ecds_file, eventually, inbound, join, trust,
};
use crate::secrets::token;

/// An upstream whose answers never end, and how many of them are under way.
struct Endless {
    addr: SocketAddr,
    open: Arc<AtomicUsize>,
}

/// One answer under way.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Endless {
    fn start() -> Self {
        let open: Arc<AtomicUsize> = Arc::default();
        let (send, receive) = mpsc::channel();
        let state = Arc::clone(&open);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                let router = axum::Router::new().fallback(answer).with_state(state);
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { addr: receive.recv().unwrap(), open }
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// A WebSocket's bytes come back; everything else gets an event every few milliseconds.
async fn answer(State(open): State<Arc<AtomicUsize>>, request: Request) -> Response<Body> {
    open.fetch_add(1, Ordering::SeqCst);
    let guard = Guard(open);
    if request.headers().contains_key(header::UPGRADE) {
        tokio::spawn(async move {
            let mut socket = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = socket.read(&mut buffer).await {
                socket.write_all(&buffer[..count]).await.unwrap();
            }
            drop(guard);
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    }
    let kind = request.headers().get(header::CONTENT_TYPE).cloned();
    let events = futures_util::stream::unfold(guard, |guard| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(&[0; 5])), guard))
    });
    let mut response = Response::new(Body::from_stream(events));
    let kind = kind.unwrap_or_else(|| HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// How a stream went.
#[derive(Debug)]
struct Ended {
    status: u16,
    /// How much came of it.
    bytes: usize,
    /// When it ended, and by what.
    at: SystemTime,
    how: String,
}

/// A stream that a client reads to its end.
struct Stream {
    begun: mpsc::Receiver<()>,
    ended: mpsc::Receiver<Ended>,
    end: Option<Ended>,
}

impl Stream {
    fn new(begun: mpsc::Receiver<()>, ended: mpsc::Receiver<Ended>) -> Self {
        Self { begun, ended, end: None }
    }

    /// Waits until it is under way.
    fn under_way(self) -> Self {
        self.begun.recv_timeout(PATIENCE).expect("the stream begins");
        self
    }

    fn has_ended(&mut self) -> bool {
        self.end = self.end.take().or_else(|| self.ended.try_recv().ok());
        self.end.is_some()
    }

    #[track_caller]
    fn ended(mut self) -> Ended {
        let end = self.end.take();
        end.unwrap_or_else(|| self.ended.recv_timeout(PATIENCE).expect("the stream ends"))
    }
}

/// Server-sent events over HTTP/1.1, or a WebSocket.
fn http1(addr: SocketAddr, path: &str, token: &str, mark: &str, is_socket: bool) -> Stream {
    let upgrade = if is_socket { "connection: upgrade\r\nupgrade: websocket\r\n" } else { "" };
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: orders.example\r\nx-mark: {mark}\r\nauthorization: Bearer {token}\r\n{upgrade}\r\n"
    );
    let ((begin, begun), (end, ended)) = (mpsc::channel(), mpsc::channel());
    std::thread::spawn(move || {
        let mut socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        if is_socket {
            socket.write_all(b"ping").unwrap();
        }
        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        let how = loop {
            match socket.read(&mut buffer) {
                Ok(0) => break "closed".to_owned(),
                Ok(count) => received.extend_from_slice(&buffer[..count]),
                Err(error) => break error.to_string(),
            }
            if received.windows(4).any(|window| window == b"\r\n\r\n") {
                let _ = begin.send(());
            }
        };
        let status = String::from_utf8_lossy(received.get(9..12).unwrap_or(b"0")).parse().unwrap_or(0);
        let _ = end.send(Ended { status, bytes: received.len(), at: SystemTime::now(), how });
    });
    Stream::new(begun, ended)
}

/// A connection over HTTP/2, whose streams meet one worker.
struct Http2 {
    addr: SocketAddr,
    jobs: tokio::sync::mpsc::UnboundedSender<Job>,
}

/// A request, and who is to know when its answer begins and ends.
struct Job {
    request: hyper::Request<Full<Bytes>>,
    begin: mpsc::Sender<()>,
    end: mpsc::Sender<Ended>,
}

impl Http2 {
    fn connect(addr: SocketAddr) -> Self {
        let (jobs, mut queue) = tokio::sync::mpsc::unbounded_channel::<Job>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let io = TokioIo::new(tokio::net::TcpStream::connect(addr).await.unwrap());
                let (sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
                tokio::spawn(connection);
                // Dropped with the connection's last user.
                while let Some(Job { request, begin, end }) = queue.recv().await {
                    let answer = sender.clone().send_request(request);
                    tokio::spawn(async move {
                        let _ = end.send(read(answer.await, &begin).await);
                    });
                }
            });
        });
        Self { addr, jobs }
    }

    fn stream(&self, path: &str, token: &str, mark: &str, kind: &str) -> Stream {
        let request = hyper::Request::builder()
            .method("POST")
            .uri(format!("http://{}{path}", self.addr))
            .header("x-mark", mark)
            .header("content-type", kind)
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"))
            .body(Full::new(Bytes::from_static(&[0; 5])))
            .unwrap();
        let ((begin, begun), (end, ended)) = (mpsc::channel(), mpsc::channel());
        self.jobs.send(Job { request, begin, end }).ok().unwrap();
        Stream::new(begun, ended)
    }
}

async fn read(answer: hyper::Result<Response<hyper::body::Incoming>>, begin: &mpsc::Sender<()>) -> Ended {
    let (mut status, mut bytes) = (0, 0);
    let how = match answer {
        Err(error) => format!("{error:?}"),
        Ok(answer) => {
            status = answer.status().as_u16();
            let mut body = answer.into_body();
            loop {
                match body.frame().await {
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(error)) => break format!("{error:?}"),
                    None => break "whole".to_owned(),
                }
                let _ = begin.send(());
            }
        }
    };
    Ended { status, bytes, at: SystemTime::now(), how }
}

fn with_routes(streams: Value) -> Document {
    let mut routes = [
        json!({ "name": "ends", "match": { "prefix": "/ends" }, "require": { "scopes": ["orders:read"] },
            "streams": { "end": "at_expiry" } }),
        json!({ "name": "stays", "match": { "prefix": "/stays" }, "require": { "scopes": ["orders:read"] } }),
    ];
    if streams.is_null() {
        routes[0].as_object_mut().unwrap().remove("streams");
    }
    let mut document = inbound(&[trust("corp", json!({ "clock_skew": "0s" }))], &routes, json!({}));
    if streams.is_object() {
        join(&mut document, json!({ "inbound": { "streams": streams } }));
    }
    // What an access log shows of an end does not depend on this.
    document["inbound"]["filter_state"] = "denials".into();
    Document::Struct(document)
}

fn setup(upstream: &Endless) -> Setup {
    let http2 = json!({ "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    } });
    let mut grpc = endpoint("endless-h2", upstream.addr);
    join(&mut grpc, http2);
    Setup::new()
        .issuer("corp")
        .cluster("endless", endpoint("endless", upstream.addr))
        .cluster("endless-h2", grpc)
}

fn listening(listener: Listener) -> Listener {
    let grpc = json!({ "match": { "prefix": "/", "grpc": {} }, "route": { "cluster": "endless-h2", "timeout": "0s" } });
    let all = json!({ "match": { "prefix": "/" }, "route": { "cluster": "endless", "timeout": "0s" } });
    listener.routes(&[grpc, all]).manager(json!({ "upgrade_configs": [{ "upgrade_type": "websocket" }] }))
}

/// A token that expires at the beginning of a second, so many seconds from now at least.
fn until(proxy: &Proxy, secs: u64) -> (String, SystemTime) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let exp = now.as_secs() + 1 + secs;
    let spec = TokenSpec::scoped("orders:read").claim("exp", exp);
    (token(proxy.issuer("corp"), &spec), SystemTime::UNIX_EPOCH + Duration::from_secs(exp))
}

#[test]
fn streams_of_every_kind_end_when_their_token_expires_and_not_before() {
    let upstream = Endless::start();
    let proxy =
        setup(&upstream).listener(listening(Listener::new("streams", with_routes(json!({}))))).start();
    let addr = proxy.addr("streams");
    let http2 = Http2::connect(addr);
    let (short, expires) = until(&proxy, 12);
    let (long, _) = until(&proxy, 3_600);
    let all_of = |path: &str, token: &str, mark: &str| {
        [
            http1(addr, path, token, &format!("{mark}-events"), false),
            http1(addr, path, token, &format!("{mark}-socket"), true),
            http2.stream(path, token, &format!("{mark}-h2"), "text/plain"),
            http2.stream(path, token, &format!("{mark}-grpc"), "application/grpc"),
        ]
        .map(Stream::under_way)
    };
    let (ending, mut longer, mut staying) = (
        all_of("/ends", &short, "ends"),
        all_of("/ends", &long, "longer"),
        all_of("/stays", &short, "stays"),
    );
    assert_eq!(upstream.open(), 12);
    assert!(SystemTime::now() < expires, "too slow to tell: the token expired before its streams began");
    for (stream, kind) in ending.into_iter().zip(["events", "socket", "h2", "grpc"]) {
        let ended = stream.ended();
        println!("{kind}: {ended:?}, {:?} after expiry", ended.at.duration_since(expires));
        assert!(ended.at >= expires, "{kind} ended before its time");
        assert_eq!(ended.status, if kind == "socket" { 101 } else { 200 }, "{kind}");
        assert!(ended.bytes > 0, "{kind}");
        match kind {
            "events" | "socket" => assert_eq!(ended.how, "closed", "{kind}"),
            // Envoy 1.36 resets it with NO_ERROR, which the client library takes for an end.
            _ => {
                assert!(ended.how.contains("INTERNAL_ERROR") || ended.how == "whole", "{kind}: {}", ended.how)
            }
        }
        let entry = proxy.logged(&format!("ends-{kind}"));
        assert_eq!(entry["decision"], "outcome=end reason=expired route=ends issuer=corp", "{kind}: {entry}");
        assert_eq!(entry["status"].to_string().trim_matches('"'), ended.status.to_string(), "{entry}");
    }
    let labels = [("route", "ends"), ("issuer", "corp"), ("outcome", "end")];
    proxy.expect_metric("attache_streams_total", &labels, 4);
    proxy.expect_metric("attache_open_streams", &[], 4);
    // The upstream's side of the four is over, too, and nothing else is.
    eventually("the end of the four upstream", || (upstream.open() == 8).then_some(()));
    assert!(longer.iter_mut().chain(&mut staying).all(|stream| !stream.has_ended()));
    assert_eq!(proxy.get("streams", "/ends").bearer(&short).send().unwrap().status, 401);
}

/// The bound is a worker's, and a connection stays with one.
#[test]
fn one_more_stream_than_may_be_open_is_denied_or_has_no_end_as_the_operator_says() {
    let upstream = Endless::start();
    let proxy = setup(&upstream)
        .listener(listening(Listener::new("denies", with_routes(json!({ "max": 2 })))))
        .listener(listening(Listener::new("forwards", with_routes(json!({ "max": 2, "beyond": "forward" })))))
        .start();
    let (long, _) = until(&proxy, 3_600);
    let http2 = Http2::connect(proxy.addr("denies"));
    let two = [(); 2].map(|()| http2.stream("/ends", &long, "denies", "text/plain").under_way());
    let refused = http2.stream("/ends", &long, "refused", "text/plain").ended();
    assert_eq!(refused.status, 503);
    assert_eq!(
        proxy.logged("refused")["decision"],
        "outcome=deny reason=streams_full route=ends issuer=corp"
    );
    // Elsewhere there is room.
    let other = http2.stream("/stays", &long, "stays", "text/plain").under_way();
    drop((two, other, http2));
    let http2 = Http2::connect(proxy.addr("forwards"));
    let (short, _) = until(&proxy, 8);
    let mut three = [(); 3].map(|()| http2.stream("/ends", &short, "forwards", "text/plain").under_way());
    let labels = [("route", "ends"), ("issuer", "corp")];
    proxy.expect_metric("attache_streams_total", &[&labels[..], &[("outcome", "unlimited")]].concat(), 1);
    proxy.expect_metric("attache_streams_total", &[&labels[..], &[("outcome", "end")]].concat(), 2);
    let [first, second, third] = &mut three;
    eventually("two ends", || (first.has_ended() && second.has_ended()).then_some(()));
    assert!(!third.has_ended());
}

/// The streams of a configuration that has been replaced are still its own.
#[test]
fn a_stream_that_began_under_an_older_configuration_ends_with_its_token() {
    let upstream = Endless::start();
    let proxy = setup(&upstream)
        .file("ecds.json", ecds_file("streams", "1", &with_routes(json!({}))).to_string())
        .listener(listening(Listener::ecds("streams", "ecds.json")))
        .start();
    let (short, expires) = until(&proxy, 16);
    let addr = proxy.addr("streams");
    let stream = http1(addr, "/ends", &short, "old", true).under_way();
    let configured = || proxy.envoy().logs().matches("filter streams configured").count();
    let before = configured();
    proxy
        .envoy()
        .replace_file("ecds.json", &completed(ecds_file("streams", "2", &with_routes(Value::Null))))
        .unwrap();
    // Each thread has been configured once more.
    eventually("the new configuration", || (configured() >= before.saturating_mul(2)).then_some(()));
    assert!(SystemTime::now() < expires, "too slow to tell");
    let mut unending = http1(addr, "/ends", &short, "new", true).under_way();
    let ended = stream.ended();
    assert!(ended.at >= expires);
    assert_eq!(proxy.logged("old")["decision"], "outcome=end reason=expired route=ends issuer=corp");
    assert!(!unending.has_ended(), "the new configuration ends none");
}

const PATIENCE: Duration = Duration::from_secs(30);
