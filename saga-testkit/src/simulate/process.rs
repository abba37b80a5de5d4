//! A process of a run: what stands between its runtime and its ports, so that it can die and stand still.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use saga_core::port::{IdSource, OutboxRow, RowId};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::counters::Seen;
use super::fault::Fault;
use super::world::World;

/// One life of a process. A process that is started again is another one, with nothing in its memory.
pub(super) struct Process {
    pub(super) name: String,
    pub(super) world: Arc<World>,
    life: Mutex<Life>,
    /// Notified when the life changes. Tokio's `watch` would wake those who wait in an order of chance.
    changed: Notify,
    /// The last row that was claimed, for a relay that reads with a cursor.
    cursor: Mutex<Option<RowId>>,
    /// Whether it stood still since it last loaded a saga.
    stood_still: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Up,
    StandsStill,
    Dead,
}

impl Process {
    pub(super) fn start(name: &str, world: &Arc<World>) -> Arc<Self> {
        world.note(format_args!("{name} starts"));
        let (name, world) = (name.to_owned(), world.clone());
        Arc::new(Process {
            name,
            world,
            life: Mutex::new(Life::Up),
            changed: Notify::new(),
            cursor: Mutex::default(),
            stood_still: AtomicBool::new(false),
        })
    }

    pub(super) fn note(&self, line: fmt::Arguments<'_>) {
        self.world.note(format_args!("{}: {line}", self.name));
    }

    /// The way through every port, before and after each call. Here the process may die, stand still, or be slow.
    ///
    /// A dead process waits here for ever: what it would have done next never happens.
    pub(super) async fn step(self: &Arc<Self>) {
        self.until_up().await;
        if !self.world.is_call_allowed() || self.world.strikes(Fault::Crash) {
            self.die();
        }
        if self.world.strikes(Fault::Pause) {
            self.stand_still();
        }
        if self.world.strikes(Fault::Slow) {
            tokio::time::sleep(self.world.millis(1..40)).await;
        }
        self.until_up().await;
    }

    async fn until_up(&self) {
        self.until(Life::Up).await;
    }

    async fn until(&self, life: Life) {
        loop {
            // First wait, then look: it may change in between.
            let changed = self.changed.notified();
            if *self.life() == life {
                return;
            }
            changed.await;
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process here and now. Whoever started it drops its tasks.
    pub(super) fn die(&self) {
        let before = std::mem::replace(&mut *self.life(), Life::Dead);
        if before != Life::Dead {
            self.note(format_args!("dies"));
            self.world.count(Seen::Crashed);
            self.changed.notify_waiters();
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        *self.life() == Life::Dead
    }

    /// Stops everything in this process for longer than its leases last.
    pub(super) fn stand_still(self: &Arc<Self>) {
        if !self.change(Life::Up, Life::StandsStill) {
            return;
        }
        let pause = self.world.millis(1_000..8_000);
        self.note(format_args!("stands still for {pause:?}"));
        self.stood_still.store(pause > LEASE, Relaxed);
        let process = self.clone();
        tokio::spawn(async move {
            let until = Instant::now() + pause;
            // Nobody stands still once it is calm, not even who was just starting.
            while Instant::now() < until && !process.world.is_calm() {
                tokio::time::sleep(CALM_LOOK.min(until.duration_since(Instant::now()))).await;
            }
            process.go_on();
        });
    }

    /// Ends standing still.
    pub(super) fn go_on(&self) {
        if self.change(Life::StandsStill, Life::Up) {
            self.note(format_args!("goes on"));
        }
    }

    fn change(&self, from: Life, to: Life) -> bool {
        let mut life = self.life();
        let changes = *life == from;
        if changes {
            *life = to;
            self.changed.notify_waiters();
        }
        changes
    }

    /// Forgets rows that come before the last one that was claimed.
    pub(super) fn pass_over(&self, rows: &mut Vec<OutboxRow>) {
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|row| cursor.is_none_or(|last| row.id > last));
        *cursor = rows.iter().map(|row| row.id).chain(*cursor).max();
    }

    /// Says that what this process knows is fresh.
    pub(super) fn loaded(&self) {
        self.stood_still.store(false, Relaxed);
    }

    /// Whether what this process knows is older than its leases.
    pub(super) fn is_zombie(&self) -> bool {
        self.stood_still.load(Relaxed)
    }

    async fn died(&self) {
        self.until(Life::Dead).await;
    }

    /// What `work` comes to, or `None` if the process dies first.
    pub(super) async fn unless_it_dies<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.died() => None,
            done = work => Some(done),
        }
    }
}

impl IdSource for Process {
    fn uuid(&self) -> Uuid {
        Uuid::from_u128(self.world.id())
    }
}

/// How often a process that stands still looks whether it is calm.
const CALM_LOOK: Duration = Duration::from_millis(100);

/// The longest lease of the runtimes.
const LEASE: Duration = Duration::from_secs(5);
