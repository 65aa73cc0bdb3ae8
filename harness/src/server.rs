//! An HTTP server on a thread of its own. Starts and stops without an async runtime around it, so tests of
//! either kind can hold one, and can cut a connection as a failing peer would.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::sync::{Notify, oneshot};

/// A running server. Ends, with all of its connections, when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Cuts the connection that a request came on. Every request carries one as an extension.
#[derive(Clone, Debug)]
pub(crate) struct Hangup(Arc<Notify>);

impl Server {
    /// Binds the address (port 0: a free one) and serves until dropped.
    pub(crate) fn start(
        name: &str,
        listen: SocketAddr,
        router: impl FnOnce(SocketAddr) -> Router,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let router = router(addr);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = serve(listener, router) => {}
                    _ = stopped => {}
                }
            });
            // Not `drop`: that would wait for work which was moved to the blocking pool.
            runtime.shutdown_background();
        })?;
        Ok(Self { addr, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the address that it listens on.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Hangup {
    /// Cuts the connection with a reset, whatever was in flight.
    pub(crate) fn now(&self) {
        self.0.notify_one();
    }
}

async fn serve(listener: TcpListener, router: Router) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, router.clone()));
            }
            // Out of file descriptors, most likely: others may end meanwhile.
            Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, router: Router) {
    let _ = stream.set_nodelay(true);
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
    let hangup = Hangup(Arc::new(Notify::new()));
    let cut = hangup.clone();
    let service = tower::ServiceBuilder::new()
        .map_request(move |mut request: Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(hangup.clone());
            request
        })
        .service(router);
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD);
    server.http2().timer(TokioTimer::new()).max_header_list_size(MAX_HEADER_LIST);
    let serving = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::select! {
        _ = serving => {}
        () = cut.0.notified() => reset(&socket),
    }
}

/// Makes the close that follows a reset. The socket is shared with the connection, which is dropped first or next.
fn reset(socket: &OwnedFd) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// More than Envoy forwards by default (100), for tests that raise its limit.
const MAX_HEADERS: usize = 2_000;
/// Room for 60 KB of headers and for more in tests that raise Envoy's limit.
const MAX_HEAD: usize = 1 << 20;
const MAX_HEADER_LIST: u32 = 1 << 20;
