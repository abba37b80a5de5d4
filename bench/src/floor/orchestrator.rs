//! The orchestrator's process: one loop, one connection, one statement for a batch of transitions.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::FutureExt;
use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use super::broker::{Broker, Inbox, Side};
use super::message::{Outgoing, Reply};
use super::relay::Relay;
use super::sagas::{Event, Next, Sagas, Transition};
use super::{BATCH, Job, ensure_count, open};
use crate::args::Workload;
use crate::measure::Cost;
use crate::process::Parent;

/// Runs all sagas of the job.
pub(super) async fn run<B: Broker>(job: &Job) -> Result<()> {
    let mut database = open(job).await?;
    let (mut inbox, publishers) = B::connect(job, Side::Orchestrator).await?;
    let mut relay = Relay::start(publishers);
    let mut parent = Parent::ready().await?;
    let mut sagas = Sagas::new(job);
    while !sagas.all_ended() {
        let mut transitions = sagas.start(BATCH)?;
        for reply in arrived(&mut inbox, &mut relay, transitions.is_empty()).await? {
            transitions.push(sagas.apply(reply)?);
        }
        store(&mut database, &transitions, &relay.confirmed()).await?;
        sagas.stored(&transitions);
        relay.publish(commands(transitions)).await?;
        inbox.settle().await?;
        parent.progress(sagas.ended()).await?;
    }
    let pace = Some(sagas.into_pace());
    store(&mut database, &[], &relay.drain().await?).await?;
    let messages = relay.published();
    let cost = Cost { pace, messages, ..parent.cost()? };
    parent.ended(&cost).await
}

/// The replies that are there. Waits for one only if there is nothing else to do.
async fn arrived(inbox: &mut impl Inbox, relay: &mut Relay, wait: bool) -> Result<Vec<Reply>> {
    if !wait {
        return inbox.receive(BATCH).now_or_never().unwrap_or_else(|| Ok(Vec::new()));
    }
    tokio::select! {
        replies = inbox.receive(BATCH) => replies,
        error = relay.failed() => Err(error),
        () = tokio::time::sleep(SILENCE) => bail!("no reply came for {} s", SILENCE.as_secs()),
    }
}

fn commands(transitions: Vec<Transition>) -> Vec<Outgoing> {
    transitions.into_iter().filter_map(|transition| transition.next).map(|next| next.command).collect()
}

/// Writes a batch of transitions, and deletes the outbox rows that are with the broker.
async fn store(database: &mut PgConnection, transitions: &[Transition], confirmed: &[Uuid]) -> Result<()> {
    let replies: Vec<Option<&Reply>> = transitions.iter().map(reply).collect();
    let next: Vec<Option<&Next>> = transitions.iter().map(|transition| transition.next.as_ref()).collect();
    let written: i64 = sqlx::query_scalar(STORE)
        .bind(transitions.iter().map(|transition| transition.saga).collect::<Vec<_>>())
        .bind(transitions.iter().map(|transition| transition.version).collect::<Vec<_>>())
        .bind(transitions.iter().map(|transition| transition.status as i16).collect::<Vec<_>>())
        .bind(column(&replies, |reply| reply.step as i16))
        .bind(column(&replies, |reply| reply.direction.as_str()))
        .bind(column(&replies, |reply| reply.answer.as_str()))
        .bind(column(&replies, |reply| reply.body.as_slice()))
        .bind(column(&next, |next| next.step as i16))
        .bind(column(&next, |next| next.direction.as_str()))
        .bind(column(&next, |next| next.command.row))
        .bind(column(&next, |next| next.command.body.as_slice()))
        .bind(confirmed)
        .fetch_one(database)
        .await
        .context("cannot store transitions")?;
    ensure!(written == transitions.len() as i64, "a saga had another version than expected");
    Ok(())
}

fn reply(transition: &Transition) -> Option<&Reply> {
    match &transition.event {
        Event::Started => None,
        Event::Answered(reply) => Some(reply),
    }
}

fn column<'a, R, T>(rows: &[Option<&'a R>], value: impl Fn(&'a R) -> T) -> Vec<Option<T>> {
    rows.iter().map(|row| row.map(&value)).collect()
}

/// Creates the orchestrator's tables.
pub(super) async fn create_tables(database: &mut PgConnection) -> Result<()> {
    database.execute(TABLES).await.context("cannot create the orchestrator's tables")?;
    Ok(())
}

/// Checks that all sagas have ended as they should, and that nothing is left over.
pub(super) async fn verify(database: &mut PgConnection, workload: &Workload) -> Result<()> {
    let refused = workload.refused();
    let completed = workload.sagas - refused;
    let steps = u64::from(workload.steps);
    let transitions = workload.sagas * (steps + 1) + refused * (steps - 1);
    ensure_count(database, "SELECT count(*) FROM instance WHERE status = 2", completed).await?;
    ensure_count(database, "SELECT count(*) FROM instance WHERE status = 3", refused).await?;
    ensure_count(database, "SELECT count(*) FROM journal", transitions).await?;
    ensure_count(database, "SELECT count(*) FROM timer", 0).await?;
    ensure_count(database, "SELECT count(*) FROM outbox", 0).await
}

/// A saga is updated several times in its life, so pages have room for that. Outbox rows are found by their ids,
/// which begin with the time: a sweeper would read the index from its lower end. What the columns do not say of
/// a message follows from them.
const TABLES: &str = "
CREATE TABLE instance (
    id uuid PRIMARY KEY,
    version bigint NOT NULL,
    status smallint NOT NULL,
    step smallint,
    direction text,
    started_at timestamptz NOT NULL DEFAULT now(),
    data bytea NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE journal (
    saga uuid NOT NULL,
    version bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    status smallint NOT NULL,
    step smallint,
    direction text,
    answer text,
    body bytea,
    PRIMARY KEY (saga, version)
);
CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    saga uuid NOT NULL,
    step smallint NOT NULL,
    attempt smallint NOT NULL,
    direction text NOT NULL,
    body bytea NOT NULL,
    claimed_until timestamptz NOT NULL
);
CREATE TABLE timer (
    saga uuid NOT NULL,
    step smallint NOT NULL,
    attempt smallint NOT NULL,
    direction text NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (saga, step)
);
CREATE INDEX timer_due ON timer (due_at);
";

/// One row of `event` is one transition; what hangs on it is written only if the saga had the version expected.
const STORE: &str = "
WITH event AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::bigint[], $3::smallint[],
        $4::smallint[], $5::text[], $6::text[], $7::bytea[],
        $8::smallint[], $9::text[], $10::uuid[], $11::bytea[]
    ) AS event (
        saga, version, status,
        answered_step, answered_direction, answer, reply,
        step, direction, outbox_id, body)
), started AS (
    INSERT INTO instance (id, version, status, step, direction, data)
    SELECT saga, version, status, step, direction, body FROM event WHERE version = 1
), moved AS (
    UPDATE instance
    SET version = event.version, status = event.status, step = event.step, direction = event.direction
    FROM event
    WHERE event.version > 1 AND instance.id = event.saga AND instance.version = event.version - 1
    RETURNING event.*
), written AS (
    SELECT * FROM event WHERE version = 1 UNION ALL SELECT * FROM moved
), journalled AS (
    INSERT INTO journal (saga, version, status, step, direction, answer, body)
    SELECT saga, version, status, answered_step, answered_direction, answer, reply FROM written
), sent AS (
    INSERT INTO outbox (id, saga, step, attempt, direction, body, claimed_until)
    SELECT outbox_id, saga, step, 1, direction, body, now() + interval '30 seconds'
    FROM written WHERE step IS NOT NULL
), dropped AS (
    DELETE FROM timer USING moved WHERE timer.saga = moved.saga AND timer.step = moved.answered_step
), armed AS (
    INSERT INTO timer (saga, step, attempt, direction, due_at)
    SELECT saga, step, 1, direction, now() + interval '30 seconds' FROM written WHERE step IS NOT NULL
), confirmed AS (
    DELETE FROM outbox WHERE id = ANY ($12)
)
SELECT count(*) FROM written";

/// Far longer than any reply takes on a busy machine: a message must be lost.
const SILENCE: Duration = Duration::from_secs(60);
