//! Which sagas of an older version of a definition may move to a newer one.

use std::sync::Arc;

use super::script::guarded;
use super::{Plan, Saga, ScriptError};
use crate::message::{Payload, PayloadError};

/// Where a changed definition parts from what it was: the first group that is not the same.
///
/// Sagas that have come to it do not move to the changed one, and those that have not may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parting<'a> {
    /// How many groups before it are the same.
    pub group: usize,
    /// What stands there in the older graph.
    pub was: &'a str,
    /// What stands there in the newer one; empty if nothing does.
    pub is: &'a str,
}

impl<'a> Parting<'a> {
    /// Compares two [graphs](Plan::graph). Nothing if the newer one only goes on behind the older one's end.
    pub fn of(older: &'a str, newer: &'a str) -> Option<Self> {
        let newer = newer.lines().chain(std::iter::repeat(""));
        let mut groups = older.lines().zip(newer).enumerate();
        let (group, (was, is)) = groups.find(|(_, (was, is))| was != is)?;
        Some(Parting { group, was, is })
    }
}

/// How sagas of an older version move to the one that offers this.
pub(crate) struct Upgrade {
    pub(crate) from: Arc<Plan>,
    migrate: Box<Migrate>,
}

type Migrate = dyn Fn(&Payload) -> Result<Payload, ScriptError> + Send + Sync;

impl Upgrade {
    /// The data stays as it is.
    pub(super) fn of(from: Arc<Plan>) -> Self {
        Upgrade { from, migrate: Box::new(|data| Ok(data.clone())) }
    }

    /// The new data is made of the old.
    pub(super) fn with<O: Saga, S: Saga>(from: Arc<Plan>, migrate: fn(O) -> S) -> Self {
        let migrated = move |data: &Payload| {
            let failed = |error: PayloadError| ScriptError::Payload {
                what: "the data to upgrade",
                of: S::NAME,
                error: error.to_string(),
            };
            let old = data.decode().map_err(failed)?;
            Payload::encode(&guarded("upgrade_from_with", S::NAME, || migrate(old))?).map_err(failed)
        };
        Upgrade { from, migrate: Box::new(migrated) }
    }

    pub(crate) fn migrate(&self, data: &Payload) -> Result<Payload, ScriptError> {
        (self.migrate)(data)
    }
}
