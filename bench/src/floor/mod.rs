//! The floor: what a saga over an outbox and a broker costs if somebody writes it by hand, for this one saga.
//!
//! ```text
//! orchestrator                                                     participants
//!   take replies that have arrived, decide, one statement:           take commands that have arrived, one statement:
//!     sagas, journal, outbox, timers, confirmed rows out               fence, outbox, confirmed rows out
//!   relay: publish, collect confirms ----> commands ---->
//!   acknowledge the replies          <----- replies <----            relay: publish, collect confirms
//! ```
//!
//! It is a yardstick, so it has everything that costs and must not be left out: a version check for each
//! transition, durable commits, durable queues, publisher confirms awaited before a row is deleted,
//! acknowledgement after the commit, and the messages of `saga_core::message` to the byte. It batches as far as
//! it can be done without waiting: take what has arrived, write it in one statement, hand it over.
//!
//! It leaves out what costs nothing while all goes well, and what makes a framework: recovery after a crash or a
//! lost connection (any error ends the run), sagas of another shape, retries, operators.

mod broker;
mod kafka;
mod message;
mod orchestrator;
mod participants;
mod rabbitmq;
mod relay;
mod sagas;

use anyhow::{Context, Result, bail, ensure};
use saga_core::port::{IdSource, RandomIds};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::args::{FloorArguments, Store, Transport, Workload};
use crate::database;
use crate::measure::{Measured, measure};
use crate::process::Child;
use crate::progress::Progress;
use crate::report::{Report, System};
use broker::Broker;
use kafka::Kafka;
use rabbitmq::RabbitMq;

/// All that one side's process must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Job {
    database: String,
    transport: Transport,
    broker: String,
    /// The queue or topic of the commands.
    commands: String,
    /// The queue or topic of the replies.
    replies: String,
    workload: Workload,
}

/// Runs the floor once.
pub(crate) async fn run(arguments: &FloorArguments) -> Result<Report> {
    let measured = match arguments.transport {
        Transport::RabbitMq => run_over::<RabbitMq>(arguments).await?,
        Transport::Kafka => run_over::<Kafka>(arguments).await?,
        Transport::Memory => bail!("the floor is measured over a broker: rabbitmq or kafka"),
    };
    Ok(Report::new(System::Floor, Store::Postgres, arguments.transport, &arguments.workload, measured))
}

/// The orchestrator's process.
pub(crate) async fn orchestrate(job: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job)?;
    match job.transport {
        Transport::RabbitMq => orchestrator::run::<RabbitMq>(&job).await,
        Transport::Kafka => orchestrator::run::<Kafka>(&job).await,
        Transport::Memory => bail!("the floor has no memory transport"),
    }
}

/// The participants' process.
pub(crate) async fn participate(job: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job)?;
    match job.transport {
        Transport::RabbitMq => participants::run::<RabbitMq>(&job).await,
        Transport::Kafka => participants::run::<Kafka>(&job).await,
        Transport::Memory => bail!("the floor has no memory transport"),
    }
}

/// Makes databases and queues, runs, and removes them, whatever became of the run.
async fn run_over<B: Broker>(arguments: &FloorArguments) -> Result<Measured> {
    let postgres = arguments.servers.postgres()?;
    let mut server = database::connect(postgres).await?;
    let name = format!("bench_{}", RandomIds.uuid().simple());
    let names = [format!("{name}_orchestrator"), format!("{name}_participants")];
    let job = Job {
        database: String::new(),
        transport: arguments.transport,
        broker: arguments.servers.broker(arguments.transport)?,
        commands: format!("{name}.commands"),
        replies: format!("{name}.replies"),
        workload: arguments.workload.clone(),
    };
    let measured = tokio::select! {
        measured = run_job::<B>(&mut server, postgres, &names, &job) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let cleaned = clean::<B>(&mut server, &names, &job).await;
    let measured = measured?;
    cleaned.context("the run went well, but not all of it could be removed")?;
    Ok(measured)
}

async fn clean<B: Broker>(server: &mut PgConnection, names: &[String], job: &Job) -> Result<()> {
    for name in names {
        database::drop(server, name).await?;
    }
    B::delete_queues(&job.broker, &[job.commands.clone(), job.replies.clone()]).await
}

/// Deletes queues or topics of a run of the framework.
pub(crate) async fn delete_queues(transport: Transport, broker: &str, queues: &[String]) -> Result<()> {
    match transport {
        Transport::RabbitMq => RabbitMq::delete_queues(broker, queues).await,
        Transport::Kafka => Kafka::delete_queues(broker, queues).await,
        Transport::Memory => Ok(()),
    }
}

async fn run_job<B: Broker>(
    server: &mut PgConnection,
    url: &str,
    names: &[String; 2],
    job: &Job,
) -> Result<Measured> {
    B::create_queues(job).await?;
    let [orchestrator, participants] = names;
    let orchestrator = Job { database: database::create(server, url, orchestrator).await?, ..job.clone() };
    let participants = Job { database: database::create(server, url, participants).await?, ..job.clone() };
    orchestrator::create_tables(&mut open(&orchestrator).await?).await?;
    participants::create_tables(&mut open(&participants).await?).await?;
    let measured = measure(
        Child::start("floor-orchestrator", &orchestrator)?,
        Child::start("floor-participants", &participants)?,
        server,
        Progress::new(job.workload.sagas, "floor"),
    )
    .await?;
    orchestrator::verify(&mut open(&orchestrator).await?, &job.workload).await?;
    participants::verify(&mut open(&participants).await?, &job.workload).await?;
    Ok(measured)
}

/// The dedicated connection of one loop.
///
/// A generic plan serves every batch. The tables are empty when it is made, so the planner must be told that
/// they will not stay so: it is to look rows up by their keys.
async fn open(job: &Job) -> Result<PgConnection> {
    let options = PgConnectOptions::from_url(&job.database.parse()?)?.options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ]);
    Ok(PgConnection::connect_with(&options).await?)
}

/// Compares a table's count with what the workload must have left.
async fn ensure_count(database: &mut PgConnection, sql: &'static str, expected: u64) -> Result<()> {
    let count: i64 = sqlx::query_scalar(sql).fetch_one(database).await?;
    ensure!(count.unsigned_abs() == expected, "{sql}: {count} instead of {expected}");
    Ok(())
}

/// Enough to make a commit and a round trip cheap for each of its messages, and small beside the sagas' memory.
const BATCH: usize = 1_000;
