//! The two services. Their handlers work in the same transaction as the framework's fence row and reply.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use saga_core::message::Fault;
use saga_core::runtime::{Handle, Handled, Reply, Undo};

use crate::books::Books;
use crate::order::{CapturePayment, ReleaseStock, ReserveStock, ShipOrder};

/// Keeps the stock.
#[derive(Default)]
pub(crate) struct Warehouse {
    /// How often a customer's release has failed; one customer's fails twice, for the show.
    failed: Mutex<HashMap<String, u32>>,
}

impl<Tx: Books> Handle<ReserveStock, Tx> for Warehouse {
    async fn handle(&self, command: ReserveStock, tx: &mut Tx) -> Handled<ReserveStock> {
        match tx.take("stock", command.items).await? {
            true => Ok(Reply::Done(())),
            false => Ok(Reply::Refused("out of stock".into())),
        }
    }
}

impl<Tx: Books> Undo<ReserveStock, ReleaseStock, Tx> for Warehouse {
    async fn undo(&self, command: ReleaseStock, _did: (), tx: &mut Tx) -> Result<(), Fault> {
        tx.put("stock", command.items).await?;
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = failed.entry(command.customer.clone()).or_default();
        if command.customer == UNLUCKY && *failures < 2 {
            *failures += 1;
            return Err(Fault::temporary("the warehouse is being cleaned"));
        }
        Ok(())
    }
}

impl<Tx: Books> Handle<ShipOrder, Tx> for Warehouse {
    async fn handle(&self, _command: ShipOrder, _tx: &mut Tx) -> Handled<ShipOrder> {
        Ok(Reply::Done(()))
    }
}

/// Keeps the money.
#[derive(Default)]
pub(crate) struct Bank {
    asked: Mutex<HashMap<String, u32>>,
}

impl<Tx: Books> Handle<CapturePayment, Tx> for Bank {
    async fn handle(&self, command: CapturePayment, tx: &mut Tx) -> Handled<CapturePayment> {
        if self.is_first_request(&command.customer) && command.customer == PATIENT {
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
        match tx.take("money", command.amount).await? {
            true => Ok(Reply::Done(())),
            false => Ok(Reply::Refused(format!("{} cannot pay {}", command.customer, command.amount))),
        }
    }
}

impl Bank {
    fn is_first_request(&self, customer: &str) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = asked.entry(customer.to_owned()).or_default();
        *requests += 1;
        *requests == 1
    }
}

/// The customer whose payment is answered late.
pub(crate) const PATIENT: &str = "Grace";

/// The customer whose release has to be repeated.
pub(crate) const UNLUCKY: &str = "Tony";
