//! Which definition a saga runs: its name, version and fingerprint, pinned at its start.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::SagaName;

/// The definition that a saga began with, and keeps to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DefinitionRef {
    /// The saga type's name.
    pub name: SagaName,
    /// The version that its author gave it.
    pub version: u32,
    /// The digest of its graph: two definitions that differ in a step, a command or an undo differ here.
    pub fingerprint: Fingerprint,
}

impl fmt::Display for DefinitionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {}", self.name, self.version)
    }
}

/// A digest of a definition's graph. It tells a changed definition from one that only has a new body in a closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(Uuid);

impl Fingerprint {
    /// The digest of a graph in its canonical text.
    pub(crate) fn of(canonical: &str) -> Self {
        Fingerprint(Uuid::new_v5(&Uuid::NAMESPACE_OID, canonical.as_bytes()))
    }

    /// Takes a UUID, as read from a table, as a fingerprint.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Fingerprint(uuid)
    }

    /// The digest as a UUID.
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}
