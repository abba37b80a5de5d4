//! The transport in memory behind a wrapper that spoils one thing.

use std::collections::HashSet;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use saga_core::id::{Destination, MessageId};
use saga_core::memory::MemoryTransport;
use saga_core::message::Envelope;
use saga_core::port::{
    BODY_BYTES_MAX, Capabilities, Delivery, PublishError, SettleError, Settlement, Settler, SubscribeOptions,
    Subscription, Token, Transport, TransportError,
};
use saga_testkit::suite::{Skipped, transport};

/// What is wrong with a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    LosesEveryTenth,
    PublishesTwice,
    DropsSecondCopies,
    DropsEmptyHeaders,
    CutsTheLargestBody,
    CallsLargeBodiesTemporary,
    ConfirmsEverything,
    ReportsOneTooLate,
    ForgetsWhenDeclaredAgain,
    RefusesToDeclareAgain,
    AcksOnReceive,
    NeverAcks,
    HidesRedelivery,
    LosesWhatIsCancelled,
    IgnoresTheLimit,
    StopsAtTheLimit,
    ReversesBatches,
    DoesNotClose,
    AcksReleases,
    AcksDeadLetters,
    HidesDeadReasons,
    StarvesTheSecondReader,
    TakesTopicsForQueues,
    GivesEachReaderAGroup,
    MixesTopics,
    RefusesUnreadTopics,
    HangsWhileAway,
    CallsAwayPermanent,
    CallsAwayRefused,
    SubscribesWhileAway,
    ForgetsOnRestart,
}

/// A harness whose transports have a flaw.
pub(crate) struct Broken {
    flaw: Flaw,
    broker: Mutex<MemoryTransport>,
    seen: Arc<Seen>,
}

/// What all clients of a broken broker have seen together.
#[derive(Default)]
struct Seen {
    published: AtomicUsize,
    subscriptions: AtomicUsize,
    ids: Mutex<HashSet<MessageId>>,
    declared: Mutex<HashSet<Destination>>,
}

impl Broken {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Broken { flaw, broker: Mutex::default(), seen: Arc::default() }
    }
}

#[async_trait]
impl transport::Harness for Broken {
    async fn start() -> Option<Self> {
        None
    }

    async fn connect(&self) -> Arc<dyn Transport> {
        let inner = self.broker.lock().unwrap().connect();
        Arc::new(BrokenTransport { flaw: self.flaw, inner, seen: self.seen.clone() })
    }

    async fn sever(&self) -> Result<(), Skipped> {
        self.broker.lock().unwrap().go_away();
        Ok(())
    }

    async fn silence(&self) -> Result<(), Skipped> {
        self.sever().await
    }

    async fn mend(&self) {
        self.broker.lock().unwrap().come_back();
    }

    async fn restart(&self) -> Result<(), Skipped> {
        *self.broker.lock().unwrap() = MemoryTransport::default();
        Ok(())
    }
}

struct BrokenTransport {
    flaw: Flaw,
    inner: MemoryTransport,
    seen: Arc<Seen>,
}

impl BrokenTransport {
    /// The destination that is used in place of another one.
    fn taken_for(&self, destination: &Destination) -> Destination {
        match self.flaw {
            Flaw::TakesTopicsForQueues => Destination::new(destination.as_str()).unwrap(),
            Flaw::MixesTopics if destination.is_topic() => Destination::topic("all").unwrap(),
            _ => destination.clone(),
        }
    }

    async fn publish_one(&self, mut envelope: Envelope) -> Result<(), PublishError> {
        envelope.destination = self.taken_for(&envelope.destination);
        if self.flaw == Flaw::RefusesUnreadTopics && self.seen.subscriptions.load(Ordering::Relaxed) == 0 {
            return Err(PublishError::Temporary("nobody listens".into()));
        }
        let count = self.seen.published.fetch_add(1, Ordering::Relaxed);
        let fresh = self.seen.ids.lock().unwrap().insert(envelope.id);
        if self.flaw == Flaw::LosesEveryTenth && count % 10 == 9
            || self.flaw == Flaw::DropsSecondCopies && !fresh
        {
            return Ok(());
        }
        if self.flaw == Flaw::PublishesTwice {
            self.inner.publish(std::slice::from_ref(&envelope)).await.remove(0)?;
        }
        if self.flaw == Flaw::DropsEmptyHeaders {
            let full = envelope.headers.iter().filter(|(_, value)| !value.is_empty());
            envelope.headers = full.map(|(name, value)| (name.to_owned(), value)).collect();
        }
        if self.flaw == Flaw::CutsTheLargestBody && envelope.body.len() == BODY_BYTES_MAX {
            envelope.body.truncate(BODY_BYTES_MAX - 1);
        }
        let result = self.inner.publish(&[envelope]).await.remove(0);
        self.spoiled(result).await
    }

    async fn spoiled(&self, result: Result<(), PublishError>) -> Result<(), PublishError> {
        match result {
            Err(_) if self.flaw == Flaw::ConfirmsEverything => Ok(()),
            Err(PublishError::Permanent(why)) if self.flaw == Flaw::CallsLargeBodiesTemporary => {
                Err(PublishError::Temporary(why))
            }
            Err(PublishError::Unreachable(why)) => match self.flaw {
                Flaw::CallsAwayPermanent => Err(PublishError::Permanent(why)),
                Flaw::CallsAwayRefused => Err(PublishError::Temporary(why)),
                Flaw::HangsWhileAway => pending().await,
                _ => Err(PublishError::Unreachable(why)),
            },
            result => result,
        }
    }

    async fn empty(&self, queue: &Destination) {
        let options = SubscribeOptions { source: queue.clone(), group: "thief".into(), in_flight_max: 1000 };
        let mut thief = self.inner.subscribe(options).await.unwrap();
        let stolen = thief.receive(1000).await.unwrap();
        ack(&*thief.settler(), &stolen).await;
    }
}

#[async_trait]
impl Transport for BrokenTransport {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn capabilities(&self) -> Capabilities {
        let capabilities = self.inner.capabilities();
        match self.flaw {
            Flaw::ForgetsOnRestart => capabilities.durable(),
            _ => capabilities,
        }
    }

    async fn declare(&self, destinations: &[Destination]) -> Result<(), TransportError> {
        for destination in destinations {
            let again = !self.seen.declared.lock().unwrap().insert(destination.clone());
            if again && self.flaw == Flaw::RefusesToDeclareAgain {
                return Err(TransportError::Temporary("it exists".into()));
            }
            if again && self.flaw == Flaw::ForgetsWhenDeclaredAgain {
                self.empty(destination).await;
            }
        }
        let taken_for: Vec<_> = destinations.iter().map(|destination| self.taken_for(destination)).collect();
        self.inner.declare(&taken_for).await
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Result<(), PublishError>> {
        let mut results = Vec::new();
        for envelope in batch {
            results.push(self.publish_one(envelope.clone()).await);
        }
        if self.flaw == Flaw::ReportsOneTooLate {
            results.rotate_right(1);
        }
        results
    }

    async fn subscribe(
        &self,
        mut options: SubscribeOptions,
    ) -> Result<Box<dyn Subscription>, TransportError> {
        let limit = options.in_flight_max;
        if self.flaw == Flaw::IgnoresTheLimit {
            options.in_flight_max *= 10;
        }
        let earlier = self.seen.subscriptions.fetch_add(1, Ordering::Relaxed);
        options.source = self.taken_for(&options.source);
        if self.flaw == Flaw::GivesEachReaderAGroup {
            options.group = format!("{} {earlier}", options.group);
        }
        let starves = self.flaw == Flaw::StarvesTheSecondReader && earlier > 0;
        let inner = match self.inner.subscribe(options.clone()).await {
            Err(_) if self.flaw == Flaw::SubscribesWhileAway => {
                let elsewhere = MemoryTransport::default();
                elsewhere.declare(std::slice::from_ref(&options.source)).await?;
                elsewhere.subscribe(options).await?
            }
            subscribed => subscribed?,
        };
        Ok(Box::new(BrokenSubscription { flaw: self.flaw, inner, starves, room: limit }))
    }

    async fn close(&self) {
        if self.flaw != Flaw::DoesNotClose {
            self.inner.close().await;
        }
    }
}

struct BrokenSubscription {
    flaw: Flaw,
    inner: Box<dyn Subscription>,
    starves: bool,
    room: usize,
}

#[async_trait]
impl Subscription for BrokenSubscription {
    async fn receive(&mut self, max: usize) -> Result<Vec<Delivery>, TransportError> {
        if self.starves || self.flaw == Flaw::StopsAtTheLimit && self.room == 0 {
            return pending().await;
        }
        let mut deliveries = self.inner.receive(max).await?;
        self.room -= deliveries.len().min(self.room);
        if self.flaw == Flaw::LosesWhatIsCancelled {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if self.flaw == Flaw::AcksOnReceive {
            ack(&*self.inner.settler(), &deliveries).await;
        }
        if self.flaw == Flaw::ReversesBatches {
            deliveries.reverse();
        }
        for delivery in &mut deliveries {
            delivery.redelivered &= self.flaw != Flaw::HidesRedelivery;
        }
        Ok(deliveries)
    }

    fn settler(&self) -> Arc<dyn Settler> {
        Arc::new(BrokenSettler { flaw: self.flaw, inner: self.inner.settler() })
    }
}

struct BrokenSettler {
    flaw: Flaw,
    inner: Arc<dyn Settler>,
}

#[async_trait]
impl Settler for BrokenSettler {
    async fn settle(&self, batch: &[(Token, Settlement)]) -> Vec<Result<(), SettleError>> {
        if self.flaw == Flaw::NeverAcks {
            return batch.iter().map(|_| Ok(())).collect();
        }
        let spoiled = |settlement: &Settlement| match settlement {
            Settlement::Release if self.flaw == Flaw::AcksReleases => Settlement::Ack,
            Settlement::DeadLetter { .. } if self.flaw == Flaw::AcksDeadLetters => Settlement::Ack,
            Settlement::DeadLetter { .. } if self.flaw == Flaw::HidesDeadReasons => {
                Settlement::DeadLetter { reason: String::new() }
            }
            settlement => settlement.clone(),
        };
        let batch: Vec<_> = batch.iter().map(|(token, settlement)| (*token, spoiled(settlement))).collect();
        self.inner.settle(&batch).await
    }
}

async fn ack(settler: &dyn Settler, deliveries: &[Delivery]) {
    let batch: Vec<_> = deliveries.iter().map(|delivery| (delivery.token, Settlement::Ack)).collect();
    settler.settle(&batch).await;
}
