//! The store of files: a directory, or a bucket of S3.
//!
//! In: `file:///directory` or `s3://bucket/prefix`; what S3 needs beside that comes from the variables `AWS_…` of the
//! environment. Out: objects by key. Keys are made by the service and are random. Hard cases:
//!
//! * A directory that is gone (a disk that is not mounted) is an absence and no empty store: without a look at it
//!   first, the store would make it anew in the wrong place.
//! * A file of a directory appears by a rename and an object of S3 by its last request, so nobody sees half of one.
//! * A writer that is dropped leaves nothing. After a SIGKILL a directory keeps the file that was being written,
//!   `KEY#1`. It is no object, so the sweep never sees it: the operator may remove such files that are a day old.
//! * Parts of a large object in S3 whose writer could not be asked any more
//!   are for a rule of the bucket to remove.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientConfigKey, GetResult, ObjectStore, ObjectStoreExt as _, RetryConfig};

use super::super::problem::{Kind, Problem};

/// How long a question to the store may take, such as whether it is there.
const QUESTION_TIME: Duration = Duration::from_secs(5);
/// How long one request to S3 may take, with all its bytes.
const REQUEST_TIME: &str = "30 seconds";
/// How long a connection to S3 may take.
const CONNECT_TIME: &str = "2 seconds";
/// A request to S3 that fails is sent again so often and for so long: a restart of a server, not its absence.
const RETRIES: (usize, Duration) = (2, Duration::from_secs(4));
/// Bytes of a part of an object in S3: the least that S3 allows.
const S3_PART_BYTES: usize = 5 << 20;
/// Bytes that are written to a file at once.
const FILE_PART_BYTES: usize = 256 << 10;

/// The object that names the database whose store this is. It is no file.
const OWNER: &str = "database";

/// Why an address of a store cannot be used. It never has the address in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreUrlError {
    /// It is of neither form.
    #[error("write file:///DIRECTORY or s3://BUCKET/PREFIX")]
    Form,
    /// The directory cannot be made or opened.
    #[error("the directory cannot be used: {0}")]
    Directory(String),
    /// S3 is not told enough.
    #[error(
        "S3 cannot be used: {0}; set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, for another server than Amazon's, AWS_ENDPOINT"
    )]
    S3(String),
}

/// Why the store did not do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// There is no such object.
    #[error("there is no such object")]
    Missing,
    /// The store does not answer, or refuses.
    #[error("the store is away")]
    Away,
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Missing => Self::new(Kind::Gone, "the store has lost the content of this file"),
            Failed::Away => Self::new(Kind::Unavailable, "the store of files is away"),
        }
    }
}

/// The store, cheap to clone.
#[derive(Debug, Clone)]
pub struct UploadStore {
    objects: Arc<dyn ObjectStore>,
    /// What stands before every key.
    prefix: Path,
    /// The directory, where it is one.
    directory: Option<PathBuf>,
    part_bytes: usize,
}

impl UploadStore {
    /// Opens a store. A directory is made if it is not there; S3 is not asked yet.
    ///
    /// # Errors
    /// When the address is of neither form, the directory cannot be made, or S3 is not told enough.
    pub fn open(url: &str) -> Result<Self, StoreUrlError> {
        if let Some(directory) = url.strip_prefix("file://").filter(|path| path.starts_with('/')) {
            return Self::of_directory(PathBuf::from(directory));
        }
        let rest = url.strip_prefix("s3://").ok_or(StoreUrlError::Form)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(StoreUrlError::Form);
        }
        shared::tls::use_ring();
        let (max_retries, retry_timeout) = RETRIES;
        let retry = RetryConfig { max_retries, retry_timeout, ..RetryConfig::default() };
        let client = |key, value| (AmazonS3ConfigKey::Client(key), value);
        let times = [
            client(ClientConfigKey::Timeout, REQUEST_TIME),
            client(ClientConfigKey::ConnectTimeout, CONNECT_TIME),
        ];
        let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
        let builder =
            times.into_iter().fold(builder, |made, (key, value)| made.with_config(key, value));
        let objects = builder.build().map_err(|error| StoreUrlError::S3(error.to_string()))?;
        let prefix = Path::parse(prefix.trim_end_matches('/')).map_err(|_| StoreUrlError::Form)?;
        let objects = Arc::new(objects);
        Ok(Self { objects, prefix, directory: None, part_bytes: S3_PART_BYTES })
    }

    fn of_directory(directory: PathBuf) -> Result<Self, StoreUrlError> {
        let unusable = |error: std::io::Error| StoreUrlError::Directory(error.to_string());
        std::fs::create_dir_all(&directory).map_err(unusable)?;
        let directory = directory.canonicalize().map_err(unusable)?;
        let objects = LocalFileSystem::new_with_prefix(&directory)
            .map_err(|error| StoreUrlError::Directory(error.to_string()))?
            .with_fsync(true);
        Ok(Self {
            objects: Arc::new(objects),
            prefix: Path::default(),
            directory: Some(directory),
            part_bytes: FILE_PART_BYTES,
        })
    }

    fn path(&self, key: &str) -> Path {
        self.prefix.parts().chain(Path::from(key).parts()).collect()
    }

    /// Fails when the directory is gone.
    async fn look(&self) -> Result<(), Failed> {
        let Some(directory) = &self.directory else { return Ok(()) };
        match tokio::fs::metadata(directory).await {
            Ok(found) if found.is_dir() => Ok(()),
            _ => {
                tracing::warn!("the directory of uploads is gone");
                Err(Failed::Away)
            }
        }
    }

    /// Whether the store answers. A directory on a disk that hangs does not.
    pub(crate) async fn probe(&self) -> Result<(), Failed> {
        match tokio::time::timeout(QUESTION_TIME, self.look()).await {
            Ok(there) => there?,
            Err(_) => return Err(not_in_time()),
        }
        if self.directory.is_some() {
            return Ok(());
        }
        // Nothing has this prefix. A bucket that is missing answers with an error all the same.
        let nothing = self.path("probe");
        let asked = self.objects.list_with_delimiter(Some(&nothing));
        in_time(asked).await.map(drop)
    }

    /// Begins an object; nobody sees it before its writer was shut down.
    pub(crate) async fn writer(&self, key: &str) -> Result<BufWriter, Failed> {
        self.look().await?;
        let objects = Arc::clone(&self.objects);
        let writer = BufWriter::with_capacity(objects, self.path(key), self.part_bytes);
        Ok(writer.with_max_concurrency(1))
    }

    /// Opens an object.
    pub(crate) async fn read(&self, key: &str) -> Result<GetResult, Failed> {
        self.look().await?;
        in_time(self.objects.get(&self.path(key))).await
    }

    /// Removes an object; one that is not there is no failure.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), Failed> {
        self.look().await?;
        match in_time(self.objects.delete(&self.path(key))).await {
            Ok(()) | Err(Failed::Missing) => Ok(()),
            Err(failed) => Err(failed),
        }
    }

    /// Removes an object that nobody needs; when that cannot be done now, the sweep does it later.
    pub(crate) async fn remove_or_leave(&self, key: &str) {
        if self.remove(key).await.is_err() {
            tracing::warn!("an object without a row stays in the store until the next sweep");
        }
    }

    /// The database that has taken the store for its own.
    pub(crate) async fn owner(&self) -> Result<Option<String>, Failed> {
        let content = async { self.objects.get(&self.path(OWNER)).await?.bytes().await };
        match in_time(content).await {
            Ok(content) => Ok(Some(String::from_utf8_lossy(&content).into_owned())),
            Err(Failed::Missing) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// Takes the store for a database.
    pub(crate) async fn belong_to(&self, database: &str) -> Result<(), Failed> {
        self.look().await?;
        let content = database.as_bytes().to_vec();
        in_time(self.objects.put(&self.path(OWNER), content.into())).await.map(drop)
    }

    /// All objects of files: keys, and when each was stored.
    pub(crate) async fn all(
        &self,
    ) -> Result<BoxStream<'static, Result<(String, DateTime<Utc>), Failed>>, Failed> {
        self.look().await?;
        let prefix = self.prefix.clone();
        let listed = self.objects.list(Some(&self.prefix)).map_err(|error| tell(&error));
        let named = listed.try_filter_map(move |object| {
            let key = object.location.prefix_match(&prefix).map(|parts| parts.collect::<Path>());
            let found = key.map(|key| (key.to_string(), object.last_modified));
            let found = found.filter(|(key, _)| key != OWNER);
            futures_util::future::ready(Ok(found))
        });
        Ok(named.boxed())
    }
}

/// Waits for the answer to a question, not for ever.
async fn in_time<T>(asked: impl Future<Output = object_store::Result<T>>) -> Result<T, Failed> {
    match tokio::time::timeout(QUESTION_TIME, asked).await {
        Ok(outcome) => outcome.map_err(|error| tell(&error)),
        Err(_) => Err(not_in_time()),
    }
}

fn not_in_time() -> Failed {
    tracing::warn!("the store of uploads does not answer in time");
    Failed::Away
}

/// What a failure of the store means. The log has its words; a client has not.
pub(super) fn tell(error: &object_store::Error) -> Failed {
    if matches!(error, object_store::Error::NotFound { .. }) {
        return Failed::Missing;
    }
    tracing::warn!(%error, "the store of uploads refuses or is away");
    Failed::Away
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_directory_or_a_bucket() {
        for wrong in ["", "/tmp/x", "file://relative", "http://x", "s3://", "s3:///prefix"] {
            let refusal = UploadStore::open(wrong).map(|_| ()).unwrap_err();
            assert!(matches!(refusal, StoreUrlError::Form), "{wrong}");
        }
        let directory = tempfile::tempdir().unwrap();
        let url = format!("file://{}/new", directory.path().display());
        assert_eq!(UploadStore::open(&url).unwrap().part_bytes, FILE_PART_BYTES);
        let store = UploadStore::open("s3://bucket/some/where/").unwrap();
        assert_eq!(store.path("ab/cd").to_string(), "some/where/ab/cd");
    }
}
