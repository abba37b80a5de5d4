//! Commits as the arrays that the statements of [`table::commit`](crate::table::commit) take.

use std::time::Duration;

use saga_core::definition::DefinitionRef;
use saga_core::id::{Direction, SagaId, StepName, Version};
use saga_core::port::{Change, Commit, JournalEntry, OutboxRow, Start, TimerChange};
use sqlx::postgres::PgBindIterExt;
use uuid::Uuid;

use crate::pool::Statement;
use crate::row::{headers_column, micros, printable};

/// The version that the saga must have for the commit to be stored; a start finds none.
pub(crate) fn expected_version(commit: &Commit) -> Version {
    match commit.change {
        Change::Start(_) => 0,
        Change::Move { expected } | Change::Upgrade { expected, .. } => expected,
    }
}

/// What only a start has.
pub(crate) fn start(commit: &Commit) -> Option<&Start> {
    match &commit.change {
        Change::Start(start) => Some(start),
        Change::Move { .. } | Change::Upgrade { .. } => None,
    }
}

/// The definition that must be registered for the commit to be stored.
pub(crate) fn needed_definition(commit: &Commit) -> Option<&DefinitionRef> {
    match &commit.change {
        Change::Start(start) => Some(&start.definition),
        Change::Upgrade { definition, .. } => Some(definition),
        Change::Move { .. } => None,
    }
}

/// Binds `$3..` of [`COMMIT`](crate::table::commit::COMMIT).
pub(crate) fn bind_commits(statement: Statement, lease: Duration, commits: &[&Commit]) -> Statement {
    let statement = bind_sagas(statement.bind(micros(lease)), commits);
    let statement = bind_starts(statement, commits);
    let statement = bind_journal(statement, commits);
    let statement = bind_outbox(statement, commits);
    let statement = bind_timers(statement, commits);
    let statement = bind_parents(statement, commits);
    bind_upgrades(statement, commits)
}

/// Binds `$2..` of [`WHY_NOT_STORED`](crate::table::commit::WHY_NOT_STORED).
pub(crate) fn bind_lost(statement: Statement, commits: &[&Commit]) -> Statement {
    let of_start = || commits.iter().map(|commit| start(commit));
    let definitions = || commits.iter().map(|commit| needed_definition(commit));
    statement
        .bind(commits.iter().map(|commit| commit.id.as_uuid()).bind_iter())
        .bind(commits.iter().map(|commit| column(expected_version(commit) + 1)).bind_iter())
        .bind(definitions().map(|known| known.map(|known| known.name.as_str())).bind_iter())
        .bind(definitions().map(|known| known.map(|known| i64::from(known.version))).bind_iter())
        .bind(definitions().map(|known| known.map(|known| known.fingerprint.as_uuid())).bind_iter())
        .bind(of_start().map(|start| start.and_then(key_of)).bind_iter())
        .bind(of_start().map(|start| start.map(|start| start.input)).bind_iter())
}

fn bind_sagas(statement: Statement, commits: &[&Commit]) -> Statement {
    let version = |commit: &&Commit| column(expected_version(commit) + commit.journal.len() as Version);
    statement
        .bind(commits.iter().map(|commit| commit.id.as_uuid()).bind_iter())
        .bind(commits.iter().map(|commit| column(expected_version(commit))).bind_iter())
        .bind(commits.iter().map(version).bind_iter())
        .bind(commits.iter().map(|commit| commit.status.as_str()).bind_iter())
        .bind(commits.iter().map(|commit| commit.state.as_ref()).bind_iter())
        .bind(commits.iter().map(|commit| commit.data.as_ref()).bind_iter())
        .bind(commits.iter().map(|commit| commit.parked.as_deref().map(printable)).bind_iter())
}

fn bind_starts(statement: Statement, commits: &[&Commit]) -> Statement {
    let starts = || commits.iter().filter_map(|commit| Some((commit.id, start(commit)?)));
    statement
        .bind(starts().map(|(id, _)| id.as_uuid()).bind_iter())
        .bind(starts().map(|(_, start)| start.definition.name.as_str()).bind_iter())
        .bind(starts().map(|(_, start)| i64::from(start.definition.version)).bind_iter())
        .bind(starts().map(|(_, start)| start.definition.fingerprint.as_uuid()).bind_iter())
        .bind(starts().map(|(_, start)| key_of(start)).bind_iter())
        .bind(starts().map(|(_, start)| start.input).bind_iter())
}

fn bind_parents(statement: Statement, commits: &[&Commit]) -> Statement {
    let parents = || commits.iter().filter_map(|commit| start(commit)).map(|start| start.parent.as_ref());
    statement
        .bind(parents().map(|parent| parent.map(|(saga, _)| saga.as_uuid())).bind_iter())
        .bind(parents().map(|parent| parent.map(|(_, step)| step.as_str())).bind_iter())
}

fn bind_upgrades(statement: Statement, commits: &[&Commit]) -> Statement {
    let upgrades = || {
        commits.iter().filter_map(|commit| match &commit.change {
            Change::Upgrade { definition, .. } => Some((commit.id, definition)),
            Change::Start(_) | Change::Move { .. } => None,
        })
    };
    statement
        .bind(upgrades().map(|(saga, _)| saga.as_uuid()).bind_iter())
        .bind(upgrades().map(|(_, definition)| definition.name.as_str()).bind_iter())
        .bind(upgrades().map(|(_, definition)| i64::from(definition.version)).bind_iter())
        .bind(upgrades().map(|(_, definition)| definition.fingerprint.as_uuid()).bind_iter())
}

fn bind_journal(statement: Statement, commits: &[&Commit]) -> Statement {
    let entries = || of_sagas(commits, |commit| &commit.journal);
    let entry = || entries().map(|(_, entry): (SagaId, &JournalEntry)| entry);
    statement
        .bind(entries().map(|(saga, _)| saga.as_uuid()).bind_iter())
        .bind(entry().map(|entry| column(entry.version)).bind_iter())
        .bind(entry().map(|entry| entry.event.as_ref()).bind_iter())
        .bind(entry().map(|entry| entry.now.as_micros()).bind_iter())
        .bind(entry().map(|entry| printable(&entry.decision)).bind_iter())
}

fn bind_outbox(statement: Statement, commits: &[&Commit]) -> Statement {
    let sagas = of_sagas(commits, |commit| &commit.outbox).map(|(saga, _)| saga.as_uuid());
    let rows = || commits.iter().flat_map(|commit| &commit.outbox);
    bind_rows(statement.bind(sagas.bind_iter()), rows)
}

/// Binds outbox rows: id, message, destination, key, headers, body, claimed.
pub(crate) fn bind_rows<'a, I: Iterator<Item = &'a OutboxRow>>(
    statement: Statement,
    rows: impl Fn() -> I,
) -> Statement {
    statement
        .bind(rows().map(|row| row.id.as_uuid()).bind_iter())
        .bind(rows().map(|row| row.envelope.id.as_uuid()).bind_iter())
        .bind(rows().map(|row| row.envelope.destination.to_string()).bind_iter())
        .bind(rows().map(|row| row.envelope.key.as_uuid()).bind_iter())
        .bind(rows().map(|row| headers_column(&row.envelope.headers)).bind_iter())
        .bind(rows().map(|row| row.envelope.body.as_ref()).bind_iter())
        .bind(rows().map(|row| row.claimed).bind_iter())
}

fn bind_timers(statement: Statement, commits: &[&Commit]) -> Statement {
    let armed = || of_sagas(commits, |commit| &commit.timers).filter_map(armed);
    let dropped = || of_sagas(commits, |commit| &commit.timers).filter_map(dropped);
    statement
        .bind(armed().map(|timer| timer.saga).bind_iter())
        .bind(armed().map(|timer| timer.step.as_str()).bind_iter())
        .bind(armed().map(|timer| timer.direction.as_str()).bind_iter())
        .bind(armed().map(|timer| timer.attempt).bind_iter())
        .bind(armed().map(|timer| timer.after).bind_iter())
        .bind(dropped().map(|(saga, _)| saga).bind_iter())
        .bind(dropped().map(|(_, step)| step.as_str()).bind_iter())
}

struct Armed<'a> {
    saga: Uuid,
    step: &'a StepName,
    direction: Direction,
    attempt: i64,
    after: i64,
}

fn armed((saga, change): (SagaId, &TimerChange)) -> Option<Armed<'_>> {
    match change {
        TimerChange::Drop { .. } => None,
        TimerChange::Arm { step, direction, attempt, after } => Some(Armed {
            saga: saga.as_uuid(),
            step,
            direction: *direction,
            attempt: i64::from(*attempt),
            after: micros(*after),
        }),
    }
}

fn dropped((saga, change): (SagaId, &TimerChange)) -> Option<(Uuid, &StepName)> {
    match change {
        TimerChange::Arm { .. } => None,
        TimerChange::Drop { step } => Some((saga.as_uuid(), step)),
    }
}

fn of_sagas<'a, T: 'a>(
    commits: &'a [&'a Commit],
    list: impl Fn(&'a Commit) -> &'a Vec<T>,
) -> impl Iterator<Item = (SagaId, &'a T)> {
    commits.iter().flat_map(move |commit| list(commit).iter().map(|item| (commit.id, item)))
}

/// The business key that a commit starts a saga under.
pub(crate) fn key(commit: &Commit) -> Option<&str> {
    start(commit).and_then(key_of)
}

fn key_of(start: &Start) -> Option<&str> {
    start.key.as_ref().map(|key| key.as_str())
}

/// A version as a column holds it.
fn column(version: Version) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}
