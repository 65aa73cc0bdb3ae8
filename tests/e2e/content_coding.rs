use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use attache_harness::issuer::Algorithm;
use serde_json::json;

use crate::gate::endpoint;
use crate::proxy::{Document, Listener, Setup, echo, eventually, issuer, reading, trust};
use crate::secrets::scoped;

/// A server of this document that compresses unless told not to, or whatever it is told.
fn compressing(document: Vec<u8>, is_stubborn: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        // One that is cut off has got what it wanted.
        listener.incoming().flatten().for_each(|client| drop(answer(client, &document, is_stubborn)));
    });
    addr
}

fn answer(mut client: TcpStream, document: &[u8], is_stubborn: bool) -> std::io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let mut is_told = false;
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        is_told |= line.eq_ignore_ascii_case("accept-encoding: identity");
    }
    let (coding, body) = if is_told && !is_stubborn {
        ("", document)
    } else {
        // What is behind this needs no reading.
        ("content-encoding: gzip\r\n", &b"\x1f\x8b\x08\0"[..])
    };
    let length = body.len();
    write!(client, "HTTP/1.1 200 OK\r\nconnection: close\r\n{coding}content-length: {length}\r\n\r\n")?;
    client.write_all(body)
}

#[test]
fn a_server_that_compresses_unless_told_not_to_is_told_and_one_that_always_does_is_named() {
    let (told, stubborn) = (issuer("told", &[Algorithm::Es256]), issuer("stubborn", &[Algorithm::Es256]));
    let at = |name: &str, addr| endpoint(name, addr);
    let listener = |name: &str| {
        let document = reading(name, &[trust(name, json!({}))], json!({}));
        Listener::new(name, Document::Struct(document))
    };
    let proxy = Setup::new()
        .cluster("told", at("told", compressing(told.jwks(), false)))
        .cluster("stubborn", at("stubborn", compressing(stubborn.jwks(), true)))
        .listener(listener("told"))
        .listener(listener("stubborn"))
        .start();
    echo(&proxy.get("told", "/").bearer(&scoped(&told, "orders:read")).send().unwrap());
    let line = "issuer stubborn: fetching keys failed (1 in a row): the answer is compressed or otherwise coded (gzip): it \
                was asked for with `accept-encoding: identity`";
    eventually("the line", || proxy.envoy().logs().contains(line).then_some(()));
    assert!(proxy.fetched("stubborn", "content_coding") > 0 || proxy.fetched("stubborn", "changed") == 0);
}
