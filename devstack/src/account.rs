//! The user that PostgreSQL runs as, because PostgreSQL refuses to run as root.
//!
//! In: the user of this process. Out: how to start a program as a user that PostgreSQL accepts, and who must own its
//! files.
//! Invariant: an ordinary user's files keep their owner. Root uses `postgres`, or `nobody` where there is no
//! `postgres`.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context;

/// A user to run as, when this process runs as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account for PostgreSQL: none needed unless we are root.
    pub(crate) fn for_postgres() -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        find(&passwd, "postgres")
            .or_else(|| find(&passwd, "nobody"))
            .map(Some)
            .context("neither user postgres nor nobody exists, and PostgreSQL does not run as root; make a user postgres")
    }

    /// Puts the words before `command` that make it run as this user.
    pub(crate) fn wrap(self, command: Vec<OsString>) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![
            "setpriv".into(),
            format!("--reuid={}", self.uid).into(),
            format!("--regid={}", self.gid).into(),
            "--clear-groups".into(),
            "--".into(),
        ];
        words.extend(command);
        words
    }

    /// Gives `path` to this user.
    pub(crate) fn own(self, path: &Path) -> anyhow::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot give {} to user {}", path.display(), self.uid))
    }
}

/// Looks `name` up in the text of a passwd file.
fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd =
            "postgresql:x:1:2::/:/bin/sh\npostgres:x:101:104::/var/lib/postgresql:/bin/bash\n";
        assert_eq!(find(passwd, "postgres"), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(find(passwd, "nobody"), None);
    }
}
