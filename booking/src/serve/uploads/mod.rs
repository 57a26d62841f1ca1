//! Files of customers: images and documents, in a store behind the crate `object_store`, with a row for each.
//!
//! In: a form with a file. Out: an object and a row of `service.uploads`. Invariants:
//!
//! * The row is committed after the object is stored, so whoever sees the row can read the file. An object whose row
//!   did not come about is removed at once, or by [`sweep`] when nobody could.
//! * A row is removed before its object.
//! * A file's type is what its first bytes say, and must be the one that the client says.
//! * The service gives the name that a file had back, and uses it in no path.
//! * Memory is bounded: a file is handed on in parts while it comes, and only so many files come at a time. A customer
//!   has few of these places, so that nobody keeps the others out with forms that never end.
//!
//! All instances share the store. When it is away, uploads are refused with 503, and everything else goes on.

mod kind;
mod name;
mod settings;
mod store;

mod receive;

mod sweep;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Kind, Problem};

pub(crate) use self::name::disposition;
pub(crate) use self::receive::{StoredFile, Texts, receive};
pub use self::settings::UploadOptions;
pub(crate) use self::store::Failed;
pub use self::store::{StoreUrlError, UploadStore};
pub(crate) use self::sweep::{KnownKeys, Sweep};

/// Files that come at a time: each has a part or two of 5 MiB in memory when the store is S3.
const AT_A_TIME: usize = 16;
/// Files of one customer that come at a time.
const AT_A_TIME_EACH: usize = 2;
/// Bytes of a form beside its file: texts, names and boundaries.
const BESIDE_BYTES_MAX: usize = 64 << 10;

/// The store with its limits, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Uploads {
    options: UploadOptions,
    places: Arc<Semaphore>,
    coming: Arc<Coming>,
    is_there: Arc<AtomicBool>,
}

/// How many files of each customer come now; a customer without one is not in it.
#[derive(Debug, Default)]
struct Coming(Mutex<HashMap<i64, usize>>);

/// A place among the files that come at a time; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    coming: Arc<Coming>,
    account_id: i64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut coming = self.coming.0.lock().unwrap_or_else(PoisonError::into_inner);
        match coming.get_mut(&self.account_id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(coming.remove(&self.account_id)),
        }
    }
}

impl Uploads {
    pub(crate) fn new(options: UploadOptions) -> Self {
        Self {
            options,
            places: Arc::new(Semaphore::new(AT_A_TIME)),
            coming: Arc::default(),
            is_there: Arc::default(),
        }
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

    /// A place among the files that come at a time.
    pub(crate) fn place(&self, account_id: i64) -> Result<Place, Problem> {
        let mut coming = self.coming.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = coming.get(&account_id).copied().unwrap_or_default();
        if own >= AT_A_TIME_EACH {
            let detail = format!("{own} files of yours come at this moment: send this one later");
            return Err(Problem::new(Kind::TooManyRequests, detail));
        }
        let permit = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Problem::new(Kind::Unavailable, "too many files come at this moment"))?;
        coming.insert(account_id, own + 1);
        Ok(Place { _permit: permit, coming: Arc::clone(&self.coming), account_id })
    }

    /// Looks whether the store answers, and keeps the outcome.
    pub(crate) async fn look(&self) {
        let is_there = self.store().probe().await.is_ok();
        self.is_there.store(is_there, Ordering::Relaxed);
    }

    /// Whether the store answered when it was looked at last.
    pub(crate) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }
}
