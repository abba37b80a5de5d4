//! A step runs a saga whose contract does not say who runs it for others.
//~ saga `Delivery` cannot be run as a step of another saga
//~ this saga does not say which orchestrator runs it for others

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::{Run, Saga, Step};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Delivery;

impl Saga for Delivery {
    const NAME: &'static str = "delivery";
}

impl Step<PlaceOrder> for Run<Delivery> {
    fn command(_: &PlaceOrder) -> Self {
        Run(Delivery)
    }
}

fn main() {}
