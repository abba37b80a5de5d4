//! Sagas that the steps of a topology run.

use std::fmt;

use saga_core::definition::{BeforePivot, Builder};
use saga_core::policy::Retry;
use saga_core::{
    Command, Compensate, Definition, Each, NotRun, NothingToUndo, Outcome, Participant, Run, Saga, Step,
    SubSaga, Undoes, saga,
};
use serde::{Deserialize, Serialize};

use super::draft::Before;
use super::steps::{Diary, Service};
use crate::explore::Explorer;

/// A saga that a step runs. A topology runs each at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Errand {
    /// A step.
    Short,
    /// A step and a check.
    Checked,
    /// Runs the short one.
    Nested,
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Errand::Short => write!(f, "a step"),
            Errand::Checked => write!(f, "a step and a check"),
            Errand::Nested => write!(f, "a saga that runs a step"),
        }
    }
}

/// Adds the step that runs an errand.
pub(super) fn run(saga: Before, errand: Errand) -> Before {
    match errand {
        Errand::Short => saga.step::<Run<Log<SHORT>>>(),
        Errand::Checked => saga.step::<Run<Log<CHECKED>>>(),
        Errand::Nested => saga.step::<Run<Log<NESTED>>>(),
    }
}

/// Adds the step that runs an errand for each item.
pub(super) fn run_each(saga: Before, errand: Errand) -> Before {
    match errand {
        Errand::Short => saga.for_each::<Run<Log<SHORT>>>(),
        Errand::Checked => saga.for_each::<Run<Log<CHECKED>>>(),
        Errand::Nested => saga.for_each::<Run<Log<NESTED>>>(),
    }
}

/// Adds a step, and beside it the one that runs an errand.
pub(super) fn beside<T: Compensate<Diary>>(saga: Before, errand: Errand) -> Before {
    match errand {
        Errand::Short => saga.parallel::<(T, Run<Log<SHORT>>)>(),
        Errand::Checked => saga.parallel::<(T, Run<Log<CHECKED>>)>(),
        Errand::Nested => saga.parallel::<(T, Run<Log<NESTED>>)>(),
    }
}

/// Adds the definitions of all errands to an exploration, and newer versions if those are wanted.
#[track_caller]
pub(super) fn added<const ATTEMPTS: u32>(
    explorer: Explorer<Diary, ()>,
    with_newer: bool,
) -> Explorer<Diary, ()> {
    let short = built(saga(1).step::<Task<ATTEMPTS>>());
    let checked = built(saga(1).step::<Task<ATTEMPTS>>().check::<Look<ATTEMPTS>>());
    let nested = built(saga::<Log<NESTED>>(1).step::<Run<Log<SHORT>>>());
    let newer_short: Definition<Log<SHORT>> =
        built(saga(2).step::<Task<ATTEMPTS>>().check::<Look<ATTEMPTS>>().upgrade_from(&short));
    let newer_checked: Definition<Log<CHECKED>> =
        built(saga(2).step::<Task<ATTEMPTS>>().upgrade_from(&checked));
    let explorer =
        explorer.sub_saga::<Log<SHORT>>(&short).sub_saga::<Log<CHECKED>>(&checked).sub_saga(&nested);
    match with_newer {
        true => explorer.upgrade_to(&newer_short).upgrade_to(&newer_checked),
        false => explorer,
    }
}

#[track_caller]
fn built<const ERRAND: usize>(errand: Builder<Log<ERRAND>, BeforePivot>) -> Definition<Log<ERRAND>> {
    errand.build().unwrap_or_else(|error| panic!("an errand is no saga: {error}"))
}

/// An errand's data: what its steps were answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Log<const ERRAND: usize>(Vec<String>);

impl<const ERRAND: usize> Saga for Log<ERRAND> {
    const NAME: &'static str = NAMES[ERRAND];
}

/// The orchestrator of errands.
struct Errands;

impl Participant for Errands {
    const NAME: &'static str = "errands";
}

impl<const ERRAND: usize> SubSaga for Log<ERRAND> {
    type Orchestrator = Errands;
}

impl<const ERRAND: usize> Step<Diary> for Run<Log<ERRAND>> {
    fn command(diary: &Diary) -> Self {
        Run(Log(diary.answers.clone()))
    }

    fn on_reply(diary: &mut Diary, log: Log<ERRAND>) {
        diary.note(format!("{}: {:?}", NAMES[ERRAND], log.0));
    }

    fn on_refused(diary: &mut Diary, refusal: NotRun<Log<ERRAND>>) {
        diary.note(format!("no {}: {:?}", NAMES[ERRAND], refusal.data.0));
    }
}

impl<const ERRAND: usize> Each<Diary> for Run<Log<ERRAND>> {
    const AT_ONCE: usize = 2;

    fn items(diary: &Diary) -> Vec<String> {
        diary.keys()
    }

    fn command(diary: &Diary, _: &str) -> Self {
        <Self as Step<Diary>>::command(diary)
    }

    fn on_reply(diary: &mut Diary, _: &str, log: Log<ERRAND>) {
        <Self as Step<Diary>>::on_reply(diary, log);
    }
}

impl Step<Log<NESTED>> for Run<Log<SHORT>> {
    fn command(log: &Log<NESTED>) -> Self {
        Run(Log(log.0.clone()))
    }

    fn on_reply(log: &mut Log<NESTED>, reply: Log<SHORT>) {
        log.0.push(format!("{:?}", reply.0));
    }
}

macro_rules! command {
    ($command:ident, $type:literal, $reply:ty) => {
        #[derive(Serialize, Deserialize)]
        struct $command<const ATTEMPTS: u32>(Vec<String>);

        impl<const ATTEMPTS: u32> Command for $command<ATTEMPTS> {
            const TYPE: &'static str = $type;
            type Participant = Service;
            type Reply = $reply;
            type Refusal = ();
        }
    };
}
command!(Task, "task", u64);
command!(Untask, "untask", ());
command!(Look, "look", u64);
impl<const ATTEMPTS: u32> Undoes<Task<ATTEMPTS>> for Untask<ATTEMPTS> {}

impl<const ERRAND: usize, const ATTEMPTS: u32> Step<Log<ERRAND>> for Task<ATTEMPTS> {
    fn command(log: &Log<ERRAND>) -> Self {
        Task(log.0.clone())
    }

    fn on_reply(log: &mut Log<ERRAND>, reply: u64) {
        log.0.push(format!("task: {reply}"));
    }

    fn retry() -> Retry {
        Retry::default().attempts(ATTEMPTS)
    }
}

impl<const ERRAND: usize, const ATTEMPTS: u32> Compensate<Log<ERRAND>> for Task<ATTEMPTS> {
    type Undo = Untask<ATTEMPTS>;

    fn undo(log: &Log<ERRAND>, _: Outcome<u64>) -> Untask<ATTEMPTS> {
        Untask(log.0.clone())
    }

    fn undo_retry() -> Retry {
        Retry::for_undo().attempts(ATTEMPTS)
    }
}

impl<const ERRAND: usize, const ATTEMPTS: u32> Step<Log<ERRAND>> for Look<ATTEMPTS> {
    fn command(log: &Log<ERRAND>) -> Self {
        Look(log.0.clone())
    }

    fn retry() -> Retry {
        Retry::default().attempts(ATTEMPTS)
    }
}

impl<const ERRAND: usize, const ATTEMPTS: u32> NothingToUndo<Log<ERRAND>> for Look<ATTEMPTS> {}

const SHORT: usize = 0;
const CHECKED: usize = 1;
const NESTED: usize = 2;
const NAMES: [&str; 3] = ["short", "checked", "nested"];
