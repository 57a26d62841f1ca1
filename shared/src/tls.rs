//! TLS for connections to PostgreSQL, with libpq's `sslmode` words.
//!
//! In: a mode and the files that the user named. Out: a rustls configuration. The modes mean what libpq documents:
//! <https://www.postgresql.org/docs/current/libpq-ssl.html>.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

/// Whether and how far the server must prove itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS only if the server insists.
    Allow,
    /// TLS if the server offers it; libpq's and Debezium's default.
    #[default]
    Prefer,
    /// TLS, the certificate is not looked at.
    Require,
    /// TLS, the certificate must come from a trusted authority.
    VerifyCa,
    /// TLS, the certificate must come from a trusted authority and name the host.
    VerifyFull,
}

impl SslMode {
    /// The word in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl FromStr for SslMode {
    type Err = TlsError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "disable" => Ok(Self::Disable),
            "allow" => Ok(Self::Allow),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            other => Err(TlsError::Mode(other.to_owned())),
        }
    }
}

/// What keeps TLS from being set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A word that is no mode.
    #[error("sslmode {0:?} is none of disable, allow, prefer, require, verify-ca, verify-full")]
    Mode(String),
    /// A mode that verifies, without anything to verify with.
    #[error("sslmode {0} needs the certificate authority's file (sslrootcert)")]
    NoRoot(&'static str),
    /// A client certificate without its key, or the other way round.
    #[error("sslcert and sslkey must be given together")]
    HalfIdentity,
    /// A file that cannot be read as PEM.
    #[error("cannot read {what} from {path}")]
    Pem {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// rustls refuses what the files hold.
    #[error("TLS configuration is refused")]
    Rustls(#[from] rustls::Error),
    /// The certificates of the authority cannot be used.
    #[error("the certificate authority's file cannot be used: {0}")]
    Root(String),
}

/// The files that a user may name beside the mode.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// Certificates of the authorities that may vouch for the server, PEM.
    pub root_cert: Option<PathBuf>,
    /// Our certificate chain, PEM.
    pub client_cert: Option<PathBuf>,
    /// The key to it, PEM, not encrypted.
    pub client_key: Option<PathBuf>,
}

/// Makes ring the cryptography of every TLS in this process that names none itself, such as that of clients for HTTP.
/// Doing so again changes nothing.
pub fn use_ring() {
    // Whoever came first has chosen; the workspace has no other one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The configuration for one server.
///
/// As in libpq, `require` with a root certificate given verifies like `verify-ca`.
///
/// # Errors
/// See [`TlsError`].
pub fn client_config(mode: SslMode, files: &TlsFiles) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match (mode, &files.root_cert) {
        (SslMode::VerifyFull, Some(path)) => webpki(path, &provider)?,
        (SslMode::VerifyCa | SslMode::Require, Some(path)) => {
            let chain = Some(webpki(path, &provider)?);
            Arc::new(AnyName { chain, provider: Arc::clone(&provider) })
        }
        (SslMode::VerifyCa | SslMode::VerifyFull, None) => {
            return Err(TlsError::NoRoot(mode.as_str()));
        }
        _ => Arc::new(AnyName { chain: None, provider: Arc::clone(&provider) }),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match (&files.client_cert, &files.client_key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(cert), Some(key)) => {
            let chain = certificates(cert, "a client certificate")?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Pem {
                what: "a client key",
                path: key.clone(),
                source,
            })?;
            Ok(builder.with_client_auth_cert(chain, key)?)
        }
        _ => Err(TlsError::HalfIdentity),
    }
}

/// Whether the server's certificate is verified in this mode with these files.
#[must_use]
pub fn verifies(mode: SslMode, files: &TlsFiles) -> bool {
    match mode {
        SslMode::VerifyCa | SslMode::VerifyFull => true,
        SslMode::Require => files.root_cert.is_some(),
        SslMode::Disable | SslMode::Allow | SslMode::Prefer => false,
    }
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |source| TlsError::Pem { what, path: path.to_owned(), source };
    CertificateDer::pem_file_iter(path).map_err(pem)?.collect::<Result<_, _>>().map_err(pem)
}

fn webpki(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, "root certificates")? {
        roots.add(certificate)?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| TlsError::Root(error.to_string()))
}

/// The modes that do not ask for the server's name: `verify-ca` checks the chain alone, `require` and what is weaker
/// checks nothing. The handshake's signature is checked in each of them.
#[derive(Debug)]
struct AnyName {
    /// What checks the chain; `None` when any certificate will do.
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
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
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // webpki checks the chain before the name: a wrong name alone means that the chain was good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_libpqs_names() {
        for word in ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
            assert_eq!(word.parse::<SslMode>().unwrap().as_str(), word);
        }
        assert!("verify".parse::<SslMode>().is_err());
    }

    #[test]
    fn verifying_without_an_authority_is_refused() {
        let error = client_config(SslMode::VerifyFull, &TlsFiles::default()).unwrap_err();
        assert!(error.to_string().contains("sslrootcert"));
        assert!(client_config(SslMode::Require, &TlsFiles::default()).is_ok());
    }
}
