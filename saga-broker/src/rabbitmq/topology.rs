//! Queues and exchanges: a queue for each destination and for its dead letters, and for a topic an exchange, to which each
//! group's queue is bound.

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use saga_core::id::Destination;
use saga_core::port::{SubscribeOptions, TransportError};
use tokio::time::Instant;

use super::RabbitMqConfig;
use super::error::{is_mismatch, transport_error};
use super::line::Line;

/// Declares a destination, and the queue of its dead letters.
///
/// The dead letters come first: nothing may reach a queue before there is a place for what it gives up.
pub(super) async fn declare(
    line: &Line,
    config: &RabbitMqConfig,
    destination: &Destination,
    until: Instant,
) -> Result<(), TransportError> {
    let dead = destination.dead_letters();
    queue(line, dead.as_str(), quorum(), until).await?;
    match destination.is_topic() {
        true => exchange(line, destination, until).await,
        false => queue(line, destination.as_str(), dead_lettering(&dead, config.delivery_limit), until).await,
    }
}

/// The name of the queue that a subscription reads: its source's, or what its group has of a topic.
///
/// No destination's name holds a colon, so no other queue has the name of a group's.
pub(super) fn queue_to_read(options: &SubscribeOptions) -> Result<String, TransportError> {
    let SubscribeOptions { source, group, .. } = options;
    let name = match source.is_topic() {
        true => format!("{}:{group}", source.as_str()),
        false => source.as_str().to_owned(),
    };
    match name.len() <= QUEUE_NAME_BYTES_MAX {
        true => Ok(name),
        false => Err(TransportError::Permanent(format!("the queue's name {name} is longer than 255 bytes"))),
    }
}

/// Declares the queue of a topic's group, and has the topic fill it.
pub(super) async fn join(
    line: &Line,
    config: &RabbitMqConfig,
    topic: &Destination,
    name: &str,
    until: Instant,
) -> Result<(), TransportError> {
    queue(line, name, dead_lettering(&topic.dead_letters(), config.delivery_limit), until).await?;
    let channel = line.channel(until).await.map_err(|error| transport_error(&error))?;
    let (queue, exchange) = (name.into(), topic.as_str().into());
    let binding =
        channel.queue_bind(queue, exchange, "".into(), QueueBindOptions::default(), FieldTable::default());
    line.ask(until, "queue.bind", binding).await.map_err(|error| transport_error(&error))
}

/// A refused declaration closes its channel, so each has its own.
async fn queue(line: &Line, name: &str, arguments: FieldTable, until: Instant) -> Result<(), TransportError> {
    let channel = line.channel(until).await.map_err(|error| transport_error(&error))?;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declaring = channel.queue_declare(name.into(), options, arguments);
    match line.ask(until, "queue.declare", declaring).await {
        Ok(_) => Ok(()),
        Err(error) if is_mismatch(&error) => {
            Err(mismatch(&format!("queue {name}"), "let its readers empty it, delete it", &error))
        }
        Err(error) => Err(transport_error(&error)),
    }
}

async fn exchange(line: &Line, topic: &Destination, until: Instant) -> Result<(), TransportError> {
    let channel = line.channel(until).await.map_err(|error| transport_error(&error))?;
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let name = topic.as_str().into();
    let declaring = channel.exchange_declare(name, ExchangeKind::Fanout, options, FieldTable::default());
    match line.ask(until, "exchange.declare", declaring).await {
        Ok(()) => Ok(()),
        Err(error) if is_mismatch(&error) => {
            Err(mismatch(&format!("exchange {}", topic.as_str()), "delete it", &error))
        }
        Err(error) => Err(transport_error(&error)),
    }
}

fn mismatch(what: &str, remedy: &str, error: &lapin::Error) -> TransportError {
    TransportError::Permanent(format!(
        "the {what} exists and is of another kind; {remedy}, and start again, or choose another name ({error})"
    ))
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

/// All that differs between versions of RabbitMQ is said here, so that nothing hangs on its defaults: 4.0 gives up
/// after 20 deliveries, older ones never do; dead letters are moved "at most once" unless told otherwise, and
/// "at least once" asks for a queue that refuses what it cannot hold.
fn dead_lettering(dead: &Destination, delivery_limit: u32) -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(dead.as_str()));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(delivery_limit.into()));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// What AMQP allows.
const QUEUE_NAME_BYTES_MAX: usize = 255;
