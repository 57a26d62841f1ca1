//! A form with a file, read while it comes.
//!
//! In: a request with `multipart/form-data`. Out: its texts, and the file as an object of the store that no row names
//! yet. Hard cases:
//!
//! * The size that a client tells may be a lie or missing, so the bytes are counted as they come.
//! * A connection that is cut, a form that is refused and a request that has no time left leave no object: the file is
//!   written to the end only when all of it came, and [`StoredFile`] removes its object unless it is kept.

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use object_store::buffered::BufWriter;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::super::problem::{Kind, Problem};
use super::kind::MediaType;
use super::store::{Failed, UploadStore, tell};
use super::{Uploads, name};

/// Name of the field with the file.
const FILE: &str = "file";
/// Bytes of a text at most; what each may have is checked by its meaning later.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// The texts of a form, by name, in the order in which they came; also those of a form that is refused later.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    /// The names that a text may have.
    known: &'static [&'static str],
    read: Vec<(String, String)>,
}

impl Texts {
    /// The texts of a form that has not come yet.
    pub(crate) const fn of(known: &'static [&'static str]) -> Self {
        Self { known, read: Vec::new() }
    }

    /// A text that was filled in.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.read.iter().find(|(known, _)| known == name);
        found.map(|(_, text)| text.trim()).filter(|text| !text.is_empty())
    }

    /// All of them.
    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.read
    }
}

/// A file in the store. Its object goes with this value unless it is kept.
#[derive(Debug)]
pub(crate) struct StoredFile {
    pub(crate) object_key: String,
    pub(crate) original_name: String,
    pub(crate) media_type: MediaType,
    pub(crate) byte_count: u64,
    pub(crate) sha256: Vec<u8>,
    store: UploadStore,
    is_kept: bool,
}

impl StoredFile {
    /// From here on a row may name the object, so it stays whatever happens to the request.
    pub(crate) const fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for StoredFile {
    fn drop(&mut self) {
        if !self.is_kept {
            let (store, key) = (self.store.clone(), std::mem::take(&mut self.object_key));
            tokio::spawn(async move { store.remove_or_leave(&key).await });
        }
    }
}

/// Reads a form: its texts into `texts`, and its file into the store. `permit` sees the texts that came before the file
/// and may refuse the rest.
pub(crate) async fn receive(
    uploads: &Uploads,
    mut form: Multipart,
    permit: impl Fn(&Texts) -> Result<(), Problem>,
    texts: &mut Texts,
) -> Result<StoredFile, Problem> {
    let mut file = None;
    while let Some(field) = form.next_field().await.map_err(|error| broken(uploads, &error))? {
        let name = field.name().unwrap_or_default().to_owned();
        let place = format!("/{name}");
        if name == FILE {
            if file.is_some() {
                return Err(Problem::field(place, "occurs twice"));
            }
            permit(texts)?;
            file = Some(store(uploads, field).await?);
        } else if !texts.known.contains(&name.as_str()) {
            // A name that nobody knows may be anything, so it is not repeated.
            return Err(Problem::field("/", "has a field that is not known here"));
        } else if texts.read.iter().any(|(other, _)| *other == name) {
            return Err(Problem::field(place, "occurs twice"));
        } else {
            let text = text(uploads, field).await?;
            texts.read.push((
                name,
                text.ok_or_else(|| Problem::field(place, "is no text or is too long"))?,
            ));
        }
    }
    file.ok_or_else(|| Problem::field("/file", "is missing"))
}

async fn text(uploads: &Uploads, mut field: Field<'_>) -> Result<Option<String>, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(uploads, &error))? {
        if bytes.len() + chunk.len() > TEXT_BYTES_MAX {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8(bytes).ok())
}

/// Stores a file whose type is right.
async fn store(uploads: &Uploads, mut field: Field<'_>) -> Result<StoredFile, Problem> {
    let original_name = name::of_client(field.file_name().unwrap_or_default());
    let declared = field.content_type().unwrap_or_default().to_owned();
    let mut head = BytesMut::new();
    while head.len() < MediaType::HEAD_BYTES {
        match field.chunk().await.map_err(|error| broken(uploads, &error))? {
            Some(chunk) => head.extend_from_slice(&chunk),
            None => break,
        }
    }
    let media_type = judge(&head, &declared)?;
    let object_key = new_key();
    let mut writing = Writing::begin(uploads, &object_key).await?;
    let mut next = Some(head.freeze());
    while let Some(chunk) = next {
        writing.write(chunk).await?;
        next = field.chunk().await.map_err(|error| broken(uploads, &error))?;
    }
    let (byte_count, sha256) = writing.end().await?;
    let store = uploads.store().clone();
    Ok(StoredFile {
        object_key,
        original_name,
        media_type,
        byte_count,
        sha256,
        store,
        is_kept: false,
    })
}

/// The type of a file, if it is taken and is the one that the client says.
fn judge(head: &[u8], declared: &str) -> Result<MediaType, Problem> {
    if head.is_empty() {
        return Err(Problem::field("/file", "is empty"));
    }
    let found = MediaType::of_bytes(head).ok_or_else(|| {
        Problem::new(Kind::FileType, format!("the file begins as none of {}", MediaType::LIST))
    })?;
    if found.is_called(declared) {
        return Ok(found);
    }
    let detail =
        format!("the file begins as {}, and its Content-Type is another one", found.as_str());
    Err(Problem::new(Kind::FileType, detail))
}

/// A random place. The first two digits are a folder, so that a directory does not hold all files.
fn new_key() -> String {
    let name = hex::encode(rand::rng().random::<[u8; 16]>());
    format!("{}/{name}", &name[..2])
}

/// An object that is being written. What was begun in the store is given up when this is dropped before its end.
struct Writing {
    writer: Option<BufWriter>,
    bytes_max: usize,
    byte_count: usize,
    digest: Sha256,
}

impl Writing {
    async fn begin(uploads: &Uploads, key: &str) -> Result<Self, Problem> {
        let writer = uploads.store().writer(key).await?;
        let bytes_max = uploads.options().file_bytes_max;
        Ok(Self { writer: Some(writer), bytes_max, byte_count: 0, digest: Sha256::new() })
    }

    async fn write(&mut self, chunk: Bytes) -> Result<(), Problem> {
        self.byte_count += chunk.len();
        if self.byte_count > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        self.digest.update(&chunk);
        match &mut self.writer {
            Some(writer) => writer.put(chunk).await.map_err(|error| away(&error)),
            None => Err(Failed::Away.into()),
        }
    }

    async fn end(mut self) -> Result<(u64, Vec<u8>), Problem> {
        // A writer that was told to end cannot be given up any more, so it is not left for the drop.
        if let Some(mut writer) = self.writer.take() {
            writer.shutdown().await.map_err(|error| {
                tracing::warn!(%error, "a file cannot be stored");
                Problem::from(Failed::Away)
            })?;
        }
        let byte_count = u64::try_from(self.byte_count).unwrap_or(u64::MAX);
        Ok((byte_count, std::mem::take(&mut self.digest).finalize().to_vec()))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            tokio::spawn(async move {
                // A writer that has asked the store for nothing yet has nothing to give up.
                if let Err(error) = writer.abort().await {
                    tracing::debug!(%error, "an object that was begun cannot be given up");
                }
            });
        }
    }
}

fn away(error: &object_store::Error) -> Problem {
    let _ = tell(error);
    Failed::Away.into()
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("a file has at most {bytes_max} bytes"))
}

/// The form cannot be read, does not end, or has too many bytes.
fn broken(uploads: &Uploads, error: &MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large(uploads.options().file_bytes_max);
    }
    Problem::new(Kind::Malformed, "the form did not come as a whole")
}
