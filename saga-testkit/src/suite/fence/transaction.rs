//! One transaction: the row, what the handler writes, and the reply.

use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::ParticipantName;
use saga_core::message::Payload;
use saga_core::port::{BODY_BYTES_MAX, Fence, FenceWrite, Outbox, OutboxRow, StoreError};

use super::Harness;
use super::harness::{begin, commit, row};
use crate::suite::samples::{LONG, SHORT, fence_key, row as outbox_row};
use crate::suite::{Skipped, eventually};

/// Each state is read as it was written, and may be followed by any other.
pub async fn every_state_comes_back_as_it_was_written<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let key = fence_key("reserve#item-1");
    let payload = Payload::encode(&"naïve \u{0} ☃").expect("a text has a JSON form");
    let states = [
        FenceState::Started,
        FenceState::Repeated,
        FenceState::Applied(payload.clone()),
        FenceState::Compensated,
        FenceState::Refused(payload),
        FenceState::Closed,
        FenceState::Applied(Payload::default()),
    ];
    let mut before = None;
    for state in states {
        let (tx, found) = begin(&fence, &key).await;
        assert_eq!(found, before, "the row says what was written last");
        commit(&fence, tx, &key, Some(state.clone())).await;
        before = Some(state);
    }
    assert_eq!(row(&harness.connect().await, &key).await, before, "also to another process");
    Ok(())
}

/// After a fault there is no row that was not there before, and one that was there is as it was.
pub async fn a_key_without_an_outcome_leaves_no_row<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let key = fence_key("reserve");
    for _ in 0..2 {
        assert_eq!(row(&fence, &key).await, None, "no row without an outcome");
    }
    let (tx, _) = begin(&fence, &key).await;
    commit(&fence, tx, &key, Some(FenceState::Started)).await;
    for _ in 0..2 {
        assert_eq!(row(&fence, &key).await, Some(FenceState::Started), "a row stays as it was");
    }
    Ok(())
}

/// The same step of the same saga is another row for another participant.
pub async fn participants_do_not_share_their_rows<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let key = fence_key("reserve");
    let participant = ParticipantName::new("payment").expect("the suite's names are proper ones");
    let other = FenceKey { participant, ..key.clone() };
    let (tx, _) = begin(&fence, &key).await;
    commit(&fence, tx, &key, Some(FenceState::Closed)).await;
    assert_eq!(row(&fence, &other).await, None, "the row of another participant");
    Ok(())
}

/// What the handler wrote is there when the transaction has committed, and not before.
pub async fn what_a_handler_writes_commits_with_the_row<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let key = fence_key("reserve");
    let (mut tx, _) = begin(&fence, &key).await;
    harness.write(&mut tx, "stock", 7).await;
    commit(&fence, tx, &key, Some(FenceState::Applied(Payload::default()))).await;
    assert_eq!(harness.read("stock").await, Some(7), "what was committed");
    assert_eq!(harness.read("nothing").await, None, "what nobody wrote");
    Ok(())
}

/// A transaction that is dropped, as in a handler's panic, leaves no row and no write, and hinders nobody.
pub async fn a_dropped_transaction_leaves_nothing<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let key = fence_key("reserve");
    let (mut tx, _) = begin(&fence, &key).await;
    fence.savepoint(&mut tx).await.expect("a savepoint");
    harness.write(&mut tx, "stock", 7).await;
    drop(tx);
    assert_eq!(row(&fence, &key).await, None, "no row is left");
    assert_eq!(harness.read("stock").await, None, "no write is left");
    Ok(())
}

/// A rollback returns to the last savepoint, also after an error: what was written before stays, and the transaction
/// goes on and commits its rows.
pub async fn a_rollback_loses_what_the_handler_wrote_and_keeps_the_row<H: Harness>(
    harness: &H,
) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let key = fence_key("reserve");
    let refused = Some(FenceState::Refused(Payload::default()));
    let (mut tx, _) = begin(&fence, &key).await;
    harness.write(&mut tx, "before", 1).await;
    fence.savepoint(&mut tx).await.expect("a savepoint");
    harness.write(&mut tx, "between", 2).await;
    fence.savepoint(&mut tx).await.expect("another savepoint");
    harness.write(&mut tx, "refused", 3).await;
    fence.rollback(&mut tx).await.expect("a rollback");
    harness.write(&mut tx, "refused again", 4).await;
    harness.fail(&mut tx).await;
    fence.rollback(&mut tx).await.expect("a second rollback, after an error");
    harness.write(&mut tx, "after", 5).await;
    commit(&fence, tx, &key, refused.clone()).await;

    assert_eq!(row(&fence, &key).await, refused, "the row is kept");
    let names = ["before", "between", "refused", "refused again", "after"];
    let mut values = Vec::new();
    for name in names {
        values.push(harness.read(name).await);
    }
    assert_eq!(values, [Some(1), Some(2), None, None, Some(5)], "the values of {names:?}");
    Ok(())
}

/// Several commands share a transaction: each has the state of its row, a savepoint, and an outcome.
pub async fn several_keys_have_an_outcome_each<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let mut keys: Vec<FenceKey> = (0..32).map(|number| fence_key(&format!("step#{number}"))).collect();
    keys.sort();
    let (tx, _) = begin(&fence, &keys[30]).await;
    commit(&fence, tx, &keys[30], Some(FenceState::Started)).await;

    let (mut tx, states) = fence.begin(&keys).await.expect("beginning");
    let expected: Vec<_> = (0..32).map(|index| (index == 30).then_some(FenceState::Started)).collect();
    assert_eq!(states, expected, "the states stand in the order of the keys");
    let outcome = |index| match index % 3 {
        0 => Some(FenceState::Applied(Payload::default())),
        1 => Some(FenceState::Refused(Payload::default())),
        _ => None,
    };
    for index in 0..32 {
        fence.savepoint(&mut tx).await.expect("a savepoint");
        harness.write(&mut tx, &format!("value {index}"), index).await;
        if index % 3 == 1 {
            fence.rollback(&mut tx).await.expect("a rollback");
        }
    }
    let write = |(index, key): (usize, &FenceKey)| FenceWrite {
        key: key.clone(),
        state: outcome(index),
        reply: Some(outbox_row(&format!("reply {index}"))),
    };
    let writes: Vec<FenceWrite> = keys.iter().enumerate().map(write).collect();
    fence.commit(tx, &writes, LONG).await.expect("committing");

    for (index, key) in keys.iter().enumerate() {
        assert_eq!(row(&fence, key).await, outcome(index), "the row of key {index}");
        let value = (index % 3 != 1).then_some(index as i64);
        assert_eq!(harness.read(&format!("value {index}")).await, value, "the write of key {index}");
    }
    assert_eq!(fence.claim(100, LONG).await.expect("claiming").len(), 32, "a reply for each key");
    Ok(())
}

/// A reply is in the outbox when its transaction has committed; a claimed one is left alone for its lease.
pub async fn a_reply_is_sent_only_if_its_transaction_commits<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let key = fence_key("reserve");
    let (tx, _) = begin(&fence, &key).await;
    assert!(fence.claim(10, LONG).await.expect("claiming").is_empty());
    drop(tx);
    assert_eq!(row(&fence, &key).await, None, "no row is left");

    let reply = OutboxRow { claimed: true, ..outbox_row("done") };
    let (tx, _) = begin(&fence, &key).await;
    let write = FenceWrite { key, state: Some(FenceState::Closed), reply: Some(reply.clone()) };
    fence.commit(tx, &[write], SHORT).await.expect("committing");
    let sent = eventually("a reply whose claim has ended", async || {
        fence.claim(10, LONG).await.expect("claiming").pop()
    })
    .await;
    assert_eq!(sent.envelope, reply.envelope, "the reply");
    Ok(())
}

/// A reply over the limit is refused, and its whole transaction with it.
pub async fn a_reply_that_is_too_large_fails_its_transaction<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let fence = harness.connect().await;
    let key = fence_key("reserve");
    let mut reply = outbox_row("too large");
    reply.envelope.body = vec![b'x'; BODY_BYTES_MAX + 1].into();
    let (mut tx, _) = begin(&fence, &key).await;
    harness.write(&mut tx, "stock", 7).await;
    let write = FenceWrite { key: key.clone(), state: Some(FenceState::Closed), reply: Some(reply) };
    let result = fence.commit(tx, &[write], LONG).await;
    assert!(matches!(result, Err(StoreError::Rejected(_))), "a reply over the limit: {result:?}");

    assert_eq!(row(&fence, &key).await, None, "no row is left");
    assert_eq!(harness.read("stock").await, None, "no write is left");
    assert_eq!(fence.backlog().await.expect("the backlog").unsent, 0, "no reply is left");
    Ok(())
}
