//! What the runtimes need from outside: a store, an outbox, a fence, a transport and a clock. All batch-first.
//!
//! **Temporary** means: the caller MAY try the same call again, and it may then succeed.
//! **Permanent** means: trying the same call again SHOULD NOT be done, it cannot succeed.
//! What stays unknown (a commit or a publish whose answer was lost) is temporary: every call here is harmless
//! when it is made twice.

mod clock;
mod error;
mod fence;
mod history;
mod outbox;
mod retention;
mod store;
mod transport;
mod watch;

pub use crate::machine::{Status, Stored};
pub use clock::{Clock, IdSource, RandomIds, SystemClock};
pub use error::StoreError;
pub use fence::{Fence, FenceWrite};
pub use history::{
    ArmedTimer, AwaitedSteps, History, JournalLine, Parked, SagaDetails, SagaFilter, SagaSummary,
    StoreHealth, UnknownDefinition, Workload,
};
pub use outbox::{Backlog, Outbox, OutboxRow, RowId};
pub use retention::{Forget, Retire, Retiring, end_notices};
pub use store::{
    Change, Commit, CommitError, Committed, HeldId, HeldReply, JournalEntry, Loaded, RunIn, Start, StartIn,
    Store, TimerChange, TimerDue,
};
pub use transport::{
    Capabilities, DEAD_REASON, Delivery, Lanes, PUBLISH_DEADLINE, PublishError, Redelivery, SettleError,
    Settlement, Settler, SubscribeOptions, Subscription, Token, Transport, TransportError,
};
pub use watch::{Look, Watch};

/// The largest body that is stored or sent unless configured otherwise: small enough for every broker's default
/// limit (Kafka's is about 1 MiB, RabbitMQ's 16 MiB), and checked when the row is inserted, so that the error
/// reaches the caller and not the relay.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
