//! What the service is told about uploads at its start.

use std::time::Duration;

use super::store::UploadStore;

/// The settings of uploads.
#[derive(Debug, Clone)]
pub struct UploadOptions {
    /// Where the files are.
    pub store: UploadStore,
    /// Bytes of a file at most.
    pub file_bytes_max: usize,
    /// Bytes of all files of a customer at most.
    pub account_bytes_max: u64,
    /// How long a request with a file may take.
    pub time: Duration,
    /// How often the service looks whether the store answers.
    pub look_every: Duration,
    /// When the store is first searched for objects without a row, unless `sweep_every` is less.
    pub sweep_first: Duration,
    /// How often it is searched after that.
    pub sweep_every: Duration,
    /// How old such an object must be to be removed: longer than any request that stores one.
    pub orphan_age: Duration,
}

impl UploadOptions {
    /// The defaults of the command line for everything but the store.
    #[must_use]
    pub const fn new(store: UploadStore) -> Self {
        Self {
            store,
            file_bytes_max: 5 << 20,
            account_bytes_max: 50 << 20,
            time: Duration::from_secs(60),
            look_every: Duration::from_secs(10),
            sweep_first: Duration::from_secs(300),
            sweep_every: Duration::from_secs(3600),
            orphan_age: Duration::from_secs(3600),
        }
    }
}
