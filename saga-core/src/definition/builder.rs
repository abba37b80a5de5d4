//! The builder, in two phases: before the pivot and after it.

use std::marker::PhantomData;
use std::ops::Range;
use std::time::Duration;

use super::draft::{Draft, DraftRole, Steps, canonical};
use super::items::{CompensateEach, RetriableEach};
use super::notification::Notification;
use super::pause::Pause;
use super::plan::{Definition, Plan};
use super::script::{StepCode, TypedScript};
use super::signal::Signal;
use super::step::{Compensate, NothingToUndo, Retriable, Saga, Step};
use super::upgrade::Upgrade;
use super::{DefinitionError, DefinitionRef, Fingerprint};
use crate::id::SagaName;
use crate::policy::deadline_mistake;

/// Begins the definition of the saga `S`. Give a changed graph a new `version`: sagas under way keep theirs.
///
/// # Example: reserve, capture, ship
///
/// ```text
/// saga::<PlaceOrder>(1).step::<ReserveStock>().pivot::<CapturePayment>().then::<ShipOrder>().build()
/// ```
///
/// The crate's documentation has the whole of it.
pub fn saga<S: Saga>(version: u32) -> Builder<S, BeforePivot> {
    let steps = Steps { drafts: Vec::new(), codes: Vec::new() };
    Builder {
        version,
        steps,
        groups: Vec::new(),
        deadline: None,
        upgrades: Vec::new(),
        mistake: None,
        phase: PhantomData,
    }
}

/// Before the pivot: every step can be taken back.
#[derive(Debug)]
pub enum BeforePivot {}

/// After the pivot: every step succeeds in the end.
#[derive(Debug)]
pub enum AfterPivot {}

/// A phase in which the saga can still be taken back: [`BeforePivot`].
#[diagnostic::on_unimplemented(
    message = "the saga's pivot is behind this point, so only `.then` may follow",
    label = "this belongs before `.pivot`",
    note = "steps that can be undone, checks, waits and parallel groups belong before `.pivot`",
    note = "a saga has one pivot; what follows it must succeed in the end: `impl Retriable` and add it with `.then`"
)]
pub trait Reversible {}
impl Reversible for BeforePivot {}

/// A phase in which the saga only goes forward: [`AfterPivot`].
#[diagnostic::on_unimplemented(
    message = "the saga has no pivot before this point, and `.then` adds what follows the pivot",
    label = "add `.pivot` before this",
    note = "before the pivot, steps are added with `.step`, `.check`, `.wait` and `.parallel`",
    note = "a saga that can be taken back until its end needs no pivot, and no `.then`"
)]
pub trait Irreversible {}
impl Irreversible for AfterPivot {}

/// A definition under construction. `Phase` is [`BeforePivot`] or [`AfterPivot`].
#[must_use = "a definition does nothing until it is built and registered"]
pub struct Builder<S, Phase> {
    version: u32,
    steps: Steps<S>,
    groups: Vec<Range<usize>>,
    deadline: Option<Duration>,
    upgrades: Vec<Upgrade>,
    /// The first one that was made.
    mistake: Option<DefinitionError>,
    phase: PhantomData<fn(Phase)>,
}

// The phases are bounds of the methods and not of impl blocks, so that the compiler says what they ask for.
impl<S: Saga, Phase> Builder<S, Phase> {
    /// Adds a step that can be taken back.
    pub fn step<T: Compensate<S>>(self) -> Self
    where
        Phase: Reversible,
    {
        self.alone(Draft::compensatable::<S, T>(), StepCode::with_undo::<T>())
    }

    /// Adds a step that leaves nothing to take back.
    pub fn check<T: NothingToUndo<S>>(self) -> Self
    where
        Phase: Reversible,
    {
        self.alone(Draft::of::<S, T>(DraftRole::NothingToUndo), StepCode::of::<T>())
    }

    /// Adds a step that is run once for each of several items, and can be taken back for each.
    pub fn for_each<T: CompensateEach<S>>(self) -> Self
    where
        Phase: Reversible,
    {
        self.alone(Draft::compensatable_each::<S, T>(), StepCode::each_with_undo::<T>())
    }

    /// Adds a step that is run once for each of several items, and succeeds in the end for each.
    pub fn then_for_each<T: RetriableEach<S>>(self) -> Self
    where
        Phase: Irreversible,
    {
        self.alone(Draft::each::<S, T>(DraftRole::Retriable), StepCode::of_each::<T>())
    }

    /// Adds a notification: others are told something, and nobody answers.
    pub fn notify<T: Notification<S>>(self) -> Self {
        self.alone(Draft::notification::<S, T>(), StepCode::of_notification::<T>())
    }

    /// Adds a wait for something from outside: an event, or what a human decides.
    pub fn wait<T: Signal<S>>(self) -> Self
    where
        Phase: Reversible,
    {
        self.alone(Draft::signal::<S, T>(), StepCode::of_signal::<T>())
    }

    /// Adds a pause: what follows starts later.
    pub fn pause<T: Pause<S>>(self) -> Self
    where
        Phase: Reversible,
    {
        self.alone(Draft::pause::<S, T>(DraftRole::NothingToUndo), StepCode::of_pause::<T>())
    }

    /// Adds a pause behind the pivot: what follows starts later.
    pub fn then_pause<T: Pause<S>>(self) -> Self
    where
        Phase: Irreversible,
    {
        self.alone(Draft::pause::<S, T>(DraftRole::Retriable), StepCode::of_pause::<T>())
    }

    /// Adds steps that run at the same time: `.parallel::<(ReserveStock, AuthorizePayment)>()`.
    ///
    /// The saga goes on when all are done; their replies are noted then, in the order given here. If one is
    /// refused, the others are undone at once, answered or not.
    pub fn parallel<G: Group<S>>(mut self) -> Self
    where
        Phase: Reversible,
    {
        let start = self.steps.drafts.len();
        G::add_to(&mut self.steps);
        self.group_from(start);
        self
    }

    /// Adds steps behind the pivot that run at the same time: `.then_parallel::<(ShipOrder, SendInvoice)>()`.
    ///
    /// The saga goes on when all are done; their replies are noted then, in the order given here.
    pub fn then_parallel<G: RetriableGroup<S>>(mut self) -> Self
    where
        Phase: Irreversible,
    {
        let start = self.steps.drafts.len();
        G::add_to(&mut self.steps);
        self.group_from(start);
        self
    }

    /// Adds the point of no return: once it is done, the saga only goes forward.
    pub fn pivot<T: Step<S>>(self) -> Builder<S, AfterPivot>
    where
        Phase: Reversible,
    {
        let Builder { version, steps, groups, deadline, upgrades, mistake, .. } =
            self.alone(Draft::of::<S, T>(DraftRole::Pivot), StepCode::of::<T>());
        Builder { version, steps, groups, deadline, upgrades, mistake, phase: PhantomData }
    }

    /// Adds a step that succeeds in the end.
    pub fn then<T: Retriable<S>>(self) -> Self
    where
        Phase: Irreversible,
    {
        self.alone(Draft::of::<S, T>(DraftRole::Retriable), StepCode::of::<T>())
    }

    /// Runs the step just added only if the saga's data says so; of a group, all steps or none.
    ///
    /// That is decided when the saga comes to the step, and stored: what is undone later is what was done, whatever
    /// became of the data. A saga goes on behind steps that it skips; a skipped pivot is passed like one that is done.
    pub fn when(mut self, condition: fn(&S) -> bool) -> Self {
        match self.groups.last().cloned() {
            Some(mut group) => {
                let set = group.try_for_each(|place| self.steps.set_condition(place, condition));
                self.note(set)
            }
            None => self.note(Err(DefinitionError::ConditionOnNothing { saga: S::NAME })),
        }
    }

    /// Runs step `T` of the group just added only if the saga's data says so. See [`when`](Builder::when).
    pub fn when_step<T: Step<S>>(mut self, condition: fn(&S) -> bool) -> Self {
        let (saga, step) = (S::NAME, <T as Step<S>>::NAME);
        let mut group = self.groups.last().cloned().unwrap_or_default();
        let set = match group.find(|place| self.steps.drafts[*place].name == step) {
            Some(place) => self.steps.set_condition(place, condition),
            None => Err(DefinitionError::ConditionElsewhere { saga, step }),
        };
        self.note(set)
    }

    /// Takes the saga back, as if it were cancelled, if it has not come to its pivot after this time; to its end, if
    /// it has no pivot. There is no such limit by default.
    pub fn deadline(self, deadline: Duration) -> Self {
        Builder { deadline: Some(deadline), ..self }
    }

    /// Lets sagas of an older version move to this one, with their data as it is. Each moves with the next thing that
    /// happens to it, if the two versions are the same up to where it stands; otherwise it stays with its own. The older
    /// version need not be registered besides.
    pub fn upgrade_from<O: Saga>(self, older: &Definition<O>) -> Self {
        self.upgrade(Upgrade::of(older.plan().clone()))
    }

    /// The same, with data that is made of the older version's.
    pub fn upgrade_from_with<O: Saga>(self, older: &Definition<O>, migrate: fn(O) -> S) -> Self {
        self.upgrade(Upgrade::with(older.plan().clone(), migrate))
    }

    fn upgrade(mut self, upgrade: Upgrade) -> Self {
        let older = upgrade.from.reference().clone();
        self.upgrades.push(upgrade);
        match older.name.as_str() == S::NAME && older.version < self.version {
            true => self,
            false => {
                let older = older.to_string();
                self.note(Err(DefinitionError::BadUpgrade { saga: S::NAME, older }))
            }
        }
    }

    /// Checks the definition and builds it.
    ///
    /// # Errors
    ///
    /// [`DefinitionError`] names the step that is to be mended: a name that occurs twice or that a broker cannot
    /// carry, a retry option or a deadline that makes no sense, a condition for nothing, no steps at all, or too many.
    pub fn build(mut self) -> Result<Definition<S>, DefinitionError> {
        self.mistake.take().map_or(Ok(()), Err)?;
        self.check_sizes()?;
        let steps = self.steps.finish()?;
        self.steps.check_distinct()?;
        let name =
            SagaName::new(S::NAME).map_err(|error| DefinitionError::BadName { step: S::NAME, error })?;
        let fingerprint = Fingerprint::of(&canonical(&steps, &self.groups));
        let (reference, deadline) =
            (DefinitionRef { name, version: self.version, fingerprint }, self.deadline);
        let script = Box::new(TypedScript(self.steps.codes));
        Ok(Definition::new(Plan {
            reference,
            steps,
            groups: self.groups,
            deadline,
            script,
            upgrades: self.upgrades,
        }))
    }

    fn note(mut self, made: Result<(), DefinitionError>) -> Self {
        self.mistake = self.mistake.or(made.err());
        self
    }

    fn alone(mut self, draft: Draft, code: StepCode<S>) -> Self {
        let start = self.steps.drafts.len();
        self.steps.push(draft, code);
        self.group_from(start);
        self
    }

    /// Makes a group of the steps from `start` on; no steps make no group, since nothing would ever end it.
    fn group_from(&mut self, start: usize) {
        let end = self.steps.drafts.len();
        if start < end {
            self.groups.push(start..end);
        }
    }

    fn check_sizes(&self) -> Result<(), DefinitionError> {
        let widest = self.groups.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        let too_large =
            |what, count, limit| Err(DefinitionError::TooLarge { saga: S::NAME, what, count, limit });
        if let Some(mistake) = self.deadline.and_then(deadline_mistake) {
            return Err(DefinitionError::BadDeadline { saga: S::NAME, mistake });
        }
        match self.steps.drafts.len() {
            _ if self.version == 0 => Err(DefinitionError::VersionZero { saga: S::NAME }),
            0 => Err(DefinitionError::Empty { saga: S::NAME }),
            count if count > STEPS_MAX => too_large("steps", count, STEPS_MAX),
            _ if widest > WIDTH_MAX => too_large("parallel steps", widest, WIDTH_MAX),
            _ => Ok(()),
        }
    }
}

/// Steps that run at the same time: a tuple of two to eight steps that can be taken back.
///
/// For more, implement it on a type of your own, and have `add_to` call that of several tuples.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot run in parallel before the pivot",
    label = "needs a tuple of two to eight steps that each implement `Compensate<{S}>`"
)]
pub trait Group<S: Saga> {
    /// Adds the group's steps to the saga's.
    fn add_to(steps: &mut Steps<S>);
}

/// Steps that run at the same time: a tuple of two to eight steps that succeed in the end.
///
/// For more, implement it on a type of your own, and have `add_to` call that of several tuples.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot run in parallel behind the pivot",
    label = "needs a tuple of two to eight steps that each implement `Retriable<{S}>`"
)]
pub trait RetriableGroup<S: Saga> {
    /// Adds the group's steps to the saga's.
    fn add_to(steps: &mut Steps<S>);
}

macro_rules! group {
    ($($step:ident)+) => {
        impl<S: Saga, $($step: Retriable<S>),+> RetriableGroup<S> for ($($step,)+) {
            fn add_to(steps: &mut Steps<S>) {
                $(steps.push(Draft::of::<S, $step>(DraftRole::Retriable), StepCode::of::<$step>());)+
            }
        }

        impl<S: Saga, $($step: Compensate<S>),+> Group<S> for ($($step,)+) {
            fn add_to(steps: &mut Steps<S>) {
                $(steps.push(Draft::compensatable::<S, $step>(), StepCode::with_undo::<$step>());)+
            }
        }
    };
}
group!(A B);
group!(A B C);
group!(A B C D);
group!(A B C D E);
group!(A B C D E F);
group!(A B C D E F G);
group!(A B C D E F G H);

/// A saga's state is read and written whole at every transition; beyond this it should be several sagas.
const STEPS_MAX: usize = 256;

/// Every parallel step is a message and a timer in one transaction.
pub(super) const WIDTH_MAX: usize = 64;
