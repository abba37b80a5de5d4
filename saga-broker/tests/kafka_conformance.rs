//! The conformance suite over Kafka, through a proxy that cuts and stalls.

use std::sync::Arc;

use async_trait::async_trait;
use saga_broker::kafka::{Kafka, KafkaConfig};
use saga_core::port::Transport;
use saga_testkit::{KafkaProxy, TcpProxy, suite};

struct Broker(KafkaProxy);

#[async_trait]
impl suite::transport::Harness for Broker {
    async fn start() -> Option<Self> {
        let broker = suite::server("SAGA_KAFKA_BROKERS")?.parse().expect("one broker's address");
        Some(Broker(KafkaProxy::to(broker).await.ok()?))
    }

    async fn connect(&self) -> Arc<dyn Transport> {
        let config = KafkaConfig::new(self.0.tcp().address().to_string());
        Arc::new(Kafka::new(config).expect("proper properties"))
    }

    fn proxy(&self) -> Option<&TcpProxy> {
        Some(self.0.tcp())
    }
}

saga_testkit::transport_suite!(Broker);
saga_testkit::runtime_suite!(Broker);
