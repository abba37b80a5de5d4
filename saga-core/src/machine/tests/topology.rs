//! Sagas of any shape: steps, checks and groups, with or without a pivot.

use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::definition::{
    AfterPivot, BeforePivot, Builder, Compensate, CompensateEach, Definition, Each, NothingToUndo,
    Notification, Outcome, Pause, Retriable, Saga, Signal, Step, saga as define,
};
use crate::message::{Command, Participant, Undoes};
use crate::policy::Retry;

/// What a saga looks like.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    before: Vec<Part>,
    pivot: Option<Pivot>,
    after: usize,
    hurried: bool,
    /// Which steps depend on the diary, by the bits of their numbers.
    picky: u16,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Step,
    Check,
    Wait,
    Items,
    Note,
    Rest,
    Group(usize),
}

#[derive(Clone, Copy, Debug)]
enum Pivot {
    AskedForEver,
    ClosedWhenSpent,
}

/// Up to four parts before the pivot and two steps after it: enough for every pair of roles to meet.
pub(super) fn shapes() -> impl Strategy<Value = Shape> {
    let part = prop_oneof![
        3 => Just(Part::Step),
        2 => Just(Part::Check),
        2 => Just(Part::Wait),
        2 => Just(Part::Items),
        1 => Just(Part::Note),
        1 => Just(Part::Rest),
        2 => (2..=3_usize).prop_map(Part::Group),
    ];
    let pivot = prop_oneof![Just(None), Just(Some(Pivot::AskedForEver)), Just(Some(Pivot::ClosedWhenSpent))];
    let picky = prop_oneof![Just(0), any::<u16>()];
    (prop::collection::vec(part, 0..=4), pivot, 0..=2_usize, prop::bool::weighted(0.3), picky)
        .prop_filter("a saga has a step", |(before, pivot, ..)| !before.is_empty() || pivot.is_some())
        .prop_map(|(before, pivot, after, hurried, picky)| Shape { before, pivot, after, hurried, picky })
}

impl Shape {
    pub(super) fn definition(&self) -> Definition<Diary> {
        let mut builder = define(1);
        if self.hurried {
            builder = builder.deadline(Duration::from_secs(25));
        }
        let mut next = 0;
        for part in &self.before {
            let number = next;
            (builder, next) = match part {
                Part::Step => (step(builder, next), next + 1),
                Part::Check => (check(builder, next), next + 1),
                Part::Wait => (wait(builder, next), next + 1),
                Part::Items => (items(builder, next), next + 1),
                Part::Note => (note(builder, next), next + 1),
                Part::Rest => (rest(builder, next), next + 1),
                Part::Group(width) => (group(builder, next, *width), next + width),
            };
            builder = self.with_condition(builder, number);
        }
        let builder = match self.pivot {
            None => return builder.build().unwrap(),
            Some(Pivot::AskedForEver) => builder.pivot::<Turn<false>>(),
            Some(Pivot::ClosedWhenSpent) => builder.pivot::<Turn<true>>(),
        };
        let builder = self.with_condition(builder, next);
        (0..self.after)
            .fold(builder, |builder, place| self.with_condition(then(builder, next + place), place))
            .build()
            .unwrap()
    }

    /// The step just added runs while the diary has an even number of lines, if its number is picky.
    fn with_condition<Phase>(&self, builder: Builder<Diary, Phase>, number: usize) -> Builder<Diary, Phase> {
        match self.picky >> number & 1 {
            1 => builder.when(|diary| diary.0.len() % 2 == 0),
            _ => builder,
        }
    }
}

/// The saga's data: what its steps were told, so that a command shows what it was written from.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Diary(Vec<String>);

impl Saga for Diary {
    const NAME: &'static str = "diary";
}

pub(super) struct Service;

impl Participant for Service {
    const NAME: &'static str = "service";
}

/// The step with the number `N`.
#[derive(Serialize, Deserialize)]
struct Work<const N: usize>(Vec<String>);

#[derive(Serialize, Deserialize)]
struct Unwork<const N: usize>(Option<u64>, Vec<String>);

/// The step with the number `N` for one of its items.
#[derive(Serialize, Deserialize)]
struct Item<const N: usize>(String, Vec<String>);

#[derive(Serialize, Deserialize)]
struct Unitem<const N: usize>(String, Option<u64>);

/// What the step with the number `N` tells others.
#[derive(Serialize, Deserialize)]
struct Note<const N: usize>(Vec<String>);

/// The pause with the number `N`.
struct Rest<const N: usize>;

/// What the step with the number `N` waits for: a yes or a no.
#[derive(Serialize, Deserialize)]
struct Word<const N: usize>(bool);

/// The pivot.
#[derive(Serialize, Deserialize)]
struct Turn<const CLOSED_WHEN_SPENT: bool>(Vec<String>);

macro_rules! command {
    ($command:ty, [$($generic:tt)*], $type:expr, $reply:ty) => {
        impl<$($generic)*> Command for $command {
            const TYPE: &'static str = $type;
            type Participant = Service;
            type Reply = $reply;
            type Refusal = ();
        }
    };
}
command!(Work<N>, [const N: usize], STEPS[N], u64);
command!(Unwork<N>, [const N: usize], UNDOS[N], ());
command!(Item<N>, [const N: usize], STEPS[N], u64);
command!(Unitem<N>, [const N: usize], UNDOS[N], ());
command!(Turn<CLOSED>, [const CLOSED: bool], "pivot", u64);

impl<const N: usize> Step<Diary> for Work<N> {
    fn command(diary: &Diary) -> Self {
        Work(diary.0.clone())
    }

    fn on_reply(diary: &mut Diary, reply: u64) {
        diary.0.push(format!("{N}: {reply}"));
    }

    fn retry() -> Retry {
        Retry::default().attempts(2)
    }
}

impl<const N: usize> Compensate<Diary> for Work<N> {
    type Undo = Unwork<N>;

    fn undo(diary: &Diary, did: Outcome<u64>) -> Unwork<N> {
        let did = match did {
            Outcome::Done(reply) => Some(reply),
            Outcome::Unknown => None,
        };
        Unwork(did, diary.0.clone())
    }

    fn undo_retry() -> Retry {
        Retry::default().attempts(3)
    }
}

/// From none to four items, two at once.
impl<const N: usize> Each<Diary> for Item<N> {
    const AT_ONCE: usize = 2;

    fn items(diary: &Diary) -> Vec<String> {
        ["a", "b", "c", "d"].into_iter().take((diary.0.len() + N) % 5).map(String::from).collect()
    }

    fn command(diary: &Diary, item: &str) -> Self {
        Item(item.into(), diary.0.clone())
    }

    fn on_reply(diary: &mut Diary, item: &str, reply: u64) {
        diary.0.push(format!("{N} {item}: {reply}"));
    }

    fn retry() -> Retry {
        Retry::default().attempts(2)
    }
}

impl<const N: usize> CompensateEach<Diary> for Item<N> {
    type Undo = Unitem<N>;

    fn undo(_: &Diary, item: &str, did: Outcome<u64>) -> Unitem<N> {
        let did = match did {
            Outcome::Done(reply) => Some(reply),
            Outcome::Unknown => None,
        };
        Unitem(item.into(), did)
    }

    fn undo_retry() -> Retry {
        Retry::default().attempts(3)
    }
}

impl<const N: usize> Undoes<Item<N>> for Unitem<N> {}

impl<const N: usize> Notification<Diary> for Note<N> {
    const TYPE: &'static str = STEPS[N];
    const TOPICS: &'static [&'static str] = &["notes"];

    fn of(diary: &Diary) -> Self {
        Note(diary.0.clone())
    }
}

/// Silence is a yes for every other step.
impl<const N: usize> Signal<Diary> for Word<N> {
    const NAME: &'static str = STEPS[N];

    fn deadline() -> Duration {
        Duration::from_secs(20)
    }

    fn on_signal(diary: &mut Diary, word: Self) {
        diary.0.push(format!("{N}: {}", word.0));
    }

    fn is_refusal(&self) -> bool {
        !self.0
    }

    fn at_deadline(_: &Diary) -> Option<Self> {
        N.is_multiple_of(2).then_some(Word(true))
    }
}

impl<const N: usize> Pause<Diary> for Rest<N> {
    const NAME: &'static str = STEPS[N];

    fn length(_: &Diary) -> Duration {
        Duration::from_secs(20)
    }
}

impl<const N: usize> Undoes<Work<N>> for Unwork<N> {}
impl<const N: usize> NothingToUndo<Diary> for Work<N> {}
impl<const N: usize> Retriable<Diary> for Work<N> {}

impl<const CLOSED_WHEN_SPENT: bool> Step<Diary> for Turn<CLOSED_WHEN_SPENT> {
    fn command(diary: &Diary) -> Self {
        Turn(diary.0.clone())
    }

    fn retry() -> Retry {
        let retry = Retry::default().attempts(2);
        if CLOSED_WHEN_SPENT { retry.close_when_spent() } else { retry }
    }
}

type Before = Builder<Diary, BeforePivot>;
type After = Builder<Diary, AfterPivot>;

/// A builder's method for the step whose number is known at run time only.
macro_rules! numbered {
    ($name:ident, $method:ident, $step:ident, $phase:ty, $($n:literal)+) => {
        fn $name(builder: $phase, number: usize) -> $phase {
            match number {
                $($n => builder.$method::<$step<$n>>(),)+
                _ => unreachable!("a shape has at most 14 steps"),
            }
        }
    };
}
numbered!(step, step, Work, Before, 0 1 2 3 4 5 6 7 8 9 10 11);
numbered!(check, check, Work, Before, 0 1 2 3 4 5 6 7 8 9 10 11);
numbered!(wait, wait, Word, Before, 0 1 2 3 4 5 6 7 8 9 10 11);
numbered!(items, for_each, Item, Before, 0 1 2 3 4 5 6 7 8 9 10 11);
numbered!(rest, pause, Rest, Before, 0 1 2 3 4 5 6 7 8 9 10 11);
numbered!(note, notify, Note, Before, 0 1 2 3 4 5 6 7 8 9 10 11);
numbered!(then, then, Work, After, 0 1 2 3 4 5 6 7 8 9 10 11 12 13);

fn group(builder: Before, start: usize, width: usize) -> Before {
    macro_rules! groups {
        ($($start:literal)+) => {
            match (start, width) {
                $(
                    ($start, 2) => builder.parallel::<(Work<$start>, Work<{ $start + 1 }>)>(),
                    ($start, 3) => {
                        builder.parallel::<(Work<$start>, Work<{ $start + 1 }>, Work<{ $start + 2 }>)>()
                    }
                )+
                _ => unreachable!("a group has two or three steps"),
            }
        };
    }
    groups!(0 1 2 3 4 5 6 7 8 9)
}

const STEPS: [&str; 14] =
    ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13"];
const UNDOS: [&str; 14] =
    ["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9", "u10", "u11", "u12", "u13"];
