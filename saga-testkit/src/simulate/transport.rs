//! The transport with its faults: messages arrive twice, late, out of order, or nobody knows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use saga_core::id::Destination;
use saga_core::memory::MemoryTransport;
use saga_core::message::Envelope;
use saga_core::port::{
    Capabilities, Delivery, PublishError, SettleError, Settlement, Settler, SubscribeOptions, Subscription,
    Token, Transport, TransportError,
};
use tokio::sync::Notify;

use super::fault::Fault;
use super::faulty::Faulty;
use super::planted::Bug;
use super::process::Process;
use super::witness::Said;

type Published = Result<(), PublishError>;

#[async_trait]
impl Transport for Faulty<MemoryTransport> {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn declare(&self, destinations: &[Destination]) -> Result<(), TransportError> {
        self.process.step().await;
        self.inner.declare(destinations).await
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Published> {
        let planted = self.process.world.bug();
        let planted: Option<Vec<_>> =
            planted.map(|bug| batch.iter().map(|envelope| bug.published(envelope)).collect());
        let batch = planted.as_deref().unwrap_or(batch);
        self.process.world.witness(|witness, counters| {
            batch.iter().for_each(|envelope| witness.publishing(envelope, counters));
        });
        self.process.step().await;
        let mut results = Vec::with_capacity(batch.len());
        for envelope in batch {
            let result = self.publish_one(envelope).await;
            self.process.note(format_args!("publishes {}: {result:?}", Said::of(envelope)));
            results.push(result);
        }
        self.process.step().await;
        if self.process.world.has(Bug::ConfirmAssumed) {
            results.fill(Ok(()));
        }
        results
    }

    async fn subscribe(&self, options: SubscribeOptions) -> Result<Box<dyn Subscription>, TransportError> {
        self.process.step().await;
        if self.strikes(Fault::Disconnect) {
            return Err(gone());
        }
        let inner = self.inner.subscribe(options).await?;
        let line =
            Arc::new(Line { process: self.process.clone(), cut: Notify::new(), out: Mutex::default() });
        Ok(Box::new(FaultySubscription { inner, line }))
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

impl Faulty<MemoryTransport> {
    async fn publish_one(&self, envelope: &Envelope) -> Published {
        if self.strikes(Fault::NotTaken) {
            return Err(PublishError::Temporary("the simulator refuses".into()));
        }
        if self.strikes(Fault::NeverTaken) {
            return Err(PublishError::Permanent("the simulator refuses for ever".into()));
        }
        let confirm_lost = self.strikes(Fault::ConfirmLost);
        if !confirm_lost || self.process.world.roll(2) == 0 {
            self.take(envelope, confirm_lost).await?;
        }
        match confirm_lost {
            true => Err(PublishError::Unknown("the confirm is lost".into())),
            false => Ok(()),
        }
    }

    /// The broker has the message from here on. It delivers it now, later, or both.
    async fn take(&self, envelope: &Envelope, confirm_lost: bool) -> Published {
        let world = &self.process.world;
        let late = self.strikes(Fault::Late);
        if !late {
            // One message, one result.
            self.inner.publish(std::slice::from_ref(envelope)).await.into_iter().collect::<Published>()?;
        }
        world.witness(|witness, counters| witness.taken(envelope, confirm_lost, counters));
        if late || self.strikes(Fault::Doubled) {
            self.deliver_later(envelope.clone());
        }
        Ok(())
    }

    fn deliver_later(&self, envelope: Envelope) {
        let delay = self.process.world.millis(1..1_500);
        // A client of its own: the broker keeps what it has when the process that sent it dies.
        let broker = self.inner.connect();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            broker.publish(&[envelope]).await;
        });
    }
}

/// What a subscription and its settler share.
struct Line {
    process: Arc<Process>,
    /// Tells the subscription that its connection is lost.
    cut: Notify,
    out: Mutex<BTreeMap<Token, Envelope>>,
}

struct FaultySubscription {
    inner: Box<dyn Subscription>,
    line: Arc<Line>,
}

#[async_trait]
impl Subscription for FaultySubscription {
    async fn receive(&mut self, max: usize) -> Result<Vec<Delivery>, TransportError> {
        let process = self.line.process.clone();
        process.step().await;
        if process.world.strikes(Fault::Disconnect) {
            process.note(format_args!("loses its connection"));
            return Err(gone());
        }
        // Nothing is awaited after deliveries were taken, so that none is lost if this future is dropped.
        let deliveries = tokio::select! {
            biased;
            () = self.line.cut.notified() => return Err(gone()),
            received = self.inner.receive(max) => received?,
        };
        self.line.received(&deliveries);
        if process.world.has(Bug::AckBeforeCommit) {
            let acks: Vec<_> = deliveries.iter().map(|delivery| (delivery.token, Settlement::Ack)).collect();
            self.line.settling(&acks);
            self.inner.settler().settle(&acks).await;
        }
        Ok(deliveries)
    }

    fn settler(&self) -> Arc<dyn Settler> {
        Arc::new(FaultySettler { inner: self.inner.settler(), line: self.line.clone() })
    }
}

impl Line {
    fn received(&self, deliveries: &[Delivery]) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        for Delivery { envelope, token, redelivered } in deliveries {
            let again = if *redelivered { " again" } else { "" };
            self.process.note(format_args!("receives {}{again}", Said::of(envelope)));
            self.process.world.witness(|witness, _| witness.received(envelope));
            out.insert(*token, envelope.clone());
        }
    }

    fn settling(&self, batch: &[(Token, Settlement)]) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        for (token, settlement) in batch {
            if let Some(envelope) = out.remove(token) {
                self.process.note(format_args!("settles {}: {settlement:?}", Said::of(&envelope)));
                let world = &self.process.world;
                world.witness(|witness, counters| witness.settled(&envelope, settlement, counters));
            }
        }
    }
}

struct FaultySettler {
    inner: Arc<dyn Settler>,
    line: Arc<Line>,
}

#[async_trait]
impl Settler for FaultySettler {
    async fn settle(&self, batch: &[(Token, Settlement)]) -> Vec<Result<(), SettleError>> {
        let planted = self.line.process.world.bug();
        let planted: Option<Vec<_>> = planted
            .map(|bug| batch.iter().map(|(token, settlement)| (*token, bug.settled(settlement))).collect());
        let batch = planted.as_deref().unwrap_or(batch);
        self.line.settling(batch);
        self.line.process.step().await;
        if self.line.process.world.strikes(Fault::Disconnect) {
            self.line.cut.notify_one();
            return batch.iter().map(|_| Err(SettleError::Lost)).collect();
        }
        self.inner.settle(batch).await
    }
}

fn gone() -> TransportError {
    TransportError::Temporary("the connection is gone".into())
}
