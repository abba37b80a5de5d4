//! Audits the databases of the three services, and says what must not be.

use std::process::ExitCode;

use clap::Parser;
use order::audit::{Databases, audit};
use order::database::connect;
use order::service::{Fatal, run};

/// Audits the databases of the three services, and says what must not be
#[derive(Parser)]
struct Options {
    /// The order service's database
    #[arg(long, env = "ORDER_DATABASE_URL", hide_env_values = true)]
    order: String,
    /// The payment service's database
    #[arg(long, env = "PAYMENT_DATABASE_URL", hide_env_values = true)]
    payment: String,
    /// The inventory service's database
    #[arg(long, env = "INVENTORY_DATABASE_URL", hide_env_values = true)]
    inventory: String,
}

fn main() -> ExitCode {
    run(report(Options::parse()))
}

async fn report(Options { order, payment, inventory }: Options) -> Result<(), Fatal> {
    let mut databases = Databases {
        order: connect(&order).await?,
        payment: connect(&payment).await?,
        inventory: connect(&inventory).await?,
    };
    let findings = audit(&mut databases).await?;
    findings.iter().for_each(|finding| println!("{finding}"));
    if !findings.is_empty() {
        return Err(format!("{} findings", findings.len()).into());
    }
    println!("the books are in order");
    Ok(())
}
