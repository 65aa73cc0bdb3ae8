//! The door of an issuer: whoever comes is let into the hall and waits there, connected, until it opens.

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// A closed door.
pub(crate) struct Gate(TcpListener);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Where clients come to.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Opens it: all that is sent goes on to the issuer from now on, for the rest of the process's life.
    pub(crate) fn open(self, to: SocketAddr) {
        std::thread::spawn(move || {
            for client in self.0.incoming().flatten() {
                // An issuer that is gone hangs up.
                let Ok(server) = TcpStream::connect(to) else { continue };
                let (from, back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                relay(from, server);
                relay(back, client);
            }
        });
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
