//! The contract that the cases of this folder share, and a saga's data. It compiles; each case adds one mistake.

use saga_core::{Command, Participant, Saga};
use serde::{Deserialize, Serialize};

pub struct Inventory;

impl Participant for Inventory {
    const NAME: &'static str = "inventory";
}

pub struct Bank;

impl Participant for Bank {
    const NAME: &'static str = "bank";
}

#[derive(Serialize, Deserialize)]
pub struct PlaceOrder;

impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}

/// A command without fields.
#[macro_export]
macro_rules! command {
    ($command:ident, $participant:ident, $reply:ty) => {
        #[derive(Serialize, Deserialize)]
        pub struct $command;

        impl Command for $command {
            const TYPE: &'static str = stringify!($command);
            type Participant = $participant;
            type Reply = $reply;
            type Refusal = ();
        }
    };
}

/// The step that sends it.
#[macro_export]
macro_rules! step {
    ($step:ident) => {
        impl saga_core::Step<PlaceOrder> for $step {
            fn command(_: &PlaceOrder) -> Self {
                $step
            }
        }
    };
}

command!(ReserveStock, Inventory, u64);
command!(ReleaseStock, Inventory, ());
command!(CheckFraud, Bank, ());
command!(CapturePayment, Bank, ());
command!(ShipOrder, Inventory, ());
command!(RefundPayment, Bank, ());
command!(CountStock, Inventory, u64);
step!(ReserveStock);
step!(CheckFraud);
step!(CapturePayment);
step!(ShipOrder);
