//! Looking after calls to other systems that nobody may come back with.

use std::time::Duration;

use async_trait::async_trait;

use crate::fence::FenceKey;
use crate::id::{CommandType, ParticipantName};
use crate::port::{Fence, StoreError};

/// A row that is to be looked at now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The row.
    pub key: FenceKey,
    /// The command whose call may land behind it.
    pub command: CommandType,
    /// For how long the row has been watched.
    pub watched_for: Duration,
    /// How often it was claimed since a look at it last came to an end, this time included. More than once says that
    /// whoever looked last did not come back, and perhaps because of this look.
    pub claims: u32,
}

/// A fence that watches rows behind which a call to another system may land.
///
/// # Contract
///
/// - **A watch begins with the transaction** that it was asked for in, and not without it. A row that is watched already
///   is watched from then on anew.
/// - **A look that is claimed** is not claimed again for as long as was asked for, by the database's clock, by however
///   many processes.
/// - **Looks that were claimed before** and did not come to an end are claimed one at a time, the least claimed first, and
///   only while no other is due: one that takes the process down is then told from its neighbours.
/// - **A watched row is not forgotten**, however long ago its saga has ended.
/// - **A dropped future** may or may not have had its effect.
#[async_trait]
pub trait Watch: Fence {
    /// Has a row that `tx` holds watched, because a call of `command` may land behind it; first looked at after `pause`.
    async fn watch(
        &self,
        tx: &mut Self::Tx,
        key: &FenceKey,
        command: &CommandType,
        pause: Duration,
    ) -> Result<(), StoreError>;

    /// Claims up to `limit` rows of a participant that are due to be looked at, and puts each off for `lease`.
    async fn claim_looks(
        &self,
        participant: &ParticipantName,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Look>, StoreError>;

    /// How many rows of a participant are watched.
    async fn watched(&self, participant: &ParticipantName) -> Result<u64, StoreError>;

    /// Notes that looks came to an end. The next is due after the pause; without one the row is watched no longer.
    async fn looked(&self, looks: &[(FenceKey, Option<Duration>)]) -> Result<(), StoreError>;
}
