//! TLS of a call, verified as usual, and what there is to see of it, whether or not it succeeds.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::seen::Seen;
use crate::printing::bounded;
use crate::report::{Certificate, Tls};

/// The certificates by which servers are verified.
#[derive(Clone, Debug)]
pub(super) struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Those that the system trusts, or those in a PEM file in their place.
    pub(super) fn load(ca: Option<&Path>) -> Result<Self> {
        let mut store = RootCertStore::empty();
        match ca {
            None => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Some(path) => {
                let name = || format!("--ca {}", path.display());
                for certificate in CertificateDer::pem_file_iter(path).with_context(name)? {
                    store.add(certificate.with_context(name)?).with_context(name)?;
                }
                if store.is_empty() {
                    bail!("--ca {}: no certificate in it", path.display());
                }
            }
        }
        Ok(Self(Arc::new(store)))
    }
}

/// Puts TLS on the connections of https.
#[derive(Debug)]
pub(super) struct TlsConnector {
    pub(super) roots: Roots,
    pub(super) seen: Seen,
}

impl TlsConnector {
    fn connection(&self, host: &str) -> Result<ClientConnection, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| rustls::Error::General(format!("the name cannot be verified: {error}")))?;
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let verifier = Witness { roots: self.roots.clone(), provider, seen: self.seen.clone() };
        // It verifies as usual; a name of rustls's for whatever is not its own.
        let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        ClientConnection::new(Arc::new(config.with_no_client_auth()), name)
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        self.seen.update(|seen| seen.tls = Some(Tls::default()));
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let mut sock = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        sock.set_timeout(details.timeout);
        let shaken = self.connection(host).map_err(std::io::Error::other).and_then(|mut connection| {
            connection.complete_io(&mut sock)?;
            Ok(connection)
        });
        let connection = shaken.map_err(|error| {
            if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                self.seen.update(|seen| seen.tls_failure = Some(bounded(&error.to_string()).into_owned()));
            }
            ureq::Error::from(error)
        })?;
        let version = connection.protocol_version().and_then(|version| version.as_str());
        self.seen.update(|seen| {
            seen.tls.get_or_insert_default().version = version.map(|version| version.replace('_', "."));
        });
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned::new(connection, sock) })))
    }
}

/// A connection with TLS.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl core::fmt::Debug for TlsTransport {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Verifies as rustls does, and notes what the certificate says before it is refused.
#[derive(Debug)]
struct Witness {
    roots: Roots,
    provider: Arc<CryptoProvider>,
    seen: Seen,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.seen.update(|seen| seen.tls.get_or_insert_default().certificate = certificate(end_entity));
        let verifier = WebPkiServerVerifier::builder_with_provider(
            Arc::clone(&self.roots.0),
            Arc::clone(&self.provider),
        );
        let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn certificate(der: &CertificateDer<'_>) -> Option<Certificate> {
    use x509_cert::der::Decode as _;
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let content = certificate.tbs_certificate();
    // Escaped and bounded: a name is the server's, and may hold what a terminal acts on.
    let text = |name: &x509_cert::name::Name| format!("{:?}", bounded(&name.to_string()));
    Some(Certificate {
        subject: text(content.subject()),
        issuer: text(content.issuer()),
        expires: content.validity().not_after.to_date_time().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_of_in_no_more_than_256_characters_a_name() {
        let pem = include_bytes!("../../../tests/attachectl/online/long_name.pem");
        let told = certificate(&CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        for name in [told.subject, told.issuer] {
            // The quotes, and what says that there is more.
            assert_eq!(name.chars().count(), 256 + 3, "{name}");
        }
    }
}
