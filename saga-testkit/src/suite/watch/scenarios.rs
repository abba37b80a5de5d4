//! Rows are watched, looked at, and let go.

use std::time::Duration;

use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::CommandType;
use saga_core::port::{Fence, FenceWrite, Forget, Look, Watch};

use super::Harness;
use crate::suite::samples::{LONG, SHORT, fence_key, inventory, participant};
use crate::suite::{Skipped, eventually};

/// A row is watched if its transaction commits, and says what that has written. It is not looked at before its pause.
pub async fn a_watch_begins_with_its_transaction<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let key = fence_key("charge");
    let (mut tx, _) = fence.begin(std::slice::from_ref(&key)).await.expect("beginning");
    fence.watch(&mut tx, &key, &charge(), Duration::ZERO).await.expect("watching");
    drop(tx);
    assert_eq!(watched(&fence).await, 0, "what is dropped watches nothing");

    watch(&fence, &key, LONG).await;
    assert_eq!(watched(&fence).await, 1, "the row is watched");
    assert_eq!(claim(&fence, LONG).await, [], "nothing is looked at before its pause");
    let (tx, mut states) = fence.begin(std::slice::from_ref(&key)).await.expect("beginning");
    assert_eq!(states.remove(0), Some(FenceState::Compensated), "the row says what was written");
    drop(tx);
    Ok(())
}

/// Of several processes one takes a look, and the others once it has not come back.
pub async fn a_look_is_claimed_by_one_until_its_lease_is_over<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let (fence, other) = (harness.connect().await, harness.connect().await);
    let key = fence_key("charge");
    watch(&fence, &key, Duration::ZERO).await;
    let looks = claim_some(&fence, SHORT).await;
    let [Look { key: claimed, command, claims: 1, .. }] = &looks[..] else { panic!("one look: {looks:?}") };
    assert_eq!((claimed, command), (&key, &charge()), "the look says what may have landed");
    let again = claim_some(&other, LONG).await;
    assert_eq!(again.iter().map(|look| look.claims).collect::<Vec<_>>(), [2], "it is claimed again");
    assert_eq!(claim(&fence, LONG).await, [], "a look that is claimed is left alone");
    Ok(())
}

/// What took a process down is told from what was looked at with it.
pub async fn looks_that_did_not_end_are_claimed_one_at_a_time_and_behind_the_others<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let (first, second, fresh) = (fence_key("charge"), fence_key("charge"), fence_key("charge"));
    for key in [&first, &second] {
        watch(&fence, key, Duration::ZERO).await;
    }
    let mut claimed = 0;
    eventually("both looks", async || {
        claimed += claim(&fence, Duration::ZERO).await.len();
        (claimed >= 2).then_some(())
    })
    .await;
    watch(&fence, &fresh, Duration::ZERO).await;
    let looks = claim_some(&fence, LONG).await;
    assert_eq!(keys(&looks), [&fresh], "first what was never claimed, and nothing with it");

    let mut alone = Vec::new();
    for _ in 0..2 {
        let looks = claim_some(&fence, Duration::ZERO).await;
        assert_eq!(looks.len(), 1, "one at a time");
        alone.extend(looks);
    }
    let claims: Vec<u32> = alone.iter().map(|look| look.claims).collect();
    assert_eq!(claims, [2, 2], "the least claimed first");
    Ok(())
}

/// A look that has ended counts as none. The next is due after the pause, and after the last there is none.
pub async fn a_look_that_has_ended_is_due_again_after_its_pause<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let key = fence_key("charge");
    watch(&fence, &key, Duration::ZERO).await;
    let before = claim_some(&fence, LONG).await.remove(0);
    fence.looked(&[(key.clone(), Some(SHORT))]).await.expect("noting a look");
    let after = claim_some(&fence, LONG).await.remove(0);
    assert_eq!(after.claims, 1, "a look that has ended counts as none");
    assert!(after.watched_for >= before.watched_for + SHORT, "{before:?}, {after:?}");
    fence.looked(&[(key.clone(), Some(LONG))]).await.expect("noting a look");
    assert_eq!(claim(&fence, LONG).await, [], "nothing is looked at before its pause");

    fence.looked(&[(key.clone(), None)]).await.expect("noting a look");
    assert_eq!(watched(&fence).await, 0, "the row is watched no longer");
    fence.looked(&[(key, Some(Duration::ZERO))]).await.expect("noting a look that comes late");
    assert_eq!(watched(&fence).await, 0, "what is no longer watched stays so");
    Ok(())
}

/// Many rows are looked at a few at a time.
pub async fn no_more_looks_are_claimed_than_was_asked_for<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    for _ in 0..5 {
        watch(&fence, &fence_key("charge"), Duration::ZERO).await;
    }
    let mut left = 5;
    while left > 0 {
        let looks = eventually("rows that are due", async || {
            let looks = fence.claim_looks(&inventory(), 2, LONG).await.expect("claiming");
            (!looks.is_empty()).then_some(looks)
        })
        .await;
        assert!(looks.len() <= 2, "no more than two at a time");
        left -= looks.len();
    }
    assert_eq!(claim(&fence, LONG).await, [], "each is claimed once");
    Ok(())
}

/// Participants that share a database look after their own rows.
pub async fn participants_do_not_look_after_each_other<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let theirs = FenceKey { participant: participant("payment"), ..fence_key("charge") };
    watch(&fence, &theirs, Duration::ZERO).await;
    let ours = fence_key("charge");
    watch(&fence, &ours, Duration::ZERO).await;
    assert_eq!(keys(&claim_some(&fence, LONG).await), [&ours], "a participant's own rows");
    assert_eq!(watched(&fence).await, 1, "a participant's own rows are counted");
    Ok(())
}

/// As long as something may land behind a row, the row is needed.
pub async fn a_watched_row_is_not_forgotten<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let (watched, plain) = (fence_key("charge"), fence_key("charge"));
    watch(&fence, &watched, LONG).await;
    write(&fence, &plain, FenceState::Compensated, None).await;
    fence.note_ended(&inventory(), &[watched.saga, plain.saga]).await.expect("noting an end");
    let forget = async || fence.forget(&inventory(), Duration::ZERO, 10).await.expect("forgetting");
    let forgotten = eventually("the row that is not watched", async || {
        let forgotten = forget().await;
        (forgotten > 0).then_some(forgotten)
    })
    .await;
    assert_eq!(forgotten, 1, "a watched row is not forgotten");
    assert_eq!(forget().await, 0, "a watched row is not forgotten");
    fence.looked(&[(watched, None)]).await.expect("noting a look");
    assert_eq!(forget().await, 1, "it goes once it is watched no longer");
    Ok(())
}

async fn watch<F: Watch>(fence: &F, key: &FenceKey, pause: Duration) {
    write(fence, key, FenceState::Compensated, Some(pause)).await;
}

async fn write<F: Watch>(fence: &F, key: &FenceKey, state: FenceState, pause: Option<Duration>) {
    let (mut tx, _) = fence.begin(std::slice::from_ref(key)).await.expect("beginning");
    if let Some(pause) = pause {
        fence.watch(&mut tx, key, &charge(), pause).await.expect("watching");
    }
    let write = FenceWrite { key: key.clone(), state: Some(state), reply: None };
    fence.commit(tx, &[write], LONG).await.expect("committing");
}

async fn watched(fence: &impl Watch) -> u64 {
    fence.watched(&inventory()).await.expect("counting")
}

async fn claim(fence: &impl Watch, lease: Duration) -> Vec<Look> {
    fence.claim_looks(&inventory(), 10, lease).await.expect("claiming")
}

/// Claims what is due by now, or will soon be.
async fn claim_some(fence: &impl Watch, lease: Duration) -> Vec<Look> {
    eventually("a row that is due", async || {
        let looks = claim(fence, lease).await;
        (!looks.is_empty()).then_some(looks)
    })
    .await
}

fn keys(looks: &[Look]) -> Vec<&FenceKey> {
    looks.iter().map(|look| &look.key).collect()
}

fn charge() -> CommandType {
    CommandType::new("suite.charge.v1").expect("the suite's names are proper ones")
}
