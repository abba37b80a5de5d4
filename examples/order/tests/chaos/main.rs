//! The services as real processes on real servers, while all of them are killed again and again.
//!
//! ```text
//!  load ──▶ order-1, order-2 ──▶ proxy ──▶ Postgres ◀── proxy ◀── payment, inventory
//!                │                                                        │
//!                └───────▶ proxy ──▶ RabbitMQ or Kafka ◀── proxy ◀────────┘
//!  attack: kills processes and servers, cuts and stalls proxies, each time with a hundred sagas under way
//! ```
//!
//! Run with: `cargo test -p order --test chaos -- rabbitmq` (or `kafka`); `--help` shows the options.
//! Servers of its own are brought up by `scripts/services`, so that killing them harms nobody.
//!
//! Expected output: a line for each attack, the counters, and `passed`; it fails if the audit finds anything, if an
//! accepted order is missing, or if one of the things that chaos is for did not happen.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod attack;
mod counters;
mod dice;
mod fleet;
mod load;
mod operator;
mod process;
mod servers;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use order::config::BrokerKind;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// Kills everything again and again, and audits the books afterwards
#[derive(Parser)]
struct Options {
    /// What moves the messages
    broker: BrokerKind,
    /// What the order of attacks and the mix of orders come from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often each process is killed, at least
    #[arg(long, default_value_t = 5)]
    kills: usize,
    /// How often connections are cut, at least
    #[arg(long, default_value_t = 50)]
    cuts: usize,
    /// How many orders are placed, at least
    #[arg(long, default_value_t = 1000)]
    orders: usize,
    /// How many sagas must be under way at each kill
    #[arg(long, default_value_t = 100)]
    in_flight: i64,
    /// Where the servers and the services live, and leave their logs
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/chaos"))]
    folder: PathBuf,
}

impl Options {
    /// Where the services of this run live.
    fn services_folder(&self) -> PathBuf {
        self.folder.join(format!("seed-{}", self.seed))
    }

    /// Where the servers of this run live.
    fn servers_folder(&self) -> PathBuf {
        self.folder.join("services")
    }

    fn logs(&self) -> String {
        let (services, servers) = (self.services_folder(), self.servers_folder());
        format!(
            "logs: {}/*.log, and of the servers {}/*/log, unless its file `location` names another folder",
            services.display(),
            servers.display()
        )
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    println!("{}", options.logs());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let findings = runtime.block_on(async {
        tokio::select! {
            findings = run(&options) => findings,
            () = told_to_stop() => vec!["told to stop".to_owned()],
        }
    });
    // Ends the services and the servers.
    drop(runtime);
    match findings.is_empty() {
        true => println!("passed, seed {}", options.seed),
        false => {
            findings.iter().for_each(|finding| println!("FAILED: {finding}"));
            println!("{}", options.logs());
        }
    }
    ExitCode::from(u8::from(!findings.is_empty()))
}

/// One run. Returns what must not be.
async fn run(options: &Options) -> Vec<String> {
    let servers = servers::Servers::start(options.broker, options.servers_folder()).await;
    let fleet = Arc::new(fleet::Fleet::start(options, servers).await);
    let supervising = tokio::spawn(fleet.clone().supervise());
    let load = load::Load::start(fleet.clone(), options);
    let Ok(tally) = timeout(ATTACKS_MAX, attack::run(&fleet, &load, options)).await else {
        return vec![format!("after {ATTACKS_MAX:?} there are still attacks to come, or too few orders")];
    };
    let placed = load.stop().await;
    println!("{placed}, waiting for the last saga to end");
    let mut findings = fleet.settle(PATIENCE).await;
    supervising.abort();
    findings.extend(verdict::findings(&fleet, &placed, &tally, options).await);
    findings
}

async fn told_to_stop() {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt()).unwrap(), signal(SignalKind::terminate()).unwrap());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Several times what a run takes. Who waits for longer waits for something that does not come.
const ATTACKS_MAX: Duration = Duration::from_secs(900);

/// How long the last saga may take once nothing is broken any more: all attempts of an undo, with the longest pauses.
const PATIENCE: Duration = Duration::from_secs(180);
