//! Takes commands from the broker, and passes them on to the workers.

use std::sync::Arc;

use metrics::counter;
use tokio::sync::mpsc;
use tracing::warn;

use super::external::Outward;
use super::forgetting::Noticed;
use super::job::Job;
use super::service::Calling;
use super::worker::Worker;
use crate::message::{CommandMessage, EndNotice, Envelope, Fault};
use crate::port::{
    Delivery, Fence, Outbox, SubscribeOptions, Subscription, Token, Transport, TransportError, Watch,
};
use crate::runtime::lifecycle::Stopping;
use crate::runtime::settling::Settling;

/// The receiving end of one participant.
pub(super) struct Intake<F: Fence> {
    pub(super) worker: Worker<F>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) options: SubscribeOptions,
    pub(super) healthy: mpsc::Sender<Job>,
    pub(super) suspects: mpsc::Sender<Job>,
    pub(super) outward: Outward,
    pub(super) notices: mpsc::Sender<Noticed>,
    pub(super) stopping: Stopping,
}

impl<F: Watch + Outbox> Intake<F>
where
    F::Tx: 'static,
{
    /// Receives until the participant stops, over as many connections as it takes. The workers finish when this ends.
    pub(super) async fn run(mut self) {
        while !self.stopping.is_stopping() {
            let (transport, options) = (self.transport.clone(), self.options.clone());
            let subscribing = || transport.subscribe(options.clone());
            let what = "subscribe to the commands";
            let Some(subscription) = self.stopping.until_done_or_dropped(what, subscribing).await else {
                return;
            };
            if let Err(error) = self.read(subscription).await {
                warn!(%error, "the commands' subscription ended, subscribing again");
                self.stopping.before_again().await;
            }
        }
    }

    async fn read(&mut self, mut subscription: Box<dyn Subscription>) -> Result<(), TransportError> {
        let (settling, carried_out) = Settling::over(subscription.settler());
        let settler = tokio::spawn(carried_out);
        let result = loop {
            let received = tokio::select! {
                biased;
                () = self.stopping.stopped() => break Ok(()),
                received = subscription.receive(self.options.in_flight_max) => received,
            };
            match received {
                Ok(deliveries) => self.take(deliveries, &settling).await,
                Err(error) => break Err(error),
            }
        };
        drop(settling);
        if result.is_ok() {
            // Stopping: the subscription stays until the last command that it brought is settled.
            let _ = settler.await;
        }
        result
    }

    async fn take(&self, deliveries: Vec<Delivery>, settling: &Settling) {
        for Delivery { envelope, token, redelivered } in deliveries {
            if EndNotice::is_one(&envelope) {
                self.take_notice(&envelope, token, settling).await;
                continue;
            }
            match CommandMessage::decode(&envelope) {
                Ok(command) => {
                    let settling = settling.clone();
                    let job =
                        Job { command, token, settling, suspicion: None, counted: false, outside: None };
                    self.pass_on(job, redelivered).await;
                }
                Err(error) => {
                    warn!(message = %envelope.id, %error, "a message is dead-lettered, because it is no command");
                    settling.dead_letter(token, error.to_string()).await;
                }
            }
        }
    }

    async fn take_notice(&self, envelope: &Envelope, token: Token, settling: &Settling) {
        match EndNotice::decode(envelope) {
            Ok(notice) => {
                let noticed = Noticed { notice, token, settling: settling.clone() };
                // As with commands.
                drop(self.notices.send(noticed).await);
            }
            Err(error) => settling.dead_letter(token, error.to_string()).await,
        }
    }

    async fn pass_on(&self, mut job: Job, redelivered: bool) {
        planted!(CommandAckedEarly: job.settling.ack(job.token).await);
        if !self.worker.knows(&job.command) {
            return self.unknown(job).await;
        }
        job.suspicion = self.worker.suspect(&job, redelivered);
        if let Some(handler) = self.worker.handlers.external(&job.command) {
            return self.pass_on_external(job, handler.clone()).await;
        }
        let queue = if job.suspicion.is_some() { &self.suspects } else { &self.healthy };
        // The queue closes only when the participant is torn down; the command then comes again.
        drop(queue.send(job).await);
    }

    /// No handler is run in the transactions of an external command, so there even a suspect is harmless.
    async fn pass_on_external(&self, mut job: Job, handler: Arc<dyn Calling>) {
        match self.outward.admit(handler, self.healthy.clone()) {
            Ok(outside) => {
                job.outside = Some(outside);
                drop(self.healthy.send(job).await);
            }
            Err(fault) => {
                self.worker.answer_fault(&job, fault).await;
                job.settling.ack(job.token).await;
            }
        }
    }

    /// A command that nobody handles: its saga parks visibly, and the message is kept for a look.
    async fn unknown(&self, job: Job) {
        counter!("saga_commands_unknown_total").increment(1);
        let why = format!("{} has no handler for {}", self.options.group, job.command.command_type);
        warn!(saga = %job.command.saga, why, "a command is dead-lettered");
        self.worker.answer_fault(&job, Fault::permanent(&why)).await;
        job.settling.dead_letter(job.token, why).await;
    }
}
