//! What operators see: lists, one saga's journal, and health.

use std::time::Duration;

use saga_core::id::{Direction, SagaId};
use saga_core::port::{
    ArmedTimer, AwaitedSteps, Backlog, Commit, HeldId, HeldReply, History, IdSource, RandomIds, SagaFilter,
    SagaSummary, Status, Store, TimerChange, UnknownDefinition, Workload,
};

use super::Harness;
use super::harness::Client;
use crate::suite::samples::{
    LONG, arm, child, definition, entry, envelope, key, keyed, next, row, start, step,
};
use crate::suite::{Skipped, eventually};

/// Pages follow one another from the newest saga to the oldest, and hold no more than was asked for.
pub async fn lists_are_newest_first_and_paged<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let starts: Vec<Commit> = (0..25).map(|_| start(&client.definition)).collect();
    client.store_all(&starts).await;
    let mut newest_first: Vec<SagaId> = starts.iter().map(|started| started.id).collect();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));

    let mut listed = Vec::new();
    for length in [10, 10, 5, 0] {
        let filter = SagaFilter { after: listed.last().copied(), ..SagaFilter::default() };
        let page = client.store.list(&filter, 10).await.expect("listing");
        assert_eq!(page.len(), length, "a page of a list of 25");
        listed.extend(page.into_iter().map(|summary| summary.id));
    }
    assert_eq!(listed, newest_first, "the newest first");
    Ok(())
}

/// A list shows the sagas of a type, in a status, with a key, and all of these together.
pub async fn lists_show_what_was_asked_for<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let other = definition("cancel-order", 2);
    client.register(&other).await;
    let [first, second, third] = [
        keyed(&client.definition, "order 7", 1),
        Commit { status: Status::Completed, ..keyed(&other, "order 7", 1) },
        Commit { status: Status::Completed, ..start(&client.definition) },
    ];
    client.store_all(&[first.clone(), second.clone(), third.clone()]).await;

    let name = Some(other.name.clone());
    let status = Some(Status::Completed);
    let key = Some(key("order 7"));
    let everything = SagaFilter::default();
    let cases = [
        (everything.clone(), vec![third.id, second.id, first.id]),
        (SagaFilter { name: name.clone(), ..everything.clone() }, vec![second.id]),
        (SagaFilter { status, ..everything.clone() }, vec![third.id, second.id]),
        (SagaFilter { key: key.clone(), ..everything.clone() }, vec![second.id, first.id]),
        (
            SagaFilter { status, key: key.clone(), after: Some(third.id), ..everything.clone() },
            vec![second.id],
        ),
        (SagaFilter { name, status: Some(Status::Parked), key, ..everything }, vec![]),
    ];
    for (filter, expected) in cases {
        let listed = client.store.list(&filter, 10).await.expect("listing");
        let listed: Vec<SagaId> = listed.into_iter().map(|summary| summary.id).collect();
        assert_eq!(listed, expected, "{filter:?}");
    }
    Ok(())
}

/// A list shows sagas by how long ago they began, and those that wait by how long they have not moved.
pub async fn lists_show_sagas_by_their_age<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let [waits, ended, moved] = [
        start(&client.definition),
        Commit { status: Status::Completed, ..start(&client.definition) },
        start(&client.definition),
    ];
    client.store_all(&[waits.clone(), ended.clone(), moved.clone()]).await;
    let list = async |filter: SagaFilter| -> Vec<SagaId> {
        let page = client.store.list(&filter, 10).await.expect("listing");
        page.into_iter().map(|summary| summary.id).collect()
    };
    let everything = SagaFilter::default();
    let older = SagaFilter { older_than: Some(AGE), ..everything.clone() };
    eventually("sagas grow old", async || (list(older.clone()).await.len() == 3).then_some(())).await;
    client.store_one(&next(moved.id, 1)).await;
    let young = start(&client.definition);
    client.store_one(&young).await;

    let cases = [
        (SagaFilter { older_than: Some(LONG), ..everything.clone() }, vec![], "none is so old"),
        (older, vec![moved.id, ended.id, waits.id], "the young one is not yet"),
        (
            SagaFilter { younger_than: Some(LONG), ..everything.clone() },
            vec![young.id, moved.id, ended.id, waits.id],
            "all are younger",
        ),
        (SagaFilter { younger_than: Some(Duration::ZERO), ..everything.clone() }, vec![], "none is so young"),
        (SagaFilter { unmoved_for: Some(LONG), ..everything.clone() }, vec![], "none has waited so long"),
        (
            SagaFilter { unmoved_for: Some(Duration::ZERO), ..everything },
            vec![young.id, moved.id, waits.id],
            "all that have not ended",
        ),
    ];
    for (filter, mut expected, why) in cases {
        expected.sort_unstable_by(|a, b| b.cmp(a));
        let listed = list(filter.clone()).await;
        match filter.older_than {
            // On a slow machine the young one has grown old by now.
            Some(AGE) => assert!(expected.iter().all(|id| listed.contains(id)), "{why}: {filter:?}"),
            _ => assert_eq!(listed, expected, "{why}: {filter:?}"),
        }
    }
    let unmoved = SagaFilter { unmoved_for: Some(AGE), ..SagaFilter::default() };
    let listed = list(unmoved.clone()).await;
    assert!(
        listed.contains(&waits.id) && !listed.contains(&ended.id),
        "what waits, and nothing that has ended"
    );
    eventually("a saga that has moved waits again", async || {
        list(unmoved.clone()).await.contains(&moved.id).then_some(())
    })
    .await;
    Ok(())
}

/// A saga is shown as it is stored, with each transition as it was written, oldest first.
pub async fn a_saga_is_shown_with_its_journal<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let started = keyed(&client.definition, "order 7", 1);
    client.store_one(&started).await;
    let parked = Commit {
        status: Status::Parked,
        parked: Some("why".into()),
        journal: vec![entry(2), entry(3)],
        timers: vec![arm("pick#b", LONG), arm("pick#a", LONG)],
        ..next(started.id, 1)
    };
    client.store_one(&parked).await;

    let shown = client.store.show(started.id).await.expect("showing").expect("the saga is there");
    assert_eq!(shown.stored, client.saga(started.id).await, "as it is stored");
    let entries: Vec<_> = shown.journal.iter().map(|line| line.entry.clone()).collect();
    assert_eq!(entries, [entry(1), entry(2), entry(3)], "each transition as it was written");
    assert!(shown.journal.is_sorted_by_key(|line| line.at), "in the order of time");
    assert!(shown.journal.iter().all(|line| !line.writer.is_empty()), "with who wrote it");
    let summary = SagaSummary {
        id: started.id,
        definition: client.definition.clone(),
        key: Some(key("order 7")),
        parent: None,
        status: Status::Parked,
        version: 3,
        parked: Some("why".into()),
        started: shown.journal[0].at,
        moved: shown.journal[2].at,
    };
    assert_eq!(shown.summary, summary, "as a list shows it");
    let timers: Vec<_> = shown.timers.iter().map(|timer| (timer.step.as_str(), timer.attempt)).collect();
    assert_eq!(timers, [("pick#a", 1), ("pick#b", 1)], "its timers");
    let late = |timer: &ArmedTimer| timer.due.since(shown.journal[2].at) >= LONG;
    assert!(shown.timers.iter().all(late), "when they are due");
    let nobody = client.store.show(RandomIds.saga()).await.expect("showing");
    assert!(nobody.is_none(), "a saga that does not exist");
    Ok(())
}

/// A saga shows those that its steps have run, and they say whose they are; one that is through is not waited for.
pub async fn a_saga_shows_its_children<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let parent = start(&client.definition);
    let mut children: Vec<Commit> =
        ["ship", "insure"].map(|step| child(&client.definition, parent.id, step)).into();
    children[0].status = Status::Provisional;
    client.store_all(&[parent.clone(), start(&client.definition)]).await;
    client.store_all(&children).await;

    let shown = client.store.show(parent.id).await.expect("showing").expect("it was stored");
    children.sort_unstable_by_key(|child| child.id);
    let ids: Vec<SagaId> = shown.children.iter().map(|child| child.id).collect();
    assert_eq!(ids, children.iter().map(|child| child.id).collect::<Vec<_>>(), "its children, by id");
    assert_eq!((shown.summary.parent, shown.journal.len()), (None, 1), "it is nobody's step");
    for child in children {
        let shown = client.store.show(child.id).await.expect("showing").expect("it was stored");
        assert_eq!(shown.summary.parent.map(|(saga, _)| saga), Some(parent.id), "whose it is");
        assert!(shown.children.is_empty(), "it has run none");
        let status = Some(child.status);
        let listed = client.store.list(&SagaFilter { status, ..SagaFilter::default() }, 10).await;
        let listed = listed.expect("listing").into_iter().find(|listed| listed.id == child.id);
        assert!(listed.is_some_and(|listed| listed.parent.is_some()), "a list says whose it is");
    }
    let nobody = client.store.show(RandomIds.saga()).await.expect("showing");
    assert!(nobody.is_none(), "a saga that does not exist");
    Ok(())
}

/// A saga that is through waits for its parent: it is unfinished, and never the one that has waited longest.
pub async fn health_leaves_out_who_waits_for_its_parent<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let through =
        Commit { status: Status::Provisional, ..child(&client.definition, RandomIds.saga(), "ship") };
    client.store_one(&through).await;
    let health = client.store.health(std::slice::from_ref(&client.definition)).await.expect("health");
    assert_eq!((health.unfinished, health.oldest_waiting), (1, None), "it waits for nothing of its own");
    let workload = client.store.workload().await.expect("the workload");
    assert_eq!(workload.sagas, [(client.definition.clone(), 1)], "it has neither ended nor parked");
    Ok(())
}

/// Health counts what goes on, waits, is parked, is held, and is left alone; ages grow.
pub async fn health_counts_what_is_there<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let unknown = definition("cancel-order", 2);
    client.register(&unknown).await;
    let known = [client.definition.clone()];
    let empty = client.store.health(&known).await.expect("health");
    assert_eq!(empty, Default::default(), "the health of an empty store");

    let oldest = Commit { outbox: vec![row("waits")], ..start(&client.definition) };
    client.store_one(&oldest).await;
    let parked = Commit { status: Status::Parked, parked: Some("why".into()), ..start(&unknown) };
    let ended = Commit { status: Status::Compensated, ..start(&unknown) };
    let turned = Commit { status: Status::Compensating, ..start(&unknown) };
    client.store_all(&[start(&client.definition), parked, ended, turned]).await;
    let reply = HeldReply { id: HeldId(RandomIds.uuid()), saga: oldest.id, envelope: envelope("held") };
    client.store.hold(&[reply]).await.expect("holding");

    let health = eventually("ages grow", async || {
        let health = client.store.health(&known).await.expect("health");
        (health.outbox.oldest >= Some(AGE)).then_some(health)
    })
    .await;
    let (waiting, age) = health.oldest_waiting.expect("some saga waits");
    assert!(waiting == oldest.id && age >= AGE, "the saga that waits longest, and how long");
    assert_eq!((health.unfinished, health.parked, health.held), (3, 1, 1), "unfinished, parked and held");
    let left_alone = UnknownDefinition { definition: unknown, unfinished: 2 };
    assert_eq!(health.unknown, [left_alone], "what is left alone, with those that are parked");
    assert_eq!(health.outbox, Backlog { unsent: 1, oldest: health.outbox.oldest, dead: 0 }, "the outbox");
    Ok(())
}

/// The workload counts sagas that neither ended nor parked, awaited steps, and messages that are unsent.
pub async fn the_workload_is_counted<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let other = definition("cancel-order", 2);
    client.register(&other).await;
    assert_eq!(client.store.workload().await.expect("counting"), Workload::default(), "of an empty store");

    let asked = |name: &str, attempt| TimerChange::Arm {
        step: step(name),
        direction: Direction::Do,
        attempt,
        after: Duration::ZERO,
    };
    let timers = vec![asked("pick#a", 1), asked("pick#b", 2), asked("ship", 3)];
    let first = Commit { timers, outbox: vec![row("waits")], ..start(&client.definition) };
    let second = Commit { timers: vec![asked("pick#a", 1)], ..start(&client.definition) };
    let parked = Commit { status: Status::Parked, parked: Some("why".into()), ..start(&other) };
    let ended = Commit { status: Status::Compensated, ..start(&other) };
    let turned = Commit { status: Status::Compensating, ..start(&other) };
    client.store_all(&[first, second, parked, ended, turned]).await;

    let workload = client.store.workload().await.expect("counting");
    assert_eq!(workload.unsent, 1, "unsent messages");
    assert_eq!(workload.sagas, [(other, 1), (client.definition.clone(), 2)], "sagas under way");
    let awaited = |name, count, repeated| AwaitedSteps {
        definition: client.definition.clone(),
        step: step(name),
        count,
        repeated,
    };
    assert_eq!(workload.awaited, [awaited("pick", 3, 1), awaited("ship", 1, 1)], "awaited steps");
    Ok(())
}

/// An age that a store reaches soon, and that no store begins with.
const AGE: Duration = Duration::from_millis(20);
