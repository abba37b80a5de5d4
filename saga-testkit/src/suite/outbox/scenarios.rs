//! Claims, leases, and the three ways out of an outbox.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use saga_core::id::Destination;
use saga_core::message::Envelope;
use saga_core::port::{Backlog, IdSource, Outbox, OutboxRow, RandomIds, RowId};

use super::Harness;
use crate::suite::samples::{LONG, SHORT, row};
use crate::suite::{Skipped, eventually};

/// Id, destination, key, headers and body of a row come back byte for byte.
pub async fn a_row_is_claimed_as_it_was_inserted<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let outbox = harness.connect().await;
    let mut empty = row("empty");
    empty.envelope.body = Default::default();
    empty.envelope.headers = Default::default();
    let mut told = row("told");
    told.envelope.destination = Destination::topic("t".repeat(120)).expect("a name of the greatest length");
    let inserted = [row("first ☃"), empty, told];
    harness.insert(&inserted, LONG).await;

    let claimed = claim(&outbox, 10).await;
    assert_eq!(claimed.len(), inserted.len(), "all rows are due");
    for row in inserted {
        let found = claimed.iter().find(|claimed| claimed.id == row.id).expect("the row is claimed");
        assert_eq!(found.envelope, row.envelope, "the message comes back as it was");
    }
    Ok(())
}

/// A row is due at once, or, if it was inserted claimed, when that claim's lease ends; a claim is a lease too.
pub async fn a_claim_lasts_as_long_as_its_lease<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let outbox = harness.connect().await;
    let hot = |text| OutboxRow { claimed: true, ..row(text) };
    let (abandoned, kept, cold) = (hot("abandoned"), hot("kept"), row("cold"));
    harness.insert(&[cold.clone(), kept.clone()], LONG).await;
    assert_eq!(ids(&claim(&outbox, 10).await), [cold.id], "what nobody has claimed");

    harness.insert(std::slice::from_ref(&abandoned), SHORT).await;
    let expired = eventually("a row whose claim has ended", async || claim(&outbox, 10).await.pop()).await;
    assert_eq!(expired.id, abandoned.id, "the row of a short claim");
    assert_eq!(claim(&outbox, 10).await, [], "all rows are claimed");

    outbox.postpone(&[cold.id], Duration::ZERO, "for this test").await.expect("postponing");
    let short = outbox.claim(10, SHORT).await.expect("claiming");
    assert_eq!(ids(&short), [cold.id], "a row that was given back");
    eventually("a row whose lease has ended", async || claim(&outbox, 10).await.pop()).await;
    Ok(())
}

/// Relays that ask at the same time get different rows, no more than they asked for, and all of them together.
pub async fn relays_share_the_rows<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let rows: Vec<OutboxRow> = (0..200).map(|number| row(&number.to_string())).collect();
    harness.insert(&rows, LONG).await;
    let relays = join_all((0..4).map(|_| harness.connect())).await;
    let claiming = relays.iter().map(async |relay| {
        let mut mine = Vec::new();
        loop {
            let claimed = claim(relay, 7).await;
            assert!(claimed.len() <= 7, "no more rows than were asked for");
            if claimed.is_empty() {
                return mine;
            }
            mine.extend(claimed);
            assert!(mine.len() <= 200, "a row is claimed twice");
        }
    });
    let claimed = join_all(claiming).await.concat();
    // A relay that finds all that is left locked by others goes away empty-handed, and would come again.
    let claimed = [claimed, claim(&relays[0], 200).await].concat();
    let distinct: HashSet<RowId> = claimed.iter().map(|row| row.id).collect();
    assert_eq!(distinct.len(), claimed.len(), "no row is claimed twice");
    assert_eq!(distinct.len(), 200, "every row is claimed");
    Ok(())
}

/// Rows are deleted by their own id: a second row with the same message stays. Deleting none does nothing.
pub async fn a_row_is_deleted_by_its_own_id<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let outbox = harness.connect().await;
    let first = row("message");
    let envelope = Envelope { key: RandomIds.saga(), ..first.envelope.clone() };
    let second = OutboxRow { id: RandomIds.row(), envelope, claimed: false };
    harness.insert(&[first.clone(), second.clone()], LONG).await;
    outbox.delete(&[first.id, RandomIds.row()]).await.expect("deleting");
    outbox.delete(&[first.id]).await.expect("deleting again");
    outbox.delete(&[]).await.expect("deleting nothing");
    assert_eq!(ids(&claim(&outbox, 10).await), [second.id], "the other row stays");
    Ok(())
}

/// A row that is given back is due after its pause and not before; one that is gone stays gone.
pub async fn a_postponed_row_is_due_later<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let outbox = harness.connect().await;
    let rows = [row("soon"), row("later"), row("gone")];
    let [soon, later, gone] = [rows[0].id, rows[1].id, rows[2].id];
    harness.insert(&rows, LONG).await;
    assert_eq!(claim(&outbox, 10).await.len(), 3, "all rows are due");
    outbox.delete(&[gone]).await.expect("deleting");
    outbox.postpone(&[later, gone], LONG, "no route").await.expect("postponing");
    outbox.postpone(&[soon], SHORT, "a reason with a zero \u{0} and ☃").await.expect("postponing");

    let due = eventually("a row whose pause is over", async || claim(&outbox, 10).await.pop()).await;
    assert_eq!(due.id, soon, "the row of a short pause");
    assert_eq!(claim(&outbox, 10).await, [], "a row whose pause lasts");
    assert_eq!(outbox.backlog().await.expect("the backlog").unsent, 2, "a postponed row is not sent");
    Ok(())
}

/// A row that is set aside counts as dead and is not claimed again; one that is gone stays gone.
pub async fn a_row_that_is_set_aside_is_dead<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let outbox = harness.connect().await;
    let rows = [row("dead"), row("alive")];
    harness.insert(&rows, LONG).await;
    let aside = [(rows[0].id, "too large \u{0} ☃".to_owned()), (RandomIds.row(), "gone".to_owned())];
    for _ in 0..2 {
        outbox.set_aside(&aside).await.expect("setting aside, and again");
    }
    let backlog = outbox.backlog().await.expect("the backlog");
    assert_eq!((backlog.unsent, backlog.dead), (1, 1), "one row waits and one is dead");
    assert_eq!(ids(&claim(&outbox, 10).await), [rows[1].id], "the row that is alive");
    Ok(())
}

/// The backlog counts every row that is not confirmed, claimed or not, and its age grows.
pub async fn the_backlog_counts_and_ages<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let outbox = harness.connect().await;
    assert_eq!(outbox.backlog().await.expect("the backlog"), Backlog::default(), "of an empty outbox");
    let rows = [row("cold"), OutboxRow { claimed: true, ..row("hot") }];
    harness.insert(&rows, LONG).await;
    let oldest = eventually("ages grow", async || {
        let backlog = outbox.backlog().await.expect("the backlog");
        assert_eq!((backlog.unsent, backlog.dead), (2, 0), "two rows wait");
        backlog.oldest.filter(|oldest| *oldest >= SHORT)
    })
    .await;
    assert!(oldest < LONG, "an age is no more than the time that has passed: {oldest:?}");

    outbox.delete(&ids(&rows)).await.expect("deleting");
    assert_eq!(outbox.backlog().await.expect("the backlog"), Backlog::default(), "when all is sent");
    Ok(())
}

async fn claim(outbox: &impl Outbox, limit: usize) -> Vec<OutboxRow> {
    outbox.claim(limit, LONG).await.expect("claiming")
}

fn ids(rows: &[OutboxRow]) -> Vec<RowId> {
    rows.iter().map(|row| row.id).collect()
}
