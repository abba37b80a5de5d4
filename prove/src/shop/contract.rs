//! What the shop's services promise one another, and what others are told.

use saga_core::{Command, Local, Participant, Undoes};
use serde::{Deserialize, Serialize};

/// The service that keeps the stock.
pub(crate) struct Inventory;
impl Participant for Inventory {
    const NAME: &'static str = "inventory";
}

/// The service that keeps the money.
pub(crate) struct Payment;
impl Participant for Payment {
    const NAME: &'static str = "payment";
}

macro_rules! commands {
    ($($(#[$doc:meta])* $command:ident: $participant:ident, $name:literal, $reply:ty;)+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            pub(crate) struct $command {
                pub(crate) order: u64,
                pub(crate) amount: u32,
            }

            impl Command for $command {
                const TYPE: &'static str = $name;
                type Participant = $participant;
                type Reply = $reply;
                type Refusal = String;
            }
        )+
    };
}

commands! {
    /// Holds items.
    ReserveStock: Inventory, "inventory.reserve.v1", u32;
    /// Frees them.
    ReleaseStock: Inventory, "inventory.release.v1", ();
    /// Holds a place with the courier.
    BookCourier: Inventory, "inventory.book.v1", u32;
    /// Frees it.
    CancelCourier: Inventory, "inventory.cancel.v1", ();
    /// Sends the parcel.
    ShipOrder: Inventory, "inventory.ship.v1", ();
    /// Holds money.
    AuthorizePayment: Payment, "payment.authorize.v1", u32;
    /// Frees it.
    VoidPayment: Payment, "payment.void.v1", ();
    /// Looks whether the customer is honest.
    CheckFraud: Payment, "payment.check.v1", ();
    /// Takes the money.
    CapturePayment: Payment, "payment.capture.v1", ();
    /// Writes the order into the shop's own books.
    NoteOrder: Local, "shop.note.v1", u32;
    /// Strikes it out.
    StrikeOrder: Local, "shop.strike.v1", ();
    /// Sends the invoice.
    SendInvoice: Payment, "payment.invoice.v1", ();
    /// Prints the label of a parcel.
    PrintLabel: Inventory, "inventory.label.v1", u32;
    /// Tears it up.
    VoidLabel: Inventory, "inventory.void-label.v1", ();
    /// Puts what is to be delivered into a parcel.
    PackParcel: Inventory, "inventory.pack.v1", u32;
    /// Puts it back.
    UnpackParcel: Inventory, "inventory.unpack.v1", ();
    /// Pays the courier.
    PayCourier: Payment, "payment.courier.v1", u32;
    /// Has the courier pay back.
    RefundCourier: Payment, "payment.refund.v1", ();
}

impl Undoes<ReserveStock> for ReleaseStock {}
impl Undoes<BookCourier> for CancelCourier {}
impl Undoes<AuthorizePayment> for VoidPayment {}
impl Undoes<NoteOrder> for StrikeOrder {}
impl Undoes<PrintLabel> for VoidLabel {}
impl Undoes<PackParcel> for UnpackParcel {}
impl Undoes<PayCourier> for RefundCourier {}

/// Tells whoever wants to know that an order was placed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OrderPlaced {
    pub(crate) order: u64,
}

/// Whether an order of this amount is brought to the customer, and not fetched.
pub(crate) const fn goes_by_courier(amount: u32) -> bool {
    !amount.is_multiple_of(3)
}
