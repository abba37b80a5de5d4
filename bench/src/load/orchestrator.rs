//! The orchestrator's side: starts sagas, as many at once as the workload says, and waits for each to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use saga_core::memory::{MemoryFence, MemoryStore, MemoryTransport};
use saga_core::port::{History, Outbox, Store, SystemClock, Transport};
use saga_core::runtime::{Orchestrator, OrchestratorBuilder, Retention, SagaOutcome, participant};
use saga_postgres::PgStore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Job;
use super::counted::Counted;
use super::saga::{Order, bench_service, definition};
use super::world;
use crate::args::Workload;
use crate::latency::Stopwatch;
use crate::measure::Cost;
use crate::process::Parent;
use crate::usage::Usage;

/// Runs all sagas of the job.
pub(super) async fn run(job: &Job) -> Result<()> {
    let transport = world::transport(job)?;
    let store = Arc::new(PgStore::connect(&world::config(job)?).await?);
    let mut builder = builder(store, transport.clone(), &job.workload)?;
    if job.retire {
        builder = builder.retention(Retention::after(RETIRED_AFTER));
    }
    let orchestrator = builder.start().await?;
    let mut parent = Parent::ready().await?;
    let (running, ended) = drive(&orchestrator, &job.workload);
    tokio::pin!(running);
    let stopwatch = loop {
        tokio::select! {
            stopwatch = &mut running => break stopwatch?,
            () = tokio::time::sleep(PROGRESS_EVERY) => parent.progress(ended.load(Ordering::Relaxed)).await?,
        }
    };
    let pace = Some(stopwatch.stop());
    orchestrator.stop(GRACE).await;
    let cost = Cost { pace, messages: transport.published(), ..parent.cost()? };
    parent.ended(&cost).await
}

/// Runs all sagas with everything in this process. The participants' cost is then part of the orchestrator's.
pub(super) async fn run_in_memory(
    workload: &Workload,
    mut progress: impl FnMut(u64),
) -> Result<(Cost, Cost)> {
    let broker = MemoryTransport::default();
    let (asking, answering) =
        (Counted::over(Arc::new(broker.connect())), Counted::over(Arc::new(broker.connect())));
    let fence = Arc::new(MemoryFence::new((), Arc::new(SystemClock)));
    let participants = participant(bench_service(workload.steps), fence, answering.clone()).start().await?;
    let builder = builder(Arc::new(MemoryStore::default()), asking.clone(), workload)?;
    let orchestrator = builder.start().await?;
    let before = Usage::now()?;
    let (running, ended) = drive(&orchestrator, workload);
    tokio::pin!(running);
    let stopwatch = loop {
        tokio::select! {
            stopwatch = &mut running => break stopwatch?,
            () = tokio::time::sleep(PROGRESS_EVERY) => progress(ended.load(Ordering::Relaxed)),
        }
    };
    let pace = Some(stopwatch.stop());
    orchestrator.stop(GRACE).await;
    participants.stop(GRACE).await;
    let cost =
        Cost { pace, usage: Usage::now()?.since(before), messages: asking.published(), ..Cost::default() };
    Ok((cost, Cost { messages: answering.published(), ..Cost::default() }))
}

fn builder<S: Store + Outbox + History>(
    store: Arc<S>,
    transport: Arc<dyn Transport>,
    workload: &Workload,
) -> Result<OrchestratorBuilder<S>> {
    let definition = definition(workload.steps)?;
    Ok(Orchestrator::builder(store, transport, "replies").register(&definition))
}

/// Keeps as many sagas under way as the workload says until all have ended. Also tells how many have.
fn drive<S: Store + Outbox + History>(
    orchestrator: &Orchestrator<S>,
    workload: &Workload,
) -> (impl Future<Output = Result<Stopwatch>> + use<S>, Arc<AtomicU64>) {
    let (orchestrator, workload) = (orchestrator.clone(), workload.clone());
    let ended = Arc::new(AtomicU64::new(0));
    let counter = ended.clone();
    let running = async move {
        let mut stopwatch = Stopwatch::start(workload.sagas);
        let mut sagas = JoinSet::new();
        for number in 0..workload.sagas {
            if sagas.len() as u64 >= workload.in_flight
                && let Some(began) = sagas.join_next().await
            {
                stopwatch.saga_ended(began??);
                counter.fetch_add(1, Ordering::Relaxed);
            }
            sagas.spawn(one(orchestrator.clone(), Order::new(number, workload.refuses(number))));
        }
        while let Some(began) = sagas.join_next().await {
            stopwatch.saga_ended(began??);
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Ok(stopwatch)
    };
    (running, ended)
}

/// Starts one saga, waits for its end, and checks that it ended as it should.
async fn one<S: Store + History>(orchestrator: Orchestrator<S>, order: Order) -> Result<Instant> {
    let began = Instant::now();
    let refuse = order.refuse;
    let outcome = orchestrator.start(order).await?.outcome().await?;
    match outcome {
        SagaOutcome::Completed(_) if !refuse => Ok(began),
        SagaOutcome::Compensated { .. } if refuse => Ok(began),
        SagaOutcome::Completed(_) | SagaOutcome::Compensated { .. } => bail!("a saga ended the wrong way"),
        SagaOutcome::Parked { reason } => bail!("a saga parked: {reason}"),
    }
}

/// Soon, so that the job works while sagas run.
const RETIRED_AFTER: Duration = Duration::from_secs(1);

const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// How long to drain at the end; the report's costs include it.
const GRACE: Duration = Duration::from_secs(10);
