//! Sagas of any shape, for tests of what must hold for every saga.
//!
//! # Example: a step, two steps at once, the pivot, and a step after it
//!
//! ```
//! use saga_testkit::topology::{Part, Topology};
//!
//! let topology = Topology::of([Part::Step, Part::Group(2), Part::Pivot, Part::Then]);
//! assert_eq!(topology.to_string(), "step, group of 2, pivot, then");
//! assert_eq!(topology.definition::<5>().plan().steps().len(), 5);
//! ```

mod errand;

use std::fmt;
use std::time::Duration;

use saga_core::definition::{AfterPivot, BeforePivot, Builder};
use saga_core::policy::Retry;
use saga_core::{
    Command, Compensate, CompensateEach, Definition, Each, NothingToUndo, Notification, Outcome, Participant,
    Pause, Retriable, RetriableEach, Saga, Signal, Step, Undoes, saga,
};
use serde::{Deserialize, Serialize};

use crate::explore::{Explorer, explore};
pub use errand::Errand;

/// A part of a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// A step that can be undone.
    Step,
    /// A step that leaves nothing to undo.
    Check,
    /// A wait for a signal: a yes or a no.
    Wait,
    /// A notification.
    Notify,
    /// A pause.
    Pause,
    /// A step that can be undone, for each of the diary's items, two at once.
    Loop,
    /// Two to four steps at once.
    Group(usize),
    /// A step like the first, done by somebody else.
    Elsewhere,
    /// No step: the number that it would have is left out, so that those behind it keep theirs.
    Gone,
    /// A step that runs another saga.
    Run(Errand),
    /// A step that runs another saga, for each of the diary's items, two at once.
    RunEach(Errand),
    /// A step, and one that runs another saga, at once.
    Beside(Errand),
    /// The pivot, asked for ever.
    Pivot,
    /// The pivot, closed when its attempts are spent.
    ClosedPivot,
    /// A step after the pivot.
    Then,
    /// Two steps at once after the pivot.
    ThenBoth,
    /// A step after the pivot, for each of the diary's items, two at once.
    ThenLoop,
}

/// What a saga looks like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topology {
    parts: Vec<Part>,
    deadline: Option<Duration>,
    conditional: bool,
    newer_errands: bool,
}

impl Topology {
    /// A saga of these parts.
    pub fn of(parts: impl IntoIterator<Item = Part>) -> Self {
        let parts = parts.into_iter().collect();
        Topology { parts, deadline: None, conditional: false, newer_errands: false }
    }

    /// The same with a deadline.
    #[must_use]
    pub fn with_deadline(self) -> Self {
        Topology { deadline: Some(DEADLINE), ..self }
    }

    /// The same with a condition for every part: it is run unless the diary skips it.
    #[must_use]
    pub fn with_conditions(self) -> Self {
        Topology { conditional: true, ..self }
    }

    /// The same, whose errands may move to newer versions of them while they are under way.
    #[must_use]
    pub fn with_newer_errands(self) -> Self {
        Topology { newer_errands: true, ..self }
    }

    /// The saga's definition. Each command is given up after so many attempts.
    ///
    /// # Panics
    ///
    /// Panics if the parts make no saga: none, a part before the pivot that stands behind it, more than fourteen
    /// steps.
    #[track_caller]
    pub fn definition<const ATTEMPTS: u32>(&self) -> Definition<Diary> {
        self.built::<ATTEMPTS>(saga(1))
    }

    /// The saga's definition as a second version, to which sagas of the first may move.
    ///
    /// # Panics
    ///
    /// Panics as [`definition`](Topology::definition).
    #[track_caller]
    pub fn upgrade_of<const ATTEMPTS: u32>(&self, first: &Definition<Diary>) -> Definition<Diary> {
        self.built::<ATTEMPTS>(saga(2).upgrade_from(first))
    }

    #[track_caller]
    fn built<const ATTEMPTS: u32>(&self, saga: Before) -> Definition<Diary> {
        let mut draft = Draft::Before(saga);
        let mut number = 0;
        for part in &self.parts {
            draft = draft.add::<ATTEMPTS>(*part, number);
            if self.conditional {
                draft = draft.with_condition(number);
            }
            number += part.steps();
        }
        draft.build(self.deadline)
    }

    /// An exploration of the saga, and of those that its steps run.
    ///
    /// # Panics
    ///
    /// Panics as [`definition`](Topology::definition).
    #[track_caller]
    pub fn explorer<const ATTEMPTS: u32>(&self) -> Explorer<Diary, ()> {
        errand::added::<ATTEMPTS>(explore(&self.definition::<ATTEMPTS>()), self.newer_errands)
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts.iter().map(Part::to_string).collect();
        let deadline = if self.deadline.is_some() { ", with a deadline" } else { "" };
        let conditions = if self.conditional { ", with conditions" } else { "" };
        let errands = if self.newer_errands { ", with newer errands" } else { "" };
        write!(f, "{}{deadline}{conditions}{errands}", parts.join(", "))
    }
}

impl Part {
    const fn steps(self) -> usize {
        match self {
            Part::Group(width) => width,
            Part::ThenBoth => 2,
            Part::Step | Part::Check | Part::Wait | Part::Notify | Part::Pause | Part::Loop => 1,
            Part::Pivot | Part::ClosedPivot | Part::Then | Part::ThenLoop => 1,
            Part::Elsewhere | Part::Gone => 1,
            Part::Run(_) | Part::RunEach(_) | Part::Beside(_) => 1,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Step => write!(f, "step"),
            Part::Check => write!(f, "check"),
            Part::Wait => write!(f, "wait"),
            Part::Notify => write!(f, "notify"),
            Part::Pause => write!(f, "pause"),
            Part::Loop => write!(f, "loop"),
            Part::Group(width) => write!(f, "group of {width}"),
            Part::Elsewhere => write!(f, "step elsewhere"),
            Part::Gone => write!(f, "nothing"),
            Part::Run(errand) => write!(f, "run of {errand}"),
            Part::RunEach(errand) => write!(f, "loop of runs of {errand}"),
            Part::Beside(errand) => write!(f, "step beside a run of {errand}"),
            Part::Pivot => write!(f, "pivot"),
            Part::ClosedPivot => write!(f, "pivot that is closed"),
            Part::Then => write!(f, "then"),
            Part::ThenBoth => write!(f, "then both"),
            Part::ThenLoop => write!(f, "then loop"),
        }
    }
}

/// The saga's data: what its steps were answered, so that a command shows what it was written from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diary {
    /// Which parts are skipped, if they have conditions, by the bits of the numbers of their first steps.
    skips: u16,
    items: usize,
    answers: Vec<String>,
}

impl Diary {
    /// A diary whose loops have so many items, and that skips nothing.
    pub fn of(items: usize) -> Self {
        Diary { items, ..Diary::default() }
    }

    /// The same, but the parts whose bits are set are skipped if they have conditions.
    #[must_use]
    pub fn skipping(self, skips: u16) -> Self {
        Diary { skips, ..self }
    }

    /// The keys of the items.
    fn keys(&self) -> Vec<String> {
        (0..self.items).map(|item| item.to_string()).collect()
    }
}

impl Saga for Diary {
    const NAME: &'static str = "diary";
}

/// Who takes the commands.
struct Service;

impl Participant for Service {
    const NAME: &'static str = "service";
}

/// Somebody else.
struct Elsewhere;

impl Participant for Elsewhere {
    const NAME: &'static str = "elsewhere";
}

/// The step with the number `N`.
#[derive(Serialize, Deserialize)]
struct Work<const N: usize, const ATTEMPTS: u32>(Vec<String>);

#[derive(Serialize, Deserialize)]
struct Unwork<const N: usize, const ATTEMPTS: u32>(Option<u64>, Vec<String>);

/// The same step, done by somebody else.
#[derive(Serialize, Deserialize)]
struct Away<const N: usize, const ATTEMPTS: u32>(Vec<String>);

#[derive(Serialize, Deserialize)]
struct Unaway<const N: usize, const ATTEMPTS: u32>(Vec<String>);

/// The pivot.
#[derive(Serialize, Deserialize)]
struct Turn<const CLOSED: bool, const ATTEMPTS: u32>(Vec<String>);

macro_rules! command {
    ($command:ty, [$($generic:tt)*], $type:expr, $participant:ty, $reply:ty) => {
        impl<$($generic)*, const ATTEMPTS: u32> Command for $command {
            const TYPE: &'static str = $type;
            type Participant = $participant;
            type Reply = $reply;
            type Refusal = ();
        }
    };
}
command!(Work<N, ATTEMPTS>, [const N: usize], STEPS[N], Service, u64);
command!(Unwork<N, ATTEMPTS>, [const N: usize], UNDOS[N], Service, ());
command!(Away<N, ATTEMPTS>, [const N: usize], STEPS[N], Elsewhere, u64);
command!(Unaway<N, ATTEMPTS>, [const N: usize], UNDOS[N], Elsewhere, ());
command!(Turn<CLOSED, ATTEMPTS>, [const CLOSED: bool], "pivot", Service, u64);

impl<const N: usize, const ATTEMPTS: u32> Step<Diary> for Work<N, ATTEMPTS> {
    fn command(diary: &Diary) -> Self {
        Work(diary.answers.clone())
    }

    fn on_reply(diary: &mut Diary, reply: u64) {
        diary.answers.push(format!("{N}: {reply}"));
    }

    fn retry() -> Retry {
        Retry::default().attempts(ATTEMPTS)
    }
}

impl<const N: usize, const ATTEMPTS: u32> Compensate<Diary> for Work<N, ATTEMPTS> {
    type Undo = Unwork<N, ATTEMPTS>;

    fn undo(diary: &Diary, did: Outcome<u64>) -> Unwork<N, ATTEMPTS> {
        let did = match did {
            Outcome::Done(reply) => Some(reply),
            Outcome::Unknown => None,
        };
        Unwork(did, diary.answers.clone())
    }

    fn undo_retry() -> Retry {
        Retry::for_undo().attempts(ATTEMPTS)
    }
}

impl<const N: usize, const ATTEMPTS: u32> Each<Diary> for Work<N, ATTEMPTS> {
    const AT_ONCE: usize = 2;

    fn items(diary: &Diary) -> Vec<String> {
        diary.keys()
    }

    fn command(diary: &Diary, _: &str) -> Self {
        Work(diary.answers.clone())
    }

    fn on_reply(diary: &mut Diary, item: &str, reply: u64) {
        diary.answers.push(format!("{N}#{item}: {reply}"));
    }

    fn retry() -> Retry {
        Retry::default().attempts(ATTEMPTS)
    }
}

impl<const N: usize, const ATTEMPTS: u32> CompensateEach<Diary> for Work<N, ATTEMPTS> {
    type Undo = Unwork<N, ATTEMPTS>;

    fn undo(diary: &Diary, _: &str, did: Outcome<u64>) -> Unwork<N, ATTEMPTS> {
        <Self as Compensate<Diary>>::undo(diary, did)
    }

    fn undo_retry() -> Retry {
        Retry::for_undo().attempts(ATTEMPTS)
    }
}

impl<const N: usize, const ATTEMPTS: u32> Undoes<Work<N, ATTEMPTS>> for Unwork<N, ATTEMPTS> {}
impl<const N: usize, const ATTEMPTS: u32> NothingToUndo<Diary> for Work<N, ATTEMPTS> {}
impl<const N: usize, const ATTEMPTS: u32> Retriable<Diary> for Work<N, ATTEMPTS> {}
impl<const N: usize, const ATTEMPTS: u32> RetriableEach<Diary> for Work<N, ATTEMPTS> {}

impl<const N: usize, const ATTEMPTS: u32> Step<Diary> for Away<N, ATTEMPTS> {
    fn command(diary: &Diary) -> Self {
        Away(diary.answers.clone())
    }

    fn retry() -> Retry {
        Retry::default().attempts(ATTEMPTS)
    }
}

impl<const N: usize, const ATTEMPTS: u32> Compensate<Diary> for Away<N, ATTEMPTS> {
    type Undo = Unaway<N, ATTEMPTS>;

    fn undo(diary: &Diary, _: Outcome<u64>) -> Unaway<N, ATTEMPTS> {
        Unaway(diary.answers.clone())
    }

    fn undo_retry() -> Retry {
        Retry::for_undo().attempts(ATTEMPTS)
    }
}

impl<const N: usize, const ATTEMPTS: u32> Undoes<Away<N, ATTEMPTS>> for Unaway<N, ATTEMPTS> {}

impl<const CLOSED: bool, const ATTEMPTS: u32> Step<Diary> for Turn<CLOSED, ATTEMPTS> {
    fn command(diary: &Diary) -> Self {
        Turn(diary.answers.clone())
    }

    fn retry() -> Retry {
        let retry = Retry::default().attempts(ATTEMPTS);
        if CLOSED { retry.close_when_spent() } else { retry }
    }
}

/// What the step with the number `N` waits for. Silence is a yes for every other step.
#[derive(Serialize, Deserialize)]
struct Word<const N: usize>(bool);

impl<const N: usize> Signal<Diary> for Word<N> {
    const NAME: &'static str = STEPS[N];

    fn deadline() -> Duration {
        DEADLINE
    }

    fn on_signal(diary: &mut Diary, word: Self) {
        diary.answers.push(format!("{N}: {}", word.0));
    }

    fn is_refusal(&self) -> bool {
        !self.0
    }

    fn at_deadline(_: &Diary) -> Option<Self> {
        N.is_multiple_of(2).then_some(Word(true))
    }
}

/// What the notification with the number `N` tells.
#[derive(Serialize, Deserialize)]
struct News<const N: usize>(Vec<String>);

impl<const N: usize> Notification<Diary> for News<N> {
    const TYPE: &'static str = STEPS[N];
    const TOPICS: &'static [&'static str] = &["news"];

    fn of(diary: &Diary) -> Self {
        News(diary.answers.clone())
    }
}

/// The pause with the number `N`.
struct Rest<const N: usize>;

impl<const N: usize> Pause<Diary> for Rest<N> {
    const NAME: &'static str = STEPS[N];

    fn length(_: &Diary) -> Duration {
        DEADLINE
    }
}

type Before = Builder<Diary, BeforePivot>;
type After = Builder<Diary, AfterPivot>;

/// A definition under construction, before its pivot or after it.
enum Draft {
    Before(Before),
    After(After),
}

impl Draft {
    fn add<const ATTEMPTS: u32>(self, part: Part, number: usize) -> Self {
        match (self, part) {
            (Draft::Before(saga), Part::Step) => Draft::Before(step::<ATTEMPTS>(saga, number)),
            (Draft::Before(saga), Part::Check) => Draft::Before(check::<ATTEMPTS>(saga, number)),
            (Draft::Before(saga), Part::Wait) => Draft::Before(wait(saga, number)),
            (Draft::Before(saga), Part::Notify) => Draft::Before(notify(saga, number)),
            (Draft::After(saga), Part::Notify) => Draft::After(notify(saga, number)),
            (Draft::Before(saga), Part::Pause) => Draft::Before(pause(saga, number)),
            (Draft::After(saga), Part::Pause) => Draft::After(then_pause(saga, number)),
            (Draft::Before(saga), Part::Loop) => Draft::Before(each::<ATTEMPTS>(saga, number)),
            (Draft::Before(saga), Part::Group(width)) => {
                Draft::Before(group::<ATTEMPTS>(saga, number, width))
            }
            (draft, Part::Gone) => draft,
            (Draft::Before(saga), Part::Elsewhere) => Draft::Before(elsewhere::<ATTEMPTS>(saga, number)),
            (Draft::Before(saga), Part::Run(errand)) => Draft::Before(errand::run(saga, errand)),
            (Draft::Before(saga), Part::RunEach(errand)) => Draft::Before(errand::run_each(saga, errand)),
            (Draft::Before(saga), Part::Beside(errand)) => {
                Draft::Before(beside::<ATTEMPTS>(saga, number, errand))
            }
            (Draft::Before(saga), Part::Pivot) => Draft::After(saga.pivot::<Turn<false, ATTEMPTS>>()),
            (Draft::Before(saga), Part::ClosedPivot) => Draft::After(saga.pivot::<Turn<true, ATTEMPTS>>()),
            (Draft::After(saga), Part::Then) => Draft::After(then::<ATTEMPTS>(saga, number)),
            (Draft::After(saga), Part::ThenBoth) => Draft::After(then_both::<ATTEMPTS>(saga, number)),
            (Draft::After(saga), Part::ThenLoop) => Draft::After(then_each::<ATTEMPTS>(saga, number)),
            (Draft::Before(_), Part::Then | Part::ThenBoth | Part::ThenLoop) => {
                panic!("{part} stands after the pivot")
            }
            (Draft::After(_), part) => panic!("{part} stands before the pivot"),
        }
    }

    fn with_condition(self, number: usize) -> Self {
        match self {
            Draft::Before(saga) => Draft::Before(when(saga, number)),
            Draft::After(saga) => Draft::After(when(saga, number)),
        }
    }

    fn build(self, deadline: Option<Duration>) -> Definition<Diary> {
        let built = match (self, deadline) {
            (Draft::Before(saga), Some(deadline)) => saga.deadline(deadline).build(),
            (Draft::After(saga), Some(deadline)) => saga.deadline(deadline).build(),
            (Draft::Before(saga), None) => saga.build(),
            (Draft::After(saga), None) => saga.build(),
        };
        built.unwrap_or_else(|error| panic!("this is no saga: {error}"))
    }
}

/// A builder's method that needs the number of a step, which is known at run time only.
macro_rules! with_number {
    ($number:ident, $n:ident => $method:expr) => {
        with_number!($number, $n => $method, 0 1 2 3 4 5 6 7 8 9 10 11 12 13)
    };
    ($number:ident, $n:ident => $method:expr, $($literal:literal)+) => {
        match $number {
            $($literal => { const $n: usize = $literal; $method })+
            _ => panic!("a topology has at most fourteen steps"),
        }
    };
}

fn step<const ATTEMPTS: u32>(saga: Before, number: usize) -> Before {
    with_number!(number, N => saga.step::<Work<N, ATTEMPTS>>())
}

fn elsewhere<const ATTEMPTS: u32>(saga: Before, number: usize) -> Before {
    with_number!(number, N => saga.step::<Away<N, ATTEMPTS>>())
}

fn beside<const ATTEMPTS: u32>(saga: Before, number: usize, errand: Errand) -> Before {
    with_number!(number, N => errand::beside::<Work<N, ATTEMPTS>>(saga, errand))
}

fn check<const ATTEMPTS: u32>(saga: Before, number: usize) -> Before {
    with_number!(number, N => saga.check::<Work<N, ATTEMPTS>>())
}

fn then<const ATTEMPTS: u32>(saga: After, number: usize) -> After {
    with_number!(number, N => saga.then::<Work<N, ATTEMPTS>>())
}

fn each<const ATTEMPTS: u32>(saga: Before, number: usize) -> Before {
    with_number!(number, N => saga.for_each::<Work<N, ATTEMPTS>>())
}

fn then_each<const ATTEMPTS: u32>(saga: After, number: usize) -> After {
    with_number!(number, N => saga.then_for_each::<Work<N, ATTEMPTS>>())
}

fn notify<Phase>(saga: Builder<Diary, Phase>, number: usize) -> Builder<Diary, Phase> {
    with_number!(number, N => saga.notify::<News<N>>())
}

fn pause(saga: Before, number: usize) -> Before {
    with_number!(number, N => saga.pause::<Rest<N>>())
}

fn then_pause(saga: After, number: usize) -> After {
    with_number!(number, N => saga.then_pause::<Rest<N>>())
}

fn wait(saga: Before, number: usize) -> Before {
    with_number!(number, N => saga.wait::<Word<N>>())
}

fn when<Phase>(saga: Builder<Diary, Phase>, number: usize) -> Builder<Diary, Phase> {
    with_number!(number, N => saga.when(|diary| diary.skips >> N & 1 == 0))
}

/// The step whose number is `START` and so many.
macro_rules! work {
    ($start:literal + $more:literal) => {
        Work<{ $start + $more }, ATTEMPTS>
    };
}

fn group<const ATTEMPTS: u32>(saga: Before, start: usize, width: usize) -> Before {
    macro_rules! groups {
        ($($start:literal)+) => {
            match (start, width) {
                $(
                    ($start, 2) => saga.parallel::<(work!($start + 0), work!($start + 1))>(),
                    ($start, 3) => {
                        saga.parallel::<(work!($start + 0), work!($start + 1), work!($start + 2))>()
                    }
                    ($start, 4) => {
                        saga.parallel::<(
                            work!($start + 0),
                            work!($start + 1),
                            work!($start + 2),
                            work!($start + 3),
                        )>()
                    }
                )+
                _ => panic!("a group has two to four steps, and a topology at most fourteen"),
            }
        };
    }
    groups!(0 1 2 3 4 5 6 7 8 9 10)
}

fn then_both<const ATTEMPTS: u32>(saga: After, start: usize) -> After {
    macro_rules! both {
        ($($start:literal)+) => {
            match start {
                $($start => saga.then_parallel::<(work!($start + 0), work!($start + 1))>(),)+
                _ => panic!("a topology has at most fourteen steps"),
            }
        };
    }
    both!(0 1 2 3 4 5 6 7 8 9 10 11 12)
}

const STEPS: [&str; 14] =
    ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13"];
const UNDOS: [&str; 14] =
    ["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9", "u10", "u11", "u12", "u13"];

/// Any will do: those who test with it let time pass as they like.
const DEADLINE: Duration = Duration::from_secs(25);
