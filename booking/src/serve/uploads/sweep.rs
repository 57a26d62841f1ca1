//! Objects without a row: those of requests that ended between the two, and of rows that were removed.
//!
//! In: the store and the rows. Out: a store without old objects that no row names. Invariant: an object is older than
//! any request that may still make its row. Nothing is removed, and the operator is told, from a store that names
//! another database, from one of which only the smaller part has a row, and from one of which no object has a row,
//! unless this database has taken it for its own when the store was empty or held its files.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;

use super::super::problem::Problem;
use super::{Failed, Uploads};

/// Keys that the database is asked for at a time.
const PORTION: usize = 500;
/// Objects without a row that one sweep removes at most.
const REMOVED_MAX: usize = 10_000;
/// So many objects without a row, more than there are with one, are somebody else's.
const STRANGE_MIN: usize = 100;

/// Who knows which keys have rows.
pub(crate) trait KnownKeys {
    /// Those of the keys that a row names.
    async fn known(&self, keys: Vec<String>) -> Result<HashSet<String>, Problem>;

    /// What tells the database with the rows from any other one.
    async fn database(&self) -> Result<String, Problem>;
}

/// What a sweep did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sweep {
    pub(crate) with_row: usize,
    pub(crate) without_row: usize,
    pub(crate) removed: usize,
}

impl Sweep {
    /// Looks through the store once.
    pub(crate) async fn run(uploads: &Uploads, rows: &impl KnownKeys) -> Result<Self, Problem> {
        let age = TimeDelta::from_std(uploads.options().orphan_age).unwrap_or(TimeDelta::MAX);
        let before = Utc::now().checked_sub_signed(age).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let (mut sweep, mut orphans, mut seen) = (Self::default(), Vec::new(), 0);
        let database = rows.database().await?;
        let owner = uploads.store().owner().await?;
        let mut objects = uploads.store().all().await?.chunks(PORTION);
        while let Some(portion) = objects.next().await {
            let portion = portion.into_iter().collect::<Result<Vec<_>, Failed>>()?;
            seen += portion.len();
            let known = rows.known(portion.iter().map(|(key, _)| key.clone()).collect()).await?;
            let old = portion.into_iter().filter(|(_, stored_at)| *stored_at < before);
            let unknown = old.map(|(key, _)| key).filter(|key| !known.contains(key));
            let earlier = orphans.len();
            orphans.extend(unknown.take(REMOVED_MAX - earlier));
            sweep.with_row += known.len();
        }
        sweep.without_row = orphans.len();
        if sweep.looks_strange(owner.as_ref().map(|owner| *owner == database)) {
            tracing::error!(
                with_row = sweep.with_row,
                without_row = sweep.without_row,
                "the store of uploads looks like another database's: nothing is removed; compare --uploads-url with the database; \
                 when this database has taken the place of another one, remove the object `database` from the store"
            );
            return Ok(sweep);
        }
        if owner.is_none() && (seen == 0 || sweep.with_row > 0) {
            uploads.store().belong_to(&database).await?;
        }
        for key in orphans {
            uploads.store().remove(&key).await?;
            sweep.removed += 1;
        }
        Ok(sweep)
    }

    /// Whether the store looks like another database's. `is_ours` is what the store says of it, if anything.
    const fn looks_strange(&self, is_ours: Option<bool>) -> bool {
        let nobody_is_known = self.with_row == 0 && self.without_row > 0;
        let most_are_unknown = self.without_row > STRANGE_MIN && self.without_row > self.with_row;
        match is_ours {
            Some(true) => most_are_unknown,
            Some(false) => self.without_row > 0,
            None => nobody_is_known || most_are_unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::super::{UploadOptions, UploadStore};
    use super::*;

    struct Rows(Vec<String>);

    impl KnownKeys for Rows {
        async fn known(&self, keys: Vec<String>) -> Result<HashSet<String>, Problem> {
            Ok(keys.into_iter().filter(|key| self.0.contains(key)).collect())
        }

        async fn database(&self) -> Result<String, Problem> {
            Ok("ours".to_owned())
        }
    }

    /// A store with objects of these keys, and the outcome of a sweep over it.
    async fn swept(keys: &[String], rows: &[String], age: Duration) -> (Sweep, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        put(directory.path(), keys);
        sweep_over(directory.path(), rows, age).await
    }

    fn put(directory: &Path, keys: &[String]) {
        for key in keys {
            std::fs::write(directory.join(key), "x").unwrap();
        }
    }

    /// The outcome of a sweep, and the files that are left.
    async fn sweep_over(directory: &Path, rows: &[String], age: Duration) -> (Sweep, Vec<String>) {
        let url = format!("file://{}", directory.display());
        let options = UploadOptions {
            orphan_age: age,
            ..UploadOptions::new(UploadStore::open(&url).unwrap())
        };
        let sweep = Sweep::run(&Uploads::new(options), &Rows(rows.to_vec())).await.unwrap();
        let left = std::fs::read_dir(directory).unwrap();
        let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut left: Vec<String> = names.filter(|name| name != "database").collect();
        left.sort();
        (sweep, left)
    }

    fn keys(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{number:04}")).collect()
    }

    #[tokio::test]
    async fn an_old_object_without_a_row_goes_and_no_other() {
        let all = keys(3);
        let (sweep, left) = swept(&all, &all[..2], Duration::ZERO).await;
        assert_eq!(sweep, Sweep { with_row: 2, without_row: 1, removed: 1 });
        assert_eq!(left, all[..2]);
        let (sweep, left) = swept(&all, &[], Duration::from_secs(60)).await;
        assert_eq!((sweep, left), (Sweep::default(), all), "they are young");
    }

    #[tokio::test]
    async fn a_store_that_looks_like_somebody_elses_is_left_alone() {
        let one = keys(1);
        let (sweep, left) = swept(&one, &[], Duration::ZERO).await;
        assert_eq!((sweep.removed, left), (0, one), "no object has a row");
        let all = keys(2 * STRANGE_MIN + 1);
        let (sweep, left) = swept(&all, &all[..STRANGE_MIN], Duration::ZERO).await;
        assert_eq!((sweep.removed, left.len()), (0, 2 * STRANGE_MIN + 1), "most have none");
        let many = keys(2 * STRANGE_MIN + 4);
        let (sweep, left) = swept(&many, &many[..STRANGE_MIN + 3], Duration::ZERO).await;
        assert_eq!((sweep.removed, left.len()), (STRANGE_MIN + 1, STRANGE_MIN + 3));
    }

    #[tokio::test]
    async fn a_store_that_is_known_as_ours_loses_its_only_orphan_and_anothers_none() {
        let directory = tempfile::tempdir().unwrap();
        let (_, left) = sweep_over(directory.path(), &[], Duration::ZERO).await;
        assert!(left.is_empty());
        put(directory.path(), &keys(1));
        let (sweep, left) = sweep_over(directory.path(), &[], Duration::ZERO).await;
        assert_eq!((sweep.removed, left.len()), (1, 0), "it was empty and ours before");
        let many = keys(STRANGE_MIN + 1);
        put(directory.path(), &many);
        let (sweep, _) = sweep_over(directory.path(), &[], Duration::ZERO).await;
        assert_eq!(sweep.removed, 0, "so many are no accident");

        let two = keys(2);
        let theirs = tempfile::tempdir().unwrap();
        put(theirs.path(), &two);
        std::fs::write(theirs.path().join("database"), "theirs").unwrap();
        let (sweep, left) = sweep_over(theirs.path(), &two[..1], Duration::ZERO).await;
        assert_eq!((sweep.removed, left), (0, two), "a copy of their rows makes it not ours");
    }
}
