//! A topology's definition, built part by part.

use std::time::Duration;

use saga_core::Definition;
use saga_core::definition::{AfterPivot, BeforePivot, Builder};

use super::steps::{Away, Diary, News, Rest, Turn, Word, Work};
use super::{Errand, Part, errand};
use crate::explore::Explorer;

pub(super) type Before = Builder<Diary, BeforePivot>;
type After = Builder<Diary, AfterPivot>;

/// A definition under construction, before its pivot or after it.
pub(super) enum Draft {
    Before(Before),
    After(After),
}

impl Draft {
    pub(super) fn add<const ATTEMPTS: u32>(self, part: Part, number: usize) -> Self {
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

    /// The part that was added last, with a condition; in a group each step has its own.
    pub(super) fn with_condition<const ATTEMPTS: u32>(self, part: Part, number: usize) -> Self {
        if !matches!(part, Part::Group(_) | Part::ThenBoth) {
            return self.with_one_condition(number);
        }
        (number..number + part.steps()).fold(self, |draft, step| match draft {
            Draft::Before(saga) => Draft::Before(when_step::<_, ATTEMPTS>(saga, step)),
            Draft::After(saga) => Draft::After(when_step::<_, ATTEMPTS>(saga, step)),
        })
    }

    fn with_one_condition(self, number: usize) -> Self {
        match self {
            Draft::Before(saga) => Draft::Before(when(saga, number)),
            Draft::After(saga) => Draft::After(when(saga, number)),
        }
    }

    pub(super) fn build(self, deadline: Option<Duration>) -> Definition<Diary> {
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
    with_number!(number, N => saga.when(Diary::wants::<N>))
}

fn when_step<Phase, const ATTEMPTS: u32>(
    saga: Builder<Diary, Phase>,
    number: usize,
) -> Builder<Diary, Phase> {
    with_number!(number, N => saga.when_step::<Work<N, ATTEMPTS>>(Diary::wants::<N>))
}

/// Says to the explorer that a step's participant calls another system.
pub(super) fn external<const ATTEMPTS: u32>(
    explorer: Explorer<Diary, ()>,
    part: Part,
    number: usize,
) -> Explorer<Diary, ()> {
    match part {
        Part::Pivot => explorer.external::<Turn<false, ATTEMPTS>>(),
        Part::ClosedPivot => explorer.external::<Turn<true, ATTEMPTS>>(),
        Part::Elsewhere => with_number!(number, N => explorer.external::<Away<N, ATTEMPTS>>()),
        Part::Step | Part::Check | Part::Loop | Part::Group(_) | Part::Beside(_) => {
            with_number!(number, N => explorer.external::<Work<N, ATTEMPTS>>())
        }
        Part::Then | Part::ThenBoth | Part::ThenLoop => {
            with_number!(number, N => explorer.external::<Work<N, ATTEMPTS>>())
        }
        Part::Wait | Part::Notify | Part::Pause | Part::Gone | Part::Run(_) | Part::RunEach(_) => {
            panic!("{part} has no command that could call out")
        }
    }
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
