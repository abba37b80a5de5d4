//! The broker, as the command line names it.

use std::sync::Arc;
use std::time::Duration;

use saga_broker::kafka::{Kafka, KafkaConfig};
use saga_broker::rabbitmq::{RabbitMq, RabbitMqConfig};
use saga_core::namespace::Namespaced;
use saga_core::port::{Transport, TransportError};

use crate::config::{BrokerKind, Common};

/// The transport over the broker that was chosen. It connects in the background.
///
/// # Errors
///
/// [`TransportError::Permanent`] if the address makes no sense.
pub fn connect(common: &Common) -> Result<Arc<dyn Transport>, TransportError> {
    let deadline = Duration::from_millis(common.call_deadline_ms);
    let transport: Arc<dyn Transport> = match common.broker {
        BrokerKind::Rabbitmq => {
            let config = RabbitMqConfig::new(&common.amqp_url)?;
            Arc::new(RabbitMq::new(config.name(&common.process_name).deadline(deadline)))
        }
        BrokerKind::Kafka => {
            let config = KafkaConfig::new(&common.kafka_brokers);
            Arc::new(Kafka::new(config.name(&common.process_name).deadline(deadline))?)
        }
    };
    match &common.namespace {
        Some(namespace) => Ok(Namespaced::around(transport, namespace.clone())),
        None => Ok(transport),
    }
}
