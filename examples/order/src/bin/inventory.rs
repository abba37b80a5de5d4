//! The inventory service: keeps the stock, and reserves goods until an order is shipped or cancelled.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use order::config::Common;
use order::faults::Faults;
use order::inventory;
use order::service::{run, run_participant};

/// Keeps the stock, and reserves goods until an order is shipped or cancelled
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    common: Common,
    /// How long a handler may take, in milliseconds
    #[arg(long, env = "HANDLER_TIMEOUT_MS", default_value_t = 10_000)]
    handler_timeout_ms: u64,
    /// Make handlers fail for items named faulty-panics, faulty-aborts, faulty-hangs and faulty-broken
    #[arg(long, env = "FAULTS")]
    faults: bool,
}

fn main() -> ExitCode {
    let Options { common, handler_timeout_ms, faults } = Options::parse();
    let handlers = inventory::handlers(Faults { on: faults });
    run(run_participant(common, handlers, inventory::TABLES, Duration::from_millis(handler_timeout_ms)))
}
