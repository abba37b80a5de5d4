//! What happens in a run beside the framework's own work: callers, operators, outsiders, and sudden trouble.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use saga_core::Saga;
use saga_core::id::{BusinessKey, Destination, Direction, MessageId, SagaId};
use saga_core::machine::Status;
use saga_core::message::{Answer, Envelope, Headers, Payload, ReplyMessage, TraceParent};
use saga_core::port::Transport;
use saga_core::runtime::{SagaOutcome, StartError};
use uuid::Uuid;

use super::counters::Seen;
use super::fault::Fault;
use super::process::Process;
use super::stage::{REPLIES, Stage};

impl<S: Saga> Stage<S> {
    /// A caller: starts a saga under a key, again and again until it is told that it is started.
    pub(super) async fn call(self: Arc<Self>, number: usize, input: Payload) {
        tokio::time::sleep(self.world.millis(0..CALLS_WITHIN_MS)).await;
        let key = BusinessKey::new(format!("order {number}"));
        let (Ok(key), mut started, mut first) = (key, 0, None) else { return };
        // Every other caller asks twice.
        let times = 1 + self.world.roll(2);
        while started < times {
            match self.start(&key, &input).await {
                Some(Ok(saga)) => {
                    started += 1;
                    if *first.get_or_insert(saga) != saga {
                        self.world.violation(format!("S1: a repeated start led to another saga: {saga}"));
                    }
                }
                Some(Err(StartError::KeyTaken(saga))) => {
                    return self
                        .world
                        .violation(format!("S1: a repeated start was taken for another one: {saga}"));
                }
                Some(Err(StartError::Busy(_))) => self.world.count(Seen::StartRefused),
                Some(Err(_)) | None => tokio::time::sleep(self.world.millis(20..200)).await,
            }
        }
    }

    /// One try; `None` if no process could be asked, or it died.
    async fn start(&self, key: &BusinessKey, input: &Payload) -> Option<Result<SagaId, StartError>> {
        let (process, orchestrator) = self.some_orchestrator()?;
        let starting = async {
            let saga: S = input.decode().ok()?;
            let starting = orchestrator.start_as(key.clone(), saga);
            // Some callers lose their patience.
            let patience = if self.world.roll(8) == 0 { self.world.millis(1..300) } else { Duration::MAX };
            let handle = match tokio::time::timeout(patience, starting).await.ok()? {
                Ok(handle) => handle,
                Err(error) => return Some(Err(error)),
            };
            if self.world.roll(2) == 0
                && let Ok(outcome) = handle.outcome().await
            {
                self.told(handle.id(), &outcome);
            }
            Some(Ok(handle.id()))
        };
        process.unless_it_dies(starting).await.flatten()
    }

    fn told(&self, saga: SagaId, outcome: &SagaOutcome<S>) {
        let status = match outcome {
            SagaOutcome::Completed(_) => Status::Completed,
            SagaOutcome::Compensated { .. } => Status::Compensated,
            // It may have been released since.
            SagaOutcome::Parked { .. } => return,
        };
        self.world.witness(|witness, _| witness.told(saga, status));
    }

    /// An operator who cannot wait.
    pub(super) async fn operate(self: Arc<Self>) {
        while self.world.strikes(Fault::Operator) {
            tokio::time::sleep(self.world.millis(10..1_500)).await;
            let sagas = self.world.witness(|witness, _| witness.sagas());
            if !sagas.is_empty() {
                self.verb(sagas[self.world.roll(sagas.len())], self.world.roll(3)).await;
            }
        }
    }

    /// Has a parked saga go on. `None` if no orchestrator was there to be asked.
    pub(super) async fn release(&self, saga: SagaId) -> Option<()> {
        let is_heard = self.orchestrators.iter().any(|orchestrator| orchestrator.running().is_some());
        if is_heard && self.world.witness(|witness, _| witness.is_parked_over(saga, "the whole process down"))
        {
            self.replace_workers();
        }
        self.verb(saga, 0).await
    }

    async fn verb(&self, saga: SagaId, verb: usize) -> Option<()> {
        let (process, orchestrator) = self.some_orchestrator()?;
        let asking = async {
            match verb {
                0 => orchestrator.retry(saga, "the simulator says so").await,
                1 => orchestrator.cancel(saga, "the simulator says so").await,
                _ => orchestrator.compensate(saga, "the simulator says so").await,
            }
        };
        let said = process.unless_it_dies(tokio::time::timeout(Duration::from_secs(5), asking)).await;
        self.world.note(format_args!("an operator asks for {verb} of {saga}: {said:?}"));
        Some(())
    }

    /// Somebody who publishes what does not belong here.
    pub(super) async fn litter(self: Arc<Self>) {
        while self.world.strikes(Fault::Garbage) {
            tokio::time::sleep(self.world.millis(10..1_500)).await;
            let destination = self.some_destination();
            self.world.note(format_args!("somebody litters {destination}"));
            let envelope = match self.world.roll(2) == 0 && destination.as_str() == REPLIES {
                true => self.stray_reply(&destination),
                false => self.garbage(&destination),
            };
            self.broker.publish(&[envelope]).await;
        }
    }

    fn some_destination(&self) -> Destination {
        let place = self.world.roll(1 + self.sites.len());
        let name = self.sites.get(place).map_or(REPLIES, |site| site.name());
        Destination::new(name).unwrap_or_else(|error| panic!("a participant has a proper name: {error}"))
    }

    fn garbage(&self, destination: &Destination) -> Envelope {
        let id = Uuid::from_u128(self.world.id());
        Envelope {
            id: MessageId::from_uuid(id),
            destination: destination.clone(),
            key: SagaId::from_uuid(id),
            headers: Headers::default(),
            body: Bytes::from_static(b"\xff\x00 not a saga's business"),
        }
    }

    /// A reply for a saga that nobody started.
    fn stray_reply(&self, replies: &Destination) -> Envelope {
        let saga = SagaId::from_uuid(Uuid::from_u128(self.world.id()));
        let step = self.registered.plans()[0].steps()[0].name.clone();
        let trace = TraceParent::of_message(saga, MessageId::command(saga, &step, Direction::Do));
        let answer = Answer::Done(Payload::default());
        ReplyMessage { saga, step, direction: Direction::Do, attempt: 1, answer, trace }
            .encode(replies.clone())
    }

    /// Trouble that no call brings on: processes that die or stand still while they wait, cut connections, clocks.
    pub(super) async fn trouble(self: Arc<Self>) {
        for _ in 0..self.world.roll(TROUBLES_MAX) {
            tokio::time::sleep(self.world.millis(10..1_200)).await;
            if self.world.is_calm() {
                return;
            }
            match self.world.roll(5) {
                0 | 1 if self.is_on(Fault::Crash) => self.hit(|process| process.die()),
                2 if self.is_on(Fault::Pause) => self.hit(|process| process.stand_still()),
                3 if self.is_on(Fault::Disconnect) => self.broker.sever(),
                4 if self.is_on(Fault::Clock) && self.world.roll(4) == 0 => self.leap(),
                4 if self.is_on(Fault::Clock) => self.jump(),
                _ => {}
            }
        }
    }

    fn is_on(&self, fault: Fault) -> bool {
        self.world.is_on(fault)
    }

    fn hit(&self, what: impl Fn(&Arc<Process>)) {
        let place = self.world.roll(self.orchestrators.len() + self.workers.len());
        match self.orchestrators.get(place) {
            Some(post) => post.hit(what),
            None => self.workers[place - self.orchestrators.len()].hit(what),
        }
    }

    /// Weeks, unless a call is under way: it lands within a day, which is what the watch over it relies on.
    fn leap(&self) {
        if !self.world.has_requests() {
            self.weeks_pass();
        }
    }

    /// Back by up to two seconds, or forward by up to eighteen.
    fn jump(&self) {
        let micros = (self.world.roll(20_000_000) as i64) - 2_000_000;
        let place = self.world.roll(1 + self.sites.len());
        self.world.note(format_args!("clock {place} jumps by {micros} µs"));
        match self.sites.get(place) {
            Some(site) => site.clock().jump(micros),
            None => self.clock.jump(micros),
        }
    }
}

/// Callers come during this time, so that faults strike while their sagas run.
const CALLS_WITHIN_MS: u64 = 1_500;

/// Beside what the calls of ports bring on.
const TROUBLES_MAX: usize = 6;
