//! Kafka: idempotent producer, `acks=all`, batches of both kinds, offsets stored after the commit.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow};
use futures_util::future::try_join_all;
use futures_util::{FutureExt, StreamExt};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

use super::Job;
use super::broker::{self, Broker, Side};
use super::message::{Incoming, Outgoing};
use crate::args::KAFKA_PARTITIONS;

/// Kafka through rdkafka.
pub(super) struct Kafka;

impl Broker for Kafka {
    type Inbox = Inbox;
    type Publisher = Publisher;

    async fn create_queues(job: &Job) -> Result<()> {
        let topic = |name| NewTopic::new(name, KAFKA_PARTITIONS.into(), TopicReplication::Fixed(1));
        let topics = [topic(&job.commands), topic(&job.replies)];
        let results = admin(&job.broker)?
            .create_topics(&topics, &AdminOptions::new())
            .await
            .with_context(|| format!("cannot create topics on Kafka at {:?}", job.broker))?;
        for result in results {
            result.map_err(|(topic, code)| anyhow!("cannot create the topic {topic}: {code}"))?;
        }
        Ok(())
    }

    async fn delete_queues(broker: &str, queues: &[String]) -> Result<()> {
        let topics: Vec<&str> = queues.iter().map(String::as_str).collect();
        admin(broker)?.delete_topics(&topics, &AdminOptions::new()).await?;
        Ok(())
    }

    async fn connect(job: &Job, side: Side) -> Result<(Inbox, Vec<Publisher>)> {
        let inbox = Inbox::open(job, side.reads(job))?;
        let producer: FutureProducer = config(&job.broker)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .create()?;
        let publisher = || Publisher { producer: producer.clone(), topic: side.writes(job).into() };
        Ok((inbox, (0..PUBLISHERS).map(|_| publisher()).collect()))
    }
}

fn config(broker: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker).set("socket.nagle.disable", "true");
    config
}

fn admin(broker: &str) -> Result<AdminClient<DefaultClientContext>> {
    config(broker).create().context("cannot connect to Kafka")
}

/// One consumer of all partitions.
pub(super) struct Inbox {
    consumer: StreamConsumer,
    topic: String,
    /// The last offset received of each partition.
    received: HashMap<i32, i64>,
}

impl Inbox {
    fn open(job: &Job, topic: &str) -> Result<Inbox> {
        let consumer: StreamConsumer = config(&job.broker)
            .set("group.id", topic)
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("enable.auto.offset.store", "false")
            .create()?;
        // Assigned by hand: there is one reader, and it need not wait for a group to form.
        let mut partitions = TopicPartitionList::new();
        for partition in 0..KAFKA_PARTITIONS.into() {
            partitions.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&partitions).context("cannot assign partitions")?;
        Ok(Inbox { consumer, topic: topic.into(), received: HashMap::new() })
    }
}

impl broker::Inbox for Inbox {
    async fn receive<M: Incoming>(&mut self, limit: usize) -> Result<Vec<M>> {
        let mut messages = Vec::new();
        let mut arriving = self.consumer.stream();
        let mut next = arriving.next().await;
        while let Some(message) = next {
            let message = message?;
            self.received.insert(message.partition(), message.offset());
            messages.push(read(&message)?);
            next = match messages.len() < limit {
                true => arriving.next().now_or_never().flatten(),
                false => None,
            };
        }
        Ok(messages)
    }

    async fn settle(&mut self) -> Result<()> {
        for (partition, offset) in self.received.drain() {
            self.consumer.store_offset(&self.topic, partition, offset)?;
        }
        Ok(())
    }
}

fn read<M: Incoming>(message: &BorrowedMessage<'_>) -> Result<M> {
    let headers = message.headers().context("a message without headers")?;
    let text = |name: &str| {
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()
    };
    M::read(text, message.payload().unwrap_or_default())
}

/// A share of the producer.
pub(super) struct Publisher {
    producer: FutureProducer,
    topic: String,
}

impl broker::Publisher for Publisher {
    async fn publish(&mut self, batch: &[Outgoing]) -> Result<()> {
        let send = |message: &Outgoing| {
            let record = FutureRecord::to(&self.topic)
                .key(message.saga.as_bytes().as_slice())
                .payload(&message.body)
                .headers(headers(message));
            self.producer.send_result(record).map_err(|(error, _)| error)
        };
        let deliveries = batch.iter().map(send).collect::<Result<Vec<_>, _>>()?;
        for delivery in try_join_all(deliveries).await? {
            delivery.map_err(|(error, _)| error)?;
        }
        Ok(())
    }
}

fn headers(message: &Outgoing) -> OwnedHeaders {
    let id = message.id.to_string();
    let headers = OwnedHeaders::new_with_capacity(message.headers.len() + 1)
        .insert(Header { key: "saga-message-id", value: Some(&id) });
    message
        .headers
        .iter()
        .fold(headers, |headers, (name, value)| headers.insert(Header { key: name, value: Some(value) }))
}

/// Batches that may wait for their confirmation at once.
const PUBLISHERS: usize = 4;
