//! The inventory service's handlers: goods move between available, reserved and shipped, and never in or out.

use saga_core::message::Fault;
use saga_core::runtime::{Handle, Handled, Reply, Service, Undo, service};
use saga_postgres::Tx;
use saga_postgres::sqlx::{self, postgres::PgQueryResult};

use crate::contract::{Inventory, Item, OrderId, OutOfStock, ReleaseStock, ReserveStock, ShipItem};
use crate::faults::Faults;

/// Handles the commands of the inventory service.
pub struct Stock {
    faults: Faults,
}

/// The inventory service's handlers by command.
pub fn handlers(faults: Faults) -> Service<Inventory, Stock, Tx> {
    service(Stock { faults })
        .handle::<ReserveStock>()
        .undo::<ReserveStock, ReleaseStock>()
        .handle::<ShipItem>()
}

impl Handle<ReserveStock, Tx> for Stock {
    async fn handle(
        &self,
        ReserveStock { order, items }: ReserveStock,
        tx: &mut Tx,
    ) -> Handled<ReserveStock> {
        let (names, quantities): (Vec<&str>, Vec<i64>) =
            items.iter().map(|Item { name, quantity }| (name.as_str(), *quantity)).unzip();
        sqlx::query(LOCK).bind(&names).execute(&mut **tx).await?;
        let missing: Vec<String> = sqlx::query_scalar(RESERVE)
            .bind(order.0)
            .bind(&names)
            .bind(&quantities)
            .fetch_all(&mut **tx)
            .await?;
        self.faults.strike(&names).await?;
        match missing.is_empty() {
            true => Ok(Reply::Done(())),
            // A refusal takes back whatever this transaction has done for the command.
            false => Ok(Reply::Refused(OutOfStock { items: missing })),
        }
    }
}

impl Undo<ReserveStock, ReleaseStock, Tx> for Stock {
    async fn undo(&self, command: ReleaseStock, (): (), tx: &mut Tx) -> Result<(), Fault> {
        sqlx::query(LOCK_RESERVED).bind(command.order.0).execute(&mut **tx).await?;
        let released = sqlx::query(RELEASE).bind(command.order.0).execute(&mut **tx).await?;
        moved(&released, command.order)
    }
}

impl Handle<ShipItem, Tx> for Stock {
    async fn handle(&self, ShipItem { order, item }: ShipItem, tx: &mut Tx) -> Handled<ShipItem> {
        moved(&sqlx::query(SHIP).bind(order.0).bind(item).execute(&mut **tx).await?, order)?;
        Ok(Reply::Done(()))
    }
}

fn moved(result: &PgQueryResult, order: OrderId) -> Result<(), Fault> {
    match result.rows_affected() {
        // The fence calls a handler only while the reservation stands, so this needs a human.
        0 => Err(Fault::permanent(format!("nothing is reserved for order {order}"))),
        _ => Ok(()),
    }
}

/// The service's own tables, and what is in them at first.
pub const TABLES: &str = include_str!("../migrations/inventory.sql");

/// Locks the rows in one order, so that two orders for the same items wait for each other instead of deadlocking.
/// `$1` the items.
const LOCK: &str = "SELECT FROM stock WHERE item = ANY($1) ORDER BY item FOR NO KEY UPDATE";

/// The same for the items that are reserved for the order `$1`.
const LOCK_RESERVED: &str = "
SELECT FROM stock WHERE item IN (SELECT item FROM reservation WHERE order_id = $1) ORDER BY item FOR NO KEY UPDATE
";

/// `$1` the order, `$2` items, `$3` quantities. Returns the items of which there is not enough.
const RESERVE: &str = "
WITH wanted AS (
    SELECT * FROM unnest($2::text[], $3::bigint[]) AS wanted (item, quantity)
), taken AS (
    UPDATE stock SET available = available - wanted.quantity
    FROM wanted WHERE stock.item = wanted.item AND stock.available >= wanted.quantity
    RETURNING wanted.item, wanted.quantity
), reserved AS (
    INSERT INTO reservation (order_id, item, quantity) SELECT $1, item, quantity FROM taken
), noted AS (
    INSERT INTO ledger (order_id, effect) VALUES ($1, 'reserve')
)
SELECT item FROM wanted EXCEPT SELECT item FROM taken
";

/// `$1` the order.
const RELEASE: &str = "
WITH freed AS (
    DELETE FROM reservation WHERE order_id = $1 RETURNING item, quantity
), noted AS (
    INSERT INTO ledger (order_id, effect) VALUES ($1, 'release')
)
UPDATE stock SET available = available + freed.quantity FROM freed WHERE stock.item = freed.item
";

/// `$1` the order, `$2` the item.
const SHIP: &str = "
WITH sent AS (
    DELETE FROM reservation WHERE order_id = $1 AND item = $2 RETURNING item, quantity
), noted AS (
    INSERT INTO ledger (order_id, effect, item) VALUES ($1, 'ship', $2)
)
UPDATE stock SET shipped = shipped + sent.quantity FROM sent WHERE stock.item = sent.item
";
