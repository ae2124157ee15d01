//! TLS to Postgres.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::error::Error;

/// What the server's certificate must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// It is signed by a trusted authority; its name does not matter.
    Chain,
    /// It is signed by a trusted authority, for the name of the host.
    Name,
}

/// TLS that trusts the authorities in `pem`, or the public ones.
///
/// # Errors
/// Returns an error if `pem` contains no certificate of an authority.
pub fn connector(identity: Identity, pem: Option<&[u8]>) -> Result<ClientConfig, Error> {
    let roots = Arc::new(authorities(pem)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    if identity == Identity::Name {
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    }
    let whole = WebPkiServerVerifier::builder_with_provider(roots, provider);
    let chain = AnyName { whole: whole.build().map_err(unusable)? };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(chain));
    Ok(builder.with_no_client_auth())
}

fn authorities(pem: Option<&[u8]>) -> Result<RootCertStore, Error> {
    let Some(pem) = pem else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(unusable)?).map_err(unusable)?;
    }
    if roots.is_empty() { Err(unusable("there are none")) } else { Ok(roots) }
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(format!("the certificate authorities cannot be used: {error}"))
}

/// Verifies everything of a certificate except its name.
#[derive(Debug)]
struct AnyName {
    whole: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let result = self.whole.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match result {
            // The name is verified last, so everything else is valid.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.whole.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.whole.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.whole.supported_verify_schemes()
    }
}
