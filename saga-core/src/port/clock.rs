//! Time and fresh ids: the only two things that the framework cannot derive.

use uuid::Uuid;

use crate::id::SagaId;
use crate::policy::Timestamp;
use crate::port::RowId;

/// Tells the time to adapters that have no database clock of their own.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the framework reads the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::default().plus(since_epoch)
    }
}

/// Gives ids that nobody had before.
pub trait IdSource: Send + Sync + 'static {
    /// A UUIDv7: unique, and roughly in the order of time, which databases like.
    fn uuid(&self) -> Uuid;

    /// The id of a new saga.
    fn saga(&self) -> SagaId {
        SagaId::from_uuid(self.uuid())
    }

    /// The id of a new outbox row.
    fn row(&self) -> RowId {
        RowId::from_uuid(self.uuid())
    }
}

/// Ids from the machine's clock and randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "the one place where the framework draws an id")]
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}
