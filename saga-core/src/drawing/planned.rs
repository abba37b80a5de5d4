//! What a definition says, in words.

use std::time::Duration;

use crate::definition::{CommandPlan, NotificationPlan, Plan, Role, StepPlan, UndoPlan, Work};
use crate::id::{CommandType, StepName};
use crate::policy::Retry;

/// What is said of the saga as a whole.
pub(super) fn saga(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> = plan.deadline().map(|most| deadline(plan, most)).into_iter().collect();
    let versions: Vec<String> = plan.older().map(|older| older.reference().version.to_string()).collect();
    if !versions.is_empty() {
        lines.push(format!("sagas of version {} may move to it", versions.join(" and ")));
    }
    lines
}

fn deadline(plan: &Plan, most: Duration) -> String {
    format!("compensated if it is not {} within {most:?}", goal(plan))
}

/// What a saga's deadline is for.
pub(super) fn goal(plan: &Plan) -> &'static str {
    match plan.steps().iter().any(|step| matches!(step.role, Role::Pivot)) {
        true => "at its pivot",
        false => "through",
    }
}

/// What is said of a step.
pub(super) fn step(step: &StepPlan) -> Vec<String> {
    let mut lines = vec![step.name.to_string()];
    lines.extend(work(step));
    lines.extend(step.items_at_once.map(|width| format!("for each item, {width} at once")));
    lines.extend(step.conditional.then(|| "if its condition holds".into()));
    lines.extend(role(step));
    lines
}

fn work(step: &StepPlan) -> Vec<String> {
    match &step.work {
        Work::Command(command) => commanded(step, command),
        Work::Notification(NotificationPlan { notification_type, topics }) => {
            let topics: Vec<&str> = topics.iter().map(|topic| topic.as_str()).collect();
            let mut lines = vec![format!("tells {}", topics.join(", "))];
            lines.extend(named_otherwise("notification", &step.name, notification_type));
            lines
        }
        // Whether there is a signal for that hangs on the data of each saga.
        Work::Signal { deadline } => vec![
            format!("waits for a signal, at most {deadline:?}"),
            "then the signal of at_deadline counts, or it is compensated".into(),
        ],
        Work::Pause => vec!["pauses".into()],
    }
}

fn commanded(step: &StepPlan, command: &CommandPlan) -> Vec<String> {
    let participant = &command.participant;
    let mut lines = match &command.sub_saga {
        Some(saga) => vec![format!("{participant} runs the saga {saga}")],
        None => {
            let who = match command.is_local() {
                true => "local: in the orchestrator's own database".into(),
                false => participant.to_string(),
            };
            let command = named_otherwise("command", &step.name, &command.command_type);
            [Some(who), command].into_iter().flatten().collect()
        }
    };
    lines.extend(tried(&command.retry, &Retry::default(), is_limited(step)));
    lines
}

/// What a message is called, where that is not the name of its step.
fn named_otherwise(what: &str, step: &StepName, message: &CommandType) -> Option<String> {
    (step.as_str() != message.as_str()).then(|| format!("{what}: {message}"))
}

/// Whether asking for a step ever ends: what cannot be taken back and cannot be refused is asked for without end.
fn is_limited(step: &StepPlan) -> bool {
    match step.role {
        Role::Compensatable(_) | Role::NothingToUndo => true,
        Role::Pivot => step.retry().close_when_spent,
        Role::Retriable => false,
    }
}

/// How often and how long something is tried, where that is not as usual.
fn tried(retry: &Retry, usual: &Retry, is_limited: bool) -> Option<String> {
    let attempts = (is_limited && retry.attempts != usual.attempts).then_some(retry.attempts);
    let timeout = (retry.timeout != usual.timeout).then_some(retry.timeout);
    let backoff = (retry.backoff != usual.backoff).then_some(retry.backoff);
    let parts: Vec<String> = [
        attempts.map(|attempts| format!("{attempts} attempt{}", if attempts == 1 { "" } else { "s" })),
        timeout.map(|timeout| format!("{timeout:?} for each")),
        backoff.map(|pauses| format!("pauses from {:?} to {:?}", pauses.first, pauses.max)),
        retry.deadline.filter(|_| is_limited).map(|deadline| format!("{deadline:?} for all")),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn role(step: &StepPlan) -> Option<String> {
    match &step.role {
        Role::Compensatable(undo) => Some(undone(step, undo)),
        Role::NothingToUndo => step.command().map(|_| "a check: nothing to undo".into()),
        Role::Pivot if step.retry().close_when_spent => Some("pivot, closed if it stays unknown".into()),
        Role::Pivot | Role::Retriable => Some(step.role.as_str().into()),
    }
}

fn undone(step: &StepPlan, undo: &UndoPlan) -> String {
    let how = match step.sub_saga() {
        Some(_) => "undo: compensates it".into(),
        None => format!("undo: {}", undo.command_type),
    };
    let tried = tried(&undo.retry, &Retry::for_undo(), true);
    [Some(how), tried].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
