//! A server with TLS that answers every request alike.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

/// It runs as long as the tests do.
pub(super) struct TlsServer {
    pub(super) port: u16,
}

impl TlsServer {
    /// Serves this body on a free port. The certificates are for `localhost`, and good until 2126.
    pub(super) fn start(body: Vec<u8>) -> Self {
        Self::start_as("server.pem", body)
    }

    /// The same with the certificates and the key of this file.
    pub(super) fn start_as(file: &str, body: Vec<u8>) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/attachectl/online").join(file);
        let chain = CertificateDer::pem_file_iter(&path).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&path).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind(("localhost", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                // A client that does not like the certificate hangs up.
                drop(answer(connection.unwrap(), &config, &body));
            }
        });
        Self { port }
    }
}

fn answer(mut socket: TcpStream, config: &Arc<ServerConfig>, body: &[u8]) -> std::io::Result<()> {
    let mut connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..read]);
    }
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")?;
    stream.write_all(body)?;
    stream.flush()
}
