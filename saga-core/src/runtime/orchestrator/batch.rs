//! The batch loop: what has arrived is loaded, decided, committed in one transaction, and settled.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use metrics::{counter, histogram};
use tokio::sync::mpsc;
use tracing::{error, warn};

use super::again::Again;
use super::arrival::{Arrival, EventArrival, Source, StartArrival, Started, Verdict};
use super::child;
use super::feed::BATCH_MAX;
use super::local::LocalWork;
use super::mover::Mover;
use super::work::{Concern, Work, park_as_it_is};
use crate::id::SagaId;
use crate::machine::{Status, Stored};
use crate::message::Fault;
use crate::policy::{Backoff, Timestamp};
use crate::port::{Change, Commit, CommitError, Committed, HeldId, HeldReply, IdSource, StoreError};
use crate::runtime::lifecycle::Stopping;
use crate::runtime::relay;

/// The batch loop of one orchestrator.
pub(super) struct Batcher {
    pub(super) mover: Mover,
    pub(super) local: LocalWork,
    pub(super) stopping: Stopping,
}

/// A saga whose commit the database refused: as it was, what had arrived for it, and why.
type Rejected = (Stored, Vec<(EventArrival, Verdict)>, String);

impl Batcher {
    /// Works until the orchestrator stops; then finishes what has arrived.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Arrival>) {
        let mut batch = Vec::new();
        let mut again = Again::default();
        while let Some(tries_again) = self.gather(&mut inbox, &mut batch, &mut again).await {
            let failed = self.work(std::mem::take(&mut batch)).await;
            again.add(failed, tries_again, |failures| self.stopping.delay(TRY_AGAIN, failures));
        }
        inbox.close();
        batch.append(&mut again.arrivals);
        while let Ok(arrival) = inbox.try_recv() {
            batch.push(arrival);
        }
        for arrival in self.work(batch).await {
            give_back(arrival).await;
        }
    }

    /// Takes what has arrived, and never waits for more; and what is to be tried again, once its time has come. Says
    /// whether that is in it. Nothing once the orchestrator is to stop.
    async fn gather(
        &mut self,
        inbox: &mut mpsc::Receiver<Arrival>,
        batch: &mut Vec<Arrival>,
        again: &mut Again,
    ) -> Option<bool> {
        if self.stopping.is_stopping() {
            return None;
        }
        let (due, tries, is_full) =
            (again.due, !again.arrivals.is_empty(), again.arrivals.len() >= BATCH_MAX);
        let is_due = tokio::select! {
            biased;
            () = self.stopping.stopped() => return None,
            () = tokio::time::sleep_until(due), if tries => true,
            taken = inbox.recv_many(batch, BATCH_MAX), if !is_full => if taken > 0 { false } else { return None },
        };
        if is_due {
            batch.append(&mut again.arrivals);
        }
        while batch.len() < BATCH_MAX
            && let Ok(arrival) = inbox.try_recv()
        {
            batch.push(arrival);
        }
        Some(is_due)
    }

    /// Carries out one batch. Returns what is to be tried again.
    async fn work(&mut self, arrivals: Vec<Arrival>) -> Vec<Arrival> {
        histogram!("saga_batch_arrivals").record(arrivals.len() as f64);
        let (events, starts) = by_saga(arrivals);
        let ids: Vec<SagaId> = events.keys().copied().collect();
        let loaded = match self.mover.store.load(&ids).await {
            Ok(loaded) => loaded,
            Err(error) => {
                warn!(%error, "failed to load sagas, trying again");
                return again(events.into_values().flatten(), starts);
            }
        };
        let work = self.decide(events, starts, loaded.now, loaded.sagas);
        self.store(work, loaded.now).await
    }

    fn decide(
        &self,
        events: BTreeMap<SagaId, Vec<EventArrival>>,
        starts: Vec<StartArrival>,
        now: Timestamp,
        sagas: Vec<Stored>,
    ) -> Work {
        planted!(OwnClock: let now = crate::port::Clock::now(&crate::port::SystemClock));
        let with = self.mover.folding(now);
        let mut stored: HashMap<SagaId, Stored> = sagas.into_iter().map(|saga| (saga.id, saga)).collect();
        let mut work = Work::default();
        for (saga, arrivals) in events {
            match stored.remove(&saga) {
                None => work.missing(&with, &self.mover.registry, saga, arrivals),
                Some(stored) => match self.mover.registry.plan(&stored.definition) {
                    None => work.unknown(&stored, arrivals),
                    Some(plan) => work.fold(&with, &self.mover.registry, plan, stored, arrivals),
                },
            }
        }
        for start in starts {
            work.begin(&with, start);
        }
        work
    }

    /// Stores a batch, and settles each arrival after its commit. Returns what is to be tried again.
    async fn store(&self, mut work: Work, now: Timestamp) -> Vec<Arrival> {
        let mut dropped = Vec::new();
        for (arrival, verdict) in work.unmoved {
            dropped.extend(self.settle(arrival, verdict).await);
        }
        let mut retried = self.hold(work.held, work.holding).await;
        retried.extend(work.early.into_iter().map(Arrival::Event));
        let room = self.claim(&mut work.commits);
        planted!(SentBeforeCommit: {
            let rows = work.commits.iter().flat_map(|commit| commit.outbox.clone()).collect();
            self.mover.relay.hand_over(rows, self.mover.relay.room(1));
        });
        let results = match work.commits.is_empty() {
            true => Vec::new(),
            false => self.mover.store.commit(&work.commits, relay::LEASE).await,
        };
        let mut rows = Vec::new();
        let mut rejected = Vec::new();
        for ((commit, concern), result) in work.commits.into_iter().zip(work.concerns).zip(results) {
            match (result, concern) {
                (Ok(committed), concern) => {
                    if committed == Committed::Stored {
                        rows.extend(commit.outbox);
                    }
                    self.committed(concern, committed, &mut dropped).await;
                }
                (Err(CommitError::Rejected(why)), Concern::Events { before, arrivals, after }) => {
                    match commit.change {
                        Change::Upgrade { definition, .. } => {
                            self.mover.registry.stays(before.id, &definition, &why);
                            let concern = Concern::Events { before, after, arrivals };
                            retried.extend(failed(CommitError::Rejected(why), concern));
                        }
                        Change::Start(_) | Change::Move { .. } => rejected.push((before, arrivals, why)),
                    }
                }
                (Err(CommitError::Rejected(why)), Concern::Child { arrival, .. }) => {
                    let verdict = rejected_child(&*self.mover.ids, &arrival, &why);
                    dropped.extend(self.settle(arrival, verdict).await);
                }
                (Err(error), concern) => retried.extend(failed(error, concern)),
            }
        }
        self.mover.relay.hand_over(rows, room);
        retried.extend(self.park_rejected(rejected, now, &mut dropped).await);
        self.drop_held(dropped).await;
        retried
    }

    /// Claims room in the relay's memory for all rows of a batch, or for none.
    fn claim(&self, commits: &mut [Commit]) -> Option<relay::Room> {
        let rows = commits.iter().map(|commit| commit.outbox.len()).sum();
        let room = self.mover.relay.room(rows);
        planted!(HotRowsUnclaimed: return room);
        let rows = commits.iter_mut().flat_map(|commit| &mut commit.outbox);
        rows.for_each(|row| row.claimed = room.is_some());
        room
    }

    async fn committed(&self, concern: Concern, committed: Committed, dropped: &mut Vec<HeldId>) {
        match concern {
            Concern::Events { after, arrivals, .. } => {
                counter!("saga_transitions_total").increment(1);
                if let Some(instance) = &after {
                    self.mover.waiting.moved(instance);
                    self.local.look_at(instance.id, self.mover.registry.plan(&instance.definition));
                }
                for (arrival, verdict) in arrivals {
                    dropped.extend(self.settle(arrival, verdict).await);
                }
            }
            Concern::Child { after, arrival } => {
                counter!("saga_started_total").increment(1);
                self.mover.waiting.moved(&after);
                self.local.look_at(after.id, self.mover.registry.plan(&after.definition));
                dropped.extend(self.settle(arrival, Verdict::Taken(after.state.status())).await);
            }
            Concern::Start { after, arrival } => {
                counter!("saga_started_total").increment(1);
                if committed == Committed::Stored {
                    self.mover.waiting.moved(&after);
                    self.local.look_at(after.id, Some(&arrival.begin.plan));
                }
                // A caller that no longer waits has started its saga all the same.
                drop(arrival.started.send(Ok(Started::of(after.id, committed))));
            }
        }
    }

    /// Tells the source of an event what became of it. An answer that is no part of a transition leaves from memory: if
    /// it is lost, the parent asks again.
    async fn settle(&self, arrival: EventArrival, mut verdict: Verdict) -> Option<HeldId> {
        if let Verdict::Answered(answer) = &mut verdict
            && let Some(room) = self.mover.relay.room(1)
        {
            self.mover.relay.hand_over(vec![(**answer).clone()], Some(room));
        }
        arrival.settle(verdict).await
    }

    /// Parks sagas whose commit the database refused, each as it was before.
    async fn park_rejected(
        &self,
        rejected: Vec<Rejected>,
        now: Timestamp,
        dropped: &mut Vec<HeldId>,
    ) -> Vec<Arrival> {
        if rejected.is_empty() {
            return Vec::new();
        }
        let commits: Vec<Commit> =
            rejected.iter().map(|(before, arrivals, why)| self.refused(before, arrivals, now, why)).collect();
        let results = self.mover.store.commit(&commits, relay::LEASE).await;
        let mut retried = Vec::new();
        for ((before, arrivals, why), result) in rejected.into_iter().zip(results) {
            match result {
                Ok(_) => {
                    error!(saga = %before.id, why, "a saga is parked, because the store refused its transition");
                    let arrivals = arrivals.into_iter().map(|arrival| not_taken(arrival, &why)).collect();
                    let concern = Concern::Events { before, after: None, arrivals };
                    self.committed(concern, Committed::Stored, dropped).await;
                }
                Err(error) => {
                    retried.extend(failed(error, Concern::Events { before, after: None, arrivals }))
                }
            }
        }
        retried
    }

    fn refused(
        &self,
        before: &Stored,
        arrivals: &[(EventArrival, Verdict)],
        now: Timestamp,
        why: &str,
    ) -> Commit {
        let plan = self.mover.registry.plan(&before.definition);
        park_as_it_is(before, arrivals.iter().map(|(arrival, _)| arrival), plan.map(|plan| &**plan), now, why)
    }

    /// Keeps replies for a worker that knows their saga's definition, and acks them after that. One that the store refuses
    /// is dead-lettered alone.
    async fn hold(&self, held: Vec<HeldReply>, holding: Vec<EventArrival>) -> Vec<Arrival> {
        if held.is_empty() {
            return Vec::new();
        }
        match self.mover.store.hold(&held).await {
            Ok(()) => {
                counter!("saga_replies_held_total").increment(held.len() as u64);
                for arrival in holding {
                    arrival.settle(Verdict::Taken(Status::Running)).await;
                }
            }
            Err(StoreError::Rejected(_)) if held.len() > 1 => {
                let mut retried = Vec::new();
                for (reply, arrival) in held.into_iter().zip(holding) {
                    retried.extend(Box::pin(self.hold(vec![reply], vec![arrival])).await);
                }
                return retried;
            }
            Err(StoreError::Rejected(why)) => {
                for arrival in holding {
                    warn!(saga = %arrival.saga, why, "a reply is dead-lettered, because the store does not hold it");
                    arrival.settle(Verdict::Wrong(StoreError::Rejected(why.clone()).into())).await;
                }
            }
            Err(error) => {
                warn!(%error, "failed to hold replies, trying again");
                return holding.into_iter().map(Arrival::Event).collect();
            }
        }
        Vec::new()
    }

    async fn drop_held(&self, dropped: Vec<HeldId>) {
        if !dropped.is_empty()
            && let Err(error) = self.mover.store.drop_held(&dropped).await
        {
            warn!(%error, "held replies could not be dropped; they are ignored when they come again");
        }
    }
}

/// Sorts a batch: events by saga in the order they arrived, and starts.
fn by_saga(arrivals: Vec<Arrival>) -> (BTreeMap<SagaId, Vec<EventArrival>>, Vec<StartArrival>) {
    let mut events: BTreeMap<SagaId, Vec<EventArrival>> = BTreeMap::new();
    let mut starts = Vec::new();
    for arrival in arrivals {
        match arrival {
            Arrival::Event(event) => events.entry(event.saga).or_default().push(event),
            Arrival::Start(start) => starts.push(start),
        }
    }
    (events, starts)
}

fn again(events: impl Iterator<Item = EventArrival>, starts: Vec<StartArrival>) -> Vec<Arrival> {
    events.map(Arrival::Event).chain(starts.into_iter().map(Arrival::Start)).collect()
}

/// What is to be tried again after a commit that was not stored.
fn failed(error: CommitError, concern: Concern) -> Vec<Arrival> {
    match concern {
        Concern::Events { before, arrivals, .. } => {
            match error {
                CommitError::Conflict => counter!("saga_lost_races_total").increment(1),
                error => warn!(saga = %before.id, %error, "failed to commit, trying again"),
            }
            arrivals.into_iter().map(|(arrival, _)| Arrival::Event(arrival)).collect()
        }
        Concern::Start { after, arrival } => start_failed(error, after.id, arrival),
        Concern::Child { after, arrival } => {
            match error {
                CommitError::Conflict => counter!("saga_lost_races_total").increment(1),
                error => warn!(saga = %after.id, %error, "failed to start for a parent, trying again"),
            }
            vec![Arrival::Event(arrival)]
        }
    }
}

/// A saga that the store will never take: its parent is told, and parks.
fn rejected_child(ids: &dyn IdSource, arrival: &EventArrival, why: &str) -> Verdict {
    let fault = Fault::permanent(format!("the store refused the saga: {why}"));
    match child::command(arrival) {
        Some(command) => Verdict::Answered(Box::new(child::fault(ids, command, fault))),
        None => Verdict::Wrong(StoreError::Rejected(why.to_owned()).into()),
    }
}

fn start_failed(error: CommitError, id: SagaId, arrival: StartArrival) -> Vec<Arrival> {
    match error {
        // Ids are fresh, so a saga that has this one was started by a commit of ours whose answer was lost.
        CommitError::Conflict => {
            drop(arrival.started.send(Ok(Started { id, existing: false })));
            Vec::new()
        }
        error if error.is_temporary() => {
            warn!(saga = %id, %error, "failed to start, trying again");
            vec![Arrival::Start(arrival)]
        }
        error => {
            drop(arrival.started.send(Err(error.into())));
            Vec::new()
        }
    }
}

/// Of a transition that the store refused nothing is kept. A reply comes again when the saga is released, but not what is
/// said once.
fn not_taken((arrival, verdict): (EventArrival, Verdict), why: &str) -> (EventArrival, Verdict) {
    let verdict = match (&arrival.source, verdict) {
        _ if arrival.is_said_once() => Verdict::Wrong(StoreError::Rejected(why.to_owned()).into()),
        // The answer may be one that only the transition would have made true.
        (_, Verdict::Answered(_)) => Verdict::Taken(Status::Parked),
        (Source::Delivery { .. } | Source::Held(_) | Source::Timer | Source::Operator(_), verdict) => verdict,
    };
    (arrival, verdict)
}

async fn give_back(arrival: Arrival) {
    match arrival {
        Arrival::Event(event) => event.give_back().await,
        Arrival::Start(start) => drop(start.started.send(Err(super::StartError::Stopping))),
    }
}

/// After a lost race almost at once; while the store is away, up to a second.
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(2), Duration::from_secs(1));
