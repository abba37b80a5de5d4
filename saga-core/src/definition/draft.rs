//! A definition under construction, before its names are checked.

use std::ops::Range;
use std::time::Duration;

use super::DefinitionError;
use super::builder::WIDTH_MAX;
use super::items::{CompensateEach, Each, ITEM_MARK};
use super::notification::Notification;
use super::pause::Pause;
use super::plan::{CommandPlan, NotificationPlan, Role, StepPlan, UndoPlan, Work};
use super::script::StepCode;
use super::signal::Signal;
use super::step::{Compensate, Saga, Step};
use crate::id::{CommandType, Destination, NameError, ParticipantName, SagaName, StepName};
use crate::message::{Command, Participant};
use crate::policy::{Retry, deadline_mistake};

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
    work: DraftWork,
    role: DraftRole,
    items_at_once: Option<usize>,
}

enum DraftWork {
    Command {
        participant: &'static str,
        command_type: &'static str,
        retry: Retry,
        sub_saga: Option<&'static str>,
    },
    Notification {
        notification_type: &'static str,
        topics: &'static [&'static str],
    },
    Signal {
        deadline: Duration,
    },
    Pause,
}

impl DraftWork {
    fn command<T: Command>(retry: Retry) -> Self {
        let (participant, command_type, sub_saga) = (T::Participant::NAME, T::TYPE, T::SUB_SAGA);
        DraftWork::Command { participant, command_type, retry, sub_saga }
    }
}

pub(super) enum DraftRole {
    Compensatable { command_type: &'static str, retry: Retry },
    NothingToUndo,
    Pivot,
    Retriable,
}

impl Draft {
    pub(super) fn of<S: Saga, T: Step<S>>(role: DraftRole) -> Self {
        let work = DraftWork::command::<T>(T::retry());
        Draft { name: <T as Step<S>>::NAME, work, role, items_at_once: None }
    }

    pub(super) fn each<S: Saga, T: Each<S>>(role: DraftRole) -> Self {
        let work = DraftWork::command::<T>(T::retry());
        Draft { name: <T as Each<S>>::NAME, work, role, items_at_once: Some(T::AT_ONCE) }
    }

    pub(super) fn compensatable_each<S: Saga, T: CompensateEach<S>>() -> Self {
        let (command_type, retry) = (<T::Undo as Command>::TYPE, T::undo_retry());
        Draft::each::<S, T>(DraftRole::Compensatable { command_type, retry })
    }

    pub(super) fn notification<S: Saga, T: Notification<S>>() -> Self {
        let work = DraftWork::Notification { notification_type: T::TYPE, topics: T::TOPICS };
        Draft { name: T::NAME, work, role: DraftRole::NothingToUndo, items_at_once: None }
    }

    pub(super) fn signal<S: Saga, T: Signal<S>>() -> Self {
        let work = DraftWork::Signal { deadline: T::deadline() };
        Draft { name: T::NAME, work, role: DraftRole::NothingToUndo, items_at_once: None }
    }

    pub(super) fn pause<S: Saga, T: Pause<S>>(role: DraftRole) -> Self {
        Draft { name: T::NAME, work: DraftWork::Pause, role, items_at_once: None }
    }

    pub(super) fn compensatable<S: Saga, T: Compensate<S>>() -> Self {
        let (command_type, retry) = (<T::Undo as Command>::TYPE, T::undo_retry());
        Draft::of::<S, T>(DraftRole::Compensatable { command_type, retry })
    }

    fn finish(&self, conditional: bool) -> Result<StepPlan, DefinitionError> {
        let (work, role) = (self.finish_work()?, self.finish_role()?);
        let name = StepName::new(self.name).map_err(|error| self.bad_name(error))?;
        if self.name.contains(ITEM_MARK) {
            return Err(DefinitionError::MarkInName { step: self.name });
        }
        let items_at_once = self.finish_items()?;
        Ok(StepPlan { name, role, work, conditional, items_at_once })
    }

    fn finish_notification(&self, notification_type: &str, topics: &[&str]) -> Result<Work, DefinitionError> {
        let notification_type = CommandType::new(notification_type).map_err(|error| self.bad_name(error))?;
        if !(1..=WIDTH_MAX).contains(&topics.len()) {
            return Err(DefinitionError::BadTopics {
                step: self.name,
                count: topics.len(),
                limit: WIDTH_MAX,
            });
        }
        let topics = topics.iter().map(Destination::topic).collect::<Result<_, _>>();
        let topics = topics.map_err(|error| self.bad_name(error))?;
        Ok(Work::Notification(NotificationPlan { notification_type, topics }))
    }

    fn finish_items(&self) -> Result<Option<usize>, DefinitionError> {
        match self.items_at_once {
            Some(width) if !(1..=WIDTH_MAX).contains(&width) => {
                Err(DefinitionError::BadWidth { step: self.name, width, limit: WIDTH_MAX })
            }
            items_at_once => Ok(items_at_once),
        }
    }

    fn finish_work(&self) -> Result<Work, DefinitionError> {
        match self.work {
            DraftWork::Command { participant, command_type, retry, sub_saga } => {
                self.check_retry(retry, matches!(self.role, DraftRole::Pivot))?;
                let participant = ParticipantName::new(participant).map_err(|error| self.bad_name(error))?;
                let command_type = CommandType::new(command_type).map_err(|error| self.bad_name(error))?;
                let sub_saga = self.finish_sub_saga(sub_saga)?;
                Ok(Work::Command(CommandPlan { participant, command_type, retry, sub_saga }))
            }
            DraftWork::Notification { notification_type, topics } => {
                self.finish_notification(notification_type, topics)
            }
            DraftWork::Signal { deadline } => match deadline_mistake(deadline) {
                Some(mistake) => Err(DefinitionError::BadSignal { step: self.name, mistake }),
                None => Ok(Work::Signal { deadline }),
            },
            DraftWork::Pause => Ok(Work::Pause),
        }
    }

    fn finish_sub_saga(&self, name: Option<&str>) -> Result<Option<SagaName>, DefinitionError> {
        match (name, &self.role) {
            (None, _) => Ok(None),
            (Some(name), DraftRole::Compensatable { .. }) => {
                SagaName::new(name).map(Some).map_err(|error| self.bad_name(error))
            }
            (Some(_), DraftRole::NothingToUndo | DraftRole::Pivot | DraftRole::Retriable) => {
                Err(DefinitionError::SubSagaMisplaced { step: self.name })
            }
        }
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
        let each = if step.items_at_once.is_some() { " each" } else { "" };
        let when = if step.conditional { " when" } else { "" };
        let work = match &step.work {
            Work::Command(command) => {
                let runs = if command.sub_saga.is_some() { " runs" } else { "" };
                format!("{}{runs} {}", command.participant, command.command_type)
            }
            Work::Notification(told) => format!("notification {}", told.notification_type),
            Work::Signal { .. } => "signal".to_owned(),
            Work::Pause => "pause".to_owned(),
        };
        format!("{} {} {work} {undo}{each}{when}", step.name, step.role.as_str())
    };
    let group = |group: &Range<usize>| steps[group.clone()].iter().map(step).collect::<Vec<_>>().join(" & ");
    groups.iter().map(group).collect::<Vec<_>>().join("\n")
}
