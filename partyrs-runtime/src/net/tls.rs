//! TLS by rustls (RFC 8446, RFC 5246): a certificate and its key from PEM files, read again on SIGHUP.
//!
//! The difficulty is to refuse early and never later: files that do not fit keep a program
//! from starting, but a program that runs goes on with what it has when new files do not fit.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::ServerConfig;
use tokio_rustls::rustls::{self, InconsistentKeys};
use tokio_rustls::server::TlsStream;

use crate::movable::Movable;

/// Where a certificate and its key lie, both in PEM.
#[derive(Clone, Debug)]
pub(crate) struct CertificateFiles {
    /// The chain: the host's own first, then those between it and one that clients know.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Why a certificate cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("TLS file {} cannot be read: {source}; check its path and who may read it", .file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no certificate in the file.
    #[error("TLS file {} has no certificate; it must hold the chain in PEM, from -----BEGIN CERTIFICATE----- on", .0.display())]
    NoCertificate(PathBuf),
    /// There is no private key in the file.
    #[error("TLS file {} has no private key; it must hold one in PEM, such as -----BEGIN PRIVATE KEY-----, and without a password", .0.display())]
    NoKey(PathBuf),
    /// They do not belong together.
    #[error("the key in {} is not the one of the first certificate in {}; name the key that it was made with", .key.display(), .certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// rustls does not take them.
    #[error("the certificate in {} cannot be used: {source}; make a new one", .certificate.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
}

/// What clients are greeted with.
pub(crate) struct Tls {
    files: CertificateFiles,
    /// Replaced as a whole; who is greeted meanwhile gets the one or the other.
    config: Mutex<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn open(files: CertificateFiles) -> Result<Self, TlsError> {
        let config = Mutex::new(Arc::new(files.read()?));
        Ok(Self { files, config })
    }

    /// Greets a client. The caller sets the time limit.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> std::io::Result<TlsStream<Movable>> {
        let config = Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner));
        tokio_rustls::TlsAcceptor::from(config).accept(Movable::new(tcp)).await
    }

    /// Reads the files again at each SIGHUP; never ends.
    pub(crate) async fn follow_signals(&self) {
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => {
                tracing::error!(%error, "no SIGHUP can be received, certificates stay as they are");
                return std::future::pending().await;
            }
        };
        while hangup.recv().await.is_some() {
            self.read_again();
        }
    }

    /// Takes new files if they are good, and goes on with the old ones if not.
    fn read_again(&self) {
        match self.files.read() {
            Ok(config) => {
                *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                tracing::info!(certificate = %self.files.certificate.display(), "certificate was read again");
            }
            Err(error) => tracing::error!(%error, "certificate stays as it was"),
        }
    }
}

impl CertificateFiles {
    pub(crate) fn new(certificate: &Path, key: &Path) -> Self {
        Self { certificate: certificate.to_owned(), key: key.to_owned() }
    }

    fn read(&self) -> Result<ServerConfig, TlsError> {
        let no_certificate = |error| wrong(&self.certificate, error, TlsError::NoCertificate);
        let chain = CertificateDer::pem_file_iter(&self.certificate).map_err(no_certificate)?;
        let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(no_certificate)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(self.certificate.clone()));
        }
        let no_key = |error| wrong(&self.key, error, TlsError::NoKey);
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(no_key)?;
        let unusable = |source| match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            source => TlsError::Unusable { certificate: self.certificate.clone(), source },
        };
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(unusable)?.with_no_client_auth();
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        // WebSockets need HTTP/1.1, and a browser would take HTTP/2 where it is offered.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// A file that cannot be read, or in which there is not what should be.
fn wrong(file: &Path, error: pem::Error, absent: impl FnOnce(PathBuf) -> TlsError) -> TlsError {
    match error {
        pem::Error::Io(source) => TlsError::Unreadable { file: file.to_owned(), source },
        _ => absent(file.to_owned()),
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}
