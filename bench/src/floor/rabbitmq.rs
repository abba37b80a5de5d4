//! RabbitMQ: quorum queues, persistent messages, publisher confirms, acknowledgements for many deliveries at once.

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, DeliveryTag, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};

use super::Job;
use super::broker::{self, Broker, Side};
use super::message::{Incoming, Outgoing};
use crate::database::without_password;

/// RabbitMQ through lapin.
pub(super) struct RabbitMq;

impl Broker for RabbitMq {
    type Inbox = Inbox;
    type Publisher = Publisher;

    async fn create_queues(job: &Job) -> Result<()> {
        let connection = connect(&job.broker).await?;
        let channel = connection.create_channel().await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        for queue in [&job.commands, &job.replies] {
            channel
                .queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), arguments.clone())
                .await
                .context("cannot declare a queue")?;
        }
        Ok(connection.close(200, "done".into()).await?)
    }

    async fn delete_queues(broker: &str, queues: &[String]) -> Result<()> {
        let connection = connect(broker).await?;
        let channel = connection.create_channel().await?;
        for queue in queues {
            channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
        }
        Ok(connection.close(200, "done".into()).await?)
    }

    async fn connect(job: &Job, side: Side) -> Result<(Inbox, Vec<Publisher>)> {
        let inbox = Inbox::open(connect(&job.broker).await?, side.reads(job)).await?;
        let connection = connect(&job.broker).await?;
        let mut publishers = Vec::new();
        for _ in 0..PUBLISHERS {
            publishers.push(Publisher::open(&connection, side.writes(job)).await?);
        }
        Ok((inbox, publishers))
    }
}

async fn connect(broker: &str) -> Result<Connection> {
    Connection::connect(broker, ConnectionProperties::default())
        .await
        .with_context(|| format!("cannot connect to RabbitMQ at {:?}", without_password(broker)))
}

/// One consumer.
pub(super) struct Inbox {
    consumer: Consumer,
    channel: Channel,
    last: Option<DeliveryTag>,
    /// Kept, because a connection ends when it is dropped.
    _connection: Connection,
}

impl Inbox {
    async fn open(connection: Connection, queue: &str) -> Result<Inbox> {
        let channel = connection.create_channel().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let consumer = channel
            .basic_consume(
                queue.into(),
                "bench".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await
            .context("cannot consume")?;
        Ok(Inbox { consumer, channel, last: None, _connection: connection })
    }
}

impl broker::Inbox for Inbox {
    async fn receive<M: Incoming>(&mut self, limit: usize) -> Result<Vec<M>> {
        let mut messages = Vec::new();
        let mut next = self.consumer.next().await;
        while let Some(delivery) = next {
            let delivery = delivery?;
            self.last = Some(delivery.delivery_tag);
            let headers = delivery.properties.headers().as_ref().context("a message without headers")?;
            messages.push(M::read(|name| text(headers, name), &delivery.data)?);
            if messages.len() == limit {
                return Ok(messages);
            }
            match self.consumer.next().now_or_never() {
                Some(arrived) => next = arrived,
                None => return Ok(messages),
            }
        }
        bail!("the consumer was cancelled")
    }

    async fn settle(&mut self) -> Result<()> {
        if let Some(last) = self.last.take() {
            self.channel.basic_ack(last, BasicAckOptions { multiple: true }).await?;
        }
        Ok(())
    }
}

fn text<'a>(headers: &'a FieldTable, name: &str) -> Option<&'a str> {
    match headers.inner().get(name) {
        Some(AMQPValue::LongString(text)) => std::str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    }
}

/// One channel in confirm mode.
pub(super) struct Publisher {
    channel: Channel,
    queue: ShortString,
}

impl Publisher {
    async fn open(connection: &Connection, queue: &str) -> Result<Publisher> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Publisher { channel, queue: queue.into() })
    }

    async fn publish_one(&self, message: &Outgoing) -> Result<()> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = self
            .channel
            .basic_publish("".into(), self.queue.clone(), options, &message.body, properties(message))
            .await?;
        match confirm.await? {
            Confirmation::Ack(None) => Ok(()),
            other => bail!("the broker answered {other:?}"),
        }
    }
}

impl broker::Publisher for Publisher {
    /// All at once: a publish that is awaited alone costs a round trip to lapin's own thread.
    async fn publish(&mut self, batch: &[Outgoing]) -> Result<()> {
        try_join_all(batch.iter().map(|message| self.publish_one(message))).await?;
        Ok(())
    }
}

fn properties(message: &Outgoing) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        headers.insert((*name).into(), AMQPValue::LongString(value.as_str().into()));
    }
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(message.id.to_string().into())
        .with_headers(headers)
}

const PERSISTENT: u8 = 2;

/// Two batches: one at work and one arriving.
const PREFETCH: u16 = 2_000;

/// Enough for the next batch to leave while others wait for their confirms.
const PUBLISHERS: usize = 4;
