//! Copies of a data directory, as a careless restore puts them back, and the files of a slot.
//!
//! In: a server that is stopped. Out: its data directory as it was when it was copied.

use std::path::{Path, PathBuf};

use super::Postgres;

impl Postgres {
    /// Copies the data directory of the stopped server, and gives the copy's path.
    pub fn copy_data(&mut self) -> anyhow::Result<PathBuf> {
        let copy = self.data.with_extension("copy");
        self.run_as_server(vec![
            "cp".into(),
            "-a".into(),
            self.data.clone().into_os_string(),
            copy.clone().into_os_string(),
        ])?;
        Ok(copy)
    }

    /// Puts a copy in place of the stopped server's data directory.
    pub fn put_back(&mut self, copy: &Path) -> anyhow::Result<()> {
        std::fs::remove_dir_all(&self.data)?;
        std::fs::rename(copy, &self.data)?;
        Ok(())
    }

    /// Gives the stopped server a slot of another server, as tools for failover do: by the slot's files.
    pub fn copy_slot_from(&mut self, other: &Self, slot: &str) -> anyhow::Result<()> {
        let place = |server: &Self| server.data.join("pg_replslot").join(slot);
        self.run_as_server(vec![
            "cp".into(),
            "-a".into(),
            place(other).into_os_string(),
            place(self).into_os_string(),
        ])
    }
}
