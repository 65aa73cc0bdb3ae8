//! What requests go out to: a server that the thread of the load serves between its requests, so that no other thread
//! has to be woken and none takes a core from those that are measured. It looks at every request's credential.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

/// A listening server. It answers while a load runs.
pub(crate) struct Upstream {
    listener: TcpListener,
    addr: SocketAddr,
    connections: Vec<Option<Connection>>,
    wanted: Credential,
    /// The token that was found good last.
    good: Vec<u8>,
}

/// What every request must carry.
pub(crate) enum Credential {
    /// Nothing.
    None,
    /// A bearer token that its issuer says is live.
    Bearer(Box<dyn Fn(&str) -> bool + Send>),
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// What a connection has come to.
#[derive(PartialEq, Eq)]
enum Connected {
    Open,
    Closed,
}

impl Upstream {
    /// Listens; Envoy's connections wait until a load runs.
    pub(crate) fn listen(wanted: Credential) -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .context("no free port for the upstream")?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr, connections: Vec::new(), wanted, good: Vec::new() })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Joins a load's poll, under tokens from `first` on.
    pub(crate) fn join(&mut self, registry: &Registry, first: usize) -> Result<()> {
        registry.register(&mut self.listener, Token(first), Interest::READABLE)?;
        for (place, connection) in self.connections.iter_mut().enumerate() {
            if let Some(Connection { stream, .. }) = connection {
                registry.register(stream, Token(first + 1 + place), Interest::READABLE)?;
            }
        }
        Ok(())
    }

    /// Leaves it.
    pub(crate) fn leave(&mut self, registry: &Registry) -> Result<()> {
        registry.deregister(&mut self.listener)?;
        for Connection { stream, .. } in self.connections.iter_mut().flatten() {
            registry.deregister(stream)?;
        }
        Ok(())
    }

    /// Does what an event is about.
    pub(crate) fn handle(&mut self, event: usize, registry: &Registry, first: usize) -> Result<()> {
        let Some(place) = event.checked_sub(first + 1) else { return self.accept(registry, first) };
        let Some(Some(connection)) = self.connections.get_mut(place) else { return Ok(()) };
        if connection.answer(&self.wanted, &mut self.good)? == Connected::Closed {
            self.connections[place] = None;
        }
        Ok(())
    }

    fn accept(&mut self, registry: &Registry, first: usize) -> Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("the upstream accepts no connection"),
            };
            stream.set_nodelay(true)?;
            let place = self.connections.len();
            registry.register(&mut stream, Token(first + 1 + place), Interest::READABLE)?;
            self.connections.push(Some(Connection { stream, received: Vec::with_capacity(MAX_HEAD) }));
        }
    }
}

impl Credential {
    fn check(&self, head: &[u8], good: &mut Vec<u8>) -> Result<()> {
        let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let value = lines.find_map(|line| line.strip_prefix(b"authorization: "));
        match (self, value) {
            (Self::None, None) => Ok(()),
            (Self::None, Some(_)) => bail!("the upstream saw a credential that should not be there"),
            (Self::Bearer(_), None) => bail!("the upstream saw a request without a token"),
            (Self::Bearer(is_live), Some(value)) => {
                let token = value.strip_prefix(b"Bearer ").context("the upstream saw no Bearer token")?;
                if token == good.as_slice() {
                    return Ok(());
                }
                ensure!(
                    str::from_utf8(token).is_ok_and(is_live),
                    "the upstream saw a token that the authorization server did not issue"
                );
                good.clear();
                good.extend_from_slice(token);
                Ok(())
            }
        }
    }
}

impl Connection {
    /// Reads what is there, and answers when it is a whole request; there is never more than one, and none has a body.
    fn answer(&mut self, wanted: &Credential, good: &mut Vec<u8>) -> Result<Connected> {
        let mut buffer = [0; MAX_HEAD];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(Connected::Closed),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Connected::Open),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Ok(Connected::Closed),
            }
            ensure!(self.received.len() <= MAX_HEAD, "a request of more than {MAX_HEAD} bytes");
            if self.received.ends_with(b"\r\n\r\n") {
                wanted.check(&self.received, good)?;
                self.received.clear();
                // The last answer has been read, so there is room.
                self.stream.write_all(ANSWER).context("Envoy closed a connection before the answer")?;
                return Ok(Connected::Open);
            }
        }
    }
}

/// What Envoy's direct responses are elsewhere.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nok\n";
const MAX_HEAD: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_another_credential_than_the_wanted_one_is_an_error() {
        let bearer = Credential::Bearer(Box::new(|token| token == "live"));
        let check = |wanted: &Credential, head: &[u8]| wanted.check(head, &mut Vec::new()).is_ok();
        let none = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let live = b"GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer live\r\n\r\n";
        assert!(check(&Credential::None, none) && !check(&Credential::None, live));
        assert!(check(&bearer, live) && !check(&bearer, none));
        for other in ["Bearer old", "Bearer live, Bearer live", "Bearer ", "live"] {
            let head = format!("GET / HTTP/1.1\r\nauthorization: {other}\r\n\r\n");
            assert!(!check(&bearer, head.as_bytes()), "{other}");
        }
    }
}
