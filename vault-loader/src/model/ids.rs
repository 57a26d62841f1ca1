//! Indexes that the compiler keeps apart: a table's number cannot be used as a hub's.
//!
//! In: a list. Out: an [`IdVec`] that only its own kind of id opens. An id is made by the list that it belongs to, so
//! it is in range there; ids of one kind may open every list that has one item for each of the things they count.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Index, IndexMut};

/// The number of an item in its list, counted from 0.
pub trait Id: Copy {
    /// The id of the item at this place.
    fn from_index(index: usize) -> Self;

    /// The place of the item that the id stands for.
    fn to_index(self) -> usize;
}

/// Declares kinds of ids.
macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident;)+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(usize);

        impl $crate::model::Id for $name {
            fn from_index(index: usize) -> Self {
                Self(index)
            }

            fn to_index(self) -> usize {
                self.0
            }
        }
    )+};
}
pub(crate) use ids;

ids! {
    /// A source table of the model.
    TableId;
    /// A column of one source table.
    ColumnId;
    /// A hub of the model.
    HubId;
    /// A link of the model.
    LinkId;
    /// A hub binding of one source table.
    HubBindingId;
    /// A link binding of one source table.
    LinkBindingId;
    /// A satellite of the plan, of any kind.
    SatelliteId;
}

/// A list that takes ids of one kind as indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdVec<I, T> {
    items: Vec<T>,
    kind: PhantomData<I>,
}

impl<I: Id, T> IdVec<I, T> {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: Vec::new(), kind: PhantomData }
    }

    /// Appends an item and returns its id.
    pub fn push(&mut self, item: T) -> I {
        self.items.push(item);
        I::from_index(self.items.len() - 1)
    }

    /// The id that the next item will have.
    #[must_use]
    pub fn next_id(&self) -> I {
        I::from_index(self.items.len())
    }

    /// Ids of all items, in order.
    pub fn ids(&self) -> impl Iterator<Item = I> + use<I, T> {
        (0..self.items.len()).map(I::from_index)
    }

    /// All items with their ids, in order.
    pub fn with_ids(&self) -> impl Iterator<Item = (I, &T)> {
        self.items.iter().enumerate().map(|(index, item)| (I::from_index(index), item))
    }

    /// The id of the first item that the test accepts.
    pub fn find_id(&self, test: impl FnMut(&T) -> bool) -> Option<I> {
        self.items.iter().position(test).map(I::from_index)
    }

    /// A list for the same ids, with another item for each.
    pub fn map<U>(&self, make: impl FnMut(&T) -> U) -> IdVec<I, U> {
        self.items.iter().map(make).collect()
    }

    /// Gives every id of another list the same item.
    pub fn reset<U>(&mut self, ids: &IdVec<I, U>, item: T)
    where
        T: Clone,
    {
        self.items.clear();
        self.items.resize(ids.len(), item);
    }

    /// The items as a plain list, for code that appends many at once.
    pub(crate) fn items_mut(&mut self) -> &mut Vec<T> {
        &mut self.items
    }
}

impl<I: Id, T> Default for IdVec<I, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I, T> FromIterator<T> for IdVec<I, T> {
    fn from_iter<S: IntoIterator<Item = T>>(items: S) -> Self {
        Self { items: items.into_iter().collect(), kind: PhantomData }
    }
}

impl<'v, I, T> IntoIterator for &'v IdVec<I, T> {
    type Item = &'v T;
    type IntoIter = std::slice::Iter<'v, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl<I, T> Deref for IdVec<I, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<I, T> DerefMut for IdVec<I, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

impl<I: Id, T> Index<I> for IdVec<I, T> {
    type Output = T;

    fn index(&self, id: I) -> &T {
        &self.items[id.to_index()]
    }
}

impl<I: Id, T> IndexMut<I> for IdVec<I, T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.items[id.to_index()]
    }
}
