//! Runs the two sides against the clock, and reads the server's counters before and after.
//!
//! WAL bytes and transaction ids are those of the whole server. They are exact if nothing else uses it, but for a
//! checkpoint in the middle of a run (which makes the server log whole pages for a while) and autovacuum.

use std::pin::pin;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::latency::Pace;
use crate::process::Child;
use crate::progress::Progress;
use crate::statements::Counts;
use crate::usage::Usage;

/// What one process of a run says at its end.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) usage: Usage,
    pub(crate) counts: Counts,
    /// Messages published and confirmed.
    pub(crate) messages: u64,
    /// Set by the orchestrator's process.
    pub(crate) pace: Option<Pace>,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) pace: Pace,
    pub(crate) orchestrator: Cost,
    pub(crate) participants: Cost,
    pub(crate) server: ServerCost,
}

/// What the Postgres server did meanwhile, for whomever.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerCost {
    pub(crate) wal_bytes: u64,
    pub(crate) write_transactions: u64,
}

/// Waits until both are ready, lets them go, and waits for the end.
pub(crate) async fn measure(
    mut orchestrator: Child,
    mut participants: Child,
    server: &mut PgConnection,
    mut progress: Progress,
) -> Result<Measured> {
    participants.ready().await?;
    orchestrator.ready().await?;
    let before = Mark::take(server).await?;
    let serving = participants.go().await?;
    let _running = orchestrator.go().await?;
    let mut participants = pin!(participants.ended(|_| {}));
    let orchestrator = tokio::select! {
        cost = orchestrator.ended(|sagas| progress.show(sagas)) => cost?,
        early = &mut participants => {
            early?;
            bail!("the participants' process ended before the orchestrator's");
        }
    };
    drop(serving);
    let participants = participants.await?;
    let after = Mark::take(server).await?;
    let Some(pace) = orchestrator.pace else {
        bail!("the orchestrator's process did not say how long it took");
    };
    Ok(Measured { pace, orchestrator, participants, server: after.since(before) })
}

/// Where the server's counters stand.
struct Mark {
    wal: i64,
    next_transaction: i64,
}

impl Mark {
    async fn take(server: &mut PgConnection) -> Result<Mark> {
        let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint,
                          pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
        let (wal, next_transaction) =
            sqlx::query_as(sql).fetch_one(server).await.context("cannot read the server's counters")?;
        Ok(Mark { wal, next_transaction })
    }

    fn since(&self, earlier: Mark) -> ServerCost {
        ServerCost {
            wal_bytes: (self.wal - earlier.wal).unsigned_abs(),
            write_transactions: (self.next_transaction - earlier.next_transaction).unsigned_abs(),
        }
    }
}
