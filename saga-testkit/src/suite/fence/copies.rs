//! Several copies of a command, at the same time and one after the other.

use std::time::Duration;

use futures_util::future::join_all;
use saga_core::fence::{FenceKey, FenceState};
use saga_core::message::Payload;
use saga_core::port::{Fence, FenceWrite};
use tokio::time::timeout;

use super::Harness;
use super::harness::{begin, commit, row};
use crate::suite::samples::{LONG, fence_key};
use crate::suite::{Skipped, eventually};

/// A second copy waits for the first, and then sees what it recorded, or that there is still nothing.
pub async fn a_second_copy_waits_and_sees_what_the_first_recorded<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let first = harness.connect().await;
    let second = harness.connect().await;
    let applied = Some(FenceState::Applied(Payload::encode(&7).expect("a number has a JSON form")));
    for outcome in [applied, None] {
        let key = fence_key("reserve");
        let (tx, _) = begin(&first, &key).await;
        let mut waiting = Box::pin(begin(&second, &key));
        assert!(timeout(WAIT, &mut waiting).await.is_err(), "a second copy runs beside the first");
        commit(&first, tx, &key, outcome.clone()).await;
        let (tx, seen) = waiting.await;
        assert_eq!(seen, outcome, "a second copy sees what the first recorded");
        commit(&second, tx, &key, None).await;
    }

    let key = fence_key("dropped");
    let (tx, _) = begin(&first, &key).await;
    let mut waiting = Box::pin(begin(&second, &key));
    assert!(timeout(WAIT, &mut waiting).await.is_err(), "a second copy runs beside the first");
    drop(tx);
    let (_tx, seen) = waiting.await;
    assert_eq!(seen, None, "a second copy of one that was dropped is the first");
    Ok(())
}

/// Sixteen copies of each of ten commands at once: one of them finds no row, and the others its record.
pub async fn many_copies_of_a_command_run_it_once<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fences = join_all((0..4).map(|_| harness.connect())).await;
    for round in 0..10 {
        let key = fence_key("reserve");
        let copies = (0..16).map(async |copy: usize| {
            let fence = &fences[copy % fences.len()];
            let (mut tx, state) = begin(fence, &key).await;
            if state.is_none() {
                harness.write(&mut tx, &format!("stock {round}"), copy as i64).await;
            }
            tokio::task::yield_now().await;
            commit(fence, tx, &key, Some(FenceState::Closed)).await;
            state
        });
        let states = join_all(copies).await;
        let ran = states.iter().filter(|state| state.is_none()).count();
        assert_eq!(ran, 1, "of sixteen copies, one runs the command");
        assert!(
            states.iter().flatten().all(|state| *state == FenceState::Closed),
            "the others see its record"
        );
    }
    Ok(())
}

/// Workers that share keys, many at a time and again and again, all come to an end.
pub async fn transactions_over_the_same_keys_do_not_deadlock<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let mut keys: Vec<FenceKey> = (0..12).map(|number| fence_key(&format!("step#{number}"))).collect();
    keys.sort();
    let fences = join_all((0..4).map(|_| harness.connect())).await;
    let working = fences.iter().enumerate().map(async |(worker, fence)| {
        for round in 0..10 {
            let mine: Vec<FenceKey> = keys
                .iter()
                .enumerate()
                .filter(|(index, _)| (index + round + worker) % 3 != 0)
                .map(|(_, key)| key.clone())
                .collect();
            let (tx, _) = fence.begin(&mine).await.expect("beginning");
            tokio::task::yield_now().await;
            let closed = |key| FenceWrite { key, state: Some(FenceState::Closed), reply: None };
            let writes: Vec<FenceWrite> = mine.into_iter().map(closed).collect();
            fence.commit(tx, &writes, LONG).await.expect("committing");
        }
    });
    join_all(working).await;
    for key in &keys {
        assert_eq!(row(&fences[0], key).await, Some(FenceState::Closed), "each row is written");
    }
    Ok(())
}

/// Each count is a commit of its own, which a transaction that is open or dropped does not take back.
pub async fn runs_are_counted_until_they_are_forgotten<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let mut keys = [fence_key("first"), fence_key("second")];
    keys.sort();
    assert_eq!(fence.count_runs(&keys).await.expect("counting"), [1, 1], "a first run");
    let (tx, _) = begin(&fence, &keys[0]).await;
    assert_eq!(fence.count_runs(&keys).await.expect("counting"), [2, 2], "counting beside a transaction");
    drop(tx);
    assert_eq!(fence.count_runs(&keys[1..]).await.expect("counting"), [3], "a third run");
    assert_eq!(row(&fence, &keys[0]).await, None, "a count is no fence row");

    fence.forget_runs(&keys[..1]).await.expect("forgetting");
    fence.forget_runs(&keys[..1]).await.expect("forgetting again");
    assert_eq!(
        harness.connect().await.count_runs(&keys).await.expect("counting"),
        [1, 4],
        "the first is forgotten"
    );
    Ok(())
}

/// The database's time goes on, and not back.
pub async fn the_time_goes_on<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let began = async || {
        let (tx, _) = fence.begin(&[]).await.expect("beginning");
        fence.began(&tx)
    };
    let before = began().await;
    eventually("the time goes on", async || {
        let now = began().await;
        assert!(now >= before, "the time goes back");
        (now > before).then_some(())
    })
    .await;
    Ok(())
}

/// How long a second copy is watched waiting. Too short can only hide a fault, never invent one.
const WAIT: Duration = Duration::from_millis(100);
