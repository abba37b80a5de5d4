//! Lets sagas start, or has them wait, as the limits say.
//!
//! What is under way is counted in the store every now and then. Between two counts, what this process has let in is
//! added to the last one, and nothing is taken off: so it never lets in one too many, and at worst one too late.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::warn;

use super::StartError;
use super::limits::{self, Busy, Counted, Limits};
use super::registry::Registry;
use crate::definition::Plan;
use crate::id::{ParticipantName, SagaName};
use crate::port::{History, StoreError};
use crate::runtime::lifecycle::Stopping;

/// Lets sagas start. Cheap to clone.
#[derive(Clone)]
pub(super) struct Admission(Arc<Inner>);

struct Inner {
    limits: Limits,
    registry: Registry,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    counted: Counted,
    started: BTreeMap<SagaName, Started>,
    rates: Rates,
    /// Those that wait, in the order in which they are let in.
    queue: BTreeMap<Place, Waiter>,
    tickets: u64,
    /// Sagas of which nobody has said whether they are committed, and until when they count.
    lingering: Vec<(Instant, SagaName)>,
    stopped: bool,
}

/// The sagas of one type that were let in and are not counted.
struct Started {
    /// Whom they are going to ask.
    participants: BTreeSet<ParticipantName>,
    /// Those that are not committed.
    pending: u64,
    /// Those that were committed after the last count began.
    committed: u64,
}

/// How fast sagas may start: those of a type, and those that ask a participant.
#[derive(Default)]
struct Rates {
    sagas: BTreeMap<SagaName, Rate>,
    participants: BTreeMap<ParticipantName, Rate>,
}

/// A token bucket that holds the tokens of one second (Turner 1986, "New Directions in Communications").
struct Rate {
    per_second: u32,
    tokens: f64,
    reckoned: Instant,
}

/// Higher priorities first, then whoever came first.
type Place = (Reverse<u8>, u64);

struct Waiter {
    plan: Arc<Plan>,
    busy: Busy,
    admitted: oneshot::Sender<Pass>,
}

/// A saga's permission to start. Dropped when its start is committed, or has failed.
pub(super) struct Pass {
    admission: Admission,
    saga: SagaName,
    /// Whether the saga may be committed later than this is dropped.
    lingers: bool,
}

impl Pass {
    /// The pass of a saga whose transaction is the caller's. Without a word of its commit it counts for a while longer.
    pub(super) fn lingering(self) -> Self {
        self.until_said(true)
    }

    /// Says that the saga is committed.
    pub(super) fn committed(self) {
        drop(self.until_said(false));
    }

    fn until_said(mut self, lingers: bool) -> Self {
        self.lingers = lingers;
        self
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        planted!(RoomLeaked: return);
        let mut state = self.admission.state();
        match self.lingers {
            true => state.lingering.push((Instant::now() + LINGER, self.saga.clone())),
            false => state.settle(&self.saga),
        }
    }
}

impl Admission {
    /// Counts what is under way before anything is let in. `None` if nothing is limited.
    pub(super) async fn open(
        limits: Limits,
        registry: &Registry,
        store: &impl History,
    ) -> Result<Option<Self>, StoreError> {
        if limits.are_none() {
            return Ok(None);
        }
        let state = Mutex::new(State { rates: Rates::of(&limits), ..State::default() });
        let admission = Admission(Arc::new(Inner { limits, registry: registry.clone(), state }));
        admission.count(store).await?;
        Ok(Some(admission))
    }

    /// Waits until a saga of this plan may start, as long as its limits say.
    ///
    /// Cancel safe: whoever no longer waits is not let in.
    pub(super) async fn enter(&self, plan: &Arc<Plan>) -> Result<Pass, StartError> {
        let limits = self.0.limits.sagas.get(&plan.reference().name).copied().unwrap_or_default();
        let Some(busy) = self.state().admit(&self.0.limits, plan, limits.priority).err() else {
            return Ok(self.pass(plan));
        };
        if limits.wait.is_zero() {
            return Err(refused(busy));
        }
        let (place, mut admitted) = self.queue(plan, limits.priority, busy)?;
        let in_time = tokio::time::timeout(limits.wait, &mut admitted).await;
        let left = in_time.is_err().then(|| self.state().queue.remove(&place)).flatten();
        match (left, in_time) {
            (Some(waiter), _) => Err(refused(waiter.busy)),
            (None, Ok(admitted)) => admitted.map_err(|_| StartError::Stopping),
            // It was let in at the last moment.
            (None, Err(_)) => admitted.await.map_err(|_| StartError::Stopping),
        }
    }

    fn queue(
        &self,
        plan: &Arc<Plan>,
        priority: u8,
        busy: Busy,
    ) -> Result<(Place, oneshot::Receiver<Pass>), StartError> {
        let mut state = self.state();
        if state.stopped {
            return Err(StartError::Stopping);
        }
        let (admitted, admission) = oneshot::channel();
        state.tickets += 1;
        let place = (Reverse(priority), state.tickets);
        state.queue.insert(place, Waiter { plan: plan.clone(), busy, admitted });
        Ok((place, admission))
    }

    /// Counts, and lets in who waits, until the orchestrator stops.
    pub(super) async fn run(self, store: Arc<impl History>, stopping: Stopping) {
        // Side by side: who waits for a rate does not wait for a store that is slow to count.
        tokio::join!(self.keep_counting(&*store, stopping.clone()), self.keep_releasing(stopping));
        let mut state = self.state();
        state.stopped = true;
        state.queue.clear();
        gauge!("saga_starts_waiting").set(0.0);
    }

    async fn keep_counting(&self, store: &impl History, mut stopping: Stopping) {
        while !stopping.pause(COUNT_PAUSE).await {
            if let Err(error) = self.count(store).await {
                warn!(%error, "failed to count what is under way; the last count stands");
            }
        }
    }

    async fn keep_releasing(&self, mut stopping: Stopping) {
        while !stopping.pause(LOOK_PAUSE).await {
            self.release();
        }
    }

    async fn count(&self, store: &impl History) -> Result<(), StoreError> {
        let before = self.state().about_to_be_counted(Instant::now());
        let counted = Counted::of(&store.workload().await?, &self.0.registry);
        self.state().count(counted, &before);
        Ok(())
    }

    /// Lets in those that wait and may start now.
    fn release(&self) {
        let released = self.state().release(&self.0.limits);
        // Dropping a pass locks the state, so nobody is told before it is free.
        for Waiter { plan, admitted, .. } in released {
            drop(admitted.send(self.pass(&plan)));
        }
    }

    fn pass(&self, plan: &Plan) -> Pass {
        Pass { admission: self.clone(), saga: plan.reference().name.clone(), lingers: false }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets a saga of this plan in, unless others wait that would start before it: those of its type, and those of no lower
    /// priority that lacked, when they were looked at last, what it would take.
    fn admit(&mut self, limits: &Limits, plan: &Plan, priority: u8) -> Result<(), Busy> {
        let saga = &plan.reference().name;
        let waiting = self.queue.iter().take_while(|((Reverse(theirs), _), _)| *theirs >= priority);
        let ahead = waiting
            .map(|(_, waiter)| waiter)
            .find(|waiter| waiter.plan.reference().name == *saga || waiter.busy.concerns(plan));
        match ahead {
            Some(waiter) => Err(waiter.busy.clone()),
            None => self.take(limits, plan),
        }
    }

    fn take(&mut self, limits: &Limits, plan: &Plan) -> Result<(), Busy> {
        let saga = &plan.reference().name;
        self.counted.allows(limits, plan, &self.uncounted())?;
        self.rates.take(plan)?;
        self.started.entry(saga.clone()).or_insert_with(|| Started::of(plan)).pending += 1;
        Ok(())
    }

    /// What was let in and is not counted. Each saga is expected to ask each of its participants once.
    fn uncounted(&self) -> Counted {
        planted!(StartsUncounted: return Counted::default());
        let started = self.started.iter();
        let each =
            started.map(|(saga, started)| (saga, &started.participants, started.pending + started.committed));
        Counted::expected(each)
    }

    /// Takes those out of the queue that may start. Of one type, nobody passes another.
    fn release(&mut self, limits: &Limits) -> Vec<Waiter> {
        let (mut released, mut held_back) = (Vec::new(), BTreeMap::new());
        self.queue.retain(|_, waiter| !waiter.admitted.is_closed());
        for (place, mut waiter) in std::mem::take(&mut self.queue) {
            let saga = waiter.plan.reference().name.clone();
            let taken = match held_back.get(&saga) {
                Some(busy) => Err(Busy::clone(busy)),
                None => self.take(limits, &waiter.plan),
            };
            match taken {
                Ok(()) => released.push(waiter),
                Err(busy) => {
                    held_back.insert(saga, busy.clone());
                    waiter.busy = busy;
                    self.queue.insert(place, waiter);
                }
            }
        }
        gauge!("saga_starts_waiting").set(self.queue.len() as f64);
        released
    }

    fn settle(&mut self, saga: &SagaName) {
        if let Some(started) = self.started.get_mut(saga) {
            started.pending = started.pending.saturating_sub(1);
            started.committed += 1;
        }
    }

    /// What a count that begins now is going to see.
    fn about_to_be_counted(&mut self, now: Instant) -> BTreeMap<SagaName, u64> {
        for (_, saga) in self.lingering.extract_if(.., |(until, _)| *until <= now).collect::<Vec<_>>() {
            self.settle(&saga);
        }
        self.started.iter().map(|(saga, started)| (saga.clone(), started.committed)).collect()
    }

    fn count(&mut self, counted: Counted, seen: &BTreeMap<SagaName, u64>) {
        self.counted = counted;
        for (saga, started) in &mut self.started {
            started.committed -= seen.get(saga).copied().unwrap_or_default();
        }
    }
}

impl Started {
    fn of(plan: &Plan) -> Self {
        let participants = limits::participants(plan).into_iter().cloned().collect();
        Started { participants, pending: 0, committed: 0 }
    }
}

impl Rates {
    fn of(limits: &Limits) -> Self {
        let sagas = limits.sagas.iter();
        let participants = limits.participants.iter();
        Rates {
            sagas: sagas
                .filter_map(|(who, limits)| Some((who.clone(), Rate::of(limits.per_second?))))
                .collect(),
            participants: participants
                .filter_map(|(who, limits)| Some((who.clone(), Rate::of(limits.per_second?))))
                .collect(),
        }
    }

    /// Takes a token of each rate that a saga of this plan is subject to, or of none.
    fn take(&mut self, plan: &Plan) -> Result<(), Busy> {
        let (saga, asked) = (&plan.reference().name, limits::participants(plan));
        let of_saga = self.sagas.get_mut(saga).map(Rate::refilled);
        let of_participants = self.participants.iter_mut().filter(|(who, _)| asked.contains(who));
        let of_participants: Vec<_> = of_participants.map(|(who, rate)| (who, rate.refilled())).collect();
        if let Some(rate) = of_saga.as_ref().filter(|rate| rate.is_spent()) {
            return Err(Busy::Rate { saga: saga.clone(), limit: rate.per_second });
        }
        if let Some((who, rate)) = of_participants.iter().find(|(_, rate)| rate.is_spent()) {
            return Err(Busy::ParticipantRate { participant: (*who).clone(), limit: rate.per_second });
        }
        let rates = of_saga.into_iter().chain(of_participants.into_iter().map(|(_, rate)| rate));
        rates.for_each(|rate| rate.tokens -= 1.0);
        Ok(())
    }
}

impl Rate {
    fn of(per_second: u32) -> Self {
        Rate { per_second, tokens: f64::from(per_second), reckoned: Instant::now() }
    }

    /// With what it has earned since it was reckoned last.
    fn refilled(&mut self) -> &mut Self {
        let full = f64::from(self.per_second);
        let now = Instant::now();
        let earned = full * now.duration_since(self.reckoned).as_secs_f64();
        self.reckoned = now;
        self.tokens = full.min(self.tokens + earned);
        self
    }

    fn is_spent(&self) -> bool {
        self.tokens < 1.0
    }
}

fn refused(busy: Busy) -> StartError {
    counter!("saga_starts_refused_total", "reason" => busy.as_str()).increment(1);
    StartError::Busy(busy)
}

/// How often those that wait are looked at: short beside what a saga takes.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Longer than a transaction should be open. One that commits later than this after its handle was dropped may be one
/// saga too many.
const LINGER: Duration = Duration::from_secs(60);

/// Counting reads a row for each saga under way and for each awaited step, so it is done less often.
const COUNT_PAUSE: Duration = Duration::from_millis(250);
