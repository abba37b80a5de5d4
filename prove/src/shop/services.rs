//! The shop's two services. A handler that refuses has written before, so that it shows if that is not rolled back.

use saga_core::id::MessageId;
use saga_core::memory::{MemoryTx, MemoryWorkTx};
use saga_core::message::{Command, Fault};
use saga_core::runtime::{External, Handle, Handled, Reply, Undo, service};
use saga_core::{Local, Outcome};
use saga_testkit::simulate::{LocalData, Simulated, SimulatedLocal, Troubled, Troubles};

use super::Books;
use super::contract::{
    AuthorizePayment, BookCourier, CancelCourier, CapturePayment, CheckFraud, Inventory, NoteOrder,
    PackParcel, PayCourier, Payment, PrintLabel, RefundCourier, ReleaseStock, ReserveStock, SendInvoice,
    ShipOrder, StrikeOrder, UnpackParcel, VoidLabel, VoidPayment, goes_by_courier,
};
use super::saga::PlaceOrder;

type Tx = MemoryTx<Books>;

/// Keeps the stock.
pub(crate) struct Warehouse;

/// Keeps the money.
pub(crate) struct Bank(Troubles);

/// The inventory as a simulation runs it.
pub(crate) fn inventory() -> Simulated<Inventory, Troubled<Warehouse>, Books> {
    let simulated = Simulated::new(Books::opened_with(OPENING), |troubles| {
        service::<Inventory, _, _>(troubles.around(Warehouse))
            .handle::<ReserveStock>()
            .handle::<BookCourier>()
            .handle::<ShipOrder>()
            .undo::<ReserveStock, ReleaseStock>()
            .undo::<BookCourier, CancelCourier>()
            .handle::<PrintLabel>()
            .undo::<PrintLabel, VoidLabel>()
            .handle::<PackParcel>()
            .undo::<PackParcel, UnpackParcel>()
    });
    let are_labelled = |books: &Books| books.is_gone_with(LABEL, books.orders_with(PARCEL));
    let simulated = simulated.finally("each parcel has its label", are_labelled);
    simulated.always("its books balance", Books::balance).finally("nothing is held", Books::nothing_is_held)
}

/// The payment service as a simulation runs it.
pub(crate) fn payment() -> Simulated<Payment, Troubled<Bank>, Books> {
    let simulated = Simulated::new(Books::opened_with(OPENING), |troubles| {
        service::<Payment, _, _>(troubles.around(Bank(troubles.clone())))
            .handle::<AuthorizePayment>()
            .handle::<CheckFraud>()
            .handle::<CapturePayment>()
            .undo::<AuthorizePayment, VoidPayment>()
            .handle::<SendInvoice>()
            .external::<PayCourier>()
            .external_undo::<PayCourier, RefundCourier>()
    });
    simulated.always("its books balance", Books::balance).finally("nothing is held", Books::nothing_is_held)
}

impl Handle<ReserveStock, Tx> for Warehouse {
    async fn handle(
        &self,
        ReserveStock { order, amount }: ReserveStock,
        tx: &mut Tx,
    ) -> Handled<ReserveStock> {
        tx.data_mut().hold(order, ITEMS, amount);
        unless(amount % 7 == 0, "out of stock", amount)
    }
}

impl Undo<ReserveStock, ReleaseStock, Tx> for Warehouse {
    async fn undo(&self, command: ReleaseStock, did: u32, tx: &mut Tx) -> Result<(), Fault> {
        assert_eq!(command.amount, did, "the undo knows what its command had answered");
        tx.data_mut().free(command.order, ITEMS);
        Ok(())
    }
}

impl Handle<BookCourier, Tx> for Warehouse {
    async fn handle(&self, BookCourier { order, amount }: BookCourier, tx: &mut Tx) -> Handled<BookCourier> {
        tx.data_mut().hold(order, COURIER, amount);
        unless(amount % 7 == 1, "no courier", amount)
    }
}

impl Undo<BookCourier, CancelCourier, Tx> for Warehouse {
    async fn undo(&self, command: CancelCourier, _did: u32, tx: &mut Tx) -> Result<(), Fault> {
        tx.data_mut().free(command.order, COURIER);
        Ok(())
    }
}

impl Handle<ShipOrder, Tx> for Warehouse {
    async fn handle(&self, ShipOrder { order, amount }: ShipOrder, tx: &mut Tx) -> Handled<ShipOrder> {
        tx.data_mut().part_with(order, ITEMS);
        if goes_by_courier(amount) {
            tx.data_mut().part_with(order, COURIER);
        }
        Ok(Reply::Done(()))
    }
}

impl Handle<PrintLabel, Tx> for Warehouse {
    async fn handle(&self, PrintLabel { order, amount }: PrintLabel, tx: &mut Tx) -> Handled<PrintLabel> {
        tx.data_mut().spend(order, LABEL, 1);
        unless(order.is_multiple_of(8), "no paper", amount)
    }
}

impl Undo<PrintLabel, VoidLabel, Tx> for Warehouse {
    async fn undo(&self, command: VoidLabel, _did: u32, tx: &mut Tx) -> Result<(), Fault> {
        tx.data_mut().get_back(command.order, LABEL);
        Ok(())
    }
}

impl Handle<PackParcel, Tx> for Warehouse {
    async fn handle(&self, PackParcel { order, amount }: PackParcel, tx: &mut Tx) -> Handled<PackParcel> {
        tx.data_mut().spend(order, PARCEL, amount);
        unless(amount % 7 == 5, "too large for a parcel", amount)
    }
}

impl Undo<PackParcel, UnpackParcel, Tx> for Warehouse {
    async fn undo(&self, command: UnpackParcel, _did: u32, tx: &mut Tx) -> Result<(), Fault> {
        tx.data_mut().get_back(command.order, PARCEL);
        Ok(())
    }
}

impl Handle<SendInvoice, Tx> for Bank {
    async fn handle(&self, SendInvoice { order, .. }: SendInvoice, tx: &mut Tx) -> Handled<SendInvoice> {
        tx.data_mut().spend(order, PAPER, 1);
        Ok(Reply::Done(()))
    }
}

/// The courier's fee goes through a gateway, which may say no to one copy of a command and yes to another.
impl External<PayCourier> for Bank {
    async fn call(&self, command: PayCourier, key: MessageId) -> Handled<PayCourier> {
        if self.0.chance(DECLINED_PER_MILLE) {
            return Ok(Reply::Refused("the courier takes no money".into()));
        }
        self.0.gateway().charge(key).await?;
        Ok(Reply::Done(command.amount))
    }

    async fn undo(&self, key: MessageId, _did: Outcome<u32>) -> Result<(), Fault> {
        self.0.gateway().void(key).await
    }
}

impl Handle<AuthorizePayment, Tx> for Bank {
    async fn handle(&self, command: AuthorizePayment, tx: &mut Tx) -> Handled<AuthorizePayment> {
        let AuthorizePayment { order, amount } = command;
        tx.data_mut().hold(order, MONEY, amount);
        unless(amount % 7 == 2, "no funds", amount)
    }
}

impl Undo<AuthorizePayment, VoidPayment, Tx> for Bank {
    async fn undo(&self, command: VoidPayment, _did: u32, tx: &mut Tx) -> Result<(), Fault> {
        tx.data_mut().free(command.order, MONEY);
        Ok(())
    }
}

impl Handle<CheckFraud, Tx> for Bank {
    async fn handle(&self, CheckFraud { amount, .. }: CheckFraud, _: &mut Tx) -> Handled<CheckFraud> {
        unless(amount % 7 == 3, "a fraud", ())
    }
}

impl Handle<CapturePayment, Tx> for Bank {
    async fn handle(&self, command: CapturePayment, tx: &mut Tx) -> Handled<CapturePayment> {
        let CapturePayment { order, amount } = command;
        tx.data_mut().part_with(order, MONEY);
        unless(amount % 7 == 4, "the card has expired", ())
    }
}

/// The shop's own desk, where orders are noted.
pub(crate) struct Desk(LocalData<Books>);

/// Its local steps as a simulation runs them.
pub(crate) fn desk() -> SimulatedLocal<PlaceOrder, Troubled<Desk>, Books> {
    let simulated = SimulatedLocal::new(Books::opened_with(OPENING), |troubles, books| {
        service::<Local, _, _>(troubles.around(Desk(books.clone())))
            .handle::<NoteOrder>()
            .undo::<NoteOrder, StrikeOrder>()
    });
    let are_noted = |books: &Books, completed: &[PlaceOrder]| {
        books.is_gone_with(NOTE, completed.iter().map(|completed| completed.order))
    };
    simulated.always("its books balance", Books::balance).finally("what is noted is what was done", are_noted)
}

impl Handle<NoteOrder, MemoryWorkTx> for Desk {
    async fn handle(
        &self,
        NoteOrder { order, amount }: NoteOrder,
        tx: &mut MemoryWorkTx,
    ) -> Handled<NoteOrder> {
        self.0.on_commit(tx, move |books| books.spend(order, NOTE, amount));
        unless(amount % 7 == 5, "the desk is closed", amount)
    }
}

impl Undo<NoteOrder, StrikeOrder, MemoryWorkTx> for Desk {
    async fn undo(&self, command: StrikeOrder, _did: u32, tx: &mut MemoryWorkTx) -> Result<(), Fault> {
        self.0.on_commit(tx, move |books| books.get_back(command.order, NOTE));
        Ok(())
    }
}

fn unless<C: Command<Refusal = String>>(refused: bool, why: &str, reply: C::Reply) -> Handled<C> {
    Ok(if refused { Reply::Refused(why.into()) } else { Reply::Done(reply) })
}

/// What every book begins with; more than all orders of a run need.
const OPENING: u32 = 10_000;

const ITEMS: &str = "items";
const COURIER: &str = "courier";
const LABEL: &str = "label";
const PARCEL: &str = "parcel";
const MONEY: &str = "money";
/// Of a thousand copies of a command.
const DECLINED_PER_MILLE: usize = 150;

const NOTE: &str = "note";
const PAPER: &str = "paper";
