//! What the services say to each other: both sides of every conversation depend on this file, and on nothing else
//! of each other.

use std::fmt;

use saga_core::{Command, Participant, Undoes};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Identifies an order in all three services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub Uuid);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that is ordered, and how many of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What it is called in the catalogue.
    pub name: String,
    /// How many.
    pub quantity: i64,
}

/// The service that keeps the stock.
pub struct Inventory;

impl Participant for Inventory {
    const NAME: &'static str = "inventory";
}

/// The service that keeps the accounts.
pub struct Payment;

impl Participant for Payment {
    const NAME: &'static str = "payment";
}

/// Sets goods aside for an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReserveStock {
    /// The order.
    pub order: OrderId,
    /// The goods, each once.
    pub items: Vec<Item>,
}

/// There is not enough of something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutOfStock {
    /// What there is not enough of.
    pub items: Vec<String>,
}

impl Command for ReserveStock {
    const TYPE: &'static str = "inventory.reserve.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = OutOfStock;
}

/// Puts the goods of an order back on the shelf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseStock {
    /// The order.
    pub order: OrderId,
}

impl Command for ReleaseStock {
    const TYPE: &'static str = "inventory.release.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = ();
}

impl Undoes<ReserveStock> for ReleaseStock {}

/// Sends out one item of the goods that are set aside for an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShipItem {
    /// The order.
    pub order: OrderId,
    /// What the item is called in the catalogue.
    pub item: String,
}

impl Command for ShipItem {
    const TYPE: &'static str = "inventory.ship-item.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = ();
}

/// Holds money on a customer's account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuthorizePayment {
    /// The order.
    pub order: OrderId,
    /// Whose account.
    pub customer: String,
    /// How much, in cents.
    pub amount: i64,
}

/// The money is held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Authorized {
    /// What the payment service calls it.
    pub hold: Uuid,
}

/// The payment service says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Declined {
    /// There is no such customer.
    UnknownCustomer,
    /// There is not enough money on the account.
    NotEnoughMoney,
    /// The account may hold money, but not pay.
    AccountFrozen,
}

impl Command for AuthorizePayment {
    const TYPE: &'static str = "payment.authorize.v1";
    type Participant = Payment;
    type Reply = Authorized;
    type Refusal = Declined;
}

/// Gives held money back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoidPayment {
    /// The order.
    pub order: OrderId,
}

impl Command for VoidPayment {
    const TYPE: &'static str = "payment.void.v1";
    type Participant = Payment;
    type Reply = ();
    type Refusal = ();
}

impl Undoes<AuthorizePayment> for VoidPayment {}

/// Takes the money that is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapturePayment {
    /// The order.
    pub order: OrderId,
    /// What the payment service called the held money.
    pub hold: Uuid,
}

impl Command for CapturePayment {
    const TYPE: &'static str = "payment.capture.v1";
    type Participant = Payment;
    type Reply = ();
    type Refusal = Declined;
}
