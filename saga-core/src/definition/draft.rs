//! A definition under construction, before its names are checked.

use std::ops::Range;

use super::DefinitionError;
use super::plan::{Role, StepPlan, UndoPlan};
use super::script::StepCode;
use super::step::{Compensate, Saga, Step};
use crate::id::{CommandType, NameError, ParticipantName, StepName};
use crate::message::{Command, Participant};
use crate::policy::Retry;

/// The steps of a definition under construction.
pub struct Steps<S> {
    pub(super) drafts: Vec<Draft>,
    pub(super) codes: Vec<StepCode<S>>,
}

impl<S: Saga> Steps<S> {
    pub(super) fn push(&mut self, draft: Draft, code: StepCode<S>) {
        self.drafts.push(draft);
        self.codes.push(code);
    }

    /// Makes the step at `place` depend on a condition.
    pub(super) fn set_condition(
        &mut self,
        place: usize,
        condition: fn(&S) -> bool,
    ) -> Result<(), DefinitionError> {
        let step = self.drafts[place].name;
        match self.codes[place].condition.replace(condition) {
            None => Ok(()),
            Some(_) => Err(DefinitionError::TwoConditions { saga: S::NAME, step }),
        }
    }

    /// The plans of all steps.
    pub(super) fn finish(&self) -> Result<Vec<StepPlan>, DefinitionError> {
        let steps = self.drafts.iter().zip(&self.codes);
        steps.map(|(draft, code)| draft.finish(code.condition.is_some())).collect()
    }

    pub(super) fn check_distinct(&self) -> Result<(), DefinitionError> {
        let mut seen = std::collections::HashSet::new();
        match self.drafts.iter().find(|draft| !seen.insert(draft.name)) {
            Some(draft) => Err(DefinitionError::DuplicateStep { saga: S::NAME, step: draft.name }),
            None => Ok(()),
        }
    }
}

/// A step as its traits describe it, before its names are checked.
pub(super) struct Draft {
    pub(super) name: &'static str,
    participant: &'static str,
    command_type: &'static str,
    retry: Retry,
    role: DraftRole,
}

pub(super) enum DraftRole {
    Compensatable { command_type: &'static str, retry: Retry },
    NothingToUndo,
    Pivot,
    Retriable,
}

impl Draft {
    pub(super) fn of<S: Saga, T: Step<S>>(role: DraftRole) -> Self {
        let (name, command_type) = (<T as Step<S>>::NAME, <T as Command>::TYPE);
        Draft { name, participant: T::Participant::NAME, command_type, retry: T::retry(), role }
    }

    pub(super) fn compensatable<S: Saga, T: Compensate<S>>() -> Self {
        let (command_type, retry) = (<T::Undo as Command>::TYPE, T::undo_retry());
        Draft::of::<S, T>(DraftRole::Compensatable { command_type, retry })
    }

    fn finish(&self, conditional: bool) -> Result<StepPlan, DefinitionError> {
        self.check_retry(self.retry, matches!(self.role, DraftRole::Pivot))?;
        Ok(StepPlan {
            name: StepName::new(self.name).map_err(|error| self.bad_name(error))?,
            role: self.finish_role()?,
            participant: ParticipantName::new(self.participant).map_err(|error| self.bad_name(error))?,
            command_type: CommandType::new(self.command_type).map_err(|error| self.bad_name(error))?,
            retry: self.retry,
            conditional,
        })
    }

    fn finish_role(&self) -> Result<Role, DefinitionError> {
        Ok(match self.role {
            DraftRole::Compensatable { command_type, retry } => {
                self.check_retry(retry, false)?;
                let command_type = CommandType::new(command_type).map_err(|error| self.bad_name(error))?;
                Role::Compensatable(UndoPlan { command_type, retry })
            }
            DraftRole::NothingToUndo => Role::NothingToUndo,
            DraftRole::Pivot => Role::Pivot,
            DraftRole::Retriable => Role::Retriable,
        })
    }

    fn check_retry(&self, retry: Retry, is_pivot: bool) -> Result<(), DefinitionError> {
        let misplaced = (retry.close_when_spent && !is_pivot)
            .then_some("`close_when_spent`, which means something for a pivot only");
        match retry.mistake().or(misplaced) {
            Some(mistake) => Err(DefinitionError::BadRetry { step: self.name, mistake }),
            None => Ok(()),
        }
    }

    fn bad_name(&self, error: NameError) -> DefinitionError {
        DefinitionError::BadName { step: self.name, error }
    }
}

/// The graph as text: what must not change under a running saga. Retry options may, so they are left out.
pub(super) fn canonical(steps: &[StepPlan], groups: &[Range<usize>]) -> String {
    let step = |step: &StepPlan| {
        let undo = step.undo().map_or("-", |undo| undo.command_type.as_str());
        let when = if step.conditional { " when" } else { "" };
        let (name, role) = (&step.name, step.role.as_str());
        format!("{name} {role} {} {} {undo}{when}", step.participant, step.command_type)
    };
    let group = |group: &Range<usize>| steps[group.clone()].iter().map(step).collect::<Vec<_>>().join(" & ");
    groups.iter().map(group).collect::<Vec<_>>().join("\n")
}
