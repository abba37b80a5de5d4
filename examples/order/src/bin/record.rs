//! Records a saga of the order service as a file to be replayed, without what its customer has said.

use std::process::ExitCode;

use clap::Parser;
use order::saga::place_order;
use order::service::{Fatal, run};
use saga_core::id::SagaId;
use saga_core::port::History;
use saga_core::replay::Recording;
use saga_postgres::{Config, PgStore};

/// Records a saga of the order service as a file to be replayed, without what its customer has said
#[derive(Parser)]
struct Options {
    /// The order service's database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// A field to keep. The amount decides whether a manager is asked, and a refusal is one of a few words
    #[arg(long, value_name = "FIELD", default_values = ["amount", "refused"])]
    keep: Vec<String>,
    /// The saga
    saga: SagaId,
}

fn main() -> ExitCode {
    run(record(Options::parse()))
}

async fn record(Options { database_url, keep, saga }: Options) -> Result<(), Fatal> {
    let store = PgStore::connect(&Config::new(&database_url)?).await?;
    let details = store.show(saga).await?.ok_or_else(|| format!("there is no saga {saga}"))?;
    let definition = place_order()?;
    let keep: Vec<&str> = keep.iter().map(String::as_str).collect();
    let recording = Recording::of(definition.plan(), &details)?.redacted(definition.plan(), &keep)?;
    println!("{}", serde_json::to_string_pretty(&recording)?);
    Ok(())
}
