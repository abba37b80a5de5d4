//! The fence on a real server: what goes beyond the conformance suite.

#[cfg(test)]
mod support;

use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::ParticipantName;
use saga_core::message::Payload;
use saga_core::port::{Fence, FenceWrite, Outbox};
use support::{LEASE, database, outbox_row, saga, step};

fn key() -> FenceKey {
    FenceKey { participant: ParticipantName::new("stock").unwrap(), saga: saga(), step: step("reserve") }
}

#[tokio::test]
async fn an_outcome_is_recorded_with_its_reply() {
    let Some(database) = database().await else { return };
    let fence = database.fence().await;
    let key = key();
    let applied = FenceState::Applied(Payload::encode(&7).unwrap());
    let (tx, rows) = fence.begin(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(rows, [None]);
    let reply = outbox_row(key.saga, false);
    let write = FenceWrite { key: key.clone(), state: Some(applied.clone()), reply: Some(reply) };
    fence.commit(tx, &[write], LEASE).await.unwrap();
    let (_tx, rows) = fence.begin(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(rows, [Some(applied)]);
    assert_eq!(fence.claim(10, LEASE).await.unwrap().len(), 1);
}
