//! One run: faults, then calm until everything has ended, then late copies, and then the verdict.

use std::sync::Arc;
use std::time::Duration;

use saga_core::Saga;
use saga_core::machine::{Event, Instance, Status};
use saga_core::message::Payload;
use saga_core::port::{History, Outbox, SagaDetails, Store, Transport};
use saga_core::replay::Recording;
use tokio::time::{Instant, sleep};

use super::stage::Stage;
use super::world::{Ended, World};
use super::{Bug, Simulation};

/// Runs the simulation once, with the chance of `seed`.
pub(super) fn run<S: Saga>(simulation: &Simulation<S>, seed: u64, bug: Option<Bug>, is_told: bool) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    match runtime {
        Ok(runtime) => runtime.block_on(schedule(simulation, seed, bug, is_told)),
        Err(error) => panic!("tokio could not be started: {error}"),
    }
}

async fn schedule<S: Saga>(simulation: &Simulation<S>, seed: u64, bug: Option<Bug>, is_told: bool) -> Ended {
    let world = World::new(seed, simulation, bug, is_told);
    let stage = Stage::set_up(&world, simulation);
    let callers = simulation.call(&stage);
    for task in [tokio::spawn(stage.clone().operate()), tokio::spawn(stage.clone().litter())] {
        drop(task);
    }
    tokio::spawn(stage.clone().trouble());
    sleep(world.millis(CHAOS_MS)).await;
    world.note(format_args!("calm"));
    stage.calm_down();
    stage.everything_ends(callers).await;
    stage.everything_is_sent().await;
    stage.copies_arrive_late().await;
    stage.everything_is_sent().await;
    stage.everything_is_forgotten().await;
    stage.copies_arrive_late().await;
    stage.verdict().await;
    world.end()
}

impl<S: Saga> Simulation<S> {
    fn call(&self, stage: &Arc<Stage<S>>) -> Vec<tokio::task::JoinHandle<()>> {
        let sagas = 2 + stage.world.roll(SAGAS_MAX - 1);
        let inputs = (0..sagas).filter_map(|_| {
            let saga = stage.world.with_dice(|dice| (self.begin)(dice));
            Payload::encode(&saga).ok()
        });
        let inputs: Vec<Payload> = inputs.collect();
        for (number, signals) in
            (0..inputs.len()).flat_map(|number| self.signals.iter().map(move |one| (number, one)))
        {
            tokio::spawn(stage.clone().give(number, signals.clone()));
        }
        let callers = inputs.into_iter().enumerate();
        callers.map(|(number, input)| tokio::spawn(stage.clone().call(number, input))).collect()
    }
}

impl<S: Saga> Stage<S> {
    /// L1: once there are no faults, every saga ends. An operator releases what is parked, a few times.
    async fn everything_ends(&self, callers: Vec<tokio::task::JoinHandle<()>>) {
        let (begun, mut released) = (Instant::now(), 0);
        loop {
            let unfinished = self.world.witness(|witness, _| witness.unfinished());
            if unfinished.is_empty() && callers.iter().all(tokio::task::JoinHandle::is_finished) {
                return;
            }
            if begun.elapsed() > PATIENCE {
                return self
                    .world
                    .violation(format!("L1: after {PATIENCE:?} without faults: {unfinished:?}"));
            }
            for (saga, status) in unfinished {
                if status == Status::Parked && released < RELEASES_MAX {
                    released += usize::from(self.release(saga).await.is_some());
                }
            }
            sleep(LOOK).await;
        }
    }

    /// L2: once there are no faults, every message is sent.
    async fn everything_is_sent(&self) {
        let begun = Instant::now();
        while self.unsent().await > 0 {
            if begun.elapsed() > SENT_WITHIN {
                return self.world.violation(format!("L2: messages are unsent after {SENT_WITHIN:?}"));
            }
            sleep(LOOK).await;
        }
        // What was sent last arrives, and what it leads to.
        sleep(SETTLES_WITHIN).await;
    }

    async fn unsent(&self) -> u64 {
        let mut unsent = self.store.backlog().await.map_or(0, |backlog| backlog.unsent);
        for site in &self.sites {
            unsent += site.unsent().await;
        }
        unsent
    }

    /// Messages come again long after everything has ended.
    async fn copies_arrive_late(&self) {
        let taken = self.world.witness(|witness, _| witness.some_taken(COPIES_MAX));
        self.world.note(format_args!("{} copies arrive late", taken.len()));
        self.broker.publish(&taken).await;
        sleep(SETTLES_WITHIN).await;
    }

    /// Every saga is retired, and weeks later every fence row of it is deleted.
    async fn everything_is_forgotten(&self) {
        self.everything_is_retired(false).await;
        let landed = async || !self.world.has_requests();
        self.within(SENT_WITHIN, "L1: calls are under way for ever", landed).await;
        self.weeks_pass();
        // A look may have taken processes down, and is then left alone for a while.
        let looked_after = async || self.watched().await == 0;
        self.within(PATIENCE, "L1: rows are watched for ever", looked_after).await;
        if self.world.witness(|witness, _| witness.has_children()) {
            self.everything_is_retired(true).await;
            self.weeks_pass();
        }
        // A new process looks at once.
        self.replace_workers();
        let forgotten = async || self.world.witness(|witness, _| witness.unforgotten()).is_empty();
        self.within(SENT_WITHIN, "S12: fence rows of ended sagas are not deleted", forgotten).await;
    }

    async fn watched(&self) -> u64 {
        let mut watched = 0;
        for site in &self.sites {
            watched += site.watched().await;
        }
        watched
    }

    async fn everything_is_retired(&self, with_children: bool) {
        let sagas = self.world.witness(|witness, _| witness.kept(with_children));
        let retired = async || self.store.load(&sagas).await.is_ok_and(|loaded| loaded.sagas.is_empty());
        self.within(SENT_WITHIN, "S12: ended sagas are not retired", retired).await;
        self.everything_is_sent().await;
    }

    async fn within(&self, limit: Duration, otherwise: &str, is_so: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !is_so().await {
            if begun.elapsed() > limit {
                return self.world.violation(otherwise.into());
            }
            sleep(LOOK).await;
        }
    }

    async fn verdict(&self) {
        for saga in self.world.witness(|witness, _| witness.sagas()) {
            self.world.witness(|witness, _| witness.check_end(saga));
            match self.store.show(saga).await {
                Ok(Some(_)) if self.world.witness(|witness, _| witness.is_tombstone(saga)) => {}
                Ok(Some(details)) => self.check_details(&details),
                Ok(None) | Err(_) => self.world.violation(format!("S1: {saga} is gone")),
            }
        }
        self.world.witness(|witness, _| witness.nothing_lost());
        self.world.check_charges();
        self.local_is_true().await;
        for site in &self.sites {
            for broken in site.broken().await {
                self.world.violation(broken);
            }
        }
    }

    /// S4 for local steps: their data is that of the sagas that have completed.
    async fn local_is_true(&self) {
        let Some(local) = &self.local else { return };
        let mut completed = Vec::new();
        for saga in self.world.witness(|witness, _| witness.completed()) {
            let details = self.store.show(saga).await.ok().flatten();
            let data =
                details.and_then(|details| Payload::from_bytes(details.stored.data).ok()?.decode().ok());
            completed.extend(data);
        }
        local.broken(&completed).into_iter().for_each(|broken| self.world.violation(broken));
    }

    fn check_details(&self, details: &SagaDetails) {
        let SagaDetails { summary, stored, journal, .. } = details;
        let id = stored.id;
        let versions: Vec<u64> = journal.iter().map(|line| line.entry.version).collect();
        if !versions.iter().copied().eq(1..=summary.version) {
            self.world.violation(format!(
                "S1: {id} has version {}, and a journal of {versions:?}",
                summary.version
            ));
        }
        if (stored.status == Status::Parked) != stored.parked.as_ref().is_some_and(|why| !why.is_empty()) {
            self.world.violation(format!(
                "S19: {id} is {}, because {:?}",
                stored.status.as_str(),
                stored.parked
            ));
        }
        let awaited = Instance::decode(stored.clone())
            .is_ok_and(|saga| saga.state.steps().iter().any(|record| record.state.is_awaited()));
        if stored.status.is_terminal() && awaited {
            self.world.violation(format!("S18: {id} has ended, and awaits an answer"));
        }
        if let Err(why) = self.replayed(details) {
            self.world.violation(format!("S17: {id}: {why}"));
        }
    }

    /// S17: the journal begins with what the saga was given, and leads to its state.
    fn replayed(&self, details: &SagaDetails) -> Result<(), String> {
        let plan = self.world.witness(|witness, _| witness.plan(details.stored.id).cloned());
        let plan = plan.ok_or("nobody knows its definition")?;
        let recording = Recording::of(&plan, details).map_err(|error| error.to_string())?;
        let given = self.world.witness(|witness, _| witness.input(details.stored.id));
        match recording.journal.first().map(|line| &line.event) {
            Some(Event::Started { data } | Event::StartedBy { data, .. }) if given.as_ref() == Some(data) => {
                Ok(())
            }
            first => Err(format!("its journal begins with {first:?}")),
        }
    }
}

/// How long faults last, from and to.
const CHAOS_MS: std::ops::Range<u64> = 1_000..4_000;

/// Sagas of one run: enough to meet in a batch, few enough to be quick.
const SAGAS_MAX: usize = 4;

/// How long everything may take without faults. Virtual time costs little, and a retry's pause may be half a minute.
const PATIENCE: Duration = Duration::from_secs(600);

/// Longer than every lease and pause of a relay.
const SENT_WITHIN: Duration = Duration::from_secs(30);

/// Longer than a message is under way, and a handler may take.
const SETTLES_WITHIN: Duration = Duration::from_millis(1_600);

/// How often the run looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

/// A saga that parks more often although nothing goes wrong any more parks for ever.
const RELEASES_MAX: usize = 60;

/// A part of what was sent.
const COPIES_MAX: usize = 16;
