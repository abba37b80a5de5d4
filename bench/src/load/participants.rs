//! The participants' side: one service that takes the commands of every step.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use saga_core::runtime::participant;
use saga_postgres::PgFence;

use super::Job;
use super::saga::bench_service;
use super::world;
use crate::measure::Cost;
use crate::process::Parent;

/// Answers commands until it is told to stop.
pub(super) async fn run(job: &Job) -> Result<()> {
    let transport = world::transport(job)?;
    let fence = Arc::new(PgFence::connect(&world::config(job)?).await?);
    let service = participant(bench_service(job.workload.steps), fence, transport.clone());
    let participating = service.commands_per_transaction(job.commands_per_transaction).start().await?;
    let mut parent = Parent::ready().await?;
    parent.stopped().await?;
    participating.stop(Duration::from_secs(10)).await;
    let cost = Cost { messages: transport.published(), ..parent.cost()? };
    parent.ended(&cost).await
}
