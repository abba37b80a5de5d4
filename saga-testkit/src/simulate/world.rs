//! What all processes of one run share: its chance, its record, and the witness that watches it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use saga_core::id::MessageId;

use super::Simulation;
use super::counters::{Counters, Seen};
use super::fault::{Fault, Rates};
use super::planted::Bug;
use super::trace::Trace;
use super::witness::Witness;
use crate::suite::Dice;

pub(super) struct World(Mutex<Inner>);

struct Inner {
    dice: Dice,
    rates: Rates,
    /// Whether faults have ended.
    calm: bool,
    bug: Option<Bug>,
    /// Decides which commands are poison.
    poison: u64,
    calls: usize,
    ids: u64,
    trace: Trace,
    counters: Counters,
    witness: Witness,
    /// What the gateway has charged, and whether that stands.
    charges: BTreeMap<MessageId, bool>,
    /// How many requests are on their way to the gateway.
    requests: usize,
}

/// What became of a run.
pub(super) struct Ended {
    pub(super) digest: u64,
    pub(super) counters: Counters,
    pub(super) violations: Vec<String>,
    pub(super) told: Vec<String>,
}

impl World {
    pub(super) fn new<S>(
        seed: u64,
        simulation: &Simulation<S>,
        bug: Option<Bug>,
        is_told: bool,
    ) -> Arc<Self> {
        let mut dice = Dice::new(seed);
        let rates = Rates::draw(&mut dice, &simulation.without);
        Arc::new(World(Mutex::new(Inner {
            dice,
            rates,
            calm: false,
            bug,
            poison: seed,
            calls: 0,
            ids: 0,
            trace: Trace::new(is_told),
            counters: Counters::default(),
            witness: Witness::new(simulation.registered.plans(), simulation.in_flight),
            charges: BTreeMap::new(),
            requests: 0,
        })))
    }

    /// A number from 0 up to and without `below`.
    pub(super) fn roll(&self, below: usize) -> usize {
        self.lock().dice.roll(below)
    }

    /// A time in this range, in milliseconds.
    pub(super) fn millis(&self, range: Range<u64>) -> Duration {
        let width = (range.end - range.start) as usize;
        Duration::from_millis(range.start + self.roll(width) as u64)
    }

    /// Whether this fault strikes here and now.
    pub(super) fn strikes(&self, fault: Fault) -> bool {
        let mut inner = self.lock();
        let rate = inner.rates.of(fault);
        !inner.calm && rate > 0 && inner.dice.roll(1000) < rate
    }

    /// Whether this fault can strike in this run at all.
    pub(super) fn is_on(&self, fault: Fault) -> bool {
        let inner = self.lock();
        !inner.calm && inner.rates.of(fault) > 0
    }

    /// Whether a command with this digest takes its process down: always, or never.
    pub(super) fn is_poison(&self, digest: u64) -> bool {
        let inner = self.lock();
        !inner.calm
            && inner.rates.of(Fault::Poison) > 0
            && (digest ^ inner.poison).is_multiple_of(POISON_ONE_IN)
    }

    /// The bug that is planted, if one is.
    pub(super) fn bug(&self) -> Option<Bug> {
        self.lock().bug
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug() == Some(bug)
    }

    /// Gives something to the caller's own chance.
    pub(super) fn with_dice<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.lock().dice)
    }

    /// An id that is fresh, and the same when the run is repeated.
    pub(super) fn id(&self) -> u128 {
        let mut inner = self.lock();
        inner.ids += 1;
        let low = inner.dice.roll(usize::MAX) as u128;
        (u128::from(inner.ids) << 64) | low
    }

    /// Counts a call of a port. False if there were so many that something runs hot.
    pub(super) fn is_call_allowed(&self) -> bool {
        let mut inner = self.lock();
        inner.calls += 1;
        if inner.calls == CALLS_MAX {
            inner.witness.violation(format!("L1: the processes run hot: {CALLS_MAX} calls of their ports"));
        }
        inner.calls < CALLS_MAX
    }

    pub(super) fn note(&self, line: fmt::Arguments<'_>) {
        self.lock().trace.note(line);
    }

    pub(super) fn note_quietly(&self, process: &str, what: &str) {
        self.lock().trace.note_quietly(process, what);
    }

    pub(super) fn count(&self, seen: Seen) {
        self.lock().counters.count(seen);
    }

    /// Shows something to the witness. What it sees for the first time is counted.
    pub(super) fn witness<T>(&self, look: impl FnOnce(&mut Witness, &mut Counters) -> T) -> T {
        let inner = &mut *self.lock();
        look(&mut inner.witness, &mut inner.counters)
    }

    pub(super) fn violation(&self, what: String) {
        self.lock().witness.violation(what);
    }

    pub(super) fn request_begins(&self) {
        self.lock().requests += 1;
    }

    pub(super) fn has_requests(&self) -> bool {
        self.lock().requests > 0
    }

    /// Charges a key that is new, for a request that has begun.
    pub(super) fn charge(&self, key: MessageId) {
        let mut inner = self.lock();
        inner.requests -= 1;
        inner.charges.entry(key).or_insert(true);
    }

    pub(super) fn void(&self, key: MessageId) {
        if let Some(stands) = self.lock().charges.get_mut(&key) {
            *stands = false;
        }
    }

    /// S4: at the end, what the gateway has charged stands for the steps that are done, and for no other.
    pub(super) fn check_charges(&self) {
        let inner = &mut *self.lock();
        inner.witness.check_charges(&inner.charges);
    }

    pub(super) fn is_calm(&self) -> bool {
        self.lock().calm
    }

    /// Ends all faults.
    pub(super) fn calm_down(&self) {
        self.lock().calm = true;
    }

    pub(super) fn end(&self) -> Ended {
        let inner = &mut *self.lock();
        Ended {
            digest: inner.trace.digest(),
            counters: inner.counters,
            violations: inner.witness.take_violations(),
            told: inner.trace.take_told(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ten times the calls of the longest run that was seen; a process that never waits would go on for ever.
const CALLS_MAX: usize = 500_000;

/// Of the commands of a run with poison; a few, or nothing else would happen.
const POISON_ONE_IN: u64 = 12;
