//! The adapters of a run: transports, databases, and what is checked and removed after it.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use saga_broker::kafka::{Kafka, KafkaConfig};
use saga_broker::rabbitmq::{RabbitMq, RabbitMqConfig};
use saga_core::id::Destination;
use saga_core::namespace::Namespaced;
use saga_core::port;
use saga_postgres::Config;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::Job;
use super::counted::Counted;
use crate::args::{KAFKA_PARTITIONS, Transport};

/// The transport of a job, counting.
pub(super) fn transport(job: &Job) -> Result<Arc<Counted>> {
    let inner: Arc<dyn port::Transport> = match job.transport {
        Transport::RabbitMq => Arc::new(RabbitMq::new(RabbitMqConfig::new(&job.broker)?)),
        Transport::Kafka => {
            Arc::new(Kafka::new(KafkaConfig::new(job.broker.clone()).partitions(KAFKA_PARTITIONS))?)
        }
        Transport::Memory => bail!("the memory transport lives in one process"),
    };
    Ok(Counted::over(Namespaced::around(inner, Destination::new(&job.namespace)?)))
}

/// How the framework reaches the job's database. Statements are reported, so that they can be counted.
pub(super) fn config(job: &Job) -> Result<Config> {
    Ok(Config::new(&job.database)?.report_statements())
}

/// Creates the framework's tables.
pub(super) async fn migrate(job: &Job) -> Result<()> {
    saga_postgres::migrate(&config(job)?).await.context("cannot migrate")
}

/// Checks that all sagas ended as they should, and that nothing is left over.
pub(super) async fn verify(orchestrator: &Job, participants: &Job) -> Result<()> {
    let refused = orchestrator.workload.refused();
    let completed = orchestrator.workload.sagas - refused;
    let mut database = PgConnection::connect(&orchestrator.database).await?;
    for (status, count) in [("completed", completed), ("compensated", refused)] {
        let sql = format!(
            "SELECT count(*) FROM (SELECT status FROM saga.instance UNION ALL SELECT status FROM saga.archive) AS ended
             WHERE status = '{status}'"
        );
        ensure_count(&mut database, sql, count).await?;
    }
    ensure_count(&mut database, "SELECT count(*) FROM saga.timer", 0).await?;
    // The last end notices may be sent by the next process.
    if !orchestrator.retire {
        ensure_count(&mut database, "SELECT count(*) FROM saga.outbox", 0).await?;
    }
    let mut database = PgConnection::connect(&participants.database).await?;
    ensure_count(&mut database, "SELECT count(*) FROM saga.fence WHERE state = 'refused'", refused).await?;
    ensure_count(&mut database, "SELECT count(*) FROM saga.outbox", 0).await
}

async fn ensure_count(database: &mut PgConnection, sql: impl Into<String>, expected: u64) -> Result<()> {
    let sql = sql.into();
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_one(database).await?;
    ensure!(count.unsigned_abs() == expected, "{sql}: {count} instead of {expected}");
    Ok(())
}
