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

mod draft;
mod errand;
mod steps;

use std::fmt;
use std::time::Duration;

use saga_core::{Definition, saga};

use crate::explore::{Explorer, explore};
use draft::{Before, Draft};
pub use errand::Errand;
pub use steps::Diary;

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
    /// The number of the step whose participant calls another system.
    calls_out: Option<usize>,
}

impl Topology {
    /// A saga of these parts.
    pub fn of(parts: impl IntoIterator<Item = Part>) -> Self {
        let parts = parts.into_iter().collect();
        Topology { parts, deadline: None, conditional: false, newer_errands: false, calls_out: None }
    }

    /// The same with a deadline.
    #[must_use]
    pub fn with_deadline(self) -> Self {
        Topology { deadline: Some(DEADLINE), ..self }
    }

    /// The same with a condition for every part, and for every step of a group: it is run unless the diary skips it.
    #[must_use]
    pub fn with_conditions(self) -> Self {
        Topology { conditional: true, ..self }
    }

    /// The same, whose errands may move to newer versions of them while they are under way.
    #[must_use]
    pub fn with_newer_errands(self) -> Self {
        Topology { newer_errands: true, ..self }
    }

    /// The same, whose step with this number is done by calling another system. It says so to the explorer only: a
    /// definition does not know how a participant works.
    #[must_use]
    pub fn calling_out(self, number: usize) -> Self {
        Topology { calls_out: Some(number), ..self }
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
                draft = draft.with_condition::<ATTEMPTS>(*part, number);
            }
            number += part.steps();
        }
        draft.build(self.deadline)
    }

    /// An exploration of the saga, and of those that its steps run.
    ///
    /// # Panics
    ///
    /// Panics as [`definition`](Topology::definition), and if what calls out is no step with a command.
    #[track_caller]
    pub fn explorer<const ATTEMPTS: u32>(&self) -> Explorer<Diary, ()> {
        let explorer = explore(&self.definition::<ATTEMPTS>());
        let explorer = errand::added::<ATTEMPTS>(explorer, self.newer_errands);
        match self.calls_out {
            Some(number) => draft::external::<ATTEMPTS>(explorer, self.part_of(number), number),
            None => explorer,
        }
    }

    /// The part that the step with this number is of.
    fn part_of(&self, number: usize) -> Part {
        let mut ends = self.parts.iter().scan(0, |end, part| {
            *end += part.steps();
            Some((*part, *end))
        });
        let part = ends.find(|(_, end)| number < *end).map(|(part, _)| part);
        part.unwrap_or_else(|| panic!("there is no step {number}"))
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts.iter().map(Part::to_string).collect();
        let deadline = if self.deadline.is_some() { ", with a deadline" } else { "" };
        let conditions = if self.conditional { ", with conditions" } else { "" };
        let errands = if self.newer_errands { ", with newer errands" } else { "" };
        write!(f, "{}{deadline}{conditions}{errands}", parts.join(", "))?;
        self.calls_out.map_or(Ok(()), |number| write!(f, ", whose step {number} calls out"))
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

/// Any will do: those who test with it let time pass as they like.
const DEADLINE: Duration = Duration::from_secs(25);
