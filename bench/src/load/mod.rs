//! The framework under load: the same saga, rows and messages as the floor, through the public API.

mod counted;
mod orchestrator;
mod participants;
mod saga;
mod world;

use anyhow::{Context, Result, ensure};
use saga_core::port::{IdSource, RandomIds};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::args::{LoadArguments, Store, Transport, Workload};
use crate::database;
use crate::floor;
use crate::measure::{Measured, ServerCost, measure};
use crate::process::Child;
use crate::progress::Progress;
use crate::report::{Report, System};

/// All that one side's process must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Job {
    /// What every destination begins with, so that runs do not meet.
    namespace: String,
    database: String,
    transport: Transport,
    broker: String,
    commands_per_transaction: usize,
    retire: bool,
    workload: Workload,
}

/// Runs the framework once: in two processes, or in one if all is in memory.
pub(crate) async fn run(arguments: &LoadArguments) -> Result<Report> {
    ensure!(
        (arguments.store == Store::Memory) == (arguments.transport == Transport::Memory),
        "the memory store and the memory transport go together: they live in one process"
    );
    let measured = match arguments.store {
        Store::Memory => in_memory(arguments).await?,
        Store::Postgres => in_two_processes(arguments).await?,
    };
    Ok(Report::new(System::Saga, arguments.store, arguments.transport, &arguments.workload, measured))
}

/// The orchestrator's process.
pub(crate) async fn orchestrate(job: &str) -> Result<()> {
    orchestrator::run(&serde_json::from_str(job)?).await
}

/// The participants' process.
pub(crate) async fn participate(job: &str) -> Result<()> {
    participants::run(&serde_json::from_str(job)?).await
}

async fn in_memory(arguments: &LoadArguments) -> Result<Measured> {
    let mut progress = Progress::new(arguments.workload.sagas, "saga");
    let (orchestrator, participants) =
        orchestrator::run_in_memory(&arguments.workload, |sagas| progress.show(sagas)).await?;
    let Some(pace) = orchestrator.pace else { unreachable!("the orchestrator measures its pace") };
    Ok(Measured { pace, orchestrator, participants, server: ServerCost::default() })
}

/// Makes databases, runs, and removes them, whatever became of the run.
async fn in_two_processes(arguments: &LoadArguments) -> Result<Measured> {
    let mut server = database::connect(arguments.servers.postgres()?).await?;
    let name = format!("bench_{}", RandomIds.uuid().simple());
    let names = [format!("{name}_orchestrator"), format!("{name}_participants")];
    let job = Job {
        namespace: name,
        database: String::new(),
        transport: arguments.transport,
        broker: arguments.servers.broker(arguments.transport)?,
        commands_per_transaction: arguments.commands_per_transaction as usize,
        retire: arguments.retire,
        workload: arguments.workload.clone(),
    };
    let measured = tokio::select! {
        measured = run_job(&mut server, arguments.servers.postgres()?, &names, &job) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let cleaned = clean(&mut server, &names, &job).await;
    let measured = measured?;
    cleaned.context("the run went well, but not all of it could be removed")?;
    Ok(measured)
}

async fn clean(server: &mut PgConnection, names: &[String], job: &Job) -> Result<()> {
    for name in names {
        database::drop(server, name).await?;
    }
    let queues =
        ["bench", "bench.dead", "replies", "replies.dead"].map(|queue| format!("{}.{queue}", job.namespace));
    floor::delete_queues(job.transport, &job.broker, &queues).await
}

async fn run_job(server: &mut PgConnection, url: &str, names: &[String; 2], job: &Job) -> Result<Measured> {
    let [orchestrator, participants] = names;
    let orchestrator = Job { database: database::create(server, url, orchestrator).await?, ..job.clone() };
    let participants = Job { database: database::create(server, url, participants).await?, ..job.clone() };
    world::migrate(&orchestrator).await?;
    world::migrate(&participants).await?;
    let measured = measure(
        Child::start("load-orchestrator", &orchestrator)?,
        Child::start("load-participants", &participants)?,
        server,
        Progress::new(job.workload.sagas, "saga"),
    )
    .await?;
    world::verify(&orchestrator, &participants).await?;
    Ok(measured)
}
