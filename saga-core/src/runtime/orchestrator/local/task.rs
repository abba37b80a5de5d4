//! What a saga awaits of its own orchestrator, read off the saga itself.

use std::sync::Arc;

use super::handling::LocalSteps;
use crate::definition::{At, Plan, ScriptError, StepPlan};
use crate::id::{Direction, StepName};
use crate::machine::{Event, Instance, State, StepState, Waiting};
use crate::message::{Answer, Payload};

/// What a local step is asked to do.
pub(in crate::runtime::orchestrator) struct Task {
    step: StepName,
    pub(super) direction: Direction,
    attempt: u32,
    pub(super) command_type: String,
    pub(super) body: Payload,
    /// The reply of the work that is to be undone.
    pub(super) did: Option<Payload>,
}

impl Task {
    /// The first local work that a saga awaits.
    pub(super) fn of(plan: &Plan, instance: &Instance) -> Option<Task> {
        if matches!(instance.state, State::Parked(_)) {
            return None;
        }
        instance.state.steps().iter().find_map(|record| {
            let place = plan.position_of(&record.name)?;
            let (direction, asked) = record.state.awaited()?;
            let step = &plan.steps()[place];
            if !is_local(step) || asked.waiting != Waiting::Answer {
                return None;
            }
            let did = match &record.state {
                StepState::Undoing { reply, .. } => reply.clone(),
                _ => None,
            };
            let command_type = command_type(step, direction)?;
            // A panic here parked the saga when the step was asked for.
            let body = body(plan, instance, At::of(place, &record.name), direction, did.as_ref()).ok()?;
            let (step, attempt) = (record.name.clone(), asked.attempt);
            Some(Task { step, direction, attempt, command_type, body, did })
        })
    }

    pub(super) fn replied(&self, answer: Answer) -> Event {
        let Task { step, direction, attempt, .. } = self;
        Event::Replied { step: step.clone(), direction: *direction, attempt: *attempt, answer }
    }
}

/// Whether a step's work is done in the orchestrator's own database.
pub(in crate::runtime::orchestrator) fn is_local(step: &StepPlan) -> bool {
    step.command().is_some_and(|command| command.is_local())
}

/// What a plan's local steps ask for and nobody does.
pub(in crate::runtime::orchestrator) fn missing(
    plan: &Plan,
    steps: Option<&Arc<dyn LocalSteps>>,
) -> Option<String> {
    let knows =
        |command_type: &str, direction| steps.is_some_and(|steps| steps.knows(command_type, direction));
    plan.steps().iter().filter(|step| is_local(step)).find_map(|step| {
        let asked = [Direction::Do, Direction::Undo].into_iter();
        let mut asked = asked.filter_map(|direction| Some((command_type(step, direction)?, direction)));
        asked.find(|(command_type, direction)| !knows(command_type, *direction)).map(|(name, _)| name)
    })
}

fn command_type(step: &StepPlan, direction: Direction) -> Option<String> {
    let command = step.command()?;
    let command_type = match direction {
        Direction::Do | Direction::Close => &command.command_type,
        Direction::Undo => &step.undo()?.command_type,
    };
    Some(command_type.to_string())
}

fn body(
    plan: &Plan,
    instance: &Instance,
    at: At<'_>,
    direction: Direction,
    did: Option<&Payload>,
) -> Result<Payload, ScriptError> {
    match direction {
        Direction::Do => plan.open(&instance.data)?.command(at),
        Direction::Undo => plan.open(&instance.data)?.undo(at, did),
        Direction::Close => Ok(Payload::default()),
    }
}
