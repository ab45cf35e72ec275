//! Turns PEM texts into what the MQTT client needs to speak TLS.
//!
//! ring is named as the provider here, so that no process-wide default is needed and no other
//! provider can slip in. Reading the files is `config.rs`'s.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

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
}

/// Makes a client configuration.
pub fn client_config(pem: &Pem) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(&pem.roots).filter_map(Result::ok);
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
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
    Ok(Arc::new(config))
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
}
