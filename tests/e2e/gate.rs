//! The way to a server, which can be closed: what is sent on it waits, on connections that stand, until it is opened. So a test
//! says when an answer may come, however slow or busy the machine is.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use crate::proxy::Setup;

/// A gate before a server, for the rest of the process's life.
pub(crate) struct Gate {
    addr: SocketAddr,
    door: Arc<Door>,
}

#[derive(Default)]
struct Door {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    /// A closed gate on the way to this server.
    pub(crate) fn closed(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Self { addr: listener.local_addr().unwrap(), door: Arc::default() };
        let door = Arc::clone(&gate.door);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is gone hangs up.
                let Ok(server) = TcpStream::connect(to) else { continue };
                let (from, back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                relay(from, server, Some(Arc::clone(&door)));
                relay(back, client, None);
            }
        });
        gate
    }

    /// Where clients come to.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a cluster of this name has that leads here.
    pub(crate) fn endpoint(&self, cluster: &str) -> Value {
        endpoint(cluster, self.addr)
    }

    /// Lets go on all that has been sent and will be.
    pub(crate) fn open(&self) {
        *self.door.is_open.lock().unwrap() = true;
        self.door.opened.notify_all();
    }

    /// From now on what is sent waits.
    pub(crate) fn close(&self) {
        *self.door.is_open.lock().unwrap() = false;
    }
}

/// What a cluster of this name has that leads to this address.
pub(crate) fn endpoint(cluster: &str, addr: SocketAddr) -> Value {
    let address =
        json!({ "socket_address": { "address": addr.ip().to_string(), "port_value": addr.port() } });
    json!({ "load_assignment": {
        "cluster_name": cluster,
        "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
    } })
}

impl Setup {
    /// Closes the way to this issuer, until the gate is opened.
    pub(crate) fn gated(self, name: &str) -> (Self, Gate) {
        let gate = Gate::closed(self.issuer_addr(name));
        let endpoint = gate.endpoint(name);
        (self.issuer_cluster(name, endpoint), gate)
    }
}

impl Door {
    fn pass(&self) {
        let is_open = self.is_open.lock().unwrap();
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, door: Option<Arc<Door>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            door.iter().for_each(|door| door.pass());
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
