//! TLS from a certificate chain and a key in PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::Diagnostic;
use nasty_teacher::{Classified, ErrorClass};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where the certificate and its key are.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, then those that signed it (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{}: {fault}", path.display())]
pub struct TlsError {
    path: PathBuf,
    fault: String,
}

impl Classified for TlsError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Data
    }
}

impl TlsFiles {
    /// Reads the files.
    pub(crate) fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let fail = |path: &Path, fault: String| TlsError { path: path.to_owned(), fault };
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect);
        let chain =
            chain.map_err(|e| fail(&self.certificate, format!("expected certificates in PEM: {e}")))?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|e| fail(&self.key, format!("expected a private key in PEM: {e}")))?;
        let mut config = ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|e| fail(&self.certificate, format!("it does not go with its key: {e}")))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
