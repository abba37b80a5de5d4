//! The orders: placed together with their saga in one transaction, and read together with it.

use std::time::Duration;

use saga_core::Saga;
use saga_core::id::{BusinessKey, NameError, SagaId, SagaName};
use saga_core::port::{SagaDetails, SagaFilter, SagaSummary, Status, StoreError};
use saga_core::runtime::{OperateError, Orchestrator, StartError};
use saga_postgres::PgStore;
use saga_postgres::sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use saga_postgres::sqlx::{self, ConnectOptions, PgPool, Row};

use crate::contract::{Item, OrderId};
use crate::saga::{Decision, PlaceOrder};

/// The order service's data and the sagas behind it. Cheap to clone.
#[derive(Clone)]
pub struct Orders {
    pool: PgPool,
    orchestrator: Orchestrator<PgStore>,
}

/// An order as it was placed.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The order.
    pub id: OrderId,
    /// Its saga.
    pub saga: SagaId,
    /// Who pays.
    pub customer: String,
    /// How much, in cents.
    pub amount: i64,
    /// What is ordered.
    pub items: Vec<Item>,
    /// When it was placed, for humans.
    pub placed_at: String,
}

/// Why orders could not be placed or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrdersError {
    /// The saga could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The decision could not be given.
    #[error(transparent)]
    Decide(#[from] OperateError),
    /// The service's own tables could not be read or written.
    #[error(transparent)]
    Tables(#[from] sqlx::Error),
    /// The sagas could not be read.
    #[error(transparent)]
    Sagas(#[from] StoreError),
    /// A name that the database holds is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The items of an order are not what they were written as.
    #[error("the items of an order cannot be read: {0}")]
    Items(#[from] serde_json::Error),
}

impl Orders {
    /// Orders in the tables behind `pool`, which are in the same database as the orchestrator's.
    pub fn new(pool: PgPool, orchestrator: Orchestrator<PgStore>) -> Self {
        Orders { pool, orchestrator }
    }

    /// The orchestrator.
    pub fn orchestrator(&self) -> &Orchestrator<PgStore> {
        &self.orchestrator
    }

    /// Those of `names` that the catalogue has.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn known_items(&self, names: &[&str]) -> Result<Vec<String>, OrdersError> {
        Ok(sqlx::query_scalar(KNOWN_ITEMS).bind(names).fetch_all(&self.pool).await?)
    }

    /// Places an order: its row and its saga in one transaction. The same order placed again is placed once.
    ///
    /// # Errors
    ///
    /// [`StartError::KeyTaken`] if an order with this id and other contents was placed before.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was begun is finished by a task of its own.
    pub async fn place(&self, order: PlaceOrder) -> Result<(), OrdersError> {
        let orders = self.clone();
        let placing = tokio::spawn(async move { orders.place_in_transaction(order).await });
        placing.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }

    async fn place_in_transaction(self, order: PlaceOrder) -> Result<(), OrdersError> {
        let items = serde_json::to_string(&order.items)?;
        let key = BusinessKey::new(order.order.to_string())?;
        let mut tx = self.pool.begin().await?;
        let started = self.orchestrator.start_in(&mut tx, Some(key), order.clone()).await?;
        sqlx::query(INSERT)
            .bind(order.order.0)
            .bind(started.id().as_uuid())
            .bind(&order.customer)
            .bind(order.amount)
            .bind(items)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        started.committed();
        Ok(())
    }

    /// Gives an order the decision that it waits for, or will wait for, and tells how its saga stands then. `None` if
    /// there is no such order.
    ///
    /// # Errors
    ///
    /// [`OperateError::Refused`] if it was decided otherwise before, or waits no more.
    ///
    /// # Cancel safety
    ///
    /// The decision may or may not be given. Giving it again is harmless.
    pub async fn decide(&self, id: OrderId, decision: Decision) -> Result<Option<Status>, OrdersError> {
        let key = BusinessKey::new(id.to_string())?;
        match self.orchestrator.find::<PlaceOrder>(&key).await? {
            Some(saga) => Ok(Some(saga.signal(decision).await?)),
            None => Ok(None),
        }
    }

    /// An order with its saga, if there is such an order.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn find(&self, id: OrderId) -> Result<Option<(Order, SagaDetails)>, OrdersError> {
        let Some(row) = sqlx::query(FIND).bind(id.0).fetch_optional(&self.pool).await? else {
            return Ok(None);
        };
        let order = read(&row)?;
        Ok(self.orchestrator.show(order.saga).await?.map(|saga| (order, saga)))
    }

    /// A page of orders with how their sagas stand, newest first: those placed before the one with the saga `after`.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn list(
        &self,
        after: Option<SagaId>,
        limit: usize,
    ) -> Result<Vec<(Order, SagaSummary)>, OrdersError> {
        let name = Some(SagaName::new(PlaceOrder::NAME)?);
        let sagas =
            self.orchestrator.list(&SagaFilter { name, after, ..SagaFilter::default() }, limit).await?;
        let ids: Vec<_> = sagas.iter().map(|saga| saga.id.as_uuid()).collect();
        let rows = sqlx::query(LIST).bind(ids).fetch_all(&self.pool).await?;
        let orders = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let of = |saga: &SagaSummary| orders.iter().find(|order| order.saga == saga.id).cloned();
        Ok(sagas.into_iter().filter_map(|saga| Some((of(&saga)?, saga))).collect())
    }
}

/// Connections for the order service's own statements.
///
/// # Errors
///
/// If `url` is none.
pub fn pool(url: &str) -> Result<PgPool, sqlx::Error> {
    let options = url.parse::<PgConnectOptions>()?.disable_statement_logging();
    Ok(PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE).connect_lazy_with(options))
}

fn read(row: &PgRow) -> Result<Order, OrdersError> {
    Ok(Order {
        id: OrderId(row.try_get("id")?),
        saga: SagaId::from_uuid(row.try_get("saga")?),
        customer: row.try_get("customer")?,
        amount: row.try_get("amount")?,
        items: serde_json::from_str(row.try_get("items")?)?,
        placed_at: row.try_get("placed_at")?,
    })
}

/// The service's own tables, and what is in them at first.
pub const TABLES: &str = include_str!("../migrations/order.sql");

const KNOWN_ITEMS: &str = "SELECT item FROM catalogue WHERE item = ANY($1)";

/// An order that was placed before has this saga already.
const INSERT: &str = "
INSERT INTO orders (id, saga, customer, amount, items) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING
";

/// `$1` the order.
const FIND: &str = "
SELECT id, saga, customer, amount, items, to_char(placed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS placed_at
FROM orders WHERE id = $1
";

/// `$1` the sagas.
const LIST: &str = "
SELECT id, saga, customer, amount, items, to_char(placed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS placed_at
FROM orders WHERE saga = ANY($1)
";

/// Placing an order holds one for three round trips; more would not make Postgres faster.
const CONNECTIONS: u32 = 8;

/// A customer had rather be told to come back.
const PATIENCE: Duration = Duration::from_secs(5);
