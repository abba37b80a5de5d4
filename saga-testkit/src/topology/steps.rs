//! The data and the steps of a topology's saga, numbered.

use std::time::Duration;

use saga_core::policy::Retry;
use saga_core::{
    Command, Compensate, CompensateEach, Each, NothingToUndo, Notification, Outcome, Participant, Pause,
    Retriable, RetriableEach, Saga, Signal, Step, Undoes,
};
use serde::{Deserialize, Serialize};

use super::DEADLINE;

/// The saga's data: what its steps were answered, so that a command shows what it was written from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diary {
    /// Which parts are skipped, if they have conditions, by the bits of the numbers of their first steps.
    skips: u16,
    items: usize,
    /// Whether what is noted changes the two.
    changing: bool,
    pub(super) answers: Vec<String>,
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

    /// The same, but every answer that is noted moves the skips on by one part, and adds an item, after three none. So
    /// what was decided when a step was entered would be decided otherwise later.
    #[must_use]
    pub fn changing(self) -> Self {
        Diary { changing: true, ..self }
    }

    /// Whether the step with the number `N` is run, if it has a condition.
    pub(crate) const fn wants<const N: usize>(&self) -> bool {
        self.skips >> N & 1 == 0
    }

    pub(super) fn note(&mut self, answer: String) {
        self.answers.push(answer);
        self.turn_over();
    }

    fn turn_over(&mut self) {
        if self.changing {
            self.skips = self.skips.rotate_left(1);
            self.items = (self.items + 1) % (ITEMS_MAX + 1);
        }
    }

    /// The keys of the items.
    pub(crate) fn keys(&self) -> Vec<String> {
        (0..self.items).map(|item| item.to_string()).collect()
    }
}

impl Saga for Diary {
    const NAME: &'static str = "diary";
}

/// Who takes the commands.
pub(super) struct Service;

impl Participant for Service {
    const NAME: &'static str = "service";
}

/// Somebody else.
pub(super) struct Elsewhere;

impl Participant for Elsewhere {
    const NAME: &'static str = "elsewhere";
}

/// The step with the number `N`.
#[derive(Serialize, Deserialize)]
pub(super) struct Work<const N: usize, const ATTEMPTS: u32>(Vec<String>);

#[derive(Serialize, Deserialize)]
pub(super) struct Unwork<const N: usize, const ATTEMPTS: u32>(Option<u64>, Vec<String>);

/// The same step, done by somebody else.
#[derive(Serialize, Deserialize)]
pub(super) struct Away<const N: usize, const ATTEMPTS: u32>(Vec<String>);

#[derive(Serialize, Deserialize)]
pub(super) struct Unaway<const N: usize, const ATTEMPTS: u32>(Vec<String>);

/// The pivot.
#[derive(Serialize, Deserialize)]
pub(super) struct Turn<const CLOSED: bool, const ATTEMPTS: u32>(Vec<String>);

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
        diary.note(format!("{N}: {reply}"));
    }

    fn on_refused(diary: &mut Diary, (): ()) {
        diary.turn_over();
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
        diary.note(format!("{N}#{item}: {reply}"));
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

    fn on_reply(diary: &mut Diary, _: u64) {
        diary.turn_over();
    }

    fn retry() -> Retry {
        let retry = Retry::default().attempts(ATTEMPTS);
        if CLOSED { retry.close_when_spent() } else { retry }
    }
}

/// What the step with the number `N` waits for. Silence is a yes for every other step.
#[derive(Serialize, Deserialize)]
pub(super) struct Word<const N: usize>(bool);

impl<const N: usize> Signal<Diary> for Word<N> {
    const NAME: &'static str = STEPS[N];

    fn deadline() -> Duration {
        DEADLINE
    }

    fn on_signal(diary: &mut Diary, word: Self) {
        diary.note(format!("{N}: {}", word.0));
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
pub(super) struct News<const N: usize>(Vec<String>);

impl<const N: usize> Notification<Diary> for News<N> {
    const TYPE: &'static str = STEPS[N];
    const TOPICS: &'static [&'static str] = &["news"];

    fn of(diary: &Diary) -> Self {
        News(diary.answers.clone())
    }
}

/// The pause with the number `N`.
pub(super) struct Rest<const N: usize>;

impl<const N: usize> Pause<Diary> for Rest<N> {
    const NAME: &'static str = STEPS[N];

    fn length(_: &Diary) -> Duration {
        DEADLINE
    }
}

/// One more than a loop has under way at once.
const ITEMS_MAX: usize = 3;

const STEPS: [&str; 14] =
    ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13"];
const UNDOS: [&str; 14] =
    ["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9", "u10", "u11", "u12", "u13"];
