//! Where the changes of a table arrive: under its own name, or under that of a partition or of the table above. Pure.
//!
//! In: the tables that the connector's filters take, the publication, and which table each partition belongs to. Out:
//! for each table where its changes arrive. A table has a topic and is read by a snapshot only when its changes arrive
//! under its own name, so that each row stands in the topic where its changes arrive, and in no other.

use std::collections::{HashMap, HashSet};

use crate::catalog::{CatalogTable, Publication};

/// Where the changes of a captured table arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Under its own name. Of an unlogged table no change arrives at all.
    Own,
    /// Under the names of its partitions, of which at least one is captured or which does not have any yet.
    InPartitions,
    /// Under the names of its partitions, none of which is captured.
    InPartitionsNotCaptured,
    /// Under the name of a captured table that it is a partition of.
    InRoot,
    /// Under the name of this table, which is not captured.
    InRootNotCaptured(String),
    /// Nowhere.
    NotPublished,
}

/// Finds out where the changes of each table arrive. `parents` gives the table directly above each partition.
pub(crate) fn standings(
    tables: &[CatalogTable],
    publication: &Publication,
    parents: &HashMap<u32, u32>,
) -> Vec<Standing> {
    let captured: HashSet<u32> = tables.iter().map(|table| table.oid).collect();
    let published: HashMap<u32, String> =
        publication.tables.iter().map(|table| (table.oid, table.display())).collect();
    // Of each table above published ones, whether one of these is captured.
    let mut below: HashMap<u32, bool> = HashMap::new();
    for oid in published.keys() {
        for above in above(*oid, parents) {
            *below.entry(above).or_default() |= captured.contains(oid);
        }
    }
    let standing = |table: &CatalogTable| {
        if published.contains_key(&table.oid) {
            return Standing::Own;
        }
        if let Some(root) = above(table.oid, parents).find(|above| published.contains_key(above)) {
            return if captured.contains(&root) {
                Standing::InRoot
            } else {
                Standing::InRootNotCaptured(published[&root].clone())
            };
        }
        match below.get(&table.oid) {
            _ if !table.is_logged => Standing::Own,
            Some(true) => Standing::InPartitions,
            Some(false) => Standing::InPartitionsNotCaptured,
            None if table.is_partitioned
                && !publication.via_root
                && is_named(table, publication, parents) =>
            {
                Standing::InPartitions
            }
            None => Standing::NotPublished,
        }
    };
    tables.iter().map(standing).collect()
}

/// Those tables whose changes arrive under their own names.
pub(crate) fn with_changes_of_their_own(
    tables: Vec<CatalogTable>,
    publication: &Publication,
    parents: &HashMap<u32, u32>,
) -> Vec<CatalogTable> {
    let standings = standings(&tables, publication, parents);
    let own = std::iter::zip(tables, standings).filter(|(_, standing)| *standing == Standing::Own);
    own.map(|(table, _)| table).collect()
}

/// The tables above a partition, the nearest first.
pub(crate) fn above(oid: u32, parents: &HashMap<u32, u32>) -> impl Iterator<Item = u32> {
    std::iter::successors(parents.get(&oid).copied(), move |oid| parents.get(oid).copied())
}

/// Whether a partitioned table without partitions is in the publication, so that its first partition will be.
fn is_named(table: &CatalogTable, publication: &Publication, parents: &HashMap<u32, u32>) -> bool {
    let named = |oid: u32| publication.members.iter().any(|member| member.oid == oid);
    publication.all_tables || named(table.oid) || above(table.oid, parents).any(named)
}

#[cfg(test)]
mod tests {
    use super::Standing::{
        InPartitions, InPartitionsNotCaptured, InRoot, InRootNotCaptured, NotPublished, Own,
    };
    use super::*;
    use crate::catalog::NamedTable;
    use crate::envelope::TableInfo;

    /// `root` (1) has the partitions `middle` (2) and `high` (3); `middle` has `low` (4); `plain` (5) stands alone.
    const NAMES: [&str; 5] = ["root", "middle", "high", "low", "plain"];

    fn named(oid: u32) -> NamedTable {
        let name = NAMES[usize::try_from(oid).unwrap() - 1].to_owned();
        NamedTable { oid, schema: "public".to_owned(), name }
    }

    fn table(oid: u32) -> CatalogTable {
        let NamedTable { schema, name, .. } = named(oid);
        CatalogTable {
            info: TableInfo { schema, name, columns: Vec::new(), key: Vec::new() },
            oid,
            replica_identity: 'd',
            readable: true,
            is_partitioned: oid <= 2,
            identity_has_key: true,
            is_identified: true,
            has_primary_key: true,
            is_logged: true,
        }
    }

    #[track_caller]
    fn check(captured: &[u32], published: &[u32], via_root: bool, expected: &[Standing]) {
        let tables: Vec<CatalogTable> = captured.iter().map(|oid| table(*oid)).collect();
        let publication = Publication {
            operations: [true; 4],
            all_tables: false,
            via_root,
            tables: published.iter().map(|oid| named(*oid)).collect(),
            members: Vec::new(),
        };
        let parents = HashMap::from([(2, 1), (3, 1), (4, 2)]);
        assert_eq!(
            standings(&tables, &publication, &parents),
            expected,
            "{captured:?} {published:?}"
        );
    }

    #[test]
    fn changes_arrive_under_the_names_of_leaves() {
        let all = [InPartitions, InPartitions, Own, Own, Own];
        check(&[1, 2, 3, 4, 5], &[3, 4, 5], false, &all);
        check(&[1], &[3, 4], false, &[InPartitionsNotCaptured]);
        check(&[1, 3], &[3, 4], false, &[InPartitions, Own]);
        check(&[1, 5], &[], false, &[NotPublished, NotPublished]);
    }

    #[test]
    fn changes_arrive_under_the_name_of_the_topmost_published_table() {
        check(&[1, 2, 3, 4, 5], &[1, 5], true, &[Own, InRoot, InRoot, InRoot, Own]);
        check(&[4, 5], &[1, 5], true, &[InRootNotCaptured("public.root".to_owned()), Own]);
        // Only the middle is published: it is the topmost.
        check(&[1, 2, 4, 3], &[2], true, &[InPartitions, Own, InRoot, NotPublished]);
    }

    #[test]
    fn an_unlogged_table_stands_for_itself_and_a_table_without_partitions_waits_for_them() {
        let unlogged = CatalogTable { is_logged: false, ..table(5) };
        let mut publication = Publication {
            operations: [true; 4],
            all_tables: true,
            via_root: false,
            tables: Vec::new(),
            members: Vec::new(),
        };
        let parents = HashMap::new();
        assert_eq!(standings(&[unlogged], &publication, &parents), [Own]);
        assert_eq!(standings(&[table(1)], &publication, &parents), [InPartitions]);
        publication.all_tables = false;
        assert_eq!(standings(&[table(1)], &publication, &parents), [NotPublished]);
        publication.members = vec![named(1)];
        assert_eq!(standings(&[table(1)], &publication, &parents), [InPartitions]);
    }
}
