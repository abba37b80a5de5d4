//! Floor and framework, or the framework in two ways, by turns in one run, so that a machine that is slow for a while is slow for both.

use anyhow::Result;
use serde_json::json;

use crate::args::{CompareArguments, FloorArguments, LoadArguments, Store};
use crate::report::{self, Report};
use crate::{floor, load};

/// Runs both by turns, and prints the median run of each and the ratio of their throughput.
pub(crate) async fn run(arguments: &CompareArguments) -> Result<()> {
    let CompareArguments { retire, transport, commands_per_transaction, workload, servers, json } = arguments;
    let (workload, servers) = (workload.clone(), servers.clone());
    let load = LoadArguments {
        store: Store::Postgres,
        transport: *transport,
        commands_per_transaction: *commands_per_transaction,
        retire: *retire,
        workload: workload.clone(),
        servers: servers.clone(),
        json: *json,
    };
    let keeping =
        LoadArguments { retire: false, workload: workload.clone(), servers: servers.clone(), ..load };
    let floor = FloorArguments { transport: *transport, workload, servers, json: *json };
    let (mut floors, mut loads) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        floors.push(match retire {
            true => load::run(&keeping).await?,
            false => floor::run(&floor).await?,
        });
        loads.push(load::run(&load).await?);
    }
    let (floor, load) = (median(floors), median(loads));
    let ratio = load.sagas_per_s() / floor.sagas_per_s();
    report::print(&[floor, load], *json)?;
    println!("{}", json!({ "ratio": (ratio * 1000.0).round() / 1000.0 }));
    Ok(())
}

/// The run in the middle, by throughput.
fn median(mut reports: Vec<Report>) -> Report {
    reports.sort_by(|a, b| a.sagas_per_s().total_cmp(&b.sagas_per_s()));
    reports.swap_remove(RUNS / 2)
}

/// An odd number, so that there is a run in the middle.
const RUNS: usize = 3;
