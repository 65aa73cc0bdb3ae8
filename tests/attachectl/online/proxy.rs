//! An HTTP proxy for CONNECT (RFC 9110 §9.3.6), which counts what it is asked for.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// It runs as long as the tests do.
pub(super) struct ConnectProxy {
    pub(super) port: u16,
    asked: Arc<AtomicUsize>,
}

impl ConnectProxy {
    /// Starts one on a free port of this machine.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let connection = connection.unwrap();
                std::thread::spawn(move || drop(serve(connection)));
            }
        });
        Self { port, asked }
    }

    /// How many connections have come.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn serve(client: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut target = String::new();
    reader.read_line(&mut target)?;
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
    }
    let target = target.split(' ').nth(1).unwrap_or_default();
    let server = TcpStream::connect(target)?;
    (&client).write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from, mut to) = (server.try_clone()?, client);
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    std::io::copy(&mut reader, &mut &server).map(drop)
}
