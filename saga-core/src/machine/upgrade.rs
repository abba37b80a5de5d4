//! Moving a saga to a newer version of its definition.

use super::Event;
use super::state::{Instance, StepState};
use super::transition::{Decision, Transition, TransitionError};
use super::turn::Halt;
use crate::definition::{Parting, Plan, ScriptError, Work};
use crate::id::StepName;
use crate::message::Payload;

/// Why a saga stays with the version that it has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The newer version takes no sagas of this one.
    #[error("the newer version does not say that it takes sagas of version {0}")]
    NotOffered(u32),
    /// The saga has ended.
    #[error("the saga has ended")]
    Ended,
    /// Every step is done, so only the saga that this one is a step of moves it. What the newer version has behind them
    /// would never be done.
    #[error("every step is done, and what comes now is up to the saga that this one is a step of")]
    Through,
    /// Up to where the saga stands, the two versions are not the same.
    #[error("where the saga has been, one version has {was:?} and the other {is:?}")]
    Different {
        /// What the saga has gone through.
        was: String,
        /// What stands there in the newer version; empty if nothing does.
        is: String,
    },
    /// The saga is a step of another one, and the newer version has a pivot, behind which nobody could take it back.
    #[error(
        "the saga is a step of another one, and the newer version has a pivot, behind which it could not be taken back"
    )]
    Pivot,
    /// A signal came early for a step that waits for none in the newer version.
    #[error("a signal was given early to step {0}, which waits for none in the newer version")]
    NoSignal(StepName),
    /// The data cannot be made into that of the newer version.
    #[error(transparent)]
    Script(#[from] ScriptError),
}

/// The event that moves a saga to a newer version, to be applied with the plan of that version.
///
/// A saga may move if the two versions are the same up to where it stands: every step that it has entered, or might
/// have, exists in the newer one with the same role, participant and commands, and in the same order. So what happened is
/// a possible history of the newer version. What comes behind may differ, and so may retries and deadlines.
///
/// # Errors
///
/// [`UpgradeError`] says why the saga stays as it is.
pub fn upgrade(plan: &Plan, instance: &Instance) -> Result<Event, UpgradeError> {
    let from = instance.definition.version;
    let upgrade = plan.upgrade(&instance.definition).ok_or(UpgradeError::NotOffered(from))?;
    check(&upgrade.from, plan, instance)?;
    let data = upgrade.migrate(&instance.data)?;
    plan.open(&data)?;
    Ok(Event::Upgraded { from, to: plan.reference().version, data })
}

/// What [`upgrade`] found, carried out. Nothing is sent: what is awaited is awaited on.
pub(super) fn upgraded(plan: &Plan, instance: &Instance, data: &Payload) -> Result<Transition, Halt> {
    let from = instance.definition.version;
    let offered = plan.upgrade(&instance.definition).ok_or(UpgradeError::NotOffered(from));
    offered
        .and_then(|upgrade| check(&upgrade.from, plan, instance))
        .map_err(|why| Halt::Error(TransitionError::NotUpgraded(why.to_string())))?;
    let (definition, version) = (plan.reference().clone(), instance.version + 1);
    let decision = Decision::Upgraded(from, definition.version);
    let next = Instance { definition, version, data: data.clone(), ..instance.clone() };
    Ok(Transition { next, effects: Vec::new(), decision })
}

fn check(old: &Plan, new: &Plan, instance: &Instance) -> Result<(), UpgradeError> {
    if instance.state.status().is_terminal() {
        return Err(UpgradeError::Ended);
    }
    if instance.is_through() {
        return Err(UpgradeError::Through);
    }
    if instance.parent.is_some() && !new.can_be_sub_saga() {
        return Err(UpgradeError::Pivot);
    }
    let mut entered = 0;
    for record in instance.state.steps() {
        if matches!(record.state, StepState::Early(_)) {
            check_signal(new, &record.name)?;
        } else {
            entered = entered.max(group_of(old, &record.name).map_or(0, |group| group + 1));
        }
    }
    planted!(UpgradedPastChange: return Ok(()));
    match Parting::of(&old.graph(), &new.graph()) {
        Some(Parting { group, was, is }) if group < entered => {
            Err(UpgradeError::Different { was: was.to_owned(), is: is.to_owned() })
        }
        Some(_) | None => Ok(()),
    }
}

fn check_signal(new: &Plan, step: &StepName) -> Result<(), UpgradeError> {
    let place = new.position(step).map(|place| &new.steps()[place].work);
    match place {
        Some(Work::Signal { .. }) => Ok(()),
        Some(Work::Command(_) | Work::Notification(_) | Work::Pause) | None => {
            Err(UpgradeError::NoSignal(step.clone()))
        }
    }
}

impl Instance {
    /// Whether it goes forward and has nothing more to do: alone it would have completed.
    fn is_through(&self) -> bool {
        self.state.cause().is_none() && !self.state.steps().iter().any(|record| record.state.is_awaited())
    }
}

fn group_of(plan: &Plan, step: &StepName) -> Option<usize> {
    let place = plan.position_of(step)?;
    plan.groups().iter().position(|group| group.contains(&place))
}
