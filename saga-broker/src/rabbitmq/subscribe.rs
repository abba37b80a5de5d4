//! The subscription: reads a queue over a channel of its own, and opens another when that one ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer, message};
use saga_core::port::{Delivery, Settler, SubscribeOptions, Subscription, Token, TransportError};
use tokio::time::Instant;

use super::connection::{Link, Patience};
use super::error::transport_error;
use super::line::Line;
use super::settle::{Held, Lane, Ledger};
use super::{RabbitMqConfig, properties, topology};

/// Reads one queue.
pub(super) struct Reader {
    config: Arc<RabbitMqConfig>,
    link: Arc<Link>,
    options: SubscribeOptions,
    queue: String,
    ledger: Arc<Ledger>,
    /// Counts the channels of this subscription: tags begin at one on each of them.
    generation: u64,
    consumer: Option<Consumer>,
}

#[async_trait]
impl Subscription for Reader {
    async fn receive(&mut self, max: usize) -> Result<Vec<Delivery>, TransportError> {
        if self.consumer.is_none() {
            self.open().await?;
        }
        let Some(consumer) = self.consumer.as_mut() else {
            return Err(TransportError::Temporary("the subscription has no channel".into()));
        };
        match consumer.next().await {
            Some(Ok(first)) => Ok(self.gather(first, max)),
            Some(Err(error)) => Err(self.lost(&error.to_string())),
            None => Err(self.lost("the broker ended the subscription")),
        }
    }

    fn settler(&self) -> Arc<dyn Settler> {
        self.ledger.clone()
    }
}

impl Reader {
    pub(super) fn new(
        config: Arc<RabbitMqConfig>,
        link: Arc<Link>,
        options: SubscribeOptions,
        queue: String,
        ledger: Ledger,
    ) -> Self {
        Reader { config, link, options, queue, ledger: Arc::new(ledger), generation: 0, consumer: None }
    }

    /// Opens a channel and begins to read. Tries again within the deadline, because a queue that is just being
    /// declared can end the connection of its first reader.
    pub(super) async fn open(&mut self) -> Result<(), TransportError> {
        let until = Instant::now() + self.config.deadline;
        let mut patience = Patience::new(&self.config, until);
        loop {
            match self.consume(until).await {
                Ok(reading) => break self.begin(reading),
                Err(error) => patience.after(error).await?,
            }
        }
        Ok(())
    }

    /// The prefetch comes before the consumer, or the broker would send the whole queue.
    async fn consume(&self, until: Instant) -> Result<(Arc<Line>, Channel, Consumer), TransportError> {
        let SubscribeOptions { source, in_flight_max, .. } = &self.options;
        let line = self.link.line(until).await?;
        if source.is_topic() {
            topology::join(&line, &self.config, source, &self.queue, until).await?;
        }
        let reading = async {
            let channel = line.channel(until).await?;
            let qos = channel.basic_qos(prefetch(*in_flight_max), BasicQosOptions::default());
            line.ask(until, "basic.qos", qos).await?;
            let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
            let consuming = channel.basic_consume(queue, "".into(), options, FieldTable::default());
            let consumer = line.ask(until, "basic.consume", consuming).await?;
            Ok((channel, consumer))
        };
        let (channel, consumer) = reading.await.map_err(|error| transport_error(&error))?;
        Ok((line, channel, consumer))
    }

    fn begin(&mut self, (line, channel, consumer): (Arc<Line>, Channel, Consumer)) {
        self.generation += 1;
        let (generation, unsettled) = (self.generation, BTreeMap::new());
        self.ledger.turn_to(Some(Lane { generation, line, channel, unsettled }));
        self.consumer = Some(consumer);
    }

    /// Takes what has arrived, and does not wait for more.
    fn gather(&mut self, first: message::Delivery, max: usize) -> Vec<Delivery> {
        let mut arrived = vec![first];
        while arrived.len() < max {
            match self.consumer.as_mut().and_then(|consumer| consumer.next().now_or_never()) {
                Some(Some(Ok(next))) => arrived.push(next),
                // An error is followed by the stream's end, which the next call meets.
                Some(Some(Err(_)) | None) | None => break,
            }
        }
        self.enter(arrived)
    }

    fn enter(&self, arrived: Vec<message::Delivery>) -> Vec<Delivery> {
        let (mut deliveries, mut entries) =
            (Vec::with_capacity(arrived.len()), Vec::with_capacity(arrived.len()));
        for message::Delivery { delivery_tag: id, redelivered, properties, data, .. } in arrived {
            let body = Bytes::from(data);
            deliveries.push(Delivery {
                envelope: properties::to_envelope(&self.options.source, &properties, body.clone()),
                redelivered: redelivered || properties::deliveries_before(&properties) > 0,
                token: Token { generation: self.generation, id },
            });
            entries.push((id, Held { properties, body }));
        }
        self.ledger.enter(entries.into_iter());
        deliveries
    }

    fn lost(&mut self, why: &str) -> TransportError {
        self.consumer = None;
        self.ledger.turn_to(None);
        TransportError::Temporary(why.to_owned())
    }
}

/// Zero would mean "no limit" to the broker.
fn prefetch(in_flight_max: usize) -> u16 {
    u16::try_from(in_flight_max).unwrap_or(u16::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefetch_always_has_a_limit() {
        assert_eq!(prefetch(0), 1);
        assert_eq!(prefetch(200), 200);
        assert_eq!(prefetch(1_000_000), u16::MAX);
    }
}
