//! Fence rows go when their sagas have ended, and never before.

use std::time::Duration;

use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::SagaId;
use saga_core::port::{Fence, FenceWrite, Forget};

use super::Harness;
use crate::suite::samples::{LONG, fence_key, inventory, participant, step};
use crate::suite::{Skipped, eventually};

/// A row stays without a notice, and until the notice is older than the horizon; then all of the saga's rows go.
pub async fn no_row_goes_before_its_notice_and_the_horizon<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let first = fence_key("reserve");
    let second = FenceKey { step: step("ship#item-1"), ..first.clone() };
    let other = fence_key("reserve");
    for key in [&first, &second, &other] {
        close(&fence, key).await;
    }
    assert_eq!(forget(&fence, Duration::ZERO).await, 0, "nothing goes without a notice");
    note_ended(&fence, &[first.saga]).await;
    assert_eq!(forget(&fence, LONG).await, 0, "nothing goes before the horizon");
    for key in [&first, &second] {
        assert_eq!(row(&fence, key).await, Some(FenceState::Closed), "the row is as it was");
    }
    forget_all(&fence, 2).await;
    assert_eq!((row(&fence, &first).await, row(&fence, &second).await), (None, None), "both rows are gone");
    assert_eq!(row(&fence, &other).await, Some(FenceState::Closed), "the row of another saga stays");
    Ok(())
}

/// Rows of other participants, and rows that come later, are not meant. A notice for no row does nothing.
pub async fn a_notice_concerns_the_rows_of_one_participant_that_are_there<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let ours = fence_key("reserve");
    let theirs = FenceKey { participant: participant("payment"), ..ours.clone() };
    let later = FenceKey { step: step("ship"), ..ours.clone() };
    close(&fence, &theirs).await;
    note_ended(&fence, &[ours.saga]).await;
    close(&fence, &later).await;
    assert_eq!(forget(&fence, Duration::ZERO).await, 0, "no row was meant");
    assert_eq!(row(&fence, &later).await, Some(FenceState::Closed), "a row that comes later stays");

    note_ended(&fence, &[ours.saga]).await;
    forget_all(&fence, 1).await;
    fence.forget(&participant("payment"), Duration::ZERO, 10).await.expect("forgetting");
    assert_eq!(row(&fence, &theirs).await, Some(FenceState::Closed), "the row of another participant stays");
    Ok(())
}

/// Many rows go in batches. A notice may come twice, and concern many sagas.
pub async fn no_more_rows_go_than_was_asked_for<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let keys: Vec<FenceKey> = (0..5).map(|_| fence_key("reserve")).collect();
    for key in &keys {
        close(&fence, key).await;
    }
    let sagas: Vec<SagaId> = keys.iter().map(|key| key.saga).collect();
    for _ in 0..2 {
        note_ended(&fence, &sagas).await;
    }
    let mut left = 5;
    while left > 0 {
        let forgotten = eventually("rows that are past their horizon", async || {
            let forgotten = fence.forget(&inventory(), Duration::ZERO, 2).await.expect("forgetting");
            (forgotten > 0).then_some(forgotten)
        })
        .await;
        assert_eq!(forgotten, left.min(2), "no more than two at a time");
        left -= forgotten;
    }
    Ok(())
}

/// A row that a transaction holds is passed over, and goes when that has ended.
pub async fn a_row_that_is_worked_on_is_not_waited_for<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let (fence, other) = (harness.connect().await, harness.connect().await);
    let key = fence_key("reserve");
    close(&fence, &key).await;
    note_ended(&fence, &[key.saga]).await;
    let (tx, _) = fence.begin(std::slice::from_ref(&key)).await.expect("beginning");
    let passed_over = tokio::time::timeout(LIMIT, other.forget(&inventory(), Duration::ZERO, 10)).await;
    let passed_over = passed_over.expect("a row that is worked on is not waited for");
    assert_eq!(passed_over.expect("forgetting"), 0, "it is passed over");
    let write = FenceWrite { key: key.clone(), state: None, reply: None };
    fence.commit(tx, &[write], LONG).await.expect("committing");
    forget_all(&fence, 1).await;
    Ok(())
}

/// Counts of runs that never came to an end do not outlive the row.
pub async fn counted_runs_go_with_their_row<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let key = fence_key("reserve");
    close(&fence, &key).await;
    let count = async || fence.count_runs(std::slice::from_ref(&key)).await.expect("counting");
    assert_eq!((count().await, count().await), (vec![1], vec![2]), "two runs");
    note_ended(&fence, &[key.saga]).await;
    forget_all(&fence, 1).await;
    assert_eq!(count().await, [1], "the count is forgotten");
    Ok(())
}

async fn close<F: Fence>(fence: &F, key: &FenceKey) {
    let (tx, _) = fence.begin(std::slice::from_ref(key)).await.expect("beginning");
    let write = FenceWrite { key: key.clone(), state: Some(FenceState::Closed), reply: None };
    fence.commit(tx, &[write], LONG).await.expect("committing");
}

/// What the row of a key says, read in a transaction that is dropped.
async fn row<F: Fence>(fence: &F, key: &FenceKey) -> Option<FenceState> {
    let (tx, mut states) = fence.begin(std::slice::from_ref(key)).await.expect("beginning");
    let write = FenceWrite { key: key.clone(), state: None, reply: None };
    fence.commit(tx, &[write], LONG).await.expect("committing");
    states.remove(0)
}

async fn note_ended(fence: &impl Forget, sagas: &[SagaId]) {
    fence.note_ended(&inventory(), sagas).await.expect("noting an end");
}

async fn forget(fence: &impl Forget, horizon: Duration) -> usize {
    fence.forget(&inventory(), horizon, 10).await.expect("forgetting")
}

/// Forgets rows that were noted just now, until so many are gone.
async fn forget_all(fence: &impl Forget, count: usize) {
    let mut forgotten = 0;
    eventually("rows that are past their horizon", async || {
        forgotten += forget(fence, Duration::ZERO).await;
        (forgotten >= count).then_some(())
    })
    .await;
    assert_eq!(forgotten, count, "as many rows as were meant");
}

/// Long enough for the slowest database, and far from five minutes.
const LIMIT: Duration = Duration::from_secs(30);
