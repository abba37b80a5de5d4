//! The payment service's handlers: money moves between balance, hold and captured, and never in or out.

use saga_core::message::Fault;
use saga_core::runtime::{Handle, Handled, Reply, Service, Undo, service};
use saga_postgres::Tx;
use saga_postgres::sqlx;
use uuid::Uuid;

use crate::contract::{AuthorizePayment, Authorized, CapturePayment, Declined, Payment, VoidPayment};

/// Handles the commands of the payment service.
pub struct Accounts;

/// The payment service's handlers by command.
pub fn handlers() -> Service<Payment, Accounts, Tx> {
    service(Accounts)
        .handle::<AuthorizePayment>()
        .undo::<AuthorizePayment, VoidPayment>()
        .handle::<CapturePayment>()
}

impl Handle<AuthorizePayment, Tx> for Accounts {
    async fn handle(&self, command: AuthorizePayment, tx: &mut Tx) -> Handled<AuthorizePayment> {
        let hold: Option<Uuid> = sqlx::query_scalar(AUTHORIZE)
            .bind(command.order.0)
            .bind(&command.customer)
            .bind(command.amount)
            .fetch_optional(&mut **tx)
            .await?;
        if let Some(hold) = hold {
            return Ok(Reply::Done(Authorized { hold }));
        }
        let known: bool =
            sqlx::query_scalar(IS_CUSTOMER).bind(&command.customer).fetch_one(&mut **tx).await?;
        Ok(Reply::Refused(if known { Declined::NotEnoughMoney } else { Declined::UnknownCustomer }))
    }
}

impl Undo<AuthorizePayment, VoidPayment, Tx> for Accounts {
    async fn undo(&self, _: VoidPayment, did: Authorized, tx: &mut Tx) -> Result<(), Fault> {
        let voided = sqlx::query(VOID).bind(did.hold).fetch_optional(&mut **tx).await?;
        voided.map(drop).ok_or_else(|| no_such(did.hold))
    }
}

impl Handle<CapturePayment, Tx> for Accounts {
    async fn handle(&self, command: CapturePayment, tx: &mut Tx) -> Handled<CapturePayment> {
        let frozen: Option<bool> =
            sqlx::query_scalar(CAPTURE).bind(command.hold).fetch_optional(&mut **tx).await?;
        match frozen {
            Some(false) => Ok(Reply::Done(())),
            // A refusal takes back whatever this transaction has done for the command: the money stays held.
            Some(true) => Ok(Reply::Refused(Declined::AccountFrozen)),
            None => Err(no_such(command.hold)),
        }
    }
}

/// The fence calls a handler only while the hold stands, so this needs a human.
fn no_such(hold: Uuid) -> Fault {
    Fault::permanent(format!("there is no hold {hold}"))
}

/// The service's own tables, and what is in them at first.
pub const TABLES: &str = include_str!("../migrations/payment.sql");

/// `$1` the order, `$2` the customer, `$3` the amount. No row if the account is not there or has not enough.
const AUTHORIZE: &str = "
WITH charged AS (
    UPDATE account SET balance = balance - $3 WHERE customer = $2 AND balance >= $3 RETURNING customer
), held AS (
    INSERT INTO hold (order_id, customer, amount) SELECT $1, customer, $3 FROM charged RETURNING id
), noted AS (
    INSERT INTO ledger (order_id, effect) SELECT $1, 'authorize' FROM held
)
SELECT id FROM held
";

const IS_CUSTOMER: &str = "SELECT EXISTS (SELECT FROM account WHERE customer = $1)";

/// `$1` the hold.
const VOID: &str = "
WITH freed AS (
    DELETE FROM hold WHERE id = $1 RETURNING order_id, customer, amount
), noted AS (
    INSERT INTO ledger (order_id, effect) SELECT order_id, 'void' FROM freed
)
UPDATE account SET balance = balance + freed.amount FROM freed WHERE account.customer = freed.customer
RETURNING freed.order_id
";

/// `$1` the hold. Says whether the account is frozen.
const CAPTURE: &str = "
WITH taken AS (
    DELETE FROM hold WHERE id = $1 RETURNING order_id, customer, amount
), noted AS (
    INSERT INTO ledger (order_id, effect) SELECT order_id, 'capture' FROM taken
)
UPDATE account SET captured = captured + taken.amount FROM taken WHERE account.customer = taken.customer
RETURNING account.frozen
";
