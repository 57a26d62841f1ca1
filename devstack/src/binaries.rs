//! Finds programs: the binaries of this workspace, and PostgreSQL's client tools.
//!
//! In: a name. Out: a path to an executable.
//! Invariant: a binary of this workspace has the same profile as the running test, and a missing binary is an error
//! that names its remedy.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The root of this workspace.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The path of the workspace's binary `name`, built with the profile of the running executable.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find the running executable")?;
    // target/debug/<binary>, target/debug/deps/<test>, target/debug/examples/<example>
    let path = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("the binary {name} is not built beside {}; run `cargo build --workspace --bins` first", own.display()))?;
    Ok(path)
}

/// The path of a client tool of PostgreSQL such as `pg_recvlogical`, of the newest version on this machine.
pub fn client_binary(name: &str) -> anyhow::Result<PathBuf> {
    let root = Path::new("/usr/lib/postgresql");
    let mut versions: Vec<u16> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable();
    versions
        .iter()
        .rev()
        .map(|version| root.join(version.to_string()).join("bin").join(name))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "{name} is not below {}; install postgresql-client with `make setup`",
                root.display()
            )
        })
}
