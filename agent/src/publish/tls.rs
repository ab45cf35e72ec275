//! Turns PEM texts into what the MQTT client needs to speak TLS.
//!
//! ring is named as the provider here, so that no process-wide default is needed and no other
//! provider can slip in. Reading the files is `config.rs`'s.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// Contents of the files that the configuration names.
#[derive(Clone, Debug, Default)]
pub struct Pem {
    /// Certificates that we trust.
    pub roots: Vec<u8>,
    /// Our certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The trust file is of no use.
    #[error("there is no certificate in it")]
    NoRoots,
    /// The file with our certificate is of no use.
    #[error("there is no certificate in cert_file")]
    NoCertificate,
    /// The file with our key is of no use.
    #[error("there is no private key (PKCS #8, PKCS #1 or SEC 1) in key_file")]
    NoKey,
    /// Certificate and key are readable and not usable.
    #[error("using cert_file and key_file")]
    Identity(#[source] rustls::Error),
    /// rustls and ring have no protocol version in common.
    #[error("setting up TLS")]
    Provider(#[source] rustls::Error),
    /// The trust file cannot be used to verify anything.
    #[error("using ca_file")]
    Roots(#[source] VerifierBuilderError),
}

/// How TLS is spoken with a broker.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Tls {
    /// For whoever connects by the name that the certificate is to show.
    pub fn by_name(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// For whoever connects by an address: the certificate must be for this name all the same.
    /// `None` if that cannot be a name.
    pub fn by_address(&self, name: &str) -> Option<Arc<ClientConfig>> {
        let name = ServerName::try_from(name.to_owned()).ok()?;
        let verifier = Named {
            verifier: Arc::clone(&self.verifier),
            name,
        };
        let mut config = ClientConfig::clone(&self.config);
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(verifier));
        // Sessions are kept by address: one that showed another name must not be taken up.
        config.resumption = Resumption::disabled();
        Some(Arc::new(config))
    }
}

/// Verifies as always, but for the name that was configured and not what was connected to.
#[derive(Debug)]
struct Named {
    verifier: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (verifier, name) = (&self.verifier, &self.name);
        verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Makes a client configuration.
pub fn client_config(pem: &Pem) -> Result<Tls, TlsError> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(&pem.roots).filter_map(Result::ok);
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(roots);
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(TlsError::Roots)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?
        .with_root_certificates(roots);
    let config = match &pem.identity {
        None => builder.with_no_client_auth(),
        Some((certificates, key)) => {
            let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
                .filter_map(Result::ok)
                .collect();
            if chain.is_empty() {
                return Err(TlsError::NoCertificate);
            }
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(TlsError::Identity)?
        }
    };
    let config = Arc::new(config);
    Ok(Tls { config, verifier })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_certificates_are_named() {
        let pem = Pem {
            roots: b"# nothing here\n".to_vec(),
            identity: None,
        };
        assert!(matches!(client_config(&pem), Err(TlsError::NoRoots)));
    }

    /// Talks to a broker whose certificate is for `attic.local`, connected to by its address.
    fn greet(tls: Arc<ClientConfig>, key: &rcgen::CertifiedKey<rcgen::KeyPair>) -> String {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
        let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
        let address = ServerName::try_from("192.0.2.7").unwrap();
        let mut client = rustls::ClientConnection::new(tls, address).unwrap();
        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            if let Err(err) = client.process_new_packets() {
                return err.to_string();
            }
        }
        String::new()
    }

    #[test]
    fn the_certificate_is_for_the_name_whatever_the_address() {
        let key = rcgen::generate_simple_self_signed(vec!["attic.local".to_owned()]).unwrap();
        let roots = key.cert.pem().into_bytes();
        let identity = None;
        let tls = client_config(&Pem { roots, identity }).unwrap();
        assert_eq!(greet(tls.by_address("attic.local").unwrap(), &key), "");
        let other = greet(tls.by_address("cellar.local").unwrap(), &key);
        assert!(other.contains("not valid for name"), "{other}");
        let unnamed = greet(tls.by_name(), &key);
        assert!(unnamed.contains("not valid for name"), "{unnamed}");
        let stranger = rcgen::generate_simple_self_signed(vec!["attic.local".to_owned()]).unwrap();
        let forged = greet(tls.by_address("attic.local").unwrap(), &stranger);
        assert!(
            !forged.is_empty(),
            "a certificate of somebody else's making"
        );
        assert!(tls.by_address("no name").is_none());
    }
}
