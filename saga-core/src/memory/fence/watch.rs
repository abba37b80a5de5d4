//! The port `Watch`: rows behind which a call may land.

use std::time::Duration;

use async_trait::async_trait;

use super::{MemoryFence, MemoryTx, Row};
use crate::fence::FenceKey;
use crate::id::{CommandType, ParticipantName};
use crate::policy::Timestamp;
use crate::port::{Look, StoreError, Watch};

/// What is known of a row behind which a call may land.
#[derive(Clone)]
pub(super) struct Watched {
    command: CommandType,
    since: Timestamp,
    due: Timestamp,
    /// How often it was claimed since a look at it came to an end.
    claims: u32,
}

#[async_trait]
impl<D: Clone + Send + 'static> Watch for MemoryFence<D> {
    async fn watch(
        &self,
        tx: &mut MemoryTx<D>,
        key: &FenceKey,
        command: &CommandType,
        pause: Duration,
    ) -> Result<(), StoreError> {
        if !tx.keys.contains(key) {
            return Err(StoreError::Rejected("only rows of the transaction's keys can be watched".into()));
        }
        let now = self.clock.now();
        let watched = Watched { command: command.clone(), since: now, due: now.plus(pause), claims: 0 };
        tx.watched.insert(key.clone(), watched);
        Ok(())
    }

    async fn claim_looks(
        &self,
        participant: &ParticipantName,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Look>, StoreError> {
        let now = self.clock.now();
        let mut contents = self.contents.lock().await;
        let watched = contents.rows.iter_mut().filter(|(key, _)| key.participant == *participant);
        let watched = watched.filter_map(|(key, row)| Some((key, row.watched.as_mut()?)));
        let mut due: Vec<_> = watched.filter(|(_, watched)| watched.due <= now).collect();
        due.sort_by_key(|(key, watched)| (watched.claims, watched.due, (*key).clone()));
        let fresh = due.iter().filter(|(_, watched)| watched.claims == 0).count();
        due.truncate(limit.min(fresh.max(1)));
        let claim = |(key, watched): (&FenceKey, &mut Watched)| {
            watched.claims += 1;
            watched.due = now.plus(lease);
            let (command, claims) = (watched.command.clone(), watched.claims);
            Look { key: key.clone(), command, watched_for: now.since(watched.since), claims }
        };
        Ok(due.into_iter().map(claim).collect())
    }

    async fn watched(&self, participant: &ParticipantName) -> Result<u64, StoreError> {
        let contents = self.contents.lock().await;
        let is_watched =
            |(key, row): &(&FenceKey, &Row)| key.participant == *participant && row.watched.is_some();
        Ok(contents.rows.iter().filter(is_watched).count() as u64)
    }

    async fn looked(&self, looks: &[(FenceKey, Option<Duration>)]) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut contents = self.contents.lock().await;
        for (key, pause) in looks {
            let Some(row) = contents.rows.get_mut(key) else { continue };
            let looked = |watched: Watched, pause| Watched { due: now.plus(pause), claims: 0, ..watched };
            row.watched = pause.and_then(|pause| Some(looked(row.watched.take()?, pause)));
        }
        Ok(())
    }
}
