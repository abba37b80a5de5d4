//! The participants' process: one loop, one connection, one statement for a batch of commands.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use super::broker::{Broker, Inbox, Side};
use super::message::{Answer, Command, Direction, Outgoing};
use super::relay::Relay;
use super::{BATCH, Job, ensure_count, open};
use crate::args::Workload;
use crate::measure::Cost;
use crate::process::Parent;

/// Answers commands until it is told to stop.
pub(super) async fn run<B: Broker>(job: &Job) -> Result<()> {
    let mut database = open(job).await?;
    let (mut inbox, publishers) = B::connect(job, Side::Participants).await?;
    let mut relay = Relay::start(publishers);
    let mut parent = Parent::ready().await?;
    while let Some(commands) = arrived(&mut inbox, &mut relay, &mut parent).await? {
        let handled: Vec<Handled> =
            commands.into_iter().map(|command| handle(command, job.workload.steps)).collect();
        store(&mut database, &handled, &relay.confirmed()).await?;
        relay.publish(handled.into_iter().map(|handled| handled.reply).collect()).await?;
        inbox.settle().await?;
    }
    store(&mut database, &[], &relay.drain().await?).await?;
    let cost = Cost { messages: relay.published(), ..parent.cost()? };
    parent.ended(&cost).await
}

/// The commands that have arrived, or none after a while; `None` if it is time to stop.
async fn arrived(
    inbox: &mut impl Inbox,
    relay: &mut Relay,
    parent: &mut Parent,
) -> Result<Option<Vec<Command>>> {
    tokio::select! {
        commands = inbox.receive(BATCH) => commands.map(Some),
        () = tokio::time::sleep(IDLE), if relay.owes_rows() => Ok(Some(Vec::new())),
        error = relay.failed() => Err(error),
        stopped = parent.stopped() => stopped.map(|()| None),
    }
}

/// A command that is done, but for its transaction.
struct Handled {
    command: Command,
    /// What the fence row says then.
    state: &'static str,
    answer: Answer,
    reply: Outgoing,
}

/// The business work, of which there is none, and the answer.
fn handle(command: Command, steps: u16) -> Handled {
    let (answer, state, body) = match command.direction {
        Direction::Undo => (Answer::Undone, "compensated", String::new()),
        Direction::Do if command.order.refuse && command.step == steps => {
            (Answer::Refused, "refused", r#"{"reason":"declined"}"#.into())
        }
        Direction::Do => {
            let body = format!(r#"{{"confirmation":{}}}"#, command.order.order);
            (Answer::Done, "applied", body)
        }
    };
    let reply = command.reply(answer, body.into_bytes());
    Handled { command, state, answer, reply }
}

/// Writes a batch of fence rows and replies, and deletes the outbox rows that are with the broker.
async fn store(database: &mut PgConnection, handled: &[Handled], confirmed: &[Uuid]) -> Result<()> {
    fn column<'a, T>(handled: &'a [Handled], value: impl Fn(&'a Handled) -> T) -> Vec<T> {
        handled.iter().map(value).collect()
    }
    let written: i64 = sqlx::query_scalar(STORE)
        .bind(column(handled, |h| h.command.saga))
        .bind(column(handled, |h| h.command.step as i16))
        .bind(column(handled, |h| h.state))
        .bind(column(handled, |h| h.command.direction.as_str()))
        .bind(column(handled, |h| h.answer.as_str()))
        .bind(column(handled, |h| h.command.trace.as_str()))
        .bind(column(handled, |h| h.reply.row))
        .bind(column(handled, |h| h.reply.body.as_slice()))
        .bind(confirmed)
        .fetch_one(database)
        .await
        .context("cannot store what was handled")?;
    ensure!(written == handled.len() as i64, "a command came twice");
    Ok(())
}

/// Creates the participants' tables.
pub(super) async fn create_tables(database: &mut PgConnection) -> Result<()> {
    database.execute(TABLES).await.context("cannot create the participants' tables")?;
    Ok(())
}

/// Checks that each command was handled once, and that nothing is left over.
pub(super) async fn verify(database: &mut PgConnection, workload: &Workload) -> Result<()> {
    let refused = workload.refused();
    let steps = u64::from(workload.steps);
    let compensated = refused * (steps - 1);
    let applied = workload.sagas * steps - refused - compensated;
    ensure_count(database, "SELECT count(*) FROM fence WHERE state = 'applied'", applied).await?;
    ensure_count(database, "SELECT count(*) FROM fence WHERE state = 'refused'", refused).await?;
    ensure_count(database, "SELECT count(*) FROM fence WHERE state = 'compensated'", compensated).await?;
    ensure_count(database, "SELECT count(*) FROM outbox", 0).await
}

const TABLES: &str = "
CREATE TABLE fence (
    saga uuid NOT NULL,
    step smallint NOT NULL,
    state text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    reply bytea NOT NULL,
    PRIMARY KEY (saga, step)
);
CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    saga uuid NOT NULL,
    step smallint NOT NULL,
    attempt smallint NOT NULL,
    direction text NOT NULL,
    answer text NOT NULL,
    trace text NOT NULL,
    body bytea NOT NULL,
    claimed_until timestamptz NOT NULL
);
";

const STORE: &str = "
WITH command AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::smallint[], $3::text[],
        $4::text[], $5::text[], $6::text[], $7::uuid[], $8::bytea[]
    ) AS command (saga, step, state, direction, answer, trace, outbox_id, body)
), fenced AS (
    INSERT INTO fence (saga, step, state, reply)
    SELECT saga, step, state, body FROM command
    ON CONFLICT (saga, step) DO UPDATE SET state = excluded.state
        WHERE excluded.state = 'compensated' AND fence.state = 'applied'
    RETURNING 1
), answered AS (
    INSERT INTO outbox (id, saga, step, attempt, direction, answer, trace, body, claimed_until)
    SELECT outbox_id, saga, step, 1, direction, answer, trace, body, now() + interval '30 seconds' FROM command
), confirmed AS (
    DELETE FROM outbox WHERE id = ANY ($9)
)
SELECT count(*) FROM fenced";

/// Confirmed rows go out with the next batch; if none comes for so long, on their own.
const IDLE: Duration = Duration::from_millis(100);
