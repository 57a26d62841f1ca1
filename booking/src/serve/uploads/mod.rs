//! Files of customers: images and documents, in a store behind the crate `object_store`, with a row for each.
//!
//! In: a form with a file. Out: an object and a row of `service.uploads`. Invariants:
//!
//! * The row is committed after the object is stored, so whoever sees the row can read the file. An object whose row
//!   did not come about is removed at once, or by [`sweep`] when nobody could.
//! * A row is removed before its object.
//! * A file's type is what its first bytes say, and must be the one that the client says.
//! * The name that a file had is told again and never part of a path.
//! * Memory is bounded: a file is handed on in parts while it comes, and only so many files come at a time.
//!
//! All instances share the store. When it is away, uploads are refused with 503, and everything else goes on.

mod kind;
mod name;
mod settings;
mod store;

mod receive;

mod sweep;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Kind, Problem};

pub(crate) use self::name::disposition;
pub(crate) use self::receive::{Received, Texts, receive};
pub use self::settings::UploadOptions;
pub(crate) use self::store::Failed;
pub use self::store::{StoreUrlError, UploadStore};
pub(crate) use self::sweep::{KnownKeys, Sweep};

/// Files that come at a time: each has a part or two of 5 MiB in memory when the store is S3.
const AT_A_TIME: usize = 16;
/// Bytes of a form beside its file: texts, names and boundaries.
const BESIDE_BYTES_MAX: usize = 64 << 10;

/// The store with its limits, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Uploads {
    options: UploadOptions,
    places: Arc<Semaphore>,
}

impl Uploads {
    pub(crate) fn new(options: UploadOptions) -> Self {
        Self { options, places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    pub(crate) const fn options(&self) -> &UploadOptions {
        &self.options
    }

    pub(crate) const fn store(&self) -> &UploadStore {
        &self.options.store
    }

    /// Bytes of a request with a file at most.
    pub(crate) const fn body_bytes_max(&self) -> usize {
        self.options.file_bytes_max.saturating_add(BESIDE_BYTES_MAX)
    }

    /// A place among those that come at a time.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Problem::new(Kind::Unavailable, "too many files come at this moment"))
    }
}
