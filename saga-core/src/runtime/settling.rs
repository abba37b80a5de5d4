//! Settles deliveries in batches, behind the work: a settlement never holds up the next transaction.

use std::sync::Arc;

use metrics::counter;
use tokio::sync::mpsc;

use crate::port::{SettleError, Settlement, Settler, Token};

/// What a subscription's deliveries are settled through. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Settling(mpsc::Sender<(Token, Settlement)>);

impl Settling {
    /// Settlements of one subscription, and the task that carries them out until every clone is dropped.
    pub(crate) fn over(settler: Arc<dyn Settler>) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = mpsc::channel(QUEUED_MAX);
        (Settling(sender), settle_all(settler, receiver))
    }

    pub(crate) async fn ack(&self, token: Token) {
        self.settle(token, Settlement::Ack).await;
    }

    pub(crate) async fn dead_letter(&self, token: Token, reason: String) {
        counter!("saga_dead_lettered_total").increment(1);
        self.settle(token, Settlement::DeadLetter { reason }).await;
    }

    pub(crate) async fn release(&self, token: Token) {
        self.settle(token, Settlement::Release).await;
    }

    async fn settle(&self, token: Token, settlement: Settlement) {
        // The receiver goes away only with the subscription, and then the message comes again.
        let _ = self.0.send((token, settlement)).await;
    }
}

async fn settle_all(settler: Arc<dyn Settler>, mut queue: mpsc::Receiver<(Token, Settlement)>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, QUEUED_MAX).await > 0 {
        for result in settler.settle(&batch).await {
            match result {
                Ok(()) => {}
                Err(SettleError::Lost) => counter!("saga_settlements_lost_total").increment(1),
                Err(SettleError::Failed(error)) => {
                    tracing::warn!(error, "a delivery could not be settled, it will come again");
                }
            }
        }
        batch.clear();
    }
}

/// A few batches; beyond that the work waits for the broker.
const QUEUED_MAX: usize = 4096;
