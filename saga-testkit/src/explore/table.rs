//! Values by number: each distinct value is kept once, so that a state of the search is a few numbers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

/// Values and their numbers, shared by all threads of a search.
pub(super) struct Table<T>(RwLock<Entries<T>>);

struct Entries<T> {
    numbers: HashMap<Arc<T>, u32>,
    values: Vec<Arc<T>>,
}

impl<T: Eq + Hash> Table<T> {
    pub(super) fn new() -> Self {
        Table(RwLock::new(Entries { numbers: HashMap::new(), values: Vec::new() }))
    }

    /// The number of a value, given to it when it is first seen.
    pub(super) fn number(&self, value: T) -> u32 {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).numbers.get(&value).copied();
        known.unwrap_or_else(|| self.add(value))
    }

    fn add(&self, value: T) -> u32 {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster.
        if let Some(number) = entries.numbers.get(&value) {
            return *number;
        }
        let (number, value) = (entries.values.len() as u32, Arc::new(value));
        entries.numbers.insert(value.clone(), number);
        entries.values.push(value);
        number
    }

    pub(super) fn value(&self, number: u32) -> Arc<T> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries.values[number as usize].clone()
    }
}
