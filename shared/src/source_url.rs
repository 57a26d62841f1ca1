//! Where a source is that is only looked at: a connection URL.
//!
//! In: `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…`, as `--source` of both programs takes it.
//! Out: connection options. TLS has the same defaults as for the warehouse: `prefer` on this machine, `verify-full`
//! anywhere else. The URL never appears in an error, because it may hold a password.

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::postgres::{ConnectOptions, is_this_machine};
use crate::secret::Secret;
use crate::tls::{SslMode, TlsFiles};

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL of a database.
    #[error("--source is no database URL: write postgres://user:password@host:port/database")]
    NoUrl,
    /// A parameter that means nothing here.
    #[error("--source has the parameter {0}, which is not known here: sslmode and sslrootcert are")]
    Parameter(String),
    /// An unknown TLS mode.
    #[error(
        "sslmode in --source must be disable, allow, prefer, require, verify-ca or verify-full"
    )]
    SslMode,
    /// A certificate cannot be verified without authorities.
    #[error(
        "--source names another machine, so sslmode is verify-full unless it is set: add ?sslrootcert=FILE with the \
         authority's certificates, or ?sslmode=disable, prefer or require"
    )]
    NoRoot,
}

/// Reads a URL. `application_name` is what the server is told about the program that asks.
///
/// # Errors
/// See [`AddressError`].
pub fn source_options(url: &str, application_name: &str) -> Result<ConnectOptions, AddressError> {
    let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    if !is_url {
        return Err(AddressError::NoUrl);
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut ssl_mode, mut root) = (None, None);
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", word)) => {
                ssl_mode = Some(word.parse::<SslMode>().map_err(|_| AddressError::SslMode)?);
            }
            Some(("sslrootcert", path)) => root = Some(path.into()),
            other => {
                let name = other.map_or("without a value", |(name, _)| name);
                return Err(AddressError::Parameter(name.to_owned()));
            }
        }
    }
    let config: Config = base.parse().map_err(|_| AddressError::NoUrl)?;
    let host = match config.get_hosts() {
        [Host::Tcp(name)] => name.clone(),
        [Host::Unix(path)] => path.to_string_lossy().into_owned(),
        _ => return Err(AddressError::NoUrl),
    };
    let database = config.get_dbname().ok_or(AddressError::NoUrl)?;
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let mut options = ConnectOptions::new(host, port, database);
    let usual = if is_this_machine(&options.host) { SslMode::Prefer } else { SslMode::VerifyFull };
    options.ssl_mode = ssl_mode.unwrap_or(usual);
    if options.ssl_mode == SslMode::VerifyFull && ssl_mode.is_none() && root.is_none() {
        return Err(AddressError::NoRoot);
    }
    options.tls_files = TlsFiles { root_cert: root, ..TlsFiles::default() };
    if let Some(user) = config.get_user() {
        user.clone_into(&mut options.user);
    }
    let password = config.get_password().unwrap_or_default();
    options.password = Secret::new(String::from_utf8_lossy(password).into_owned());
    application_name.clone_into(&mut options.application_name);
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source_options(url: &str) -> Result<ConnectOptions, AddressError> {
        super::source_options(url, "test")
    }

    #[test]
    fn a_url_says_everything() {
        let url =
            "postgresql://ann:p%40ss@db.example:6543/shop?sslmode=verify-ca&sslrootcert=/ca.pem";
        let options = source_options(url).unwrap();
        assert_eq!(options.display(), "db.example:6543/shop as ann");
        assert_eq!(options.password.expose(), "p@ss");
        assert_eq!(options.ssl_mode, SslMode::VerifyCa);
        assert_eq!(options.tls_files.root_cert.as_deref(), Some(std::path::Path::new("/ca.pem")));
    }

    #[test]
    fn another_machine_is_verified_unless_told_otherwise() {
        let mode = |url| source_options(url).map(|options| options.ssl_mode);
        assert_eq!(mode("postgres://a@localhost/x"), Ok(SslMode::Prefer));
        assert_eq!(mode("postgres://a@db.example/x"), Err(AddressError::NoRoot));
        assert_eq!(mode("postgres://a@db.example/x?sslmode=require"), Ok(SslMode::Require));
        assert_eq!(mode("postgres://a@db.example/x?sslmode=maybe"), Err(AddressError::SslMode));
        let unknown = Err(AddressError::Parameter("sslcert".to_owned()));
        assert_eq!(mode("postgres://a@localhost/x?sslcert=a.pem"), unknown);
    }

    #[test]
    fn what_is_no_url_is_refused_and_not_repeated() {
        for url in [
            "postgres://a:hidden@h,i/x",
            "host=db password=hidden",
            "postgres://a:hidden@",
            "postgres://a:hidden@h",
        ] {
            let refusal = source_options(url).unwrap_err();
            assert_eq!(refusal, AddressError::NoUrl);
            assert!(!refusal.to_string().contains("hidden"));
        }
    }
}
