//! The files that pages load: they are in the program.
//!
//! In: a name, and perhaps the version that a page named. Out: bytes. A file that is asked for with its version never
//! changes under this address, so browsers keep it for a year. Without the version a browser asks each time whether the
//! tag still holds.

use std::sync::LazyLock;

use axum::extract::{Path, Query};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::super::problem::Problem;
use super::form::Values;

/// What a browser may do with a file whose version it named.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// What it may do with another one.
const ASK: &str = "public, no-cache";

/// A file.
#[derive(Debug)]
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

/// All files.
const FILES: [Asset; 2] = [
    Asset {
        name: "app.css",
        media_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../../../assets/app.css"),
    },
    Asset {
        name: "icon.svg",
        media_type: "image/svg+xml",
        bytes: include_bytes!("../../../assets/icon.svg"),
    },
];

/// The files with their versions: the first digits of the content's SHA-256.
static VERSIONS: LazyLock<Vec<(&'static Asset, String)>> = LazyLock::new(|| {
    let version = |asset: &Asset| hex::encode(&Sha256::digest(asset.bytes)[..8]);
    FILES.iter().map(|asset| (asset, version(asset))).collect()
});

/// The address of a file, with its version.
pub(crate) fn address(name: &str) -> String {
    let known = VERSIONS.iter().find(|(asset, _)| asset.name == name);
    match known {
        Some((_, version)) => format!("/assets/{name}?v={version}"),
        None => format!("/assets/{name}"),
    }
}

/// A file.
pub(crate) async fn file(
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = VERSIONS.iter().find(|(asset, _)| asset.name == name);
    let (asset, version) = known.ok_or_else(|| Problem::not_found("file"))?;
    let tag = format!("\"{version}\"");
    let is_named = Values::new(query).get("v") == version;
    let caching = if is_named { FOREVER } else { ASK };
    let known_tags = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known_tags.is_some_and(|tags| tags.split(',').any(|one| one.trim() == tag));
    let own = [(CACHE_CONTROL, caching), (ETAG, tag.as_str())];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, own).into_response());
    }
    Ok((own, [(CONTENT_TYPE, asset.media_type)], asset.bytes).into_response())
}
