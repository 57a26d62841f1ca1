//! Certificates for a test server: an authority of its own, and a server certificate for `localhost` and 127.0.0.1.
//!
//! In: a directory. Out: `ca.crt`, `server.crt`, `server.key` in it, made by `openssl`.
//! Invariant: the keys are for these tests only, live in the run directory and are readable by their owner alone.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// The files made.
pub(crate) struct Files {
    /// The authority a client trusts.
    pub(crate) ca: PathBuf,
    /// The server's certificate.
    pub(crate) cert: PathBuf,
    /// The server's private key.
    pub(crate) key: PathBuf,
}

/// Makes an authority and a server certificate below `dir`.
pub(crate) fn generate(dir: &Path) -> anyhow::Result<Files> {
    let path = |name: &str| dir.join(name);
    let (ca, ca_key, request) = (path("ca.crt"), path("ca.key"), path("server.csr"));
    let files = Files { ca: ca.clone(), cert: path("server.crt"), key: path("server.key") };
    let extensions = path("server.ext");
    crate::fs::write(
        &extensions,
        "basicConstraints = CA:FALSE\nsubjectAltName = DNS:localhost, IP:127.0.0.1\nextendedKeyUsage = serverAuth\n",
    )?;
    let new_key =
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"].map(OsStr::new);
    let authority =
        ["req", "-x509", "-days", "3650", "-subj", "/CN=devstack authority"].map(OsStr::new);
    let authority_files =
        [OsStr::new("-keyout"), ca_key.as_os_str(), OsStr::new("-out"), ca.as_os_str()];
    openssl(&[&authority[..], &new_key[..], &authority_files[..]].concat())?;
    let ask = ["req", "-subj", "/CN=localhost"].map(OsStr::new);
    let ask_files =
        [OsStr::new("-keyout"), files.key.as_os_str(), OsStr::new("-out"), request.as_os_str()];
    openssl(&[&ask[..], &new_key[..], &ask_files[..]].concat())?;
    openssl(&[
        OsStr::new("x509"),
        OsStr::new("-req"),
        OsStr::new("-days"),
        OsStr::new("3650"),
        OsStr::new("-CAcreateserial"),
        OsStr::new("-in"),
        request.as_os_str(),
        OsStr::new("-CA"),
        ca.as_os_str(),
        OsStr::new("-CAkey"),
        ca_key.as_os_str(),
        OsStr::new("-extfile"),
        extensions.as_os_str(),
        OsStr::new("-out"),
        files.cert.as_os_str(),
    ])?;
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600))
        .context("cannot protect the server's key")?;
    Ok(files)
}

fn openssl(args: &[&OsStr]) -> anyhow::Result<()> {
    let output = Command::new("openssl")
        .args(args)
        .output()
        .context("cannot run openssl; install it with `make setup`")?;
    anyhow::ensure!(
        output.status.success(),
        "openssl failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Copies given files to where a server expects them.
pub(crate) fn copy(ca: &Path, cert: &Path, key: &Path, dir: &Path) -> anyhow::Result<Files> {
    let files =
        Files { ca: dir.join("ca.crt"), cert: dir.join("server.crt"), key: dir.join("server.key") };
    for (from, to) in [(ca, &files.ca), (cert, &files.cert), (key, &files.key)] {
        std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600))
        .context("cannot protect the server's key")?;
    Ok(files)
}
