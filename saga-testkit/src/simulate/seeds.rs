//! Many runs, on all cores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;

use saga_core::Saga;

use super::report::{Report, Violation};
use super::world::Ended;
use super::{Bug, Simulation, schedule};

/// A simulation whose turn it is, with its saga's type erased.
pub(super) trait Turn: Send + Sync {
    fn turn(&self, seed: u64, bug: Option<Bug>, is_told: bool) -> Ended;
}

impl<S: Saga> Turn for Simulation<S> {
    fn turn(&self, seed: u64, bug: Option<Bug>, is_told: bool) -> Ended {
        schedule::run(self, seed, bug, is_told)
    }
}

impl<S: Saga> Simulation<S> {
    /// Runs every seed, and ends soon after the first that breaks a promise.
    pub fn run(&self) -> Report {
        self.run_with(|_| true)
    }

    /// The same; `go_on` is told how many runs are over, and says whether there shall be more.
    pub fn run_with(&self, go_on: impl Fn(u64) -> bool + Sync) -> Report {
        let queue = Queue {
            next: AtomicU64::new(self.seeds.start),
            is_over: AtomicBool::new(false),
            report: Mutex::default(),
        };
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| queue.work(self, &go_on));
            }
        });
        let mut report = queue.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = &mut report.first {
            first.told = self.told(first.seed);
        }
        report
    }

    fn run_one(&self, seed: u64, is_told: bool) -> Ended {
        let turn = (seed % (1 + self.turns.len() as u64)) as usize;
        match turn.checked_sub(1) {
            None => self.turn(seed, self.bug, is_told),
            Some(other) => self.turns[other].turn(seed, self.bug, is_told),
        }
    }

    /// A run line by line. If it is another one when it is repeated, up to where the two part.
    fn told(&self, seed: u64) -> Vec<String> {
        let (mut told, again) = (self.run_one(seed, true).told, self.run_one(seed, true).told);
        if let Some(parting) = told.iter().zip(&again).position(|(line, other)| line != other) {
            told.truncate(parting + 1);
            told.push(format!("{}   <- when it is repeated", again[parting]));
        }
        told
    }
}

/// The seeds that are still to be run, and what was found so far.
struct Queue {
    next: AtomicU64,
    is_over: AtomicBool,
    report: Mutex<Report>,
}

impl Queue {
    fn work<S: Saga>(&self, simulation: &Simulation<S>, go_on: &(impl Fn(u64) -> bool + Sync)) {
        // Seeds are taken in their order and a seed that was taken is run, so the lowest that fails is found.
        while !self.is_over.load(Relaxed) {
            let seed = self.next.fetch_add(1, Relaxed);
            if seed >= simulation.seeds.end {
                return;
            }
            let ended = simulation.run_one(seed, false);
            let is_repeated = seed - simulation.seeds.start < REPEATED_MAX;
            let again = is_repeated.then(|| simulation.run_one(seed, false));
            let runs = self.note(seed, ended, again.map(|again| again.digest));
            if !go_on(runs) {
                self.is_over.store(true, Relaxed);
            }
        }
    }

    fn note(&self, seed: u64, ended: Ended, again: Option<u64>) -> u64 {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let mut broken = ended.violations;
        if again.is_some_and(|again| again != ended.digest) {
            broken.push("the run is not the same when it is repeated".into());
        }
        report.runs += 1;
        report.repeated += u64::from(again.is_some());
        report.counters.add(&ended.counters);
        if !broken.is_empty() {
            self.is_over.store(true, Relaxed);
            report.violations += 1;
            if report.first.as_ref().is_none_or(|first| seed < first.seed) {
                report.first = Some(Violation { seed, broken, told: Vec::new() });
            }
        }
        report.runs
    }
}

/// Runs that are made twice, to see that a seed decides everything.
const REPEATED_MAX: u64 = 1000;
