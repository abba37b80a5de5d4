//! The payment service: keeps accounts, and holds money until an order is captured or cancelled.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use order::config::Common;
use order::payment;
use order::service::{run, run_participant};

/// Keeps accounts, and holds money until an order is captured or cancelled
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    common: Common,
    /// How long a handler may take, in milliseconds
    #[arg(long, env = "HANDLER_TIMEOUT_MS", default_value_t = 10_000)]
    handler_timeout_ms: u64,
}

fn main() -> ExitCode {
    let Options { common, handler_timeout_ms } = Options::parse();
    let handler_timeout = Duration::from_millis(handler_timeout_ms);
    run(run_participant(common, payment::handlers(), payment::TABLES, handler_timeout))
}
