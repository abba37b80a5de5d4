//! What a run is reported as: a line of JSON, or columns side by side for people.

use anyhow::Result;
use serde::Serialize;

use crate::args::{Store, Transport, Workload};
use crate::measure::Measured;

/// The figures of one run. The serialised fields are the JSON line.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    system: System,
    store: Store,
    transport: Transport,
    sagas: u64,
    in_flight: u64,
    sagas_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    orchestrator_commits_per_saga: f64,
    participant_commits_per_command: f64,
    statements_per_saga: f64,
    wal_bytes_per_saga: f64,
    messages_per_saga: f64,
    /// Of both processes, without the servers.
    cpu_s_per_saga: f64,
    /// Of both processes, each at its own peak.
    peak_rss_mib: f64,
    #[serde(skip)]
    measured: Measured,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum System {
    Floor,
    Saga,
}

impl Report {
    /// Divides what was measured by the sagas and commands of the workload.
    pub(crate) fn new(
        system: System,
        store: Store,
        transport: Transport,
        workload: &Workload,
        measured: Measured,
    ) -> Self {
        let Measured { pace, orchestrator, participants, server } = measured;
        let per_saga = |amount: f64| amount / workload.sagas as f64;
        // Each command is answered once, so the participants publish one message for each.
        let commands = participants.messages as f64;
        let statements = orchestrator.counts.statements + participants.counts.statements;
        Report {
            system,
            store,
            transport,
            sagas: workload.sagas,
            in_flight: workload.in_flight,
            sagas_per_s: pace.sagas_per_s,
            p50_ms: pace.p50_ms,
            p99_ms: pace.p99_ms,
            orchestrator_commits_per_saga: per_saga(orchestrator.counts.commits as f64),
            participant_commits_per_command: participants.counts.commits as f64 / commands,
            statements_per_saga: per_saga(statements as f64),
            wal_bytes_per_saga: per_saga(server.wal_bytes as f64),
            messages_per_saga: per_saga((orchestrator.messages + participants.messages) as f64),
            cpu_s_per_saga: per_saga(orchestrator.usage.cpu_s + participants.usage.cpu_s),
            peak_rss_mib: orchestrator.usage.peak_rss_mib + participants.usage.peak_rss_mib,
            measured,
        }
    }

    /// The throughput.
    pub(crate) fn sagas_per_s(&self) -> f64 {
        self.sagas_per_s
    }

    fn name<T: Serialize>(value: T) -> String {
        serde_json::to_value(value)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    fn ms_per_saga(&self, cpu_s: f64) -> String {
        format!("{:.3} ms", cpu_s * 1_000.0 / self.sagas as f64)
    }
}

/// Prints the reports: a line of JSON each, or a table with a column each.
pub(crate) fn print(reports: &[Report], json: bool) -> Result<()> {
    if json {
        for report in reports {
            println!("{}", serde_json::to_string(report)?);
        }
        return Ok(());
    }
    for (label, value) in ROWS {
        let values: String = reports.iter().map(|report| format!("{:>16}", value(report))).collect();
        println!("{label:<38}{values}");
    }
    Ok(())
}

type Row = (&'static str, fn(&Report) -> String);

const ROWS: &[Row] = &[
    ("system", |r| Report::name(r.system)),
    ("store", |r| Report::name(r.store)),
    ("transport", |r| Report::name(r.transport)),
    ("sagas", |r| r.sagas.to_string()),
    ("in flight", |r| r.in_flight.to_string()),
    ("sagas/s", |r| format!("{:.0}", r.sagas_per_s)),
    ("p50", |r| format!("{:.1} ms", r.p50_ms)),
    ("p99", |r| format!("{:.1} ms", r.p99_ms)),
    ("orchestrator: write commits/saga", |r| format!("{:.4}", r.orchestrator_commits_per_saga)),
    ("participants: write commits/command", |r| format!("{:.4}", r.participant_commits_per_command)),
    ("server: write transactions/saga", |r| {
        format!("{:.4}", r.measured.server.write_transactions as f64 / r.sagas as f64)
    }),
    ("statements/saga", |r| format!("{:.4}", r.statements_per_saga)),
    ("WAL bytes/saga", |r| format!("{:.0}", r.wal_bytes_per_saga)),
    ("messages/saga", |r| format!("{:.2}", r.messages_per_saga)),
    ("orchestrator: CPU/saga", |r| r.ms_per_saga(r.measured.orchestrator.usage.cpu_s)),
    ("participants: CPU/saga", |r| r.ms_per_saga(r.measured.participants.usage.cpu_s)),
    ("orchestrator: peak memory", |r| format!("{:.0} MiB", r.measured.orchestrator.usage.peak_rss_mib)),
    ("participants: peak memory", |r| format!("{:.0} MiB", r.measured.participants.usage.peak_rss_mib)),
];
