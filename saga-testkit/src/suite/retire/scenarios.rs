//! Ended sagas leave the store, whole and once, and their participants are told.

use std::collections::BTreeMap;
use std::slice::from_ref;
use std::time::Duration;

use futures_util::future::join_all;
use saga_core::definition::DefinitionRef;
use saga_core::id::{ParticipantName, SagaId};
use saga_core::message::EndNotice;
use saga_core::port::{
    Change, Commit, CommitError, Committed, HeldId, HeldReply, History, IdSource, Outbox, RandomIds, Retire,
    Retiring, SagaFilter, Status, Store,
};

use super::Harness;
use crate::suite::samples::{LONG, SHORT, arm, child, definition, entry, envelope, key, keyed, next, start};
use crate::suite::{Skipped, eventually};

/// An archived saga is shown as it was, and found in no other way; a reply that was held for it is gone.
pub async fn an_archived_saga_is_shown_and_nothing_else<H: Harness<Store: Retire>>(
    harness: &H,
) -> Result<(), Skipped> {
    let (store, definition) = noted(harness, &["inventory"]).await;
    let started = Commit { timers: vec![arm("reserve", LONG)], ..keyed(&definition, "order 7", 1) };
    store_all(&store, from_ref(&started)).await;
    let last =
        Commit { status: Status::Compensated, journal: vec![entry(2), entry(3)], ..next(started.id, 1) };
    store_all(&store, &[last]).await;
    let reply = HeldReply { id: HeldId(RandomIds.uuid()), saga: started.id, envelope: envelope("late") };
    store.hold(&[reply]).await.expect("holding");
    let before = store.show(started.id).await.expect("showing").expect("the saga is there");

    assert_eq!(store.retire(NOW).await.expect("retiring"), 1, "one saga has ended");
    assert!(store.load(&[started.id]).await.expect("loading").sagas.is_empty(), "it is no longer loaded");
    let listed = store.list(&SagaFilter::default(), 10).await.expect("listing");
    assert!(listed.is_empty(), "it is no longer listed");
    assert_eq!(store.health(&[]).await.expect("health").held, 0, "its held reply is gone");
    let shown = store.show(started.id).await.expect("showing").expect("it is archived");
    assert_eq!(shown.stored, before.stored, "it is shown as it was stored");
    assert_eq!(shown.summary, before.summary, "it is shown as it was listed");
    assert_eq!(shown.journal, before.journal, "it is shown with its journal");
    assert_eq!(store.retire(NOW).await.expect("retiring"), 0, "it is retired once");
    Ok(())
}

/// A key leads to its saga whether that is archived or deleted, and is never free again.
pub async fn a_business_key_outlives_its_saga<H: Harness<Store: Retire>>(harness: &H) -> Result<(), Skipped> {
    let (store, definition) = noted(harness, &["inventory"]).await;
    for (name, archive) in [("archived", true), ("deleted", false)] {
        let first = Commit { status: Status::Completed, ..keyed(&definition, name, 1) };
        store_all(&store, from_ref(&first)).await;
        let retired = store.retire(Retiring { archive, ..NOW }).await.expect("retiring");
        assert_eq!(retired, 1, "the saga that has ended");
        assert_eq!(store.show(first.id).await.expect("showing").is_some(), archive, "whether it is archived");

        let held_by = store.holder(&definition.name, &key(name)).await.expect("asking for a key's saga");
        assert_eq!(held_by, Some(first.id), "the key of a saga that is {name}");
        let mut again = store.commit(&[keyed(&definition, name, 1)], LONG).await;
        let again = again.remove(0).expect("starting again");
        assert_eq!(
            again,
            Committed::Existing(first.id),
            "a second start with the key of a saga that is {name}"
        );
        let other = store.commit(&[keyed(&definition, name, 2)], LONG).await.remove(0);
        assert!(
            matches!(other, Err(CommitError::KeyTaken(id)) if id == first.id),
            "another input: {other:?}"
        );
    }
    let nobody = store.holder(&definition.name, &key("free")).await.expect("asking for a key's saga");
    assert_eq!(nobody, None, "a key that nobody has");
    Ok(())
}

/// Sagas that run, go back or are parked stay, and so do those that have ended not long enough ago.
pub async fn only_what_has_ended_for_long_enough_is_retired<H: Harness<Store: Retire>>(
    harness: &H,
) -> Result<(), Skipped> {
    let (store, definition) = noted(harness, &["inventory"]).await;
    let starts = Status::ALL.map(|status| ended(&definition, status));
    store_all(&store, &starts).await;
    let early = store.retire(Retiring { ended_for: LONG, ..NOW }).await.expect("retiring");
    assert_eq!(early, 0, "none has ended for so long");
    assert_eq!(store.retire(NOW).await.expect("retiring"), 2, "those that have ended");
    let ids: Vec<SagaId> = starts.iter().map(|start| start.id).collect();
    let mut left: Vec<Status> =
        store.load(&ids).await.expect("loading").sagas.iter().map(|saga| saga.status).collect();
    left.sort_by_key(|status| status.as_str());
    let unended = [Status::Compensating, Status::Parked, Status::Provisional, Status::Running];
    assert_eq!(left, unended, "those that have not");

    let waiting = ended(&definition, Status::Completed);
    store_all(&store, from_ref(&waiting)).await;
    let short = Retiring { ended_for: Duration::from_millis(20), ..NOW };
    eventually("a saga that has ended for long enough", async || {
        (store.retire(short).await.expect("retiring") == 1).then_some(())
    })
    .await;
    Ok(())
}

/// Until then a late copy of the command that began it may come, and would begin it again. One that was taken back before it
/// began waits for no notice.
pub async fn what_ran_as_a_step_stays_until_long_after_the_notice_of_its_parents_end<
    H: Harness<Store: Retire>,
>(
    harness: &H,
) -> Result<(), Skipped> {
    let (store, definition) = noted(harness, &["inventory"]).await;
    let parent = RandomIds.saga();
    let begun = child(&definition, parent, "deliver");
    let last = Commit { status: Status::Compensated, ..next(begun.id, 1) };
    store_all(&store, from_ref(&begun)).await;
    store_all(&store, from_ref(&last)).await;
    assert_eq!(store.retire(NOW).await.expect("retiring"), 0, "nothing without a notice");
    store.note_ended(&[RandomIds.saga()]).await.expect("noting another's end");
    assert_eq!(store.retire(NOW).await.expect("retiring"), 0, "nothing by another's notice");
    store.note_ended(&[parent]).await.expect("noting an end");
    let early = store.retire(Retiring { horizon: LONG, ..NOW }).await.expect("retiring");
    assert_eq!(early, 0, "nothing by a notice that is too young");
    assert_eq!(store.retire(NOW).await.expect("retiring"), 1, "once nothing can begin it");

    let never_began = Commit { status: Status::Compensated, ..child(&definition, parent, "deliver") };
    store_all(&store, from_ref(&never_began)).await;
    let early = store.retire(Retiring { horizon: LONG, ..NOW }).await.expect("retiring");
    assert_eq!(early, 0, "one that never began, as long as an older command may come");
    tokio::time::sleep(SHORT).await;
    store.note_ended(&[parent]).await.expect("noting an end");
    let free = store.retire(Retiring { horizon: SHORT, ..NOW }).await.expect("retiring");
    assert_eq!(free, 1, "one that never began needs no notice, and none keeps it");
    Ok(())
}

/// A batch holds no more than was asked for, and those that ended first.
pub async fn the_longest_ended_is_retired_first<H: Harness<Store: Retire>>(
    harness: &H,
) -> Result<(), Skipped> {
    let (store, definition) = noted(harness, &["inventory"]).await;
    let running: Vec<Commit> = (0..3).map(|_| start(&definition)).collect();
    store_all(&store, &running).await;
    // They end in another order than they began.
    for saga in [2, 0, 1] {
        let last = Commit { status: Status::Completed, ..next(running[saga].id, 1) };
        store_all(&store, &[last]).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for (count, gone) in [(2, [true, false, true]), (1, [true; 3]), (0, [true; 3])] {
        let retired = store.retire(Retiring { limit: 2, ..NOW }).await.expect("retiring");
        assert_eq!(retired, count, "no more than two at a time");
        for (saga, gone) in running.iter().zip(gone) {
            let is_gone = store.load(&[saga.id]).await.expect("loading").sagas.is_empty();
            assert_eq!(is_gone, gone, "those that ended first");
        }
    }
    Ok(())
}

/// Each participant of a definition is told of its sagas, and no other, in as few messages as it takes.
pub async fn every_participant_is_told_of_its_sagas<H: Harness<Store: Retire>>(
    harness: &H,
) -> Result<(), Skipped> {
    let (store, ours) = noted(harness, &["inventory", "payment"]).await;
    let other = definition("cancel-order", 2);
    note(&store, &other, &["payment"]).await;
    let starts = [&ours, &other, &ours].map(|definition| ended(definition, Status::Completed));
    store_all(&store, &starts).await;
    assert_eq!(store.retire(NOW).await.expect("retiring"), 3, "those that have ended");

    let told = told(&store).await;
    let [first, second, third] = starts.map(|start| start.id);
    let expected = BTreeMap::from([
        ("inventory".to_owned(), vec![sorted(vec![first, third])]),
        ("payment".to_owned(), vec![sorted(vec![first, second, third])]),
    ]);
    assert_eq!(told, expected, "whom it concerns is told");
    Ok(())
}

/// Nobody could be told, so nothing is retired. Who was noted stays, whatever is noted later.
pub async fn a_definition_without_participants_on_record_keeps_its_sagas<H: Harness<Store: Retire>>(
    harness: &H,
) -> Result<(), Skipped> {
    let store = harness.connect().await;
    let definition = definition("place-order", 1);
    store.register(from_ref(&definition)).await.expect("registering");
    store_all(&store, &[ended(&definition, Status::Completed)]).await;
    assert_eq!(store.retire(NOW).await.expect("retiring"), 0, "nobody could be told");
    for participants in [&["payment"][..], &["inventory"], &[]] {
        note(&store, &definition, participants).await;
    }
    assert_eq!(store.retire(NOW).await.expect("retiring"), 1, "now somebody can");
    assert!(told(&store).await.keys().eq(["inventory", "payment"]), "everybody who was ever noted is told");
    Ok(())
}

/// Four workers retire together: each saga once, and nobody is told twice.
pub async fn workers_share_what_is_to_be_retired<H: Harness<Store: Retire>>(
    harness: &H,
) -> Result<(), Skipped> {
    let (store, definition) = noted(harness, &["inventory"]).await;
    let starts: Vec<Commit> = (0..60).map(|_| ended(&definition, Status::Completed)).collect();
    store_all(&store, &starts).await;
    let workers = (0..4).map(async |_| {
        let (store, mut retired) = (harness.connect().await, 0);
        for _ in 0..20 {
            retired += store.retire(Retiring { limit: 7, ..NOW }).await.expect("retiring");
        }
        retired
    });
    assert_eq!(join_all(workers).await.iter().sum::<usize>(), 60, "each saga is retired once");
    let told = told(&store).await.remove("inventory").unwrap_or_default().concat();
    let ids = starts.iter().map(|start| start.id).collect();
    assert_eq!(sorted(told), sorted(ids), "its end is told once");
    Ok(())
}

/// A store with a definition whose commands go to these participants.
async fn noted<H: Harness<Store: Retire>>(harness: &H, participants: &[&str]) -> (H::Store, DefinitionRef) {
    let (store, definition) = (harness.connect().await, definition("place-order", 1));
    note(&store, &definition, participants).await;
    (store, definition)
}

async fn note(store: &impl Retire, definition: &DefinitionRef, participants: &[&str]) {
    store.register(from_ref(definition)).await.expect("registering");
    let names = participants.iter().map(ParticipantName::new).collect::<Result<_, _>>();
    let noted = (definition.clone(), names.expect("the suite's names are proper ones"));
    store.note_participants(&[noted]).await.expect("noting participants");
}

/// The start of a saga that has this status at once.
fn ended(definition: &DefinitionRef, status: Status) -> Commit {
    let parked = (status == Status::Parked).then(|| "why".to_owned());
    let Commit { change: Change::Start(start), id, .. } = start(definition) else { unreachable!("a start") };
    Commit { change: Change::Start(start), status, parked, ..next(id, 0) }
}

async fn store_all(store: &impl Store, batch: &[Commit]) {
    for result in store.commit(batch, LONG).await {
        assert!(matches!(result, Ok(Committed::Stored)), "a commit without a conflict: {result:?}");
    }
}

/// The sagas of each notice in the outbox, by whom they are for.
async fn told(store: &impl Outbox) -> BTreeMap<String, Vec<Vec<SagaId>>> {
    let mut told: BTreeMap<String, Vec<Vec<SagaId>>> = BTreeMap::new();
    for row in store.claim(1_000, LONG).await.expect("claiming") {
        let notice = EndNotice::decode(&row.envelope).expect("a notice of sagas' ends");
        let sagas = sorted(notice.sagas().to_vec());
        told.entry(row.envelope.destination.to_string()).or_default().push(sagas);
    }
    told
}

fn sorted(mut sagas: Vec<SagaId>) -> Vec<SagaId> {
    sagas.sort();
    sagas
}

/// Whatever has ended, into the archive.
const NOW: Retiring =
    Retiring { ended_for: Duration::ZERO, archive: true, horizon: Duration::ZERO, limit: 100 };
