//! Timers: when they are due, for whom, and who has them.

use std::collections::HashSet;
use std::slice::from_ref;
use std::time::Duration;

use futures_util::future::join_all;
use saga_core::definition::DefinitionRef;
use saga_core::id::{Direction, SagaId};
use saga_core::port::{Change, Commit, CommitError, Store, TimerChange, TimerDue};

use super::Harness;
use super::harness::Client;
use crate::suite::samples::{LONG, SHORT, arm, definition, next, start, step};
use crate::suite::{Skipped, eventually};

/// A timer is due after its time and not before, and says what was awaited.
pub async fn a_timer_is_due_when_its_time_has_come<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let undo =
        TimerChange::Arm { step: step("undo#1"), direction: Direction::Undo, attempt: 7, after: SHORT };
    let timers = vec![arm("now", Duration::ZERO), undo, arm("later", LONG)];
    let started = Commit { timers, ..start(&client.definition) };
    client.store_one(&started).await;

    let known = [client.definition.clone()];
    let mut due = due(&client.store, &known).await;
    eventually("a short timer is due", async || {
        due.extend(self::due(&client.store, &known).await);
        (due.len() >= 2).then_some(())
    })
    .await;
    let now = TimerDue { saga: started.id, step: step("now"), direction: Direction::Do, attempt: 1 };
    let undo = TimerDue { saga: started.id, step: step("undo#1"), direction: Direction::Undo, attempt: 7 };
    due.sort_by_key(|timer| timer.attempt);
    assert_eq!(due, [now, undo], "the timers that are due");
    Ok(())
}

/// A saga that moves to another definition takes all its timers with it: those that the commit arms, and the others.
pub async fn an_upgraded_saga_takes_its_timers_with_it<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let newer = definition("place-order-2", 7);
    client.register(&newer).await;
    let timers = ["kept", "changed", "dropped"].map(|name| arm(name, Duration::ZERO)).to_vec();
    let started = Commit { timers, ..start(&client.definition) };
    client.store_one(&started).await;
    let upgraded = Commit {
        change: Change::Upgrade { expected: 1, definition: newer.clone() },
        timers: vec![
            arm("changed", Duration::ZERO),
            arm("armed", Duration::ZERO),
            TimerChange::Drop { step: step("dropped") },
        ],
        ..next(started.id, 1)
    };
    client.store_one(&upgraded).await;
    assert_eq!(client.saga(started.id).await.definition, newer, "it has the other definition");
    let lost = client.commit(from_ref(&upgraded)).await.remove(0);
    assert!(matches!(lost, Err(CommitError::Conflict)), "it is upgraded once: {lost:?}");

    assert_eq!(
        due(&client.store, from_ref(&client.definition)).await,
        [],
        "nothing is left of the first one"
    );
    let mut steps: Vec<String> =
        due(&client.store, from_ref(&newer)).await.into_iter().map(|timer| timer.step.to_string()).collect();
    steps.sort_unstable();
    assert_eq!(steps, ["armed", "changed", "kept"], "its timers are due for the other one");
    Ok(())
}

/// Another process may have put another definition in its place. Nothing is moved then, and it is said that trying again is
/// no use.
pub async fn an_upgrade_to_what_is_not_registered_is_refused<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let newer = definition("place-order-2", 7);
    client.register(&newer).await;
    let started = start(&client.definition);
    client.store_one(&started).await;
    client.register(&definition("place-order-2", 8)).await;
    let change = Change::Upgrade { expected: 1, definition: newer };
    let upgraded = Commit { change, ..next(started.id, 1) };
    let refused = client.commit(from_ref(&upgraded)).await.remove(0);
    assert!(matches!(refused, Err(CommitError::Rejected(_))), "it is no use to try again: {refused:?}");
    assert_eq!(client.saga(started.id).await.version, 1, "nothing is moved");
    Ok(())
}

/// Arming replaces a step's timer, dropping removes it, and dropping none does nothing.
pub async fn a_step_has_one_timer<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let timers = vec![arm("replaced", LONG), arm("dropped", Duration::ZERO)];
    let started = Commit { timers, ..start(&client.definition) };
    let second = TimerChange::Arm {
        step: step("replaced"),
        direction: Direction::Close,
        attempt: 2,
        after: Duration::ZERO,
    };
    let drops = ["dropped", "never-armed"].map(|name| TimerChange::Drop { step: step(name) });
    let moved = Commit { timers: [vec![second], drops.to_vec()].concat(), ..next(started.id, 1) };
    client.store_one(&started).await;
    client.store_one(&moved).await;

    let replaced =
        TimerDue { saga: started.id, step: step("replaced"), direction: Direction::Close, attempt: 2 };
    assert_eq!(due(&client.store, from_ref(&client.definition)).await, [replaced], "the one timer");
    Ok(())
}

/// A timer that was taken is not due again before its lease ends, and then it is; a commit changes it at any time.
pub async fn a_timer_is_left_to_who_took_it<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let started = Commit { timers: vec![arm("step", Duration::ZERO)], ..start(&client.definition) };
    client.store_one(&started).await;
    let known = [client.definition.clone()];

    let taken = client.store.due_timers(&known, 10, SHORT, LONG).await.expect("timers");
    assert_eq!(taken.len(), 1, "the timer is due");
    eventually("a timer whose lease has ended", async || due(&client.store, &known).await.pop()).await;
    assert_eq!(due(&client.store, &known).await, [], "a timer whose lease lasts");

    client.store_one(&Commit { timers: vec![arm("step", Duration::ZERO)], ..next(started.id, 1) }).await;
    assert_eq!(due(&client.store, &known).await.len(), 1, "a timer that was armed again");
    Ok(())
}

/// A timer that nobody took for longer than the grace is put off by it, once until it is armed again.
pub async fn a_timer_that_nobody_took_is_put_off_once<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let started = Commit { timers: vec![arm("step", Duration::ZERO)], ..start(&client.definition) };
    client.store_one(&started).await;
    let known = [client.definition.clone()];
    let take = async || client.store.due_timers(&known, 10, LONG, SHORT).await.expect("timers");

    a_grace_passes(&client).await;
    assert_eq!(take().await, [], "a timer that nobody took");
    a_grace_passes(&client).await;
    assert_eq!(take().await.len(), 1, "a timer that was put off before");

    client.store_one(&Commit { timers: vec![arm("step", Duration::ZERO)], ..next(started.id, 1) }).await;
    a_grace_passes(&client).await;
    assert_eq!(take().await, [], "a timer that was armed again");
    Ok(())
}

/// Waits until what was due before is later than a grace of [`SHORT`], by the store's clock.
async fn a_grace_passes<S: Store>(client: &Client<S>) {
    let now = async || client.store.load(&[]).await.expect("the time").now;
    let begun = now().await;
    eventually("a grace has passed", async || (now().await.since(begun) > 3 * SHORT).then_some(())).await;
}

/// Only timers of sagas with a known definition are taken; a changed fingerprint is another definition.
pub async fn timers_of_unknown_definitions_are_left_alone<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let other = definition("cancel-order", 2);
    client.register(&other).await;
    let batch = [&client.definition, &other]
        .map(|definition| Commit { timers: vec![arm("step", Duration::ZERO)], ..start(definition) });
    client.store_all(&batch).await;

    let changed = definition(other.name.as_str(), 3);
    assert_eq!(due(&client.store, &[]).await, [], "who knows no definition takes nothing");
    assert_eq!(
        due(&client.store, from_ref(&changed)).await,
        [],
        "who knows another fingerprint takes nothing"
    );
    let taken = due(&client.store, &[changed, other]).await;
    assert_eq!(
        taken.iter().map(|timer| timer.saga).collect::<Vec<_>>(),
        [batch[1].id],
        "the timer of who knows it"
    );
    assert_eq!(due(&client.store, from_ref(&client.definition)).await.len(), 1, "the other timer");
    Ok(())
}

/// Workers that ask at the same time get different timers, no more than they asked for, and all of them together.
pub async fn workers_share_the_timers_that_are_due<H: Harness>(harness: &H) -> Result<(), Skipped> {
    let client = Client::new(harness).await;
    let timers = || vec![arm("first", Duration::ZERO), arm("second", Duration::ZERO)];
    let starts: Vec<Commit> =
        (0..50).map(|_| Commit { timers: timers(), ..start(&client.definition) }).collect();
    client.store_all(&starts).await;

    let known = [client.definition.clone()];
    let workers = join_all((0..4).map(|_| harness.connect())).await;
    let taking = workers.iter().map(async |worker| {
        let mut mine = Vec::new();
        loop {
            let taken = worker.due_timers(&known, 7, LONG, LONG).await.expect("timers");
            assert!(taken.len() <= 7, "no more timers than were asked for");
            if taken.is_empty() {
                return mine;
            }
            mine.extend(taken);
            assert!(mine.len() <= 100, "a timer is taken twice");
        }
    });
    let taken = join_all(taking).await.concat();
    // A worker that finds all that is left locked by others goes away empty-handed; the leases find it later.
    let taken = [taken, due(&client.store, &known).await].concat();
    let distinct: HashSet<&TimerDue> = taken.iter().collect();
    assert_eq!(distinct.len(), taken.len(), "no timer is taken twice");
    let sagas: HashSet<SagaId> = taken.iter().map(|timer| timer.saga).collect();
    assert_eq!((taken.len(), sagas.len()), (100, 50), "every timer is taken");
    Ok(())
}

async fn due(store: &impl Store, known: &[DefinitionRef]) -> Vec<TimerDue> {
    store.due_timers(known, 1000, LONG, LONG).await.expect("timers")
}
