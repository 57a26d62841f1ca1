//! Certificates for a test server: an authority of its own, a server certificate for `localhost` and 127.0.0.1, and
//! others of the same authority.
//!
//! In: a directory. Out: `ca.crt`, `server.crt`, `server.key` and others in it, made by `openssl`.
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

/// What a certificate is for.
pub(crate) struct Purpose<'a> {
    /// The certificate's subject, in OpenSSL's form.
    pub(crate) subject: &'a str,
    /// The host names and addresses that it stands for, in OpenSSL's form; none for a client.
    pub(crate) hosts: Option<&'a str>,
}

/// Makes an authority and a server certificate below `dir`.
pub(crate) fn generate(dir: &Path) -> anyhow::Result<Files> {
    authority(dir)?;
    let hosts = Some("DNS:localhost, IP:127.0.0.1");
    issue(dir, "server", &Purpose { subject: "/CN=localhost", hosts })
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// Makes an authority below `dir`: `ca.crt` and `ca.key`.
pub(crate) fn authority(dir: &Path) -> anyhow::Result<()> {
    let (ca, key) = (dir.join("ca.crt"), dir.join("ca.key"));
    let subject = ["req", "-x509", "-days", "3650", "-subj", "/CN=devstack authority"];
    let files = [OsStr::new("-keyout"), key.as_os_str(), OsStr::new("-out"), ca.as_os_str()];
    openssl(&[&subject.map(OsStr::new)[..], &NEW_KEY.map(OsStr::new)[..], &files].concat())
}

/// Makes a certificate of the authority below `dir`, and its key: `<name>.crt` and `<name>.key`.
pub(crate) fn issue(dir: &Path, name: &str, purpose: &Purpose<'_>) -> anyhow::Result<Files> {
    let usage = if purpose.hosts.is_some() { "serverAuth" } else { "clientAuth" };
    issue_for(dir, name, purpose, usage)
}

/// The same for a server that is a client of others of its kind.
pub(crate) fn issue_peer(dir: &Path, name: &str, purpose: &Purpose<'_>) -> anyhow::Result<Files> {
    issue_for(dir, name, purpose, "serverAuth, clientAuth")
}

fn issue_for(dir: &Path, name: &str, purpose: &Purpose<'_>, usage: &str) -> anyhow::Result<Files> {
    let path = |end: &str| dir.join(format!("{name}.{end}"));
    let files = Files { ca: dir.join("ca.crt"), cert: path("crt"), key: path("key") };
    let (request, extensions) = (path("csr"), path("ext"));
    let hosts = purpose.hosts.map(|hosts| format!("subjectAltName = {hosts}\n"));
    let hosts = hosts.unwrap_or_default();
    let lines = format!("basicConstraints = CA:FALSE\n{hosts}extendedKeyUsage = {usage}\n");
    crate::fs::write(&extensions, &lines)?;
    let ask = ["req", "-subj", purpose.subject].map(OsStr::new);
    let ask_files =
        [OsStr::new("-keyout"), files.key.as_os_str(), OsStr::new("-out"), request.as_os_str()];
    openssl(&[&ask[..], &NEW_KEY.map(OsStr::new)[..], &ask_files[..]].concat())?;
    let ca_key = dir.join("ca.key");
    openssl(&[
        OsStr::new("x509"),
        OsStr::new("-req"),
        OsStr::new("-days"),
        OsStr::new("3650"),
        OsStr::new("-CAcreateserial"),
        OsStr::new("-in"),
        request.as_os_str(),
        OsStr::new("-CA"),
        files.ca.as_os_str(),
        OsStr::new("-CAkey"),
        ca_key.as_os_str(),
        OsStr::new("-extfile"),
        extensions.as_os_str(),
        OsStr::new("-out"),
        files.cert.as_os_str(),
    ])?;
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600))
        .context("cannot protect a key")?;
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
