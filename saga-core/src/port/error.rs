//! The error of the ports that stand on a database.

/// A store, outbox or fence could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database is away, busy or restarting; the same call may succeed later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The connection was lost while the answer was awaited: it may have happened or not.
    #[error("the store's answer was lost: {0}")]
    Ambiguous(String),
    /// The database will not take this, however often it is asked: a broken constraint, a missing table.
    #[error("the store refused: {0}")]
    Rejected(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub const fn is_temporary(&self) -> bool {
        match self {
            StoreError::Unavailable(_) | StoreError::Ambiguous(_) => true,
            StoreError::Rejected(_) => false,
        }
    }
}
