//! Takes notifications from the broker, and has each of them heard until it is settled.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use metrics::counter;
use tokio::task::JoinSet;
use tracing::{Instrument, info_span, warn};

use super::hearing::Hearing;
use crate::message::{Envelope, Fault, FaultKind, NotificationMessage};
use crate::policy::Backoff;
use crate::port::{Delivery, Settlement, SubscribeOptions, Subscription, Transport, TransportError};
use crate::runtime::lifecycle::Stopping;
use crate::runtime::settling::Settling;

/// The receiving end of one subscriber.
pub(super) struct Listener {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) options: SubscribeOptions,
    pub(super) ears: Arc<Ears>,
    pub(super) stopping: Stopping,
}

impl Listener {
    /// Listens until the subscriber stops, over as many connections as it takes.
    pub(super) async fn run(mut self, first: Box<dyn Subscription>) {
        let mut subscription = Some(first);
        while !self.stopping.is_stopping() {
            let (transport, options) = (self.transport.clone(), self.options.clone());
            let subscribing = || transport.subscribe(options.clone());
            let reading = match subscription.take() {
                Some(first) => first,
                None => {
                    match self.stopping.until_done_or_dropped("subscribe to a topic", subscribing).await {
                        Some(next) => next,
                        None => return,
                    }
                }
            };
            if let Err(error) = self.read(reading).await {
                warn!(%error, topic = %self.options.source, "a subscription ended, subscribing again");
                // There are brokers that take every subscription, and say what is wrong with it afterwards.
                self.stopping.pause(self.stopping.delay(AGAIN, 1)).await;
            }
        }
    }

    /// When the connection is lost, the handlers that run are dropped with it: all their messages come again.
    async fn read(&mut self, mut subscription: Box<dyn Subscription>) -> Result<(), TransportError> {
        let (settling, carried_out) = Settling::over(subscription.settler());
        let settler = tokio::spawn(carried_out);
        let mut heard = JoinSet::new();
        loop {
            let received = tokio::select! {
                biased;
                () = self.stopping.stopped() => break,
                received = subscription.receive(self.options.in_flight_max) => received?,
            };
            for delivery in received {
                heard.spawn(self.ears.clone().take(delivery, settling.clone()));
            }
            while heard.try_join_next().is_some() {}
        }
        while heard.join_next().await.is_some() {}
        drop(settling);
        // Stopping: the subscription stays until the last notification that it brought is settled.
        let _ = settler.await;
        Ok(())
    }
}

/// What a subscriber hears, and how.
pub(super) struct Ears {
    pub(super) hearings: HashMap<&'static str, Hearing>,
    pub(super) handler_timeout: Duration,
    pub(super) stopping: Stopping,
}

impl Ears {
    async fn take(self: Arc<Self>, delivery: Delivery, settling: Settling) {
        match self.settlement(&delivery.envelope).await {
            Settlement::Ack => settling.ack(delivery.token).await,
            Settlement::Release => settling.release(delivery.token).await,
            Settlement::DeadLetter { reason } => {
                warn!(message = %delivery.envelope.id, reason, "a notification is dead-lettered");
                settling.dead_letter(delivery.token, reason).await;
            }
        }
    }

    async fn settlement(&self, envelope: &Envelope) -> Settlement {
        let message = match NotificationMessage::decode(envelope) {
            Ok(message) => message,
            Err(error) => return Settlement::DeadLetter { reason: error.to_string() },
        };
        let Some(hearing) = self.hearings.get(message.notification_type.as_str()) else {
            counter!("saga_notifications_passed_over_total").increment(1);
            return Settlement::Ack;
        };
        self.hear(hearing, &message).await
    }

    /// Tells the handler until it succeeds. Only the handler knows what is hopeless, and says so with a permanent fault.
    async fn hear(&self, hearing: &Hearing, message: &NotificationMessage) -> Settlement {
        let mut stopping = self.stopping.clone();
        for failures in 1.. {
            match self.attempt(hearing, message).await {
                Ok(()) => return Settlement::Ack,
                Err(Fault { kind: FaultKind::Permanent, message }) => {
                    return Settlement::DeadLetter { reason: message };
                }
                Err(fault) => {
                    counter!("saga_notifications_failed_total").increment(1);
                    warn!(message = %message.id(), %fault, failures, "failed to hear a notification, trying again");
                }
            }
            if stopping.pause(stopping.delay(AGAIN, failures)).await {
                break;
            }
        }
        Settlement::Release
    }

    async fn attempt(&self, hearing: &Hearing, message: &NotificationMessage) -> Result<(), Fault> {
        let NotificationMessage { saga, step, trace, .. } = message;
        let span = info_span!("saga.hear", %saga, %step, traceparent = trace.as_str());
        // The call itself stands in the block, so that a panic before its first await is caught as well.
        let hearing = AssertUnwindSafe(async { hearing(message.clone()).await }.instrument(span));
        match tokio::time::timeout(self.handler_timeout, hearing.catch_unwind()).await {
            Ok(Ok(heard)) => heard,
            Ok(Err(_)) => Err(Fault::temporary("the handler panicked")),
            Err(_) => Err(Fault::temporary(format!("it took longer than {:?}", self.handler_timeout))),
        }
    }
}

/// From a pause that spares a database which is busy up to one after which a service that is back is not waited for.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
