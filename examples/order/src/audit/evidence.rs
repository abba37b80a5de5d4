//! What the tables say, read with plain SQL.

use std::collections::{BTreeMap, HashMap};

use saga_postgres::sqlx::postgres::PgRow;
use saga_postgres::sqlx::{self, FromRow, PgConnection};
use uuid::Uuid;

use super::Databases;

/// What all tables say.
pub(super) struct Evidence {
    pub(super) orders: Vec<Order>,
    pub(super) sagas: BTreeMap<Uuid, Saga>,
    pub(super) journals: HashMap<Uuid, Vec<Line>>,
    /// Fence states by saga and step.
    pub(super) fence: HashMap<(Uuid, String), String>,
    /// How often each effect was noted, by order and effect; `ship pen` is that of shipping pens.
    pub(super) ledger: HashMap<(Uuid, String), i64>,
    /// Orders for which something is set aside, and what.
    pub(super) held: Vec<(Uuid, String)>,
    pub(super) accounts: Vec<Book>,
    pub(super) stock: Vec<Book>,
    /// Tables that must be empty by now, and how many rows they have.
    pub(super) left: Vec<(String, i64)>,
}

/// A row of `orders`.
pub(super) struct Order {
    pub(super) id: Uuid,
    pub(super) saga: Uuid,
    pub(super) customer: String,
    pub(super) amount: i64,
    pub(super) items: String,
}

/// A row of `saga.instance`, with its business key.
pub(super) struct Saga {
    pub(super) version: i64,
    pub(super) status: String,
    pub(super) state: Vec<u8>,
    pub(super) data: Vec<u8>,
    pub(super) parked: Option<String>,
    pub(super) key: Option<String>,
    /// Of the definition that it runs.
    pub(super) fingerprint: Uuid,
}

/// A row of `saga.journal`.
pub(super) struct Line {
    pub(super) version: i64,
    pub(super) event: Vec<u8>,
    pub(super) now_micros: i64,
    pub(super) decision: String,
}

/// An account or a kind of goods: what it began with, and where that is now.
pub(super) struct Book {
    pub(super) name: String,
    pub(super) opening: i64,
    pub(super) free: i64,
    pub(super) set_aside: i64,
    pub(super) gone: i64,
}

/// Reads all of it.
pub(super) async fn gather(databases: &mut Databases) -> Result<Evidence, sqlx::Error> {
    let Databases { order, payment, inventory } = databases;
    let mut ledger = rows::<LedgerRow>(payment, PAYMENT_LEDGER).await?;
    ledger.extend(rows::<LedgerRow>(inventory, INVENTORY_LEDGER).await?);
    let mut fence = rows::<FenceRow>(payment, FENCE).await?;
    fence.extend(rows::<FenceRow>(inventory, FENCE).await?);
    let mut held = rows(payment, HOLDS).await?;
    held.extend(rows(inventory, RESERVATIONS).await?);
    let mut left = rows(order, LEFT_BY_ORCHESTRATOR).await?;
    left.extend(rows(payment, LEFT_BY_PARTICIPANT).await?);
    left.extend(rows(inventory, LEFT_BY_PARTICIPANT).await?);
    Ok(Evidence {
        orders: rows(order, ORDERS).await?.into_iter().map(read_order).collect(),
        sagas: rows(order, SAGAS).await?.into_iter().map(read_saga).collect(),
        journals: by_saga(rows(order, JOURNAL).await?),
        fence: fence.into_iter().map(|(saga, step, state)| ((saga, step), state)).collect(),
        ledger: ledger.into_iter().map(|(order, effect, times)| ((order, effect), times)).collect(),
        held,
        accounts: rows(payment, ACCOUNTS).await?.into_iter().map(read_book).collect(),
        stock: rows(inventory, STOCK).await?.into_iter().map(read_book).collect(),
        left,
    })
}

async fn rows<R>(connection: &mut PgConnection, statement: &'static str) -> Result<Vec<R>, sqlx::Error>
where
    R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    sqlx::query_as(statement).fetch_all(connection).await
}

type LedgerRow = (Uuid, String, i64);
type FenceRow = (Uuid, String, String);
type OrderRow = (Uuid, Uuid, String, i64, String);
type SagaRow = (Uuid, i64, String, Vec<u8>, Vec<u8>, Option<String>, Option<String>, Uuid);
type JournalRow = (Uuid, i64, Vec<u8>, i64, String);
type BookRow = (String, i64, i64, i64, i64);

fn read_order((id, saga, customer, amount, items): OrderRow) -> Order {
    Order { id, saga, customer, amount, items }
}

fn read_saga((id, version, status, state, data, parked, key, fingerprint): SagaRow) -> (Uuid, Saga) {
    (id, Saga { version, status, state, data, parked, key, fingerprint })
}

fn by_saga(rows: Vec<JournalRow>) -> HashMap<Uuid, Vec<Line>> {
    let mut journals: HashMap<Uuid, Vec<Line>> = HashMap::new();
    for (saga, version, event, now_micros, decision) in rows {
        journals.entry(saga).or_default().push(Line { version, event, now_micros, decision });
    }
    journals
}

fn read_book((name, opening, free, set_aside, gone): BookRow) -> Book {
    Book { name, opening, free, set_aside, gone }
}

const ORDERS: &str = "SELECT id, saga, customer, amount, items FROM orders";

const SAGAS: &str = "
SELECT instance.id, instance.version, status, state, data, parked, business_key.key, definition.fingerprint
FROM saga.instance
JOIN saga.definition ON definition.id = instance.definition
LEFT JOIN saga.business_key ON business_key.saga = instance.id
";

const JOURNAL: &str = "
SELECT saga, version, event, (extract(epoch FROM now) * 1000000)::bigint, decision
FROM saga.journal ORDER BY saga, version
";

const FENCE: &str = "SELECT saga, step, state FROM saga.fence";

const PAYMENT_LEDGER: &str = "SELECT order_id, effect, count(*) FROM ledger GROUP BY order_id, effect";

const INVENTORY_LEDGER: &str = "
SELECT order_id, concat_ws(' ', effect, item), count(*) FROM ledger GROUP BY order_id, effect, item
";

const HOLDS: &str = "SELECT order_id, format('%s cents of %s', amount, customer) FROM hold";

const RESERVATIONS: &str = "SELECT order_id, format('%s %s', quantity, item) FROM reservation";

const ACCOUNTS: &str = "
SELECT customer, opening, balance, coalesce((SELECT sum(amount) FROM hold WHERE hold.customer = account.customer), 0)::bigint, captured
FROM account
";

const STOCK: &str = "
SELECT item, opening, available, coalesce((SELECT sum(quantity) FROM reservation WHERE reservation.item = stock.item), 0)::bigint, shipped
FROM stock
";

const LEFT_BY_ORCHESTRATOR: &str = "
SELECT current_database() || '.outbox', count(*) FROM saga.outbox
UNION ALL SELECT current_database() || '.outbox_dead', count(*) FROM saga.outbox_dead
UNION ALL SELECT current_database() || '.held', count(*) FROM saga.held
UNION ALL SELECT current_database() || '.timer', count(*) FROM saga.timer
";

const LEFT_BY_PARTICIPANT: &str = "
SELECT current_database() || '.outbox', count(*) FROM saga.outbox
UNION ALL SELECT current_database() || '.outbox_dead', count(*) FROM saga.outbox_dead
";
